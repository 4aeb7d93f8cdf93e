"""What a chart says: its title, names and numbers, and the facts that follow from them. Nothing here knows how it is drawn."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from omnie.data.charts import content

Kind = Literal["bar", "barh", "line", "pie", "donut", "scatter"]
Language = Literal["de", "en"]
Trend = Literal["rising", "falling", "constant", "fluctuating"]


@dataclass(frozen=True)
class Series:
    """One row of numbers; `name` is empty when the chart has only one and needs no legend."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """The content of a chart.

    Attributes:
        title: As drawn; empty when there is none.
        categories: One name per value (for `scatter` the x positions as text).
        ordered: The categories lie on a time axis.
        labelled: Every value is written beside its mark.
        decimals: Digits after the point that the values need.
        axis_step: The distance of the value grid that the numbers were drawn on times four to ten: a good tick distance.
    """

    kind: Kind
    language: Language
    title: str
    categories: tuple[str, ...]
    series: tuple[Series, ...]
    ordered: bool
    labelled: bool
    x_title: str
    y_title: str
    decimals: int
    axis_step: float

    @property
    def is_pie(self) -> bool:
        return self.kind in ("pie", "donut")

    @property
    def values(self) -> tuple[float, ...]:
        """All numbers, series after series."""
        return tuple(value for series in self.series for value in series.values)


def plain(value: float) -> str:
    """A number as answers give it: no grouping, a decimal point, no trailing zeros ("42", "3.5", "-7")."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def trend(values: tuple[float, ...]) -> Trend | None:
    """The word for a course of values, or None where no word is clearly right.

    Net change over the sum of absolute changes decides: at least 0.75 is a direction, at most 0.4 is up and down.
    """
    spread = max(values) - min(values)
    if spread <= 0.04 * max(abs(value) for value in values):
        return "constant"
    steps = np.diff(values)
    share = steps.sum() / np.abs(steps).sum()
    if spread < 0.2 * max(abs(value) for value in values) or 0.4 < abs(share) < 0.75:
        return None
    return "fluctuating" if abs(share) <= 0.4 else "rising" if share > 0 else "falling"


def extreme(chart: Chart, highest: bool, series: int = 0) -> str | None:
    """The category of the highest or lowest value, or None when the runner-up is too close to tell."""
    values = np.array(chart.series[series].values)
    order = np.argsort(-values if highest else values)
    gap = abs(values[order[0]] - values[order[1]])
    reach = max(abs(values).max(), 1e-9)
    return chart.categories[order[0]] if gap >= 0.04 * reach else None


def make(rng: np.random.Generator, kind: Kind, language: Language, *, course: str = "random", several: bool | None = None,
         ordered: bool | None = None, labelled: bool | None = None, titled: bool = True) -> Chart:  # fmt: skip
    """A random chart. `course` is a trend or "random"; `several` and `labelled` ask for (or forbid) more than one series and
    values written beside the marks."""
    count = _count(rng, kind)
    if ordered is None:
        ordered = course != "random" or rng.random() < (0.85 if kind == "line" else 0.1 if kind in ("pie", "donut") else 0.4)
    names = content.ordered(rng, language, count) if ordered else content.unordered(rng, language, count)
    if kind == "scatter":
        names = content.Categories(tuple(str(x) for x in sorted(content.some(rng, range(1, 12), count))), True, "x")
    n_series = _series_count(rng, kind, several)
    if labelled is None:
        labelled = kind != "scatter" and rng.random() < (0.9 if kind in ("pie", "donut") else 0.35 if n_series == 1 else 0.15)
    if kind == "line" and n_series > 1:
        labelled = False  # numbers beside crossing lines cover each other
    rows, step, decimals = _numbers(rng, kind, course, n_series, count, labelled)
    labelled = labelled and not (n_series > 1 and min(map(min, rows)) < 0)
    labels = _series_names(rng, language, n_series, names.names, kind in ("bar", "barh", "line"))
    return Chart(
        kind=kind, language=language, title=content.title(rng, language) if titled else "", categories=names.names,
        series=tuple(Series(label, tuple(row)) for label, row in zip(labels, rows, strict=True)), ordered=names.ordered,
        labelled=labelled, x_title=names.axis if rng.random() < 0.35 else "",
        y_title=_y_title(rng, language) if kind not in ("pie", "donut") and rng.random() < 0.55 else "",
        decimals=decimals, axis_step=step,
    )  # fmt: skip


