"""Words, titles, numbers and made-up words in German and English, for every generator. The lists are in `words.toml`.

Everything is drawn from the `rng` that the caller passes; no list belongs to a split (fonts, voices and templates do).
"""

import functools
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

Language = Literal["en", "de"]
Item = TypeVar("Item")
LANGUAGES: tuple[Language, ...] = ("en", "de")
SIDES: dict[Language, dict[int, tuple[str, ...]]] = {
    "en": {2: ("left", "right"), 3: ("left", "middle", "right")},
    "de": {2: ("links", "rechts"), 3: ("links", "Mitte", "rechts")},
}
"""Places from left to right in a row of two or three things, as answers."""


@functools.cache
def _lists() -> dict[str, dict[str, tuple[str, ...]]]:
    """language -> kind -> words. Kinds with `|` in them hold phrases, one between two bars."""
    raw = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
    return {language: {kind: _split(text) for kind, text in kinds.items()} for language, kinds in raw.items()}


def _split(text: str) -> tuple[str, ...]:
    parts = text.strip().replace("\n", "|").split("|") if "|" in text else text.split()
    return tuple(dict.fromkeys(parts))


def words(language: Language, kind: str) -> tuple[str, ...]:
    """A list. Kinds: nouns, adjectives, verbs, products, business, subjects, spans, names, surnames, cities, countries, months,
    months_short, days, units, glue. English nouns and all verbs (third person) are lower case."""
    return _lists()[language][kind]


