"""Value axes: where ticks lie, what is written beside them, and the frame around the plot."""

import math
from dataclasses import dataclass

from omnie.data.charts.sheet import Box, Sheet
from omnie.data.charts.spec import Chart
from omnie.data.charts.styles import Style


@dataclass(frozen=True)
class Axis:
    """The shown range of values and its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    step: float

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high end."""
        return (value - self.low) / (self.high - self.low)


def axis(low: float, high: float, count: int, tight: bool) -> Axis:
    """An axis for values between `low` and `high` with about `count` ticks, 1, 2, 2.5 or 5 times a power of ten apart."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    bottom, top = first * step, last * step
    if tight:
        top = high + 0.05 * (high - low)
        bottom = low if low == 0 else max(bottom, low - 0.05 * (high - low))
    ticks = tuple(round(n * step, 8) for n in range(first, last + 1) if bottom - 1e-9 <= n * step <= top + 1e-9)
    return Axis(bottom, top, ticks, step)


def value_axis(chart: Chart, style: Style, headroom: float = 0.0) -> Axis:
    """The value axis of a chart; `headroom` is the share of the plot's height that stays free above the marks."""
    low, high = min(chart.values), max(chart.values)
    if chart.kind in ("bar", "barh") or low < 0.45 * high:
        low, high = min(low, 0.0), max(high, 0.0)
    if low < 0 and chart.labelled:
        low -= 0.12 * (high - low)  # room for the numbers under the marks
    if high - low < 0.1 * abs(high):
        low = 0.0
    return axis(low, high + (high - low) * headroom, style.tick_count, style.tight and headroom == 0)


def decimals(step: float) -> int:
    """Digits after the point that multiples of `step` need."""
    return next(digits for digits in range(7) if abs(step * 10**digits - round(step * 10**digits)) < 1e-6)


def number(value: float, digits: int, convention: str) -> str:
    """A number as a convention writes it ("dot": 1.234,5; "comma": 1,234.5; "space": 1 234,5; "kilo": 1.2k)."""
    if convention == "kilo" and abs(value) >= 1000:
        return f"{value / 1000:.4f}".rstrip("0").rstrip(".") + "k"
    if convention in ("plain", "kilo"):
        return f"{value:.{digits}f}"
    if convention == "comma-decimal":
        return f"{value:.{digits}f}".replace(".", ",")
    marks = {"comma": ",.", "dot": ".,", "space": " ,"}[convention]
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", marks))


def tick_texts(chart: Chart, style: Style, values: tuple[float, ...], digits: int) -> list[str]:
    """What is written at each tick."""
    convention = style.numbers
    if convention != "unit":
        return [number(value, digits, convention) for value in values]
    texts = [number(value, digits, "dot" if chart.language == "de" else "comma") for value in values]
    if chart.y_title:
        return texts
    if max(values) <= 110 and max(values) >= 5:
        return [text + ("%" if style.tick_count % 2 else " %") for text in texts]
    return [text + " €" for text in texts] if chart.language == "de" else ["$" + text for text in texts]


def grid(sheet: Sheet, style: Style, plot: Box, values: list[float], others: list[float], upright: bool) -> None:
    """Grid lines at the value ticks (and, for "both", at the category positions); `upright`: values run upwards."""
    if style.grid == "none":
        return
    left, top, right, bottom = plot
    dash = (4, 3) if "dashed" in style.grid else (1, 3) if "dotted" in style.grid else ()
    ys, xs = (values, others) if upright else (others, values)
    if not upright and "both" not in style.grid:
        ys = []
    if upright and "both" not in style.grid:
        xs = []
    for y in ys:
        sheet.line([(left, y), (right, y)], style.grid_colour, 1, dash)
    for x in xs:
        sheet.line([(x, top), (x, bottom)], style.grid_colour, 1, dash)


def frame(sheet: Sheet, style: Style, plot: Box, ys: list[float], xs: list[float]) -> None:
    """The lines around the plot and the ticks at `ys` (left) and `xs` (below)."""
    left, top, right, bottom = plot
    if style.frame == "box":
        sheet.line([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], style.axis)
    if style.frame == "left-bottom":
        sheet.line([(left, top), (left, bottom), (right, bottom)], style.axis)
    if style.frame == "bottom":
        sheet.line([(left, bottom), (right, bottom)], style.axis)
    length = {"out": -4, "in": 5, "both-in": 5, "none": 0}[style.ticks]
    if not length or style.frame == "none":
        return
    for y in ys if style.frame != "bottom" else ():
        sheet.line([(left, y), (left + length, y)], style.axis)
    for x in xs:
        sheet.line([(x, bottom), (x, bottom - length)], style.axis)
    if style.ticks == "both-in" and style.frame == "box":
        for y in ys:
            sheet.line([(right, y), (right - length, y)], style.axis)
        for x in xs:
            sheet.line([(x, top), (x, top + length)], style.axis)
