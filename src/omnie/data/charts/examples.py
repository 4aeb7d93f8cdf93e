"""Charts with something to ask of them: one example a skill. How things are asked is in `questions.py`; drawing is a function
given from outside.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from omnie.data.charts import content, spec
from omnie.data.charts.questions import Subject, ask, subjects
from omnie.data.charts.spec import Chart, Kind, Language
from omnie.data.example import Example, Mark, Split, Written
from omnie.data.turns import ROOM, Turn, followed
from omnie.media.types import Image
from omnie.messages import Part, text

KIND_SHARES: dict[Kind, float] = {"bar": 0.34, "barh": 0.12, "line": 0.28, "pie": 0.12, "donut": 0.05, "scatter": 0.09}
MORE_SHARES = {
    "value": 8.0, "extreme": 3.0, "trend": 2.0, "title": 1.5, "count": 1.0, "kind": 1.0, "describe": 0.7, "unknown": 0.4
}  # fmt: skip
"""How readily a kind of question is asked as a further one; values most, for they take the most looking."""


class Picture(NamedTuple):
    """A drawn chart: uint8 [height, width, 3], the names of the families it drew on, what is written where, and its marks."""

    pixels: np.ndarray
    families: dict[str, str]
    written: tuple[Written, ...] = ()
    marks: tuple[Mark, ...] = ()


Draw = Callable[[np.random.Generator, Split, Chart], Picture]
"""Draws a chart in a style of a split."""

Made = tuple[Chart, Subject]
"""A chart and what is asked of it first."""


def example(skill: str, draw: Draw, rng: np.random.Generator, split: Split) -> Example:
    """One labelled example of a skill ("charts.title")."""
    chart_language: Language = "de" if rng.random() < 0.5 else "en"
    asked = _language(rng, chart_language)
    first = None
    while first is None:
        chart, subject = MAKERS[skill.split(".")[1]](rng, chart_language)
        first = ask(rng, split, chart, subject, asked)
    pixels, families, written, marks = draw(rng, split, chart)
    parts = (Part("image", Image(pixels)), text(first.question))
    families = {**families, "template": first.template}
    seen = {"written": written, "marks": marks}
    made = Example(skill, parts, first.answer, first.scoring, families=families, quote=first.quote, **seen)
    return followed(made, split, _others(rng, split, chart, subject), int(rng.integers(3, 6)), ROOM)


def _language(rng: np.random.Generator, drawn: Language) -> Language:
    """The language of a question: mostly that of the chart."""
    return drawn if rng.random() < 0.85 else "en" if drawn == "de" else "de"


def _others(rng: np.random.Generator, split: Split, chart: Chart, asked: Subject) -> Iterator[Turn | None]:
    """Questions about everything else, the readier the earlier. A description tells the title, so only one of them is asked."""
    told = {"title", "describe"}
    unasked = told if asked.kind in told else {"title" if rng.random() < 0.15 else "describe"}
    left = [subject for subject in subjects(chart) if subject != asked and subject.kind not in unasked]
    kinds = [subject.kind for subject in left]
    waits = [float(rng.exponential()) * kinds.count(kind) / MORE_SHARES[kind] for kind in kinds]
    for index in np.argsort(waits):
        yield ask(rng, split, chart, left[index], _language(rng, chart.language))


def _draw_kind(rng: np.random.Generator, *without: str) -> Kind:
    shares = {kind: share for kind, share in KIND_SHARES.items() if kind not in without}
    left = rng.random() * sum(shares.values())
    for kind, share in shares.items():
        left -= share
        if left <= 0:
            return kind
    return kind


def _titled(rng: np.random.Generator, drawn: Language) -> Made:
    return spec.make(rng, _draw_kind(rng), drawn), Subject("title")


def _with_values(rng: np.random.Generator, drawn: Language) -> Chart:
    kind = _draw_kind(rng, "scatter")
    return spec.make(rng, kind, drawn, labelled=True if kind in ("pie", "donut") else None, titled=rng.random() < 0.85)


def _any_value(rng: np.random.Generator, drawn: Language) -> Made:
    chart = _with_values(rng, drawn)
    return chart, Subject("value", int(rng.integers(len(chart.series))), int(rng.integers(len(chart.categories))))


def _any_extreme(rng: np.random.Generator, drawn: Language) -> Made:
    chart = spec.make(rng, _draw_kind(rng, "scatter"), drawn, titled=rng.random() < 0.85)
    highest = rng.random() < 0.6
    return chart, Subject("extreme", int(rng.integers(len(chart.series))), highest=highest)


def _with_trend(rng: np.random.Generator, drawn: Language) -> Made:
    course, several = content.choice(rng, content.SHAPES), rng.random() < 0.2
    kind = _draw_kind(rng, "pie", "donut", "barh")
    return spec.make(rng, kind, drawn, course=course, several=several, titled=rng.random() < 0.85), Subject("trend")


def _any_kind(rng: np.random.Generator, drawn: Language) -> Made:
    kind = content.choice(rng, ("bar", "barh", "line", "line", "pie", "donut", "scatter", "scatter"))
    return spec.make(rng, kind, drawn, titled=rng.random() < 0.85), Subject("kind")


def _worth_describing(rng: np.random.Generator, drawn: Language) -> Made:
    course = content.choice(rng, (*content.SHAPES, "random", "random"))
    kind = _draw_kind(rng, "pie", "donut", "barh") if course != "random" else _draw_kind(rng, "scatter")
    return spec.make(rng, kind, drawn, course=course, several=False), Subject("describe")


def _countable(rng: np.random.Generator, drawn: Language) -> Made:
    return spec.make(rng, _draw_kind(rng, "scatter"), drawn, titled=rng.random() < 0.85), Subject("count")


def _silent(rng: np.random.Generator, drawn: Language) -> Made:
    """What the chart does not answer: the title of a chart without one, or a category that is not there."""
    if rng.random() < 0.25:
        return spec.make(rng, _draw_kind(rng), drawn, titled=False), Subject("title")
    return _with_values(rng, drawn), Subject("unknown")


MAKERS: dict[str, Callable[[np.random.Generator, Language], Made]] = {
    "title": _titled, "value": _any_value, "extreme": _any_extreme, "trend": _with_trend, "kind": _any_kind,
    "describe": _worth_describing, "count": _countable, "unknown": _silent,
}  # fmt: skip
"""Skill -> a chart with what is asked of it first. It may turn out not to apply; then another is made."""
