"""Questions about charts and their answers, computed from what the chart says. Drawing is a function given from outside."""

from collections.abc import Callable

import numpy as np

from omnie.data.charts import content, spec, templates
from omnie.data.charts.spec import Chart, Kind, Language
from omnie.data.example import Example, Scoring, Split
from omnie.media.types import Image
from omnie.messages import Part, text

KIND_SHARES: dict[Kind, float] = {"bar": 0.34, "barh": 0.12, "line": 0.28, "pie": 0.12, "donut": 0.05, "scatter": 0.09}
UNKNOWN = {"en": "I cannot tell from this.", "de": "Das geht daraus nicht hervor."}
TRENDS = {
    "en": {"rising": "rising", "falling": "falling", "constant": "constant", "fluctuating": "fluctuating"},
    "de": {"rising": "steigend", "falling": "fallend", "constant": "gleichbleibend", "fluctuating": "schwankend"},
}
MOVES = {
    "en": {"rising": "rise", "falling": "fall", "constant": "stay constant", "fluctuating": "fluctuate"},
    "de": {"rising": "steigen", "falling": "fallen", "constant": "bleiben gleich", "fluctuating": "schwanken"},
}
KIND_WORDS = {
    "en": {"bar": "bar chart", "line": "line chart", "pie": "pie chart", "scatter": "scatter plot"},
    "de": {"bar": "Balkendiagramm", "line": "Liniendiagramm", "pie": "Kreisdiagramm", "scatter": "Streudiagramm"},
}
for _words in KIND_WORDS.values():
    _words |= {"barh": _words["bar"], "donut": _words["pie"]}

Draw = Callable[[np.random.Generator, Split, Chart], tuple[np.ndarray, dict[str, str]]]
"""Draws a chart in a style of a split: pixels [height, width, 3] and the names of the families it drew on."""

Made = tuple[Chart, str, str, Scoring, str]
"""A chart, the question, its answer, how it is scored, the template's name."""


def example(skill: str, draw: Draw, rng: np.random.Generator, split: Split) -> Example:
    """One labelled example of a skill ("charts.title")."""
    chart_language: Language = "de" if rng.random() < 0.5 else "en"
    asked = chart_language if rng.random() < 0.85 else {"de": "en", "en": "de"}[chart_language]
    while (made := MAKERS[skill.split(".")[1]](rng, split, chart_language, asked)) is None:
        continue
    chart, question, answer, scoring, template = made
    pixels, families = draw(rng, split, chart)
    return Example(
        skill, (Part("image", Image(pixels)), text(question)), answer, scoring, families={**families, "template": template}
    )


def _kind(rng: np.random.Generator, *without: str) -> Kind:
    shares = {kind: share for kind, share in KIND_SHARES.items() if kind not in without}
    left = rng.random() * sum(shares.values())
    for kind, share in shares.items():
        left -= share
        if left <= 0:
            return kind
    return kind


def _made(rng, split: Split, chart: Chart, name: str, asked: str, answer: str, scoring: Scoring, *, series: str = "",
          **fields: str) -> Made:  # fmt: skip
    question, template = templates.pick(rng, split, f"{name}/{asked}", **fields)
    if series:
        question = templates.pick(rng, split, "within", s=series, q=question)[0]
    return chart, question, answer, scoring, template


def _title(rng: np.random.Generator, split: Split, drawn: Language, asked: str) -> Made:
    chart = spec.make(rng, _kind(rng), drawn)
    return _made(rng, split, chart, "title", asked, chart.title, "exact")


def _value(rng: np.random.Generator, split: Split, drawn: Language, asked: str) -> Made:
    kind = _kind(rng, "scatter")
    chart = spec.make(rng, kind, drawn, labelled=True if kind in ("pie", "donut") else None, titled=rng.random() < 0.85)
    series = content.choice(rng, chart.series)
    index = int(rng.integers(len(chart.categories)))
    where = _address(rng, split, chart.categories[index], series.name)
    return _made(rng, split, chart, "value", asked, spec.plain(series.values[index]), "number", x=where)


def _address(rng: np.random.Generator, split: Split, category: str, series: str) -> str:
    return templates.pick(rng, split, "address", c=category, s=series)[0] if series else category


