"""Measuring a model: labelled examples in, scores with intervals out. How answers are judged stands in `omnie.data.scoring`."""
