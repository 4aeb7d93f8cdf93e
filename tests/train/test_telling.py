"""Teacher forcing of readings: words evenly over their tokens, texts that do not fit never."""

import torch
from torch import Tensor

from omnie.train.objective.losses import AlignmentTensors
from omnie.train.objective.telling import told

STEPS = 4


def texts(rows: list[int], cells_of: list[int], words: list[int], words_of: list[int]) -> AlignmentTensors:
    none = torch.empty(0, dtype=torch.long)
    numbers = {"rows": rows, "cells_of": cells_of, "words": words, "words_of": words_of}
    tensors: dict[str, Tensor] = {name: torch.tensor(values) for name, values in numbers.items()}
    return AlignmentTensors(cells=none, letters=none, letters_of=none, silent=none, width=max(cells_of), **tensors)


def test_words_are_spread_over_the_tokens_that_read_them() -> None:
    found = told(texts([5, 6, 9], [2, 1], [11, 12, 13, 14], [3, 1]), STEPS, 1.0, tokens=12)
    assert found.steps.nonzero().flatten().tolist() == [*range(20, 28), *range(36, 40)]
    assert (found.at.tolist(), found.words.tolist()) == ([21, 24, 26, 38], [11, 12, 13, 14])


def test_a_text_that_does_not_fit_is_left_to_the_encoder() -> None:
    found = told(texts([0, 1], [1, 1], [1, 2, 3, 4], [3, 1]), STEPS, 1.0, tokens=2)
    assert (found.steps.tolist(), found.words.tolist()) == ([False] * 4 + [True] * 4, [4])


def test_the_share_is_that_of_texts_and_nothing_is_told_without() -> None:
    torch.manual_seed(0)
    many = texts(list(range(1000)), [1] * 1000, [3] * 1000, [1] * 1000)
    assert 400 < len(told(many, STEPS, 0.5, tokens=1000).words) < 600
    nothing = told(many, STEPS, 0.0, tokens=1000)
    assert not nothing.steps.any() and not len(nothing.words)


def test_padding_between_recordings_is_skipped() -> None:
    found = told(texts([4, 5], [2], [8], [1]), STEPS, 1.0, tokens=5, rows=torch.tensor([0, 1, 2, 2, 3, 4]))
    assert found.steps.nonzero().flatten().tolist() == list(range(12, 20))
    assert found.at.tolist() == [16]