def _count(rng: np.random.Generator, kind: Kind) -> int:
    if kind == "scatter":
        return int(rng.integers(4, 9))
    return int(content.choice(rng, (3, 4, 4, 5, 5, 6, 6, 7) if kind not in ("pie", "donut") else (2, 3, 4, 4, 5, 5, 6)))


def _series_count(rng: np.random.Generator, kind: Kind, several: bool | None) -> int:
    if kind not in ("bar", "barh", "line") or several is False:
        return 1
    if several or rng.random() < 0.3:
        return int(content.choice(rng, (2, 2, 2, 3)))
    return 1


def _series_names(rng: np.random.Generator, language: str, n: int, taken: tuple[str, ...], legend: bool) -> list[str]:
    if n == 1:
        return [""] if not legend or rng.random() < 0.85 else [content.choice(rng, content.TOPICS[language].split())]
    for _ in range(20):
        draw = content.ordered if rng.random() < 0.25 else content.unordered
        names = draw(rng, language, n).names
        if not set(names) & set(taken):
            return list(names)
    return [f"{'Reihe' if language == 'de' else 'Series'} {letter}" for letter in "ABC"[:n]]


def _y_title(rng: np.random.Generator, language: str) -> str:
    unit = content.choice(rng, content.UNITS if rng.random() < 0.6 else content.COUNT_UNITS[language])
    topic = content.choice(rng, content.TOPICS[language].split())
    return str(content.choice(rng, (unit, f"{topic} ({unit})", f"{topic} [{unit}]", f"{topic} in {unit}", topic)))


def _numbers(rng, kind: Kind, course: str, n_series: int, count: int, labelled: bool) -> tuple[list[list[float]], float, int]:
    """Rows of numbers on a readable grid, the tick distance they suit, and the decimals they need."""
    if kind in ("pie", "donut"):
        return [_shares(rng, count)], 20.0, 0
    exponent = int(content.choice(rng, (-2, -1, -1, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4)))
    base, parts = content.choice(rng, ((1, (2, 4, 5)), (2, (2, 4, 4)), (2.5, (5,)), (5, (5,)), (2, (2, 4)), (1, (2, 5))))
    step = base * 10.0**exponent
    ticks = int(rng.integers(3, 6)) if base == 5 else int(rng.integers(4, 7))
    grid = step / (content.choice(rng, parts) if not labelled else 20 if base == 2 and rng.random() < 0.5 else 10)
    top = ticks * step
    low = top * rng.choice([0, 1, 2]) if kind == "line" and rng.random() < 0.35 and course != "constant" else 0.0
    if course == "random" and low == 0 and rng.random() < 0.06:
        low = -top * rng.uniform(0.2, 0.5)
    rows = []
    for index in range(n_series):
        shape = content.shape(rng, course if index == 0 else content.choice(rng, (*content.SHAPES, "random")), count)
        rows.append(_on_grid(low + shape * (top - min(low, 0.0)), grid))
    decimals = next(d for d in range(6) if abs(grid * 10**d - round(grid * 10**d)) < 1e-6)
    if decimals > 2 and low + top >= 1:  # "1.025" reads as a thousand
        return _numbers(rng, kind, course, n_series, count, labelled)
    return rows, step, decimals


def _on_grid(values: np.ndarray, grid: float) -> list[float]:
    """Values rounded to the grid; zero is pushed to the first grid line, for a bar of no height cannot be seen."""
    counts = np.rint(values / grid)
    counts[counts == 0] = 1
    return [round(float(count) * grid, 6) for count in counts]


def _shares(rng: np.random.Generator, count: int) -> list[float]:
    """Whole percentages that sum to 100, each at least 5 so that its number fits into the wedge."""
    weights = rng.dirichlet(np.full(count, 2.0))
    shares = np.floor(5 + weights * (100 - 5 * count))
    shares[int(np.argmax(shares))] += 100 - shares.sum()
    return [float(share) for share in shares]
