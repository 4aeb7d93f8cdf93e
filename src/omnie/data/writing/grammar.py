"""Templates with slots: passages (`passages/<language>.txt`) and the wordings of single tasks (`wordings.txt`).

Parsing and filling only; the words of the world are elsewhere. A passages file is read line by line (`#` begins a comment):

    domain people person            a subject kind and its facts
    fact job job                    a fact: its name, then the kinds of its values
    s {person} [works|is employed] as {a job}.       a sentence; [a|b] picks one
    q job What is {person}'s job?   a question for the slot `job`
    filler It was a busy day.       a sentence without facts, for any passage

A mark (`s!`, `filler?`, `q job!`) says who owns the line: none train, `?` validation, `!` held-out.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import product

import numpy as np

from omnie.data.example import Split
from omnie.data.writing.values import KINDS, Value
from omnie.data.writing.vocabulary import owner, pick

MARKS: dict[str, Split] = {"": "train", "?": "validation", "!": "heldout"}
CHOICE = re.compile(r"\[([^\[\]]*)\]")
FIELD = re.compile(r"\{(\w*)=(\w+)\}")
SLOT = re.compile(r"\{(?:(\w+) )?(\w+)\}")


def decided(rng: np.random.Generator, wording: str) -> str:
    """A wording with one of the words chosen in every `[a|b]`."""
    return CHOICE.sub(lambda match: pick(rng, match.group(1).split("|")), wording)


def every(wording: str) -> list[str]:
    """All that `decided` may make of a wording."""
    parts = CHOICE.split(wording)
    return ["".join(said) for said in product(*(part.split("|") if at % 2 else (part,) for at, part in enumerate(parts)))]


@dataclass(frozen=True)
class Template:
    """A line with slots. `name` ("en/41") is its family name."""

    name: str
    text: str

    def wording(self, rng: np.random.Generator) -> str:
        """The text with every `[a|b]` decided."""
        return decided(rng, self.text)

    def wordings(self) -> int:
        """How many wordings the line has."""
        return int(np.prod([choice.count("|") + 1 for choice in CHOICE.findall(self.text)], dtype=int))


@dataclass
class Fact:
    """A relation between the subject of its domain and one or more values."""

    name: str
    slots: tuple[str, ...]
    sentences: dict[Split, list[Template]] = field(default_factory=lambda: defaultdict(list))
    questions: dict[tuple[Split, str], list[Template]] = field(default_factory=lambda: defaultdict(list))

    def asked(self, split: Split) -> list[str]:
        """The slots for which `split` has questions."""
        return [slot for (owner, slot) in self.questions if owner == split]


@dataclass
class Domain:
    """What passages are about: a kind of subject and the facts that can be told of it."""

    name: str
    subject: str
    facts: dict[str, Fact] = field(default_factory=dict)


@dataclass
class Grammar:
    """All templates of a language."""

    language: str
    domains: dict[str, Domain] = field(default_factory=dict)
    fillers: dict[Split, list[Template]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class Sentence:
    """A filled wording. `spans`: slot -> from where to where its value stands in `text`, without an article."""

    text: str
    spans: dict[str, tuple[int, int]]

    def quote(self, start: str, end: str) -> str:
        """What stands from the value of one slot to the end of that of another, as it stands there."""
        return self.text[self.spans[start][0] : self.spans[end][1]]


def sentence(wording: str, values: Mapping[str, Value]) -> Sentence:
    """A tidy sentence of a wording; a slot that comes twice is where it comes first."""
    pieces, spans, length, at, wording = [], {}, 0, 0, tidy(wording)
    for match in SLOT.finditer(wording):
        value = values[match.group(2)]
        pieces += [wording[at : match.start()], value.form(match.group(1) or "")]
        length, at = length + len(pieces[-2]) + len(pieces[-1]), match.end()
        spans.setdefault(match.group(2), (length - len(value.text), length))
    return Sentence(tidy("".join([*pieces, wording[at:]])), spans)


def fill(wording: str, values: Mapping[str, Value]) -> str:
    """`wording` with its slots filled; `{a job}`, `{Der product}` take an article."""
    return SLOT.sub(lambda match: values[match.group(2)].form(match.group(1) or ""), wording)


def split_mark(word: str) -> tuple[str, str]:
    """A word and its mark: "job!" gives ("job", "!")."""
    bare = word.rstrip("?!")
    return bare, word[len(bare) :]


@cache
def grammar(language: str) -> Grammar:
    """The grammar of "en" or "de"."""
    return parse(read(f"writing/passages/{language}.txt"), language)


def parse(source: str, language: str) -> Grammar:
    """Read a grammar file's text; a malformed line raises `ValueError` with its number."""
    result = Grammar(language)
    domain: Domain | None = None
    fact: Fact | None = None
    for number, line in enumerate(source.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        head, _, rest = line.partition(" ")
        word, mark = split_mark(head)
        template = Template(f"{language}/{number}", rest)
        try:
            if word == "domain":
                domain = result.domains.setdefault(rest.split()[0], Domain(*rest.split()))
            elif word == "fact":
                name, *slots = rest.split()
                fact = domain.facts.setdefault(name, Fact(name, tuple(slots)))
            elif word == "s":
                fact.sentences[MARKS[mark]].append(template)
            elif word == "q":
                marked, _, text = rest.partition(" ")
                slot, mark = split_mark(marked)
                fact.questions[MARKS[mark], slot].append(Template(template.name, text))
            elif word == "filler":
                result.fillers[MARKS[mark]].append(template)
            else:
                raise ValueError(f"unknown word {word!r}")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"grammar {language}, line {number}: {line!r}: {error}") from error
    return result


