"""The table of skills: which generator makes each, how often training draws it, and in which group it is reported.

`draw` is what training calls; `example` makes one example of a chosen skill, which evaluation and tests call. Generators live
in the neighbouring files. Those that need fetched fonts or voices say so when an example is drawn, not when they are imported.
"""

from functools import cache

import numpy as np

from omnie.data import (
    charts,
    lines,
    objects,
    pages,
    scenes,
    sounds,
    speech,
    tables,
    text_extract,
    text_find,
    text_form,
    text_logic,
    text_needle,
    text_qa,
    text_sentiment,
    text_smalltalk,
    text_spoken,
    tools,
)
from omnie.data.example import Example, Generator, Split, generator_for
from omnie.errors import OptionError

MODULES = (
    *(lines, tables, charts, objects, speech, sounds, scenes, pages),
    *(text_qa, text_find, text_form, text_needle, text_extract, text_sentiment, text_logic, text_spoken, text_smalltalk),
    tools,
)
"""What exposes `GENERATORS`."""

SHARES = {
    "lines": 16, "tables": 3, "charts": 20, "objects": 8, "speech": 17, "sounds": 4, "scenes": 7, "pages": 5, "text_qa": 10,
    "text_find": 4, "needle": 4, "text_extract": 2, "text_sentiment": 1, "text_logic": 2, "smalltalk": 1, "tools": 8, "sums": 4,
    "scans": 3,
}  # fmt: skip
"""Group -> share of the training examples, in any unit."""

WEIGHTS = {
    "charts.value": 4, "charts.title": 3, "charts.trend": 2, "charts.extreme": 2, "lines.read": 6, "objects.name": 4,
    "speech.transcribe": 5, "speech.answer": 2, "pages.qa": 7, "pages.form": 4, "text.qa": 7, "text.find": 3, "text.form": 3,
    "text.math": 2, "text.spoken": 2, "tools.call": 5, "lines.sum": 2, "scans.qa": 2,
}  # fmt: skip
"""Skill -> weight within its group; 1 where it is not listed."""

GROUPS = {
    "text.qa": "text_qa", "text.unknown": "text_qa", "text.find": "text_find", "text.copy": "text_find",
    "text.form": "text_find", "text.needle": "needle", "text.needles": "needle", "text.extract": "text_extract",
    "text.sentiment": "text_sentiment",
    "text.math": "text_logic", "text.sort": "text_logic", "text.trend": "text_logic", "text.spoken": "text_logic",
    "text.smalltalk": "smalltalk", "lines.sum": "sums", "text.digits": "sums",
}  # fmt: skip
"""Skill -> the group in which it is reported, where that is not the part before its dot ("charts.value": "charts")."""


TRANSCRIBED = (
    *(
        "lines.read",
        "lines.block",
        "lines.sum",
        "speech.transcribe",
        "speech.answer",
        "charts.title",
        "tables.lookup",
        "pages.qa",
    ),
    *("objects.name", "objects.count", "objects.which", "objects.colour", "scenes.motion", "scenes.object"),
)
"""Skills whose examples tell what is said, written or seen in their media."""


def group_of(skill: str) -> str:
    """The reported group of a skill: "charts" for "charts.value"."""
    return GROUPS.get(skill) or skill.partition(".")[0]


@cache
def generators() -> dict[str, Generator]:
    """Skill -> generator, of all modules."""
    return {skill: generator for module in MODULES for skill, generator in module.GENERATORS.items()}


def skills(group: str | None = None) -> tuple[str, ...]:
    """The names of all skills, or of those of one group."""
    return tuple(skill for skill in generators() if group in (None, group_of(skill)))


@cache
def weights() -> dict[str, float]:
    """Skill -> share of the training examples; they sum to 1."""
    raw = {skill: float(WEIGHTS.get(skill, 1)) for skill in generators()}
    groups: dict[str, float] = {}
    for skill, weight in raw.items():
        groups[group_of(skill)] = groups.get(group_of(skill), 0.0) + weight
    total = sum(SHARES[group] for group in groups)
    return {skill: SHARES[group_of(skill)] / total * weight / groups[group_of(skill)] for skill, weight in raw.items()}


def example(skill: str, split: Split, index: int, seed: int = 0) -> Example:
    """Example `index` of a skill; equal arguments give equal examples."""
    table = generators()
    if skill not in table:
        raise OptionError("unknown skill", value=skill, allowed=", ".join(table))
    return table[skill](generator_for(skill, split, index, seed), split)


def choose(rng: np.random.Generator, only: tuple[str, ...] | None = None) -> str:
    """A skill, drawn by the training weights (among `only`, where given)."""
    table = {skill: weight for skill, weight in weights().items() if only is None or skill in only}
    if not table:
        raise OptionError("no such skills", value=", ".join(only or ()), allowed=", ".join(generators()))
    ends = np.cumsum(list(table.values()))
    return list(table)[min(len(table) - 1, int(np.searchsorted(ends, rng.random() * ends[-1], side="right")))]


def draw(split: Split, index: int, seed: int = 0, only: tuple[str, ...] | None = None) -> Example:
    """Example `index` of the mixture: the skill by weight, then an example of it; deterministic in all arguments."""
    return example(choose(generator_for("draw", split, index, seed), only), split, index, seed)
