"""Needles in a haystack: values that single sentences of a long text tell.

The text is passages of `text_qa` one after the other, to any length. Each needle tells the value of a key that stands nowhere
else; the answer quotes it from the key to the value. In `text.needle` there are few of them, in `text.needles` many of the same
wording, so that only the key tells which one is asked for. `haystack` also makes the texts of a benchmark of long contexts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.text_find import VALUES, content
from omnie.data.text_qa import PRONOUNS, compose, write
from omnie.data.turns import Turn, followed
from omnie.data.writing.grammar import Sentence, broken, fill, sentence, tidy, wordings
from omnie.data.writing.values import Value, listed
from omnie.data.writing.vocabulary import LANGUAGES, pick
from omnie.messages import text


@dataclass(frozen=True)
class Kind:
    """Of a skill's examples: the shortest and the longest text in characters (log-uniform), the fewest and the most needles,
    and how many further ones training asks for."""

    characters: tuple[int, int]
    needles: tuple[int, int]
    more: tuple[int, int]


FEW = Kind((400, 6000), (2, 8), (3, 6))
MANY = Kind((1500, 15_000), (8, 60), (6, 12))
KEYS = ("name", "invented", "product", "code", "city")
NEEDLE = 45
"""About how many characters a needle has."""
MARK = listed("marks")
"""What a value is called: a code, a password."""


@dataclass(frozen=True)
class Needle:
    """A question and its answer.

    Attributes:
        quote: The words of the text from the key to the answer.
        depth: Where the needle begins in the text, from 0 to 1.
        template: The question's wording.
    """

    question: str
    answer: str
    quote: str
    depth: float
    template: str


@dataclass(frozen=True)
class Haystack:
    """A long text, what can be asked of it, in random order, and which wordings it is written in."""

    text: str
    needles: tuple[Needle, ...]
    templates: frozenset[str]


def haystack(rng: np.random.Generator, split: Split, language: str, characters: int, needles: int) -> Haystack:
    """A text of about so many characters with so many needles, all in one wording, at random places between its sentences."""
    paragraphs, templates = prose(rng, split, language, characters - needles * NEEDLE)
    mark, template = MARK(rng, language, split), pick(rng, wordings("needle", language, split))
    pairs = facts(rng, split, language, needles, "\n".join([*map(" ".join, paragraphs), template.text]).casefold())
    told = [sentence(template.wording(rng), {"mark": mark, "key": key, "value": value}) for key, value in pairs]
    body, found = scatter(rng, paragraphs, told), []
    for place in rng.permutation(needles):
        (key, value), said, asked = pairs[place], told[place], pick(rng, wordings("needle.ask", language, split))
        question, depth = tidy(fill(asked.wording(rng), {"mark": mark, "key": key})), body.index(said.text) / len(body)
        found.append(Needle(question, value.text, said.quote("key", "value"), depth, asked.name))
    return Haystack(body, tuple(found), frozenset(templates | {template.name}))


def prose(rng: np.random.Generator, split: Split, language: str, characters: int) -> tuple[list[list[str]], set[str]]:
    """Paragraphs of sentences, at least so many characters in all, and the wordings they are written in."""
    paragraphs: list[list[str]] = [[]]
    templates: set[str] = set()
    while characters > 0:
        passage = compose(rng, language, split)
        for said in write(rng, passage):
            if characters > 0:
                paragraphs[-1].append(said)
                characters -= len(said) + 1
        templates |= passage.templates
        if rng.random() < 0.6:
            paragraphs.append([])
    return paragraphs, templates


def facts(rng: np.random.Generator, split: Split, language: str, count: int, prose: str) -> list[tuple[Value, Value]]:
    """So many keys with values. No key stands in the prose (in lower case), in another key or in a value."""
    kind, values = pick(rng, KEYS), pick(rng, VALUES)
    pairs: dict[str, str] = {}
    used = [prose]
    while len(pairs) < count:
        key, value = content(rng, language, split, kind), content(rng, language, split, values)
        names = [name.casefold() for name in pairs]
        new = [key.casefold(), value.casefold()]
        clash = new[0] in new[1] or any(new[0] in text for text in used) or any(name in text for name in names for text in new)
        if clash or value.endswith("."):
            kind, values = pick(rng, (kind, "invented")), pick(rng, VALUES)  # a list of names may be used up
            continue
        pairs[key] = value
        used += new
    return [(Value(key), Value(value)) for key, value in pairs.items()]


def scatter(rng: np.random.Generator, paragraphs: list[list[str]], told: list[Sentence]) -> str:
    """The text with needles at random places between its sentences, but none between a name and its pronoun."""
    pronouns = tuple(f"{word} " for word in PRONOUNS.values())
    whole = [[*said, ""] for said in paragraphs]
    gaps = [(at, before) for at, said in enumerate(whole) for before, word in enumerate(said) if not word.startswith(pronouns)]
    chosen = [(*pick(rng, gaps), said.text) for said in told]
    for at, before, needle in sorted(chosen, reverse=True):
        whole[at].insert(before, needle)
    return "\n".join(" ".join(said[:-1]) for said in whole if said[0])


def turns(needles: tuple[Needle, ...]) -> Iterator[Turn]:
    """A turn for each needle."""
    for needle in needles:
        yield Turn(needle.question, needle.answer, needle.template, "quoted", needle.quote)


def needle(rng: np.random.Generator, split: Split, skill: str, kind: Kind) -> Example:
    """A long text with needles, and a question for one; training asks for more."""
    language = pick(rng, LANGUAGES)
    length = round(float(np.exp(rng.uniform(*np.log(kind.characters)))))
    hay = haystack(rng, split, language, length, int(rng.integers(*kind.needles, endpoint=True)))
    first, *others = turns(hay.needles)
    families = {"template": "+".join(sorted(hay.templates | {first.template})), "language": language}
    parts = (text(broken(rng, hay.text)), text(first.question))
    example = Example(skill, parts, first.answer, first.scoring, families=families, quote=first.quote)
    return followed(example, split, others, int(rng.integers(*kind.more, endpoint=True)))


GENERATORS: dict[str, Generator] = {
    skill: partial(needle, skill=skill, kind=kind) for skill, kind in (("text.needle", FEW), ("text.needles", MANY))
}
