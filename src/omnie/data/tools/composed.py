"""Training's made-up tools: an act on a thing with some parameters, and a request that says so (`composed.txt`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from omnie.data.text_extract import fragments
from omnie.data.tools.asked import Asked, declared, valued
from omnie.data.writing.grammar import labels, read
from omnie.data.writing.values import KINDS
from omnie.data.writing.vocabulary import pick

MADE_UP = "composed"
"""The family of wordings that all made-up requests are of."""
AKIN = ("create book order", "delete cancel", "find count check", "update move approve", "send print save", "start")
"""Acts, by the first of their names, of which some requests might mean the other."""
WRITTEN = ("{act}_{thing}",) * 4 + ("{thing}_{act}", "{act}-{thing}", "{thing}.{act}")
JOINTS = (" ", " ", ", ", " - ", "; ", "\n")
"""What stands between the parts of a request."""


@dataclass(frozen=True)
class Act:
    """What can be done in a language: names for it, what a description says, how people ask for it."""

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    requests: tuple[str, ...]

    @property
    def cluster(self) -> str:
        return next(akin for akin in AKIN if self.names[0] in akin.split())


@dataclass(frozen=True)
class Thing:
    """What something is done to: its name, and with which articles it stands behind a verb."""

    name: str
    a: str
    the: str


@cache
def acts(language: str) -> tuple[Act, ...]:
    """What can be done."""
    rows = (line.split(" ", 2)[2] for line in _lines("act") if line.split(" ", 2)[1] == language)
    return tuple(Act(*(tuple(part.split("|")) for part in row.split(" ; "))) for row in rows)


@cache
def things(language: str) -> tuple[Thing, ...]:
    """What it can be done to."""
    rows = (line.split(" ", 2)[1:] for line in _lines("thing"))
    spoken = {name: dict(zip(("en", "de"), forms.removeprefix("en ").split(" de "), strict=True)) for name, forms in rows}
    return tuple(Thing(name, *forms[language].split("|")) for name, forms in spoken.items())


def _lines(word: str) -> list[str]:
    return [line for line in read("tools/composed.txt").splitlines() if line.startswith(f"{word} ")]


def unlike(rng: np.random.Generator, language: str, count: int) -> Iterator[tuple[Act, Thing]]:
    """Different tools, so that a request for one means none of the others: mostly some share an act or a thing."""
    taken: set[tuple[str, str]] = set()
    act, thing = pick(rng, acts(language)), pick(rng, things(language))
    while len(taken) < count:
        if (act.cluster, thing.name) not in taken:
            taken.add((act.cluster, thing.name))
            yield act, thing
        draw = rng.random()
        act = act if draw < 0.25 else pick(rng, acts(language))
        thing = thing if 0.25 < draw < 0.5 else pick(rng, things(language))


def act_on(rng: np.random.Generator, language: str, act: Act, thing: Thing) -> Asked:
    """The tool for an act on a thing, with up to four parameters, and a request that gives those that are due."""
    known = fragments(language)
    kinds = [
        list(known)[int(place)] for place in rng.permutation(len(known))[: int(rng.choice(5, p=(0.05, 0.3, 0.35, 0.2, 0.1)))]
    ]
    names = {_key(rng, language, kind): kind for kind in kinds}
    optional = {name for name in names if rng.random() < 0.25}
    values = {
        name: KINDS[kind](rng, language, "train").alone
        for name, kind in names.items()
        if name not in optional or rng.random() < 0.5
    }
    said = [pick(rng, known[names[name]][1]).format(value) for name, value in values.items()]
    said = [said[int(place)] for place in rng.permutation(len(said))] if rng.random() < 0.3 else said
    order = pick(rng, act.requests).format(a=thing.a, the=thing.the, The=thing.the[:1].upper() + thing.the[1:])
    request = pick(rng, JOINTS).join([order.rstrip("?") if said else order, *said])
    request += pick(rng, ("", ".", ".", "!")) if said or not request.endswith("?") else ""
    name = pick(rng, WRITTEN).format(act=pick(rng, act.names), thing=thing.name)
    if rng.random() < 0.15:
        first, *rest = name.replace("-", "_").replace(".", "_").split("_")
        name = first + "".join(word.capitalize() for word in rest)
    tool = declared(name, pick(rng, act.descriptions).format(a=thing.a), names, optional)
    arguments = {name: valued(names[name], value) for name, value in values.items()}
    return Asked(tool, request, arguments, MADE_UP, thing.name, names)


def _key(rng: np.random.Generator, language: str, kind: str) -> str:
    """A parameter's name: mostly English, one of those that forms have."""
    spoken = "en" if rng.random() < 0.75 else language
    pool = [name for name, of in labels(spoken, "train").items() if of == kind] if rng.random() < 0.6 else []
    return pick(rng, pool or [fragments(spoken)[kind][0]]).lower().replace(" ", "_").replace("-", "_")
