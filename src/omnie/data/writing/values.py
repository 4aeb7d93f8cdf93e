"""Typed values for text tasks: a person, a price, a date ... drawn for a language and a split. No sentences here."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omnie.data.example import Split
from omnie.data.writing.vocabulary import COMPANY_FORMS, entries, invented, owner, pick, pick_owned

ARTICLES = {"m": ("der", "dem", "den"), "f": ("die", "der", "die"), "n": ("das", "dem", "das")}
"""German definite articles: nominative, dative, accusative."""
TWO_FORMS = re.compile(r"^(\w+)/\w+$")
INVENTED_SHARE = 0.4
"""Share of names that exist nowhere: what is asked must be copied, it cannot be known."""


@dataclass(frozen=True)
class Value:
    """What fills a slot. `text` is the span that may be asked for; `gender` (m, f, n) serves articles and pronouns."""

    text: str
    gender: str = ""

    @property
    def alone(self) -> str:
        """The text outside a sentence: of a job with two forms ("Bäcker/Bäckerin") the first one."""
        return TWO_FORMS.sub(r"\1", self.text)

    def form(self, article: str) -> str:
        """The text with an article: `a` in English, `der`, `dem`, `den` in German; capitalised as the name is."""
        if not article:
            return self.text
        if article in ("a", "A"):
            return f"{article}{'n' if self.text[0] in 'aeiou' else ''} {self.text}"
        word = ARTICLES[self.gender][("der", "dem", "den").index(article.casefold())]
        return f"{word.capitalize() if article[0].isupper() else word} {self.text}"


Draw = Callable[[np.random.Generator, str, Split], Value]


def name(rng: np.random.Generator, kind: str, split: Split) -> str:
    """A name from a list (female, male, last, cities), or an invented one."""
    return invented(rng, split) if rng.random() < INVENTED_SHARE else pick_owned(rng, entries(kind), split)


def person(rng: np.random.Generator, language: str, split: Split) -> Value:
    female = rng.random() < 0.5
    first, last = name(rng, "female" if female else "male", split), name(rng, "last", split)
    if rng.random() < 0.35:
        return Value(first, "f" if female else "m")
    if rng.random() < 0.25:
        title = ("Frau" if female else "Herr") if language == "de" else ("Ms" if female else "Mr")
        return Value(f"{title} {last}" if title != "Herr" else f"Dr. {last}", "f" if female else "m")
    return Value(f"{first} {last}", "f" if female else "m")


def company(rng: np.random.Generator, language: str, split: Split) -> Value:
    stem = pick_owned(rng, entries("last"), split) if rng.random() < 0.3 else invented(rng, split, "company")
    return Value(f"{stem} {pick(rng, COMPANY_FORMS[language])}".strip())


def city(rng: np.random.Generator, language: str, split: Split) -> Value:
    if rng.random() < INVENTED_SHARE:
        return Value(invented(rng, split, "city"))
    return Value(pick_owned(rng, entries("cities"), split))


def job(rng: np.random.Generator, language: str, split: Split) -> Value:
    """German jobs carry both forms, as "Bäcker/Bäckerin"; the sentence picks one by its subject."""
    entry = pick(rng, entries("jobs", language))
    if language == "en":
        return Value(entry)
    male, _, female = entry.partition("/")
    female = female or (male[:-1] if male.endswith("e") else male) + "in"
    return Value(f"{male}/{female}")


def listed(name: str, kind: str = "") -> Draw:
    """A draw from a list per language, whose German nouns carry their gender ("Lampe/f"); a quarter invented, if of a kind."""

    def draw(rng: np.random.Generator, language: str, split: Split) -> Value:
        if kind and rng.random() < 0.25:
            return Value(invented(rng, split, kind), pick(rng, "mfn"))
        text, _, gender = pick(rng, entries(name, language)).partition("/")
        return Value(text, gender)

    return draw


def date(rng: np.random.Generator, language: str, split: Split) -> Value:
    day, month, year = int(rng.integers(1, 29)), int(rng.integers(12)), int(rng.integers(2018, 2030))
    name = entries("months", language)[month]
    if language == "de":
        forms = (f"{day}. {name}", f"{day}. {name} {year}", f"{day}.{month + 1}.{year}", f"{day:02}.{month + 1:02}.")
    else:
        forms = (f"{day} {name}", f"{day} {name} {year}", f"{name} {day}", f"{year}-{month + 1:02}-{day:02}")
    return Value(pick(rng, forms))


def day(rng: np.random.Generator, language: str, split: Split) -> Value:
    return Value(pick(rng, entries("weekdays", language)))


def time(rng: np.random.Generator, language: str, split: Split) -> Value:
    hour, minute = int(rng.integers(6, 23)), int(rng.integers(12)) * 5
    if language == "de":
        return Value(f"{hour}:{minute:02} Uhr" if minute or rng.random() < 0.5 else f"{hour} Uhr")
    if rng.random() < 0.5:
        return Value(f"{hour}:{minute:02}")
    return Value(f"{(hour - 1) % 12 + 1}{f':{minute:02}' if minute else ''} {'pm' if hour >= 12 else 'am'}")


def year(rng: np.random.Generator, language: str, split: Split) -> Value:
    return Value(str(int(rng.integers(1890, 2025))))


def grouped(number: int, language: str) -> str:
    """An integer with the language's thousands mark: 12,400 in English, 12.400 in German."""
    return f"{number:,}" if language == "en" else f"{number:,}".replace(",", ".")


