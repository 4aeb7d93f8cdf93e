"""Questions in the wordings of one split. The wordings are in `questions.toml`."""

import functools
import tomllib
from pathlib import Path

import numpy as np

from omnie.data.example import Split
from omnie.data.words import Language, choose


@functools.cache
def wordings() -> dict[str, dict[str, dict[str, list[str]]]]:
    """question -> language -> split -> wordings."""
    return tomllib.loads(Path(__file__).with_name("questions.toml").read_text(encoding="utf-8"))


def ask(rng: np.random.Generator, question: str, split: Split, language: Language, **fields: str) -> tuple[str, str]:
    """A question in one of the split's wordings, and the wording itself (the "template" family)."""
    wording = choose(rng, wordings()[question][language][split])
    text = wording.format(**fields)
    return text[0].upper() + text[1:], wording
