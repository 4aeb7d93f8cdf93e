"""Spoken questions in writing: numbers as words, no signs. What a transcript means is learned more cheaply so."""

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.speech import question
from omnie.data.words import Language
from omnie.messages import text


def spoken(rng: np.random.Generator, split: Split) -> Example:
    """A question of `speech.answer` as one types it."""
    language: Language = "de" if rng.random() < 0.5 else "en"
    sentence, result, pattern = question(rng, split, language)
    return Example("text.spoken", (text(sentence),), result, families={"template": pattern})


GENERATORS: dict[str, Generator] = {"text.spoken": spoken}
