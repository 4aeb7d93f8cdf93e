"""Conversations that a model's rounding is fitted to: training's own mixture, in which no held-out family occurs."""

from collections.abc import Iterator

import numpy as np

from omnie.data import skills
from omnie.errors import OptionError
from omnie.messages import assistant, user
from omnie.processor import Encoder

SEED = 4
"""Not that of training."""


def conversations(encoder: Encoder, count: int) -> Iterator[dict[str, np.ndarray]]:
    """The first `count` examples, encoded with what training answers.

    Raises:
        InputError: fonts, pictures or voices are missing.
    """
    if count < 1:
        raise OptionError("examples to calibrate on are out of range", value=count, allowed="1 or more")
    for index in range(count):
        example = skills.draw("train", index, SEED)
        yield encoder.encode([user(*example.parts), assistant(example.quote or example.answer)], generation_prompt=False)
