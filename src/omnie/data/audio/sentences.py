"""Short sentences to speak, German and English: patterns with slots, filled from one vocabulary a language.

Training, validation and held-out patterns differ; the words (`vocabulary.py`) are shared, since a recogniser that
never saw a word cannot be blamed for it. Everything is lower case without punctuation: a sentence is its own transcript.
"""

import re
from functools import cache

import numpy as np

from omnie.data.audio.patterns import PATTERNS
from omnie.data.audio.vocabulary import POOLS
from omnie.data.example import Split
from omnie.data.words import Language

_SLOT = re.compile(r"{(\w+)}")


def draw_sentence(rng: np.random.Generator, split: Split, language: Language) -> tuple[str, str]:
    """A sentence of 2 to 9 words and the pattern that made it."""
    pattern = str(rng.choice(PATTERNS[language][split]))
    return fill(rng, pattern, language), f"{language}: {pattern}"


def fill(rng: np.random.Generator, pattern: str, language: Language) -> str:
    """The pattern with every slot filled from the pools; an entry of a pool may hold slots itself."""

    def entry(slot: re.Match[str]) -> str:
        pool = pools(language)[slot[1]]
        return pool[rng.integers(len(pool))]

    while _SLOT.search(pattern):
        pattern = _SLOT.sub(entry, pattern)
    return pattern


def spell(number: int, language: Language) -> str:
    """A whole number from 0 to 999 in words, as it is said: "twenty three", "dreiundzwanzig"."""
    if not 0 <= number < 1000:
        raise ValueError(f"only 0 to 999 are spelled, not {number}")
    return _spell_en(number) if language == "en" else _spell_de(number)


@cache
def pools(language: Language) -> dict[str, tuple[str, ...]]:
    """Slot name -> what may fill it, numbers and inflected German noun phrases included."""
    given = {name: tuple(entry.strip() for entry in text.split(",")) for name, text in POOLS[language].items()}
    made = {
        "digit": range(10),
        "few": range(2, 10),
        "number": range(2, 100),
        "hour": range(1, 13),
        "hundreds": range(100, 1000),
    }
    numbers = {name: tuple(spell(number, language) for number in span) for name, span in made.items()}
    every = given | numbers | (_german_nouns(given) if language == "de" else {})
    return every | {"word": tuple(sorted(vocabulary(every)))}


def vocabulary(filled: dict[str, tuple[str, ...]]) -> set[str]:
    """Every word that the pools can say, compounds of numbers left out."""
    entries = (entry for name, pool in filled.items() if name not in ("number", "hundreds") for entry in pool)
    return {word for entry in entries for word in _SLOT.sub(" ", entry).split()}


def _german_nouns(given: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Noun phrases by case: `nom` "der stuhl", `acc` "den stuhl", `dat` "dem stuhl", `some` "einen stuhl", and so on."""
    articles = {
        "nom": ("der", "die", "das"), "acc": ("den", "die", "das"), "dat": ("dem", "der", "dem"),
        "some": ("einen", "eine", "ein"), "my": ("mein", "meine", "mein"), "mine": ("meinen", "meine", "mein"),
        "this": ("dieser", "diese", "dieses"),
    }  # fmt: skip
    genders = ("masculine", "feminine", "neuter")
    return {
        case: tuple(f"{article} {noun}" for article, gender in zip(words, genders, strict=True) for noun in given[gender])
        for case, words in articles.items()
    }


_EN = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen"""
_EN_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_DE = """null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn
achtzehn neunzehn"""
_DE_TENS = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig"


def _spell_en(number: int) -> str:
    units, tens = _EN.split(), _EN_TENS.split()
    if number < 20:
        return units[number]
    if number < 100:
        return tens[number // 10 - 2] + (f" {units[number % 10]}" if number % 10 else "")
    return f"{units[number // 100]} hundred" + (f" {_spell_en(number % 100)}" if number % 100 else "")


def _spell_de(number: int) -> str:
    units, tens = _DE.split(), _DE_TENS.split()
    if number < 20:
        return units[number]
    if number < 100:
        unit = "ein" if number % 10 == 1 else units[number % 10]
        return (f"{unit}und" if number % 10 else "") + tens[number // 10 - 2]
    hundreds = "ein" if number // 100 == 1 else units[number // 100]
    return f"{hundreds}hundert" + (_spell_de(number % 100) if number % 100 else "")
