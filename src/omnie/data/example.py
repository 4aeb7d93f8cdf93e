"""One labelled example, and the law of the splits. Generators live in the neighbouring files, one a skill family.

A generator is a function `(rng: numpy.random.Generator, split: Split) -> Example`, deterministic in `rng`. Everything that
could be learned by heart (font, voice, layout, renderer, template) is drawn from a pool that belongs to one split only and is
named in `Example.families`; the split test reads those names.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from omnie.messages import Part, Tool

Split = Literal["train", "validation", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "validation", "heldout")

Scoring = Literal["exact", "number", "seconds", "cer", "wer", "json", "contains", "quoted", "cell", "named", "call"]
"""How an answer is judged: equal after folding case and spaces; a number within 5 %; a time within half a second; character or
word error rate; equal JSON fields; the expected words appear in the answer; the answer ends a short quotation; it
is the last cell of a row that is read aloud; it is equal behind what says which one it is; the same tool is called with equal
arguments."""


class Written(NamedTuple):
    """What is to be read at a place of a picture or clip: its text, or the name of what is seen there.

    `box`: left, top, right, bottom in pixels; `pair`: in which pair of a clip's frames; `thing`: the number (`pictures.things`)
    of a thing that is drawn there, where nothing is to be read.
    """

    text: str
    box: tuple[float, float, float, float]
    pair: int = 0
    thing: int | None = None


class Mark(NamedTuple):
    """A place in a chart that says where a value lies.

    `role`: "tick" (a number beside the value axis), "name" (of a category), "legend" (a series' name) or the number of the
    series whose mark it is; `at`: the middle, as far to the right and down in pixels; of a text `half` its width.
    """

    role: str | int
    at: tuple[float, float]
    half: float = 0.0


@dataclass(frozen=True)
class Example:
    """A question with its media, and the answer to learn.

    Attributes:
        skill: Dotted name ("chart.value"); the part before the dot is the skill that `omnie eval skills` reports.
        parts: The user's turn in order, media first, the question last.
        answer: What the assistant says.
        scoring: How a prediction is judged against `answer`.
        transcript: What is written in the picture or said in the recording, for the auxiliary alignment loss (CTC; Graves
            2006) of single text lines and of speech; None elsewhere.
        written: What is to be read where in the only picture or clip (upright texts, the names of things, how a shape
            moves), for the same loss; training needs no more than it has.
        marks: Of the chart that is the only picture.
        quote: What training says in place of `answer`: the answer with the words that stand before it.
        more: Further (question, answer) turns about the same media, for training: looking costs more than answering, so a
            picture that answers four questions teaches nearly four times as much. Evaluation asks the first question only.
        tools: Functions that the assistant may call; `answer` is then a call as JSON, or a text.
        families: kind of family -> name, for every family that this example drew on ("font": "Lora", "template": "en/7").
    """

    skill: str
    parts: tuple[Part, ...]
    answer: str
    scoring: Scoring = "exact"
    transcript: str | None = None
    families: dict[str, str] = field(default_factory=dict)
    written: tuple[Written, ...] = ()
    marks: tuple[Mark, ...] = ()
    quote: str | None = None
    more: tuple[tuple[str, str], ...] = ()
    tools: tuple[Tool, ...] = ()


Generator = Callable[[np.random.Generator, Split], Example]


def generator_for(skill: str, split: Split, index: int, seed: int = 0) -> np.random.Generator:
    """The random source of example `index` of a skill: equal arguments give equal examples on every machine."""
    return np.random.default_rng([zlib.crc32(f"{skill}/{split}".encode()), index, seed])
