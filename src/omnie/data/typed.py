"""Questions as people type them: without a capital or a question mark, or with three of them, a blank or a line break too much.

What is typed in a hurry means the same. Words that the answer says again stay as they are.
"""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from omnie.data.example import Example
from omnie.data.words import choose

SHARE = 0.25
"""Of training's examples."""
_MARKS = ".?!"
_WORD = re.compile(r"\w+")
_APOSTROPHE = re.compile(r"(\w+)(['’])(?=(\w+))")
_BLANK = re.compile(r"(?<=\S) (?=\S)")
FRONT, BEHIND, BETWEEN = (" ", "\n"), (" ", "\n", "  ", "\n\n"), ("  ", "\u00a0", "\n")
"""Blanks that stand before a question, behind it, and in place of one in it."""


def typed(rng: np.random.Generator, example: Example) -> Example:
    """The example with its questions as someone in a hurry types them, each changed in one or two ways where one applies; a
    recording that asks by itself stays."""
    *media, question = example.parts
    if question.kind == "text":
        question = replace(question, value=hurried(rng, question.value, f"{example.answer} {example.quote or ''}"))
    more = tuple((hurried(rng, text, answer), answer) for text, answer in example.more)
    return replace(example, parts=(*media, question), more=more)


def hurried(rng: np.random.Generator, text: str, said: str) -> str:
    """A text, typed in a hurry. Words of `said` keep their letters, and what stands beside them within the text."""
    kept = {word.casefold() for word in _WORD.findall(said)}
    for at in rng.permutation(len(_HABITS))[: int(rng.integers(1, 3))]:
        text = _HABITS[at](rng, text, kept)
    return text


def _small(_: np.random.Generator, text: str, kept: set[str]) -> str:
    """No capital at the beginning."""
    first = _WORD.match(text)
    if not first or first.group().casefold() in kept or not first.group()[1:].islower():
        return text
    return text[0].lower() + text[1:]


def _ending(change: Callable[[np.random.Generator, str], str]) -> Callable[[np.random.Generator, str, set[str]], str]:
    """A change of the mark at the end."""

    def changed(rng: np.random.Generator, text: str, kept: set[str]) -> str:
        words = _WORD.findall(text)
        if not text.endswith(tuple(_MARKS)) or (words and words[-1].casefold() in kept):
            return text
        return text.rstrip(_MARKS) + change(rng, text[-1])

    return changed


def _spaced(rng: np.random.Generator, text: str, kept: set[str]) -> str:
    """Another blank than the usual one between two words."""
    words = [(match.start(), match.end(), match.group().casefold() in kept) for match in _WORD.finditer(text)]
    free = [
        blank.start()
        for blank in _BLANK.finditer(text)
        if not any(own and (end == blank.start() or begin == blank.end()) for begin, end, own in words)
    ]
    if not free:
        return text
    at = choose(rng, free)
    return text[:at] + choose(rng, BETWEEN) + text[at + 1 :]


def _curly(_: np.random.Generator, text: str, kept: set[str]) -> str:
    """Apostrophes as telephones set them, or as keyboards do."""

    def other(match: re.Match[str]) -> str:
        before, mark, after = match.groups()
        own = before.casefold() in kept or after.casefold() in kept
        return before + (mark if own else "’" if mark == "'" else "'")

    return _APOSTROPHE.sub(other, text)


_HABITS: tuple[Callable[[np.random.Generator, str, set[str]], str], ...] = (
    _small,
    _small,
    _ending(lambda rng, mark: ""),
    _ending(lambda rng, mark: ""),
    _ending(lambda rng, mark: mark * int(rng.integers(2, 4))),
    _ending(lambda rng, mark: " " + mark),
    _spaced,
    _curly,
    lambda rng, text, kept: choose(rng, FRONT) + text,
    lambda rng, text, kept: text + choose(rng, BEHIND),
    lambda rng, text, kept: text + choose(rng, BEHIND),
)
