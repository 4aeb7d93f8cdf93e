"""From a chart and a style to pixels: title, legend, plot area. Marks are drawn in `marks.py`, tick texts in `axes.py`."""

import math
from dataclasses import dataclass, replace

import numpy as np

from omnie.data.charts import axes, marks
from omnie.data.charts.sheet import Box, Point, Sheet, width
from omnie.data.charts.spec import Chart
from omnie.data.charts.styles import Style
from omnie.data.example import Mark, Written

SAMPLE = 18
"""The width of a legend's sample in pixels."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawn chart. `anchors`: (series, category) -> where its value is shown (bar end, point, inside a wedge), in pixels.
    `written`: its upright texts; `marks`: where its values are read off."""

    pixels: np.ndarray
    anchors: dict[tuple[int, int], Point]
    plot: Box
    written: tuple[Written, ...] = ()
    marks: tuple[Mark, ...] = ()


def render(chart: Chart, style: Style) -> Drawing:
    """Draw a chart. The picture grows beyond `style.size` only where its title would not fit."""
    style = _fit_title(chart, style)
    sheet = Sheet(style.size, style.background, style.scale, style.text_scaled)
    left, top, right, bottom = map(float, (style.pad, style.pad, style.size[0] - style.pad, style.size[1] - style.pad))
    if style.border:
        sheet.box((0, 0, *style.size), None, style.axis)
    title_height = style.title_px + 7 if chart.title else 0
    if style.title == "bottom":
        bottom -= title_height
    else:
        top += title_height
    entries = _entries(chart, style)
    style = _legend_place(chart, style, entries)
    legend_w, legend_h = _legend_size(style, entries)
    if entries and style.legend == "right":
        right -= legend_w + 6
    if entries and style.legend == "top":
        top += legend_h + 3
    if entries and style.legend == "bottom":
        bottom -= legend_h + 3
    if chart.is_pie:
        plot, anchors = marks.pie(sheet, chart, style, (left, top, right, bottom))
    else:
        plot, anchors = _cartesian(sheet, chart, style, (left, top, right, bottom), legend_h if entries else 0)
    _title(sheet, chart, style, plot)
    if entries:
        _legend(sheet, chart, style, entries, plot, (right, top, bottom))
    shown = () if chart.is_pie else tuple(Mark(series, point) for (series, _), point in anchors.items())
    return Drawing(sheet.pixels(), anchors, plot, sheet.written, (*sheet.marks, *shown))


def _fit_title(chart: Chart, style: Style) -> Style:
    """A smaller title, or a wider picture, where the title is longer than the picture."""
    px, (wide, high) = style.title_px, style.size
    while px > 10 and width(chart.title, style.title_face, px) > wide - 2 * style.pad:
        px -= 1
    needed = int(width(chart.title, style.title_face, px)) + 2 * style.pad + 2
    return replace(style, title_px=px, size=(max(wide, needed), high))


def _title(sheet: Sheet, chart: Chart, style: Style, plot: Box) -> None:
    wide, high = style.size
    length = width(chart.title, style.title_face, style.title_px)
    middle = (plot[0] + plot[2]) / 2 if style.title == "centre" else wide / 2
    x = {"left": plot[0], "figure left": style.pad}.get(style.title, middle - length / 2)
    x = min(max(x, style.pad), wide - style.pad - length)
    y = high - style.pad - style.title_px / 2 if style.title == "bottom" else style.pad + style.title_px / 2
    sheet.text((x, y), chart.title, style.title_face, style.title_px, style.ink, "lm")


# Legend


def _entries(chart: Chart, style: Style) -> list[str]:
    if chart.is_pie:
        return list(chart.categories) if style.pie_labels == "legend" else []
    return [series.name for series in chart.series if series.name]


def _legend_place(chart: Chart, style: Style, entries: list[str]) -> Style:
    """The style with a legend place that works: no row wider than the picture, nothing over wedges or horizontal bars."""
    if (chart.is_pie or chart.kind == "barh") and style.legend.startswith("inside"):
        style = replace(style, legend="right")
    if style.legend in ("top", "bottom") and _legend_size(style, entries)[0] > style.size[0] - 2 * style.pad:
        style = replace(style, legend="right")
    return style


