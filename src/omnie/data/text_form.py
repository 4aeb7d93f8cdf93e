"""Forms: lines of a label and a value, and a question that names the label. `text.form` writes them, `pages.form` draws them.

What is asked stands there in other letters ("What is the serial number?" of `SERIAL NUMBER ... 17-B`), so what is learned is to
find words again, not which words mean a date. Labels (`writing/labels.txt`), wordings and styles belong to one split each.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.text_find import draw_style, entry
from omnie.data.turns import Turn, followed
from omnie.data.writing.grammar import Template, broken, labels, tidy, wordings
from omnie.data.writing.values import KINDS
from omnie.data.writing.vocabulary import LANGUAGES, pick
from omnie.messages import text

CASES: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    *(lambda label: label[:1].upper() + label[1:],) * 4,
    lambda label: " ".join(word[:1].upper() + word[1:] for word in label.split()),
)
"""How a form writes its labels."""


@dataclass(frozen=True)
class Field:
    """A line of a form. `name` is the label as a question says it, `label` as the form does."""

    name: str
    label: str
    value: str


def draw_fields(rng: np.random.Generator, language: str, split: Split, most: int) -> list[Field]:
    """Three to `most` lines with different labels and different values, the labels written alike."""
    names, spelled = labels(language, split), pick(rng, CASES)
    chosen = [list(names)[place] for place in rng.permutation(len(names))[: int(rng.integers(3, most + 1))]]
    values = (KINDS[names[name]](rng, language, split).alone for name in chosen)
    fields = {value: Field(name, spelled(name), value) for name, value in zip(chosen, values, strict=True)}
    return list(fields.values())


def question(rng: np.random.Generator, name: str, language: str, split: Split) -> tuple[str, Template]:
    """A question that names a label."""
    template = pick(rng, wordings("form", language, split))
    return tidy(template.wording(rng).format(name)), template


def further(
    rng: np.random.Generator, language: str, split: Split, fields: list[Field], quote: Callable[[Field], str]
) -> Iterator[Turn]:
    """Questions for up to four more of the lines, answered by what the form says."""
    for place in rng.permutation(len(fields))[:4]:
        asked, template = question(rng, fields[place].name, language, split)
        yield Turn(asked, quote(fields[place]), template.name)


def form(rng: np.random.Generator, split: Split) -> Example:
    """A form in text; the answer quotes the line that is asked for."""
    language = pick(rng, LANGUAGES)
    fields = draw_fields(rng, language, split, 9)
    style, joint = draw_style(rng, split)
    asked, template = question(rng, fields[0].name, language, split)
    shown = [fields[place] for place in rng.permutation(len(fields))]
    body = joint.join(style.format(k=field.label, v=field.value) for field in shown)

    def quote(field: Field) -> str:
        return entry(style, field.label, field.value)

    families = {"layout": repr((style, joint)), "template": template.name, "language": language}
    parts = (text(broken(rng, body)), text(asked))
    example = Example("text.form", parts, fields[0].value, "quoted", families=families, quote=quote(fields[0]))
    return followed(example, split, further(rng, language, split, fields[1:], quote))


GENERATORS: dict[str, Generator] = {"text.form": form}
