"""Requests that a tool answers: `tools.call` (which one, with which arguments) and `tools.none` (none of those on offer fits).

Every written tool (`tools.txt`), with all its wordings, belongs to one split; half of training's tools are made up
(`composed.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.tools.asked import Asked, declared, valued
from omnie.data.tools.composed import MADE_UP, act_on, unlike
from omnie.data.tools.wording import reworded, told_apart
from omnie.data.turns import Turn, followed
from omnie.data.writing.grammar import MARKS, SLOT, Template, decided, read, split_mark, tidy
from omnie.data.writing.values import KINDS
from omnie.data.writing.vocabulary import LANGUAGES, pick
from omnie.messages import text

NONE = {"en": "None of the tools can do that.", "de": "Das kann keines der Werkzeuge."}
"""What is said where no tool fits."""
COMPOSED = 0.5
"""Share of training's conversations with made-up tools."""
MOST = 5
"""Tools on offer."""
ALONE = 0.1
"""Share of the requests with a single tool on offer."""
ASTRAY = 0.15
"""How often a further request is for a tool that is not on offer."""
REWORDED = 0.5
"""Share of training's first requests in other words, of those that can be told apart by what they give."""
FURTHER = 2
"""Requests that follow the first one in training."""


@dataclass
class Written:
    """A tool of `tools.txt`. `names`: what it may be called, and it and parameters are known by the first of theirs; `kinds`:
    parameter -> kind of its values; `optional`: those that may be left out; `spelled`: parameter -> what it may be called."""

    names: tuple[str, ...]
    owner: Split
    descriptions: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    optional: set[str] = field(default_factory=set)
    spelled: dict[str, tuple[str, ...]] = field(default_factory=dict)
    requests: dict[str, list[Template]] = field(default_factory=lambda: {language: [] for language in LANGUAGES})

    def asked(self, rng: np.random.Generator, language: str) -> Asked:
        """The tool and a request for it."""
        template = pick(rng, self.requests[language])
        wording = template.wording(rng)
        slots = dict.fromkeys(slot for _, slot in SLOT.findall(wording))
        values = {slot: KINDS[self.kinds[slot]](rng, language, self.owner).alone for slot in slots}
        request = tidy(SLOT.sub(lambda match: values[match.group(2)], wording))
        called = {name: pick(rng, self.spelled[name]) for name in self.kinds}
        arguments = {called[name]: valued(kind, values[name]) for name, kind in self.kinds.items() if name in values}
        kinds = {called[name]: kind for name, kind in self.kinds.items()}
        description = decided(rng, self.descriptions[language])
        tool = declared(pick(rng, self.names), description, kinds, {called[name] for name in self.optional})
        return Asked(tool, request, arguments, template.name, self.names[0], kinds)


@cache
def written(split: Split) -> tuple[Written, ...]:
    """The tools of a split; a malformed line of the file is a `ValueError` with its number."""
    found: list[Written] = []
    for number, line in enumerate(read("tools/tools.txt").splitlines(), 1):
        head, _, rest = line.strip().partition(" ")
        if head == "tool":
            names, mark = split_mark(rest)
            found.append(Written(tuple(names.split("|")), MARKS[mark]))
        elif head in LANGUAGES:
            found[-1].descriptions[head] = rest
        elif head == "-":
            parameter, kind = rest.split()
            names, mark = split_mark(parameter)
            name, *others = names.split("|")
            found[-1].kinds[name], found[-1].spelled[name] = kind, (name, *others)
            found[-1].optional |= {name} if mark else set()
        elif head == "q":
            language, _, wording = rest.partition(" ")
            found[-1].requests[language].append(Template(f"tools/{number}", wording))
        elif head and head != "#":
            raise ValueError(f"tools.txt, line {number}: {line!r}")
    return tuple(tool for tool in found if tool.owner == split)


def draw(rng: np.random.Generator, language: str, split: Split, count: int) -> list[Asked]:
    """Different tools, each with a request."""
    if split == "train" and rng.random() < COMPOSED:
        return [act_on(rng, language, act, thing) for act, thing in unlike(rng, language, count)]
    tools = written(split)
    return [tools[int(place)].asked(rng, language) for place in rng.permutation(len(tools))[:count]]


def called(rng: np.random.Generator, split: Split) -> Example:
    """One to five tools and a request; the answer is the call. In training further requests follow."""
    language = pick(rng, LANGUAGES)
    asked = draw(rng, language, split, 1 if rng.random() < ALONE else int(rng.integers(2, MOST + 1)))
    turn = Turn(_said(rng, asked[0], asked[1:], language, split), asked[0].call, asked[0].template, "call")
    return _conversation(rng, "tools.call", turn, asked, asked, language, split)


def _said(rng: np.random.Generator, one: Asked, others: Sequence[Asked], language: str, split: Split) -> str:
    """A tool's request; in training now and then in other words, where what it gives is for none of the others."""
    rivals = [(other.kinds.values(), other.needed) for other in others]
    if split != "train" or rng.random() >= REWORDED or not told_apart(one.given, one.kinds.values(), rivals):
        return one.request
    return reworded(rng, one.request, map(str, one.arguments.values()), language)


def refused(rng: np.random.Generator, split: Split) -> Example:
    """One to four tools and a request that none of them answers."""
    language = pick(rng, LANGUAGES)
    missing, *asked = draw(rng, language, split, int(rng.integers(2, MOST + 1)))
    turn = Turn(_said(rng, missing, asked, language, split), NONE[language], missing.template)
    return _conversation(rng, "tools.none", turn, asked, [missing, *asked], language, split)


def _conversation(
    rng: np.random.Generator, skill: str, turn: Turn, asked: Sequence[Asked], used: Sequence[Asked], language: str, split: Split
) -> Example:
    families = {"template": turn.template, "language": language}
    if turn.template != MADE_UP:
        families["tool"] = "+".join(sorted(one.about for one in used))
    tools = tuple(one.tool for one in _mixed(rng, asked))
    example = Example(skill, (text(turn.question),), turn.answer, turn.scoring, families=families, tools=tools)
    return followed(example, split, _further(rng, asked, language, split), most=FURTHER)


def _further(rng: np.random.Generator, asked: Sequence[Asked], language: str, split: Split) -> Iterator[Turn]:
    """Requests for the tools on offer, now and then for one that is not."""
    for one in _mixed(rng, asked):
        stray = draw(rng, language, split, 1)[0]
        if rng.random() < ASTRAY and stray.about not in {known.about for known in asked}:
            yield Turn(stray.request, NONE[language], stray.template)
        yield Turn(one.request, one.call, one.template)


def _mixed(rng: np.random.Generator, asked: Sequence[Asked]) -> list[Asked]:
    return [asked[int(place)] for place in rng.permutation(len(asked))]


GENERATORS: dict[str, Generator] = {"tools.call": called, "tools.none": refused}
