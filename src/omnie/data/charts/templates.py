"""Wordings of questions about charts and tables, from `templates.toml`; each belongs to one split."""

import functools
import re
import tomllib
from pathlib import Path

import numpy as np

from omnie.data.charts.content import choice
from omnie.data.example import Split

ALTERNATIVES = re.compile(r"\[([^|\]]+)\|([^\]]+)\]")


@functools.cache
def wordings(name: str, split: Split) -> tuple[str, ...]:
    """The templates of a question ("value/de") that belong to a split."""
    return _all()[name][split]


@functools.cache
def _all() -> dict[str, dict[str, tuple[str, ...]]]:
    raw = tomllib.loads(Path(__file__).with_name("templates.toml").read_text(encoding="utf-8"))
    return {name: {split: tuple(text.split("\n")[:-1]) for split, text in splits.items()} for name, splits in raw.items()}


def names() -> tuple[str, ...]:
    """All questions that have wordings."""
    return tuple(_all())


def pick(rng: np.random.Generator, split: Split, name: str, **fields: str) -> tuple[str, str]:
    """A wording of the split, filled in, and its family name, which is the template itself.

    Args:
        fields: What replaces `{...}`; a field `second` chooses the second word of every `[first|second]`.
    """
    template = choice(rng, wordings(name, split))
    word = 2 if fields.pop("second", "") else 1
    chosen = ALTERNATIVES.sub(lambda match: match[word], template)
    return chosen.format(**fields), f"{name}: {template}"