def _legend_size(style: Style, entries: list[str]) -> tuple[float, float]:
    lengths = [width(entry, style.face, style.label_px) + SAMPLE + 10 for entry in entries] or [0]
    if style.legend in ("top", "bottom"):
        return sum(lengths) + 6, style.label_px + 6
    return max(lengths) + 4, len(entries) * (style.label_px + 4) + 4


def _legend(
    sheet: Sheet, chart: Chart, style: Style, entries: list[str], plot: Box, outside: tuple[float, float, float]
) -> None:
    wide, high = _legend_size(style, entries)
    right, top, bottom = outside
    left, y = {
        "inside right": (plot[2] - wide - 4, plot[1] + 4),
        "inside left": (plot[0] + 8, plot[1] + 4),
        "right": (right + 6, plot[1] if style.frame != "none" else (plot[1] + plot[3] - high) / 2),
        "top": ((style.size[0] - wide) / 2, top - high - 3),
        "bottom": ((style.size[0] - wide) / 2, bottom + 4),
    }[style.legend]
    if style.legend_box:
        ground = style.panel if style.legend.startswith("inside") else style.background
        sheet.box((left, y, left + wide, y + high), ground, style.grid_colour)
    across = style.legend in ("top", "bottom")
    for index, entry in enumerate(entries):
        length = width(entry, style.face, style.label_px)
        middle = y + high / 2 if across else y + 2 + (index + 0.5) * (style.label_px + 4)
        start = left + 4
        if style.sample_right and not across:
            sheet.text((left + wide - SAMPLE - 10, middle), entry, style.face, style.label_px, style.ink, "rm")
            begin, start = left + wide - SAMPLE - 10 - length, left + wide - SAMPLE - 4
        else:
            begin = start + SAMPLE + 4
            sheet.text((begin, middle), entry, style.face, style.label_px, style.ink, "lm")
        if not chart.is_pie:
            sheet.marks.append(Mark("legend", (begin + length / 2, middle), length / 2))
        marks.sample(sheet, chart, style, index, (start, middle), SAMPLE)
        left += length + SAMPLE + 10 if across else 0


# Axes


def _cartesian(sheet: Sheet, chart: Chart, style: Style, area: Box, legend_height: float):
    """Draw the axes and marks of a chart with a value axis; the plot area and the anchors."""
    left, top, right, bottom = area
    inside = legend_height if style.legend.startswith("inside") else 0
    labels = style.label_px * (3 if len(chart.series) > 1 else 1) + 3 if chart.labelled else 0
    headroom = min((inside + labels) / max(bottom - top - 40, 60), 0.8)
    if chart.kind == "barh":
        headroom = 0.18 if chart.labelled else 0.0
    scale = axes.value_axis(chart, style, headroom)
    texts = axes.tick_texts(chart, style, scale.ticks, axes.decimals(scale.step))
    if chart.kind == "barh":
        return _sideways(sheet, chart, style, area, scale, texts)
    return _upright(sheet, chart, style, area, scale, texts)


def _longest(texts, style: Style) -> float:
    return max(width(text, style.face, style.label_px) for text in texts)


