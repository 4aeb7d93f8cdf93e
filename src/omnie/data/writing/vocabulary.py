"""Names and things for text tasks (`vocabulary.toml`), and who owns them. Words for drawn lines are in `words.py`.

Ownership: `owner(key)` hashes a string to one split (70 % train, 10 % validation, 20 % held-out), so a name that a held-out
example uses never stood in a training example. Closed sets (weekdays, months, colours, products) are shared by all splits:
they are words of the language, not things to learn by heart.
"""

import tomllib
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TypeVar

import numpy as np

from omnie.data.example import Split

T = TypeVar("T")
LANGUAGES = ("en", "de")

CODAS = ("", "", "", "l", "n", "r", "s", "t", "m", "k", "nd", "rt", "x", "ck", "ng", "lm")
ENDINGS = {
    "person": ["", "a", "o", "in", "er", "mann", "son", "ek", "ov", "sen"],
    "company": ["", "a", "on", "ex", "tec", "soft", "werk", "ia", "um", "lab"],
    "city": ["", "burg", "stadt", "heim", "ton", "ford", "dorf", "au", "ham", "ville"],
    "product": ["", "o", "ex", "fix", "ix", "ette", "on", "ino", "max", "ra"],
}
COMPANY_FORMS = {"en": ["Ltd", "Inc", "& Sons", "Group", "Works", "", ""], "de": ["GmbH", "AG", "KG", "& Co", "OHG", "", ""]}


@cache
def _lists() -> dict[str, dict[str, tuple[str, ...]]]:
    """Language ("both", "en", "de") -> list name -> entries."""
    raw = tomllib.loads(files("omnie.data").joinpath("writing/vocabulary.toml").read_text("utf-8"))
    return {language: {name: _entries(text) for name, text in lists.items()} for language, lists in raw.items()}


def _entries(text: str) -> tuple[str, ...]:
    return tuple(text.replace("|\n", "|").replace("\n", " ").strip().split("|")) if "|" in text else tuple(text.split())


def entries(name: str, language: str = "both") -> tuple[str, ...]:
    """A list of `vocabulary.toml`."""
    return _lists()[language][name]


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of `items`, uniformly."""
    return items[int(rng.integers(len(items)))]


def owner(key: str) -> Split:
    """The split that owns `key`: a stable hash, 70 % train, 10 % validation, 20 % held-out."""
    place = zlib.crc32(key.casefold().encode()) % 1000
    return "train" if place < 700 else "validation" if place < 800 else "heldout"


@cache
def owned(words: tuple[str, ...], split: Split) -> tuple[str, ...]:
    """The words that `split` owns (never empty: a list must be long enough, and the tests look)."""
    return tuple(word for word in words if owner(word) == split)


def pick_owned(rng: np.random.Generator, words: tuple[str, ...], split: Split) -> str:
    """One of the words that `split` owns."""
    return pick(rng, owned(words, split))


def invented(rng: np.random.Generator, split: Split, kind: str = "person") -> str:
    """A capitalised word that does not exist, owned by `split` ("Krelmann", "Tobau")."""
    while True:
        syllables = int(rng.integers(1, 3))
        stem = "".join(pick(rng, entries("onsets")) + pick(rng, entries("vowels")) + pick(rng, CODAS) for _ in range(syllables))
        word = (stem + pick(rng, ENDINGS[kind])).capitalize()
        if 4 <= len(word) <= 12 and owner(word) == split:
            return word