def choose(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """One item, each equally likely (faster than `rng.choice`, and keeps the item's type)."""
    return items[int(rng.integers(len(items)))]


_EVERYDAY = ("nouns", "nouns", "adjectives", "verbs", "products", "names", "cities")


def word(rng: np.random.Generator, language: Language, kind: str | None = None) -> str:
    """A word of a kind, or of any of the everyday kinds."""
    return choose(rng, words(language, kind or choose(rng, _EVERYDAY)))


def any_language(rng: np.random.Generator) -> Language:
    return LANGUAGES[int(rng.integers(2))]


def title(rng: np.random.Generator, language: Language) -> str:
    """The title of a chart, a table or a page: a subject, often with a place, a span or years ("Rents in York 2012-2019")."""
    return choose(rng, _TITLES)(rng, language)


def _years(rng: np.random.Generator) -> str:
    start = int(rng.integers(1985, 2026))
    return str(start) if rng.random() < 0.6 else f"{start}{choose(rng, '-–')}{start + int(rng.integers(2, 12))}"


def _subject(rng: np.random.Generator, language: Language) -> str:
    if rng.random() < 0.25:
        joint = "of" if language == "en" else "für"
        return f"{word(rng, language, 'business').capitalize()} {joint} {word(rng, language, 'products')}"
    return word(rng, language, "subjects")


def _place(rng: np.random.Generator, language: Language) -> str:
    place = word(rng, language, "cities" if rng.random() < 0.6 else "countries")
    return f"in der {place}" if place in ("Schweiz", "Türkei") else f"in {place}"


_TITLES: tuple[Callable[[np.random.Generator, Language], str], ...] = (
    _subject,
    lambda rng, language: f"{_subject(rng, language)} {_place(rng, language)}",
    lambda rng, language: f"{_subject(rng, language)} {word(rng, language, 'spans')}",
    lambda rng, language: f"{_subject(rng, language)} {_years(rng)}",
    lambda rng, language: f"{_subject(rng, language)} {_place(rng, language)} {_years(rng)}",
    lambda rng, language: f"{_subject(rng, language)} ({choose(rng, words(language, 'units'))})",
    lambda rng, language: f"{choose(rng, words(language, 'cities'))}: {_subject(rng, language)}",
)


def phrase(rng: np.random.Generator, language: Language, n: int) -> str:
    """`n` words that look like running text: mostly nouns, adjectives, verbs and glue, now and then a made-up word."""
    return " ".join(_running_word(rng, language) for _ in range(n))


def _running_word(rng: np.random.Generator, language: Language) -> str:
    draw = rng.random()
    if draw < 0.06:
        return made_up(rng)
    kinds = (("nouns", 0.4), ("adjectives", 0.56), ("verbs", 0.7), ("glue", 0.9), ("names", 0.95), ("cities", 1.0))
    return word(rng, language, next(kind for kind, limit in kinds if draw <= limit))


_ADVERBS = ("heute", "morgen", "oft", "gern", "nie", "bald", "jetzt")


def sentence(rng: np.random.Generator, language: Language) -> str:
    """A short sentence with plain grammar ("Anna buys three red lamps" style, without agreement that could go wrong)."""
    name, verb, noun = (word(rng, language, kind) for kind in ("names", "verbs", "nouns"))
    if language == "en":
        return f"{name} {verb} the {word(rng, language, 'adjectives')} {noun}."
    return f"{name} {verb} {choose(rng, _ADVERBS)} in {word(rng, language, 'cities')}."


_ONSETS = _split("b br ch d dr f fl g gl gr h j k kl kr l m n p pl pr qu r s sch sh sp st t tr v w z")
_VOWELS = _split("a a e e i i o o u ai au ei ee ie oo ou ä ö ü")
_CODAS = _split("b ck d f g k l ll m n n nd ng nt p r r rt s s ß st t tz x")


def _syllable(rng: np.random.Generator) -> str:
    return choose(rng, _ONSETS) + choose(rng, _VOWELS) + (choose(rng, _CODAS) if rng.random() < 0.5 else "")


def made_up(rng: np.random.Generator) -> str:
    """A pronounceable word that no list holds, so that letters are read and words not guessed ("Brolan", "stießung")."""
    syllables = int(rng.integers(1, 4))
    text = "".join(_syllable(rng) for _ in range(syllables))
    return text.capitalize() if rng.random() < 0.4 else text


def number_text(rng: np.random.Generator) -> str:
    """A number as people write it: counts, decimals with point or comma, thousands, prices, shares, temperatures."""
    return choose(rng, _NUMBERS)(rng)


def _magnitude(rng: np.random.Generator, digits: int = 7) -> int:
    """A whole number whose count of digits is uniform, so that 7 is as usual as 48312."""
    return int(10 ** (rng.random() * int(rng.integers(1, digits))))


def grouped(value: int, mark: str) -> str:
    """Thousands set apart: 12345 and "." give "12.345"."""
    return f"{value:,}".replace(",", mark)


_NUMBERS: tuple[Callable[[np.random.Generator], str], ...] = (
    lambda rng: str(_magnitude(rng)),
    lambda rng: str(int(rng.integers(0, 100))),
    lambda rng: f"{_magnitude(rng, 4)}{choose(rng, '.,')}{int(rng.integers(10))}",
    lambda rng: f"{_magnitude(rng, 4)}{choose(rng, '.,')}{int(rng.integers(100)):02d}",
    lambda rng: grouped(_magnitude(rng, 8), choose(rng, (".", ",", " ", "'"))),
    lambda rng: f"{_magnitude(rng, 5)},{int(rng.integers(100)):02d} €",
    lambda rng: f"{choose(rng, '$€£')}{_magnitude(rng, 5)}.{int(rng.integers(100)):02d}",
    lambda rng: f"{int(rng.integers(0, 101))}{choose(rng, ('%', ' %'))}",
    lambda rng: f"{choose(rng, ('-', '+', ''))}{int(rng.integers(0, 45))} °C",
    lambda rng: f"{_magnitude(rng, 5)} {choose(rng, words('en', 'units'))}",
    lambda rng: str(int(rng.integers(1900, 2040))),
)


def date_text(rng: np.random.Generator, language: Language) -> str:
    """A date or a time in the ways the language writes them."""
    day, month, year = int(rng.integers(1, 29)), int(rng.integers(1, 13)), int(rng.integers(1950, 2040))
    name = words(language, "months")[month - 1]
    german = (f"{day}.{month}.{year}", f"{day:02d}.{month:02d}.{year}", f"{day}. {name} {year}", f"{name} {year}")
    english = (f"{day} {name} {year}", f"{name} {day}, {year}", f"{month}/{day}/{year}", f"{name} {year}")
    shared = (f"{year}-{month:02d}-{day:02d}", f"{int(rng.integers(24)):02d}:{int(rng.integers(60)):02d}")
    return choose(rng, (*(german if language == "de" else english), *shared))
