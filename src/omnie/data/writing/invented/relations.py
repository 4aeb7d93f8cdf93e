"""Relations that nobody wrote down: made-up domains for training's passages, told and asked in the same words.

Who learns only written wordings ("sits in" is about a city) learns them by heart and is lost among others. Here a relation is a
noun ("The wallet number of Tobau is 17") or a few words in any order around its thing and its value ("Tobau drives under 17"),
so the one way to an answer is to find the question's words again. What nouns stand in is in `relations.txt`.
"""

from collections.abc import Sequence
from functools import cache, partial

import numpy as np

from omnie.data.writing.grammar import Domain, Fact, Template, labels, wordings
from omnie.data.writing.invented.words import words
from omnie.data.writing.values import ARTICLES
from omnie.data.writing.vocabulary import pick

FRAMES = "writing/invented/relations.txt"
SUBJECTS = ("person", "company", "city", "product", "event", "topic", "goods", "code", "venue")
"""Kinds that relations are told of."""
VALUES = (
    *("person", "company", "city", "hobby", "product", "topic", "event", "goods", "venue", "colour", "date", "day", "time"),
    *("year", "price", "money", "count", "stock", "age", "platform", "kg", "hours", "days", "degrees", "phone", "room", "code"),
)
ALIKE = 0.4
"""How often two relations of a domain have values of one kind, so that only words tell them apart."""
NOUN = 0.4
"""Share of relations that are a noun."""
DROPPED, BENT = 0.25, 0.2
"""Shares of a relation's words that a question leaves out, and that it bends ("driving" for "drives")."""
HELPERS = {"en": ("", "", "does", "is", "did", "has"), "de": ("", "", "", "ist", "hat")}
ENDINGS = {"en": ("", "s", "ed", "ing", "e"), "de": ("", "t", "en", "e", "er", "st")}


def made_up(rng: np.random.Generator, language: str) -> Domain:
    """A domain of three or four relations that exist in this passage only."""
    subject = pick(rng, SUBJECTS)
    # In German a clock is an "Uhr", which every time has in it ("7 Uhr"): no passage has both.
    left_out = "time" if subject == "product" else pick(rng, ("time", "product"))
    kinds = [kind for kind in VALUES if kind not in (subject, left_out)]
    chosen = [kinds[int(place)] for place in rng.permutation(len(kinds))[: int(rng.integers(3, 5))]]
    if chosen[0] != "day" and rng.random() < ALIKE:  # a week has too few days for two relations
        chosen[1] = chosen[0]
    domain = Domain("made-up", subject)
    for place, kind in enumerate(chosen):
        make = _noun if rng.random() < NOUN else _words
        domain.facts[f"{place}"] = make(rng, language, subject, kind)
    return domain


def _noun(rng: np.random.Generator, language: str, subject: str, kind: str) -> Fact:
    """A relation that has a name: mostly one that fits its kind."""
    names = [name for name, of in labels(language, "train").items() if of == kind]
    name = pick(rng, names) if names and rng.random() < 0.6 else " ".join(words(rng, language, 1, 2))
    if language == "de":
        name = name[:1].upper() + name[1:]

    def written(task: str, count: int) -> list[Template]:
        frames = [pick(rng, wordings(task, language, "train", FRAMES)).text for _ in range(count)]
        return [_template(rng, language, frame, name, subject, kind) for frame in frames]

    return _fact(subject, kind, written("told", 2), written("asked", 3), written("whose", 2))


def _words(rng: np.random.Generator, language: str, subject: str, kind: str) -> Fact:
    """A relation that is a few words around a thing and a value, in either order."""
    before, between, behind = words(rng, language, 0, 2), words(rng, language, 1, 3), words(rng, language, 0, 2)
    ends = ["{thing}", "{value}"] if rng.random() < 0.6 else ["{value}", "{thing}"]
    told = [*before, ends[0], *between, ends[1], *behind]
    make = partial(_template, rng, language, name="", subject=subject, kind=kind)
    asked = [make(_question(rng, language, told, "{value}", kind)) for _ in range(3)]
    whose = [make(_question(rng, language, told, "{thing}", subject)) for _ in range(2)]
    return _fact(subject, kind, [make(" ".join(told) + ".")], asked, whose)


def _fact(subject: str, kind: str, told: list[Template], asked: list[Template], whose: list[Template]) -> Fact:
    fact = Fact(kind, (kind,))
    fact.sentences["train"] = told
    fact.questions["train", kind], fact.questions["train", subject] = asked, whose
    return fact


def _question(rng: np.random.Generator, language: str, told: Sequence[str], sought: str, kind: str) -> str:
    """What is told, with a question word for what is sought: in its place or in front, some words left out or bent."""
    other = "{thing}" if sought == "{value}" else "{value}"
    asking = pick(rng, _asking(language, kind)).wording(rng)
    said = [word for word in told if word in (sought, other) or rng.random() >= DROPPED]
    said = said if len(said) > 2 else list(told)
    said = [word if word in (sought, other) or rng.random() >= BENT else _bent(rng, language, word) for word in said]
    if rng.random() < 0.4:
        return " ".join(asking if word == sought else word for word in said) + "?"
    rest = [word for word in said if word != sought]
    if rng.random() < 0.4:  # the thing first or last, the words as they stand
        rest.remove(other)
        rest.insert(pick(rng, (0, len(rest))), other)
    return " ".join(filter(None, (asking, pick(rng, HELPERS[language]), *rest))) + "?"


@cache
def _asking(language: str, kind: str) -> tuple[Template, ...]:
    """What asks for anything, and twice what asks for a kind."""
    try:
        own = wordings(f"ask {kind}", language, "train", FRAMES)
    except KeyError:
        own = ()
    return wordings("ask", language, "train", FRAMES) + 2 * own


def _bent(rng: np.random.Generator, language: str, word: str) -> str:
    """A word with another ending."""
    return word[: max(3, len(word) - int(rng.integers(3)))] + pick(rng, ENDINGS[language])


def _template(rng: np.random.Generator, language: str, frame: str, name: str, subject: str, kind: str) -> Template:
    """A frame whose places are the slots of a fact; things of German may take an article."""
    slots = {"thing": _slot(rng, language, subject), "value": _slot(rng, language, kind)}
    return Template(f"{language}/made-up", frame.format(name=name, **slots))


def _slot(rng: np.random.Generator, language: str, kind: str) -> str:
    gendered = language == "de" and kind in ("product", "event") and rng.random() < 0.4
    return f"{{{pick(rng, ARTICLES['m'])} {kind}}}" if gendered else f"{{{kind}}}"