BLANKS = re.compile(r"  +")
LOOSE = re.compile(r" +([.,?!:])")
DOUBLED = re.compile(r"(?<!\.)\.\.(?!\.)")


def tidy(sentence: str) -> str:
    """One blank between words, none before punctuation, one full stop behind a date that has one, a capital at the start."""
    sentence = DOUBLED.sub(".", LOOSE.sub(r"\1", BLANKS.sub(" ", sentence))).strip()
    return sentence[:1].upper() + sentence[1:]


def read(file: str) -> str:
    """A text file of `omnie/data`."""
    return files("omnie.data").joinpath(file).read_text("utf-8")


@cache
def wordings(task: str, language: str, split: Split, file: str = "writing/wordings.txt") -> tuple[Template, ...]:
    """The wordings of a task; none is a `KeyError`."""
    return _wordings(file)[task, language, split]


@cache
def _wordings(file: str) -> dict[tuple[str, str, Split], tuple[Template, ...]]:
    found: dict[tuple[str, str, Split], list[Template]] = defaultdict(list)
    task = ""
    for number, line in enumerate(read(file).splitlines(), 1):
        head, _, rest = line.strip().partition(" ")
        if head == "task":
            task = rest
        elif head and head != "#":
            language, mark = split_mark(head)
            found[task, language, MARKS[mark]].append(Template(f"{task}/{number}", rest.replace("\\n", "\n")))
    return {key: tuple(templates) for key, templates in found.items()}


@cache
def labels(language: str, split: Split) -> dict[str, str]:
    """Labels of forms (`labels.txt`) -> kind of their values, for those that the split owns."""
    found: dict[str, str] = {}
    for line in read("writing/labels.txt").splitlines():
        if not line.startswith("#"):
            spoken, kind, names = line.split(" ", 2)
            found |= {name: kind for name in names.split("|") if spoken == language and owner(name) == split}
    return found


@cache
def forms(file: str, word: str) -> dict[tuple[str, Split], tuple[Template, ...]]:
    """(language, split) -> documents with fields; each is a block that begins with `word`, a language and a mark."""
    found: dict[tuple[str, Split], list[Template]] = defaultdict(list)
    for number, block in enumerate(read(file).split(f"\n{word} ")[1:]):
        head, _, body = block.partition("\n")
        language, mark = split_mark(head.strip())
        found[language, MARKS[mark]].append(Template(f"{word}/{number}", body.strip()))
    return {key: tuple(templates) for key, templates in found.items()}


def complete(rng: np.random.Generator, body: str, language: str, split: Split) -> tuple[str, dict[str, str]]:
    """A form with its fields filled in (`{name=kind}`; `{=kind}` may not be asked for), and field name -> value."""
    fields: dict[str, str] = {}

    def draw(match: re.Match[str]) -> str:
        value = KINDS[match.group(2)](rng, language, split).alone
        if match.group(1):
            fields[match.group(1)] = value
        return value

    return "\n".join(tidy(line) for line in FIELD.sub(draw, body).split("\n")), fields


def broken(rng: np.random.Generator, passage: str) -> str:
    """A passage with what stands between it and a question that follows: mostly a new line, as at the end of a file."""
    return passage + pick(rng, ("\n", "\n", "\n", "\n\n", " "))
