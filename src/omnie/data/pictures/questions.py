"""Questions in the wordings of one split. The wordings are in `questions.toml`."""

import functools
import tomllib
from pathlib import Path

import numpy as np

from omnie.data.example import Split
from omnie.data.turns import Turn
from omnie.data.words import Language, choose
from omnie.data.writing.grammar import decided


@functools.cache
def wordings() -> dict[str, dict[str, dict[str, list[str]]]]:
    """question -> language -> split -> wordings."""
    return tomllib.loads(Path(__file__).with_name("questions.toml").read_text(encoding="utf-8"))


def ask(rng: np.random.Generator, question: str, split: Split, language: Language, **fields: str) -> tuple[str, str]:
    """A question in one of the split's wordings, with every `[a|b]` decided, and the wording itself (the "template" family)."""
    wording = choose(rng, wordings()[question][language][split])
    text = decided(rng, wording).format(**fields)
    return text[0].upper() + text[1:], wording


def turn(rng: np.random.Generator, question: str, split: Split, language: Language, answer: str, **fields: str) -> Turn:
    """A question in one of the split's wordings, with its answer."""
    asked, wording = ask(rng, question, split, language, **fields)
    return Turn(asked, answer, wording)