def _extreme(rng: np.random.Generator, split: Split, drawn: Language, asked: str) -> Made | None:
    chart = spec.make(rng, _kind(rng, "scatter"), drawn, titled=rng.random() < 0.85)
    highest, index = rng.random() < 0.6, int(rng.integers(len(chart.series)))
    answer = spec.extreme(chart, highest, index)
    if answer is None:
        return None
    return _made(
        rng,
        split,
        chart,
        "extreme",
        asked,
        answer,
        "exact",
        series=chart.series[index].name,
        second="" if highest else "second",
    )


def _trend(rng: np.random.Generator, split: Split, drawn: Language, asked: str) -> Made | None:
    course = content.choice(rng, content.SHAPES)
    several = rng.random() < 0.2
    chart = spec.make(
        rng, _kind(rng, "pie", "donut", "barh"), drawn, course=course, several=several, titled=rng.random() < 0.85
    )
    found = spec.trend(chart.series[0].values)
    if found is None:
        return None
    return _made(rng, split, chart, "trend", asked, TRENDS[asked][found], "exact", series=chart.series[0].name)


def _kind_question(rng: np.random.Generator, split: Split, drawn: Language, asked: str) -> Made:
    kind = content.choice(rng, ("bar", "barh", "line", "line", "pie", "donut", "scatter", "scatter"))
    chart = spec.make(rng, kind, drawn, titled=rng.random() < 0.85)
    return _made(rng, split, chart, "kind", asked, KIND_WORDS[asked][kind], "exact")


def _describe(rng: np.random.Generator, split: Split, drawn: Language, asked: str) -> Made | None:
    course = content.choice(rng, (*content.SHAPES, "random", "random"))
    kind = _kind(rng, "pie", "donut", "barh") if course != "random" else _kind(rng, "scatter")
    chart = spec.make(rng, kind, drawn, course=course, several=False)
    answer = describe(chart, asked)
    return None if answer is None else _made(rng, split, chart, "describe", asked, answer, "contains")


def describe(chart: Chart, language: str) -> str | None:
    """One sentence on a chart: its kind, its title, and the trend of an ordered chart or else the highest category.

    None where neither a trend nor a highest category is clear.
    """
    kind = KIND_WORDS[language][chart.kind]
    if chart.ordered and not chart.is_pie:
        found = spec.trend(chart.series[0].values)
        what = found and {"en": "the values ", "de": "die Werte "}[language] + MOVES[language][found]
    else:
        highest = spec.extreme(chart, True)
        what = highest and {"en": "the highest is ", "de": "am höchsten ist "}[language] + highest
    start = {"en": f"A {kind} titled", "de": f"Ein {kind} mit dem Titel"}[language]
    return f"{start} {chart.title}; {what}." if what else None


def _count(rng: np.random.Generator, split: Split, drawn: Language, asked: str) -> Made:
    chart = spec.make(rng, _kind(rng, "scatter"), drawn, titled=rng.random() < 0.85)
    return _made(rng, split, chart, "count", asked, str(len(chart.categories)), "number")


def _unknown(rng: np.random.Generator, split: Split, drawn: Language, asked: str) -> Made:
    """A question that the chart does not answer: a category that is not there, or the title of a chart without one."""
    if rng.random() < 0.25:
        chart = spec.make(rng, _kind(rng), drawn, titled=False)
        return _made(rng, split, chart, "title", asked, UNKNOWN[asked], "exact")
    kind = _kind(rng, "scatter")
    chart = spec.make(rng, kind, drawn, labelled=True if kind in ("pie", "donut") else None, titled=rng.random() < 0.85)
    where = _address(rng, split, _absent(rng, chart), content.choice(rng, chart.series).name)
    return _made(rng, split, chart, "value", asked, UNKNOWN[asked], "exact", x=where)


def _absent(rng: np.random.Generator, chart: Chart) -> str:
    """A name of the same sort as the chart's categories that does not stand anywhere in it."""
    seen = " ".join(
        (*chart.categories, *(series.name for series in chart.series), chart.title, chart.x_title, chart.y_title)
    ).lower()
    while True:
        draw = content.ordered if chart.ordered else content.unordered
        name = content.choice(rng, draw(rng, chart.language, 3).names)
        if name.lower() not in seen:
            return name


MAKERS: dict[str, Callable[[np.random.Generator, Split, Language, str], Made | None]] = {
    "title": _title, "value": _value, "extreme": _extreme, "trend": _trend, "kind": _kind_question, "describe": _describe,
    "count": _count, "unknown": _unknown,
}  # fmt: skip