def price(rng: np.random.Generator, language: str, split: Split) -> Value:
    whole, cents = int(np.exp(rng.uniform(1, 6.5))), pick(rng, (0, 0, 50, 90, 95, 99, 20))
    if language == "de":
        return Value(f"{whole},{cents:02} {pick(rng, ('Euro', '€'))}" if cents else f"{whole} {pick(rng, ('Euro', '€'))}")
    number = f"{whole}.{cents:02}" if cents else str(whole)
    return Value(pick(rng, (f"{number} euros", f"€{number}", f"${number}", f"£{number}", f"{number} dollars")))


def money(rng: np.random.Generator, language: str, split: Split) -> Value:
    """A business figure: thousands or millions."""
    amount = int(np.exp(rng.uniform(0.7, 6.5)))
    if rng.random() < 0.6:
        unit = {"de": "Millionen Euro", "en": pick(rng, ("million euros", "million dollars"))}[language]
        return Value(f"{amount + 1} {unit}")
    number = grouped(amount * pick(rng, (100, 500, 1000)), language)
    return Value(f"{number} Euro" if language == "de" else pick(rng, (f"{number} euros", f"${number}", f"€{number}")))


def integer(low: int, high: int, unit: dict[str, str] | None = None) -> Draw:
    """A draw of whole numbers, spread evenly over the orders of magnitude, with a unit where one is given."""

    def draw(rng: np.random.Generator, language: str, split: Split) -> Value:
        number = round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))
        text = grouped(number, language) if number > 9999 else str(number)
        return Value(f"{text} {unit[language]}" if unit else text)

    return draw


def degrees(rng: np.random.Generator, language: str, split: Split) -> Value:
    number = int(rng.integers(-12, 39))
    return Value(f"{number}{pick(rng, ('°C', ' Grad' if language == 'de' else ' degrees'))}")


def phone(rng: np.random.Generator, language: str, split: Split) -> Value:
    digits = "".join(str(d) for d in rng.integers(0, 10, 7))
    return Value(f"0{digits[:3]} {digits[3:]}" if rng.random() < 0.5 else f"{digits[:3]}-{digits[3:]}")


def room(rng: np.random.Generator, language: str, split: Split) -> Value:
    letter = pick(rng, "ABCDEFGH") if rng.random() < 0.5 else ""
    return Value(f"{letter}{int(rng.integers(1, 480))}")


def code(rng: np.random.Generator, language: str, split: Split) -> Value:
    """An order or invoice number; the digits belong to the split."""
    while True:
        letters = "".join(pick(rng, "ABCDEFGHKLMNPRSTVWXZ") for _ in range(int(rng.integers(1, 4))))
        number = str(int(rng.integers(100, 99999)))
        text = pick(rng, (f"{letters}-{number}", f"{letters}{number}", number, f"{number}-{letters}"))
        if owner(text) == split:
            return Value(text)


KINDS: dict[str, Draw] = {
    "person": person,
    "company": company,
    "city": city,
    "job": job,
    "hobby": listed("hobbies"),
    "product": listed("products", "product"),
    "topic": listed("topics"),
    "event": listed("events"),
    "goods": listed("goods"),
    "venue": listed("venues"),
    "colour": listed("colours"),
    "sky": listed("skies"),
    "date": date,
    "day": day,
    "time": time,
    "year": year,
    "price": price,
    "money": money,
    "count": integer(12, 20000),
    "stock": integer(2, 400),
    "age": integer(18, 90),
    "platform": integer(1, 24),
    "kg": integer(2, 900, {"en": "kg", "de": "kg"}),
    "hours": integer(2, 12, {"en": "hours", "de": "Stunden"}),
    "wind": integer(5, 120, {"en": "km/h", "de": "km/h"}),
    "days": integer(2, 60, {"en": "days", "de": "Tage"}),
    "degrees": degrees,
    "phone": phone,
    "room": room,
    "code": code,
}
"""Slot kind -> draw. Every kind that a grammar file names is here."""
