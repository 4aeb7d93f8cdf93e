"""Requests in words that training does not have: most of their words are exchanged, made up or left out, their values stay.

People ask in more ways than anyone writes down, and who knows the wordings of training by heart takes each other one for a
request that no tool answers. What is given often tells by itself which tool is meant: of those on offer one takes a duration.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from omnie.data.writing.grammar import tidy
from omnie.data.writing.invented.words import WORD, ordinary
from omnie.data.writing.vocabulary import invented, pick

ALIKE = (
    {"stock", "age", "platform", "year", "count"},
    {"product", "topic", "goods", "company", "hobby", "event", "venue", "job"},
    {"code", "room", "phone"},
    {"day", "date"},
    {"hours", "days"},
)
"""Kinds whose values may be taken for each other's."""
KEPT, OTHER, MADE_UP = 0.4, 0.3, 0.1
"""Shares of the words that stay, are exchanged, and are made up; the rest is left out."""


def told_apart(given: Iterable[str], kinds: Iterable[str], others: Sequence[tuple[Iterable[str], Iterable[str]]]) -> bool:
    """Whether values of the given kinds say by themselves which parameter each is for, and which tool.

    Args:
        kinds: Of all the parameters of the tool that is meant.
        others: Of the other tools: the kinds of all parameters, and of those that may not be left out.
    """
    own, all_own = Counter(map(_sort, given)), Counter(map(_sort, kinds))
    fits = (own <= Counter(map(_sort, theirs)) and Counter(map(_sort, needed)) <= own for theirs, needed in others)
    return bool(own) and all(all_own[sort] == 1 for sort in own) and not any(fits)


def _sort(kind: str) -> str:
    return next((min(alike) for alike in ALIKE if kind in alike), kind)


def reworded(rng: np.random.Generator, request: str, values: Iterable[str], language: str) -> str:
    """A request in other words around its values."""
    pattern = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
    pieces = re.split(f"({pattern})", request)
    return tidy("".join(piece if at % 2 else _exchanged(rng, piece, language) for at, piece in enumerate(pieces)))


def _exchanged(rng: np.random.Generator, piece: str, language: str) -> str:
    def said(match: re.Match[str]) -> str:
        draw = rng.random()
        if draw < KEPT:
            return match.group()
        if draw < KEPT + OTHER:
            return pick(rng, ordinary(language))
        return invented(rng, "train").lower() if draw < KEPT + OTHER + MADE_UP else ""

    return WORD.sub(said, piece)
