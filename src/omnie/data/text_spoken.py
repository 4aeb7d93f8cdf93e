"""Spoken questions in writing: numbers as words, no signs. What a transcript means is learned more cheaply so."""

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.speech import question
from omnie.data.text_logic import tasks
from omnie.data.turns import Turn
from omnie.data.words import Language


def spoken(rng: np.random.Generator, split: Split) -> Example:
    """A question of `speech.answer` as one types it."""
    return tasks("text.spoken", rng, split, _asked)


def _asked(rng: np.random.Generator, split: Split, language: Language) -> Turn:
    sentence, result, pattern = question(rng, split, language)
    return Turn(sentence, result, pattern)


GENERATORS: dict[str, Generator] = {"text.spoken": spoken}
