"""Charts and questions about them. Train and validation pictures come from our own renderer (`draw.py`); held-out pictures
come from Matplotlib (`heldout.py`), which is imported only when a held-out example is drawn.
"""

from functools import partial

import numpy as np

from omnie.data import augment
from omnie.data.charts import draw, examples, styles
from omnie.data.charts.spec import Chart
from omnie.data.example import Generator, Split


def picture(rng: np.random.Generator, split: Split, chart: Chart) -> examples.Picture:
    """A chart drawn in a style of the split."""
    if split == "heldout":
        from omnie.data.charts import heldout

        return examples.Picture(*heldout.picture(rng, chart))
    style = styles.draw_style(rng, split, chart)
    drawn = draw.render(chart, style)
    worn = rng.random() < 0.15
    pixels = augment.degrade(rng, drawn.pixels, 0.4 * rng.random()) if worn else drawn.pixels
    return examples.Picture(pixels, style.names, drawn.written, drawn.marks)


GENERATORS: dict[str, Generator] = {
    f"charts.{name}": partial(examples.example, f"charts.{name}", picture) for name in examples.MAKERS
}