def _upright(sheet: Sheet, chart: Chart, style: Style, area: Box, scale: axes.Axis, texts: list[str]):
    left, top, right, bottom = area
    px = style.label_px
    gap = 7 if style.ticks == "out" else 4
    over = chart.y_title and style.slanted == 30
    top += 1.5 * px + 6 if over else px / 2 if not chart.title or style.title == "bottom" else 2
    left += _longest(texts, style) + gap + (px + 6 if chart.y_title and not over else 0)
    bottom -= px + 6 if chart.x_title else 0
    points = chart.kind == "scatter"
    across = axes.axis(*_reach(chart), 5, False) if points else None
    names = (
        axes.tick_texts(chart, replace(style, numbers="plain"), across.ticks, axes.decimals(across.step))
        if across
        else chart.categories
    )
    slot = (right - left) / len(names)
    turned = 0 if _longest(names, style) < slot - 3 else style.slanted
    bottom -= gap + (
        px if not turned else _longest(names, style) * (1.0 if turned == 90 else 0.75 if turned == 45 else 0.55) + px * 0.6
    )
    right -= max(
        _longest(names[-1:], style) / 2 - (0 if across or (chart.kind == "line" and style.edge_to_edge) else slot / 2) - 2, 2
    )
    if turned and turned < 90:
        left = _room_for_slanted(chart, style, names[0], left, right, area[0])
    plot = (left, top, right, bottom)
    ys = [bottom - scale.share(tick) * (bottom - top) for tick in scale.ticks]
    xs = [left + across.share(t) * (right - left) for t in across.ticks] if across else marks.centres(chart, style, left, right)
    sheet.box(plot, style.panel)
    axes.grid(sheet, style, plot, ys, xs, True)
    anchors = (
        marks.points(sheet, chart, style, plot, scale, across) if across else marks.upright(sheet, chart, style, plot, scale)
    )
    axes.frame(sheet, style, plot, ys, xs)
    for y, text in zip(ys, texts, strict=True):
        sheet.text((left - gap, y), text, style.face, px, style.ink, "rm")
        half = width(text, style.face, px) / 2
        sheet.marks.append(Mark("tick", (left - gap - half, y), half))
    for x, name in zip(xs, names, strict=True):
        if turned:
            sheet.text((x, bottom + gap), name, style.face, px, style.ink, "ra", turned)
        else:
            sheet.text((x, bottom + gap - 1), name, style.face, px, style.ink, "ma")
            if not points:
                sheet.marks.append(Mark("name", (x, bottom + gap - 1 + px / 2), width(name, style.face, px) / 2))
    _axis_titles(sheet, chart, style, plot, area, bool(over))
    return plot, anchors


def _room_for_slanted(chart: Chart, style: Style, name: str, left: float, right: float, edge: float) -> float:
    """The plot's left end, far enough to the right that the first slanted name stays in the picture."""
    start = marks.centres(chart, style, left, right)[0] - left
    reach = _longest([name], style) * math.cos(math.radians(style.slanted)) + style.label_px / 2
    return max(left, edge + reach - start)


def _reach(chart: Chart) -> tuple[float, float]:
    positions = [float(name) for name in chart.categories]
    return 0.0, max(positions)


def _sideways(sheet: Sheet, chart: Chart, style: Style, area: Box, scale: axes.Axis, texts: list[str]):
    left, top, right, bottom = area
    px = style.label_px
    gap = 7 if style.ticks == "out" else 4
    left += _longest(chart.categories, style) + gap + (px + 6 if chart.x_title else 0)
    bottom -= px + gap + (px + 6 if chart.y_title else 0)
    right -= width(texts[-1], style.face, px) / 2
    plot = (left, top, right, bottom)
    xs = [left + scale.share(tick) * (right - left) for tick in scale.ticks]
    ys = marks.centres(chart, replace(style, edge_to_edge=False), top, bottom)
    sheet.box(plot, style.panel)
    axes.grid(sheet, style, plot, xs, ys, False)
    anchors = marks.sideways(sheet, chart, style, plot, scale)
    axes.frame(sheet, style, plot, ys, xs)
    room = (right - left) / max(len(texts) - 1, 1)
    every = 1 if _longest(texts, style) < room - 4 else 2
    for x, text in list(zip(xs, texts, strict=True))[::every]:
        sheet.text((x, bottom + gap - 1), text, style.face, px, style.ink, "ma")
        sheet.marks.append(Mark("tick", (x, bottom + gap - 1 + px / 2), width(text, style.face, px) / 2))
    for y, name in zip(ys, chart.categories, strict=True):
        sheet.text((left - gap, y), name, style.face, px, style.ink, "rm")
        half = width(name, style.face, px) / 2
        sheet.marks.append(Mark("name", (left - gap - half, y), half))
    _axis_titles(sheet, chart, style, plot, area, False)
    return plot, anchors


def _axis_titles(sheet: Sheet, chart: Chart, style: Style, plot: Box, area: Box, over: bool) -> None:
    """The value title beside or above the axis, the category title below (the other way round for horizontal bars)."""
    upright, side = (chart.x_title, chart.y_title) if chart.kind != "barh" else (chart.y_title, chart.x_title)
    px = style.label_px
    if upright:
        sheet.text(((plot[0] + plot[2]) / 2, area[3] - px / 2), upright, style.face, px, style.ink, "mm")
    if side and over:
        sheet.text((area[0], plot[1] - px - 6), side, style.face, px, style.ink, "lm")
    elif side:
        sheet.text((area[0] + px / 2, (plot[1] + plot[3]) / 2), side, style.face, px, style.ink, "mm", 90)
