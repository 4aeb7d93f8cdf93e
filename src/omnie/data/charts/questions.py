"""Questions about charts and their answers, computed from what the chart says. Which charts are made is in `examples.py`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omnie.data.charts import content, spec, templates
from omnie.data.charts.spec import Chart
from omnie.data.example import Scoring, Split
from omnie.data.turns import Turn

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


@dataclass(frozen=True)
class Subject:
    """What is asked of a chart, whatever the wording: a kind of question with the series, category and end that it is about."""

    kind: str
    series: int = 0
    category: int = 0
    highest: bool = True


def subjects(chart: Chart) -> list[Subject]:
    """Everything that there is to ask of a chart, each once; some of it may not apply."""
    found = [Subject(kind) for kind in ("title", "kind", "count", "describe", "unknown")]
    for index in range(len(chart.series)):
        found += [Subject("trend", index), Subject("extreme", index), Subject("extreme", index, highest=False)]
        found += [Subject("value", index, category) for category in range(len(chart.categories))]
    return found


def ask(rng: np.random.Generator, split: Split, chart: Chart, subject: Subject, language: str) -> Turn | None:
    """The question in a wording of the split, and its answer. None where the chart does not say it clearly."""
    return ASKERS[subject.kind](rng, split, chart, subject, language)


def _turn(rng, split: Split, name: str, language: str, answer: str, scoring: Scoring, *, series: str = "",
          quote: str | None = None, **fields: str) -> Turn:  # fmt: skip
    question, template = templates.pick(rng, split, f"{name}/{language}", **fields)
    if series:
        question = templates.pick(rng, split, "within", s=series, q=question)[0]
    return Turn(question, answer, template, scoring, quote)


def _title(rng: np.random.Generator, split: Split, chart: Chart, subject: Subject, language: str) -> Turn:
    return _turn(rng, split, "title", language, chart.title or UNKNOWN[language], "exact")


def _readable(chart: Chart) -> bool:
    """Values can be read off and belong to categories: no scatter plot, no pie without numbers."""
    return chart.kind != "scatter" and (chart.labelled or not chart.is_pie)


def _value(rng: np.random.Generator, split: Split, chart: Chart, subject: Subject, language: str) -> Turn | None:
    if not _readable(chart):
        return None
    series = chart.series[subject.series]
    where = _address(rng, split, chart.categories[subject.category], series.name)
    answer = spec.plain(series.values[subject.category])
    return _turn(rng, split, "value", language, answer, "cell", quote=_row(chart, subject), x=where)


def _row(chart: Chart, subject: Subject) -> str:
    """A category's values up to the one that is asked for, as they are read off the marks (`model/reading/marks.py`)."""
    cells = [(series.name, spec.plain(series.values[subject.category])) for series in chart.series[: subject.series + 1]]
    name = chart.categories[subject.category]
    if len(chart.series) == 1:
        return f"{name}: {cells[0][1]}"
    before = "".join(f" | {series}: {value}" for series, value in cells[:-1])
    return f"{name}{before} | {cells[-1][0]} = {cells[-1][1]}"


def _address(rng: np.random.Generator, split: Split, category: str, series: str) -> str:
    return templates.pick(rng, split, "address", c=category, s=series)[0] if series else category


def _extreme(rng: np.random.Generator, split: Split, chart: Chart, subject: Subject, language: str) -> Turn | None:
    answer = None if chart.kind == "scatter" else spec.extreme(chart, subject.highest, subject.series)
    if answer is None:
        return None
    series, second = chart.series[subject.series].name, "" if subject.highest else "second"
    quote = f"{series} {'max' if subject.highest else 'min'}: {answer}".lstrip()
    return _turn(rng, split, "extreme", language, answer, "named", series=series, second=second, quote=quote)


def _trend(rng: np.random.Generator, split: Split, chart: Chart, subject: Subject, language: str) -> Turn | None:
    series = chart.series[subject.series]
    found = spec.trend(series.values) if chart.ordered and chart.kind in ("bar", "line", "scatter") else None
    return found and _turn(rng, split, "trend", language, TRENDS[language][found], "exact", series=series.name)


def _kind(rng: np.random.Generator, split: Split, chart: Chart, subject: Subject, language: str) -> Turn:
    return _turn(rng, split, "kind", language, KIND_WORDS[language][chart.kind], "exact")


def _describe(rng: np.random.Generator, split: Split, chart: Chart, subject: Subject, language: str) -> Turn | None:
    answer = describe(chart, language) if chart.title and len(chart.series) == 1 else None
    return answer and _turn(rng, split, "describe", language, answer, "contains")


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


def _count(rng: np.random.Generator, split: Split, chart: Chart, subject: Subject, language: str) -> Turn | None:
    if chart.kind == "scatter":
        return None
    count = str(len(chart.categories))
    return _turn(rng, split, "count", language, count, "number", quote=f"n = {count}")


def _unknown(rng: np.random.Generator, split: Split, chart: Chart, subject: Subject, language: str) -> Turn | None:
    """The value of a category that is not there."""
    if not _readable(chart):
        return None
    where = _address(rng, split, _absent(rng, chart), content.choice(rng, chart.series).name)
    return _turn(rng, split, "value", language, UNKNOWN[language], "exact", x=where)


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


ASKERS: dict[str, Callable[[np.random.Generator, Split, Chart, Subject, str], Turn | None]] = {
    "title": _title, "value": _value, "extreme": _extreme, "trend": _trend, "kind": _kind, "describe": _describe,
    "count": _count, "unknown": _unknown,
}  # fmt: skip
"""Kind of question -> how it is asked of a chart."""
