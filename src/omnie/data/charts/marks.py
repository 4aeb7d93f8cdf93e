"""The marks of a chart: bars, lines, points and wedges, and the values written beside them."""

import math

from omnie.data.charts.axes import Axis, number
from omnie.data.charts.sheet import Box, Point, Sheet, width
from omnie.data.charts.spec import Chart
from omnie.data.charts.styles import HATCHES, Colour, Style, brightness

Anchors = dict[tuple[int, int], Point]
DASHES: tuple[tuple[float, ...], ...] = ((), (6, 3), (2, 2))


def centres(chart: Chart, style: Style, start: float, end: float) -> list[float]:
    """The position of every category along an axis."""
    n = len(chart.categories)
    if chart.kind == "line" and style.edge_to_edge:
        return [start + (end - start) * i / (n - 1) for i in range(n)]
    return [start + (end - start) * (i + 0.5) / n for i in range(n)]


def _value_text(chart: Chart, style: Style, value: float) -> str:
    convention = style.numbers if style.numbers not in ("kilo", "unit") else "plain"
    return number(value, chart.decimals, convention)


def _colour(chart: Chart, style: Style, series: int, category: int) -> Colour:
    single = len(chart.series) == 1 and not chart.series[0].name
    return style.colours[category if style.by_category and single else series]


def _readable(colour: Colour) -> Colour:
    return (0, 0, 0) if brightness(colour) > 140 else (255, 255, 255)


def _bars(chart: Chart, style: Style, start: float, end: float):
    """(series, category, near edge, far edge) along the category axis for every bar."""
    slot = (end - start) / len(chart.categories)
    n = len(chart.series)
    share = style.bar_share if n == 1 else max(style.bar_share, 0.6)
    thick = slot * share / n
    for category in range(len(chart.categories)):
        first = start + slot * (category + 0.5) - thick * n / 2
        for series in range(n):
            yield series, category, first + series * thick, first + (series + 1) * thick - (0.5 if n > 1 else 0)


def upright(sheet: Sheet, chart: Chart, style: Style, plot: Box, scale: Axis) -> Anchors:
    """Vertical bars or lines."""
    left, top, right, bottom = plot
    if chart.kind == "line":
        return _lines(sheet, chart, style, plot, scale)
    zero, anchors = bottom - scale.share(0) * (bottom - top), {}
    for series, category, near, far in _bars(chart, style, left, right):
        value = chart.series[series].values[category]
        end = bottom - scale.share(value) * (bottom - top)
        _bar(sheet, chart, style, series, category, (near, min(end, zero), far, max(end, zero)))
        anchors[series, category] = ((near + far) / 2, end)
        if chart.labelled:
            room = (far - near) * (1.1 if len(chart.series) > 1 else 1 / style.bar_share)
            _bar_label(sheet, chart, style, (series, category), (near + far) / 2, end, abs(zero - end), room)
    if scale.low < 0:
        sheet.line([(left, zero), (right, zero)], style.axis)
    return anchors


def _bar(sheet: Sheet, chart: Chart, style: Style, series: int, category: int, box: Box) -> None:
    colour = _colour(chart, style, series, category)
    sheet.box(box, colour, style.ink if style.bar_edge else None)
    if style.hatched:
        sheet.hatch(box, HATCHES[1 + (series if len(chart.series) > 1 else 0)], _readable(colour))


def _bar_label(
    sheet: Sheet, chart: Chart, style: Style, key: tuple[int, int], x: float, end: float, height: float, room: float
) -> None:
    """The number above (or inside) a vertical bar, turned upright where it is wider than its `room`."""
    value = chart.series[key[0]].values[key[1]]
    text, px, up = _value_text(chart, style, value), style.label_px, 1 if value > 0 else -1
    length = width(text, style.face, px)
    if length > room:
        sheet.text((x, end - up * (length / 2 + 4)), text, style.face, px, style.ink, "mm", 90)
    elif style.label_inside and height > px + 6 and not style.hatched and len(chart.series) == 1:
        sheet.text((x, end + up * (px / 2 + 3)), text, style.face, px, _readable(_colour(chart, style, *key)))
    else:
        sheet.text((x, end - up * (px / 2 + 3)), text, style.face, px, style.ink)


def sideways(sheet: Sheet, chart: Chart, style: Style, plot: Box, scale: Axis) -> Anchors:
    """Horizontal bars, the first category on top."""
    left, top, right, bottom = plot
    zero, anchors = left + scale.share(0) * (right - left), {}
    for series, category, near, far in _bars(chart, style, top, bottom):
        value = chart.series[series].values[category]
        end = left + scale.share(value) * (right - left)
        _bar(sheet, chart, style, series, category, (min(end, zero), near, max(end, zero), far))
        anchors[series, category] = (end, (near + far) / 2)
        if chart.labelled:
            text, place = _value_text(chart, style, value), ("lm" if value > 0 else "rm")
            sheet.text((end + (4 if value > 0 else -4), (near + far) / 2), text, style.face, style.label_px, style.ink, place)
    if scale.low < 0:
        sheet.line([(zero, top), (zero, bottom)], style.axis)
    return anchors


def _lines(sheet: Sheet, chart: Chart, style: Style, plot: Box, scale: Axis) -> Anchors:
    left, top, right, bottom = plot
    xs, anchors = centres(chart, style, left, right), {}
    for index, series in enumerate(chart.series):
        points = [(x, bottom - scale.share(value) * (bottom - top)) for x, value in zip(xs, series.values, strict=True)]
        sheet.line(points, style.colours[index], style.line_px, DASHES[index] if style.dashed else ())
        for category, point in enumerate(points):
            anchors[index, category] = point
            if style.markers:
                marker(sheet, style.markers[index], point, style.line_px + 2.5, style.colours[index], style.panel)
            if chart.labelled:
                text, px = _value_text(chart, style, series.values[category]), style.label_px
                x = min(max(point[0], left + width(text, style.face, px) / 2 + 2), right - width(text, style.face, px) / 2 - 2)
                sheet.text((x, point[1] - px / 2 - style.line_px - 4), text, style.face, px, style.ink)
    return anchors


def points(sheet: Sheet, chart: Chart, style: Style, plot: Box, scale: Axis, across: Axis) -> Anchors:
    """A scatter plot."""
    left, top, right, bottom = plot
    anchors = {}
    for category, (name, value) in enumerate(zip(chart.categories, chart.series[0].values, strict=True)):
        point = (left + across.share(float(name)) * (right - left), bottom - scale.share(value) * (bottom - top))
        marker(
            sheet,
            style.markers[0] if style.markers else "circle",
            point,
            3.0 + style.line_px / 2,
            style.colours[0],
            style.panel,
        )
        anchors[0, category] = point
    return anchors


def marker(sheet: Sheet, kind: str, at: Point, radius: float, colour: Colour, ground: Colour) -> None:
    """One marker; `ground` fills the ring."""
    x, y = at
    r = radius
    if kind == "circle":
        sheet.circle(at, r, colour)
    elif kind == "ring":
        sheet.circle(at, r, ground, colour, 1.5)
    elif kind == "square":
        sheet.box((x - r, y - r, x + r, y + r), colour)
    elif kind == "triangle":
        sheet.polygon([(x, y - 1.2 * r), (x + 1.1 * r, y + 0.8 * r), (x - 1.1 * r, y + 0.8 * r)], colour)
    elif kind == "diamond":
        sheet.polygon([(x, y - 1.3 * r), (x + 1.3 * r, y), (x, y + 1.3 * r), (x - 1.3 * r, y)], colour)
    elif kind == "plus":
        sheet.line([(x - 1.3 * r, y), (x + 1.3 * r, y)], colour, 1.5)
        sheet.line([(x, y - 1.3 * r), (x, y + 1.3 * r)], colour, 1.5)
    else:
        sheet.line([(x - r, y - r), (x + r, y + r)], colour, 1.5)
        sheet.line([(x - r, y + r), (x + r, y - r)], colour, 1.5)


def sample(sheet: Sheet, chart: Chart, style: Style, index: int, at: Point, length: float) -> None:
    """The legend's sample of a series (or wedge), from `at` (left end, middle height) over `length` pixels."""
    x, y = at
    if chart.kind == "line":
        sheet.line([(x, y), (x + length, y)], style.colours[index], style.line_px, DASHES[index] if style.dashed else ())
        if style.markers:
            marker(
                sheet, style.markers[index], (x + length / 2, y), style.line_px + 2.5, style.colours[index], style.background
            )
        return
    if chart.kind == "scatter":
        marker(
            sheet,
            style.markers[0] if style.markers else "circle",
            (x + length / 2, y),
            4,
            style.colours[index],
            style.background,
        )
        return
    half = style.label_px * 0.38
    box = (x if style.legend_box else x + length - 2.4 * half, y - half, x + length, y + half)
    sheet.box(box, style.colours[index], style.ink if style.bar_edge else None)
    if style.hatched and not chart.is_pie:
        sheet.hatch(box, HATCHES[1 + index], _readable(style.colours[index]))


# Pies


def pie(sheet: Sheet, chart: Chart, style: Style, area: Box) -> tuple[Box, Anchors]:
    """A pie or a donut in the middle of the area."""
    left, top, right, bottom = area
    outside = style.pie_labels != "legend"
    texts = _wedge_texts(chart, style)
    reach = max((width(text, style.face, style.label_px) for text in texts), default=0) + 12 if outside else 4
    radius = max(min((right - left) / 2 - reach, (bottom - top) / 2 - (style.label_px + 4 if outside else 4)), 30)
    centre = ((left + right) / 2, (top + bottom) / 2)
    edge = style.background if style.bar_edge or style.frame in ("none", "bottom") else style.ink if style.legend_box else None
    values, anchors, spans = chart.values, {}, []
    angle = -90.0 if style.tight else 0.0
    turn = 1 if style.tight or style.label_inside else -1
    for index, value in enumerate(values):
        sweep = 360 * value / sum(values)
        first, last = sorted((angle, angle + turn * sweep))
        sheet.slice(centre, radius, first, last, style.colours[index], edge)
        middle = math.radians((first + last) / 2)
        spans.append(middle)
        angle += turn * sweep
        share = 0.78 if chart.kind == "donut" else 0.65
        anchors[0, index] = (centre[0] + share * radius * math.cos(middle), centre[1] + share * radius * math.sin(middle))
    if chart.kind == "donut":
        sheet.circle(centre, radius * 0.55, style.background)
    if chart.labelled and style.pie_labels != "all outside":
        for index, value in enumerate(values):
            sheet.text(anchors[0, index], _percent(style, value), style.face, style.label_px, _readable(style.colours[index]))
    if outside:
        _wedge_labels(sheet, style, texts, spans, centre, radius)
    return (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius), anchors


def _percent(style: Style, value: float) -> str:
    return f"{value:.0f}{' %' if style.tick_count % 2 else '%'}"


def _wedge_texts(chart: Chart, style: Style) -> list[str]:
    if style.pie_labels == "all outside" and chart.labelled:
        between = ": " if style.by_category else " "
        return [f"{name}{between}{_percent(style, value)}" for name, value in zip(chart.categories, chart.values, strict=True)]
    return list(chart.categories)


def _wedge_labels(sheet: Sheet, style: Style, texts: list[str], middles: list[float], centre: Point, radius: float) -> None:
    """Names around the pie, pushed apart on each side until none covers another."""
    apart = style.label_px + 2
    for side in (1, -1):
        own = [
            (centre[1] + (radius + 8) * math.sin(m), m, text)
            for text, m in zip(texts, middles, strict=True)
            if (math.cos(m) >= 0) == (side > 0)
        ]
        own.sort()
        heights = [y for y, _, _ in own]
        for i in range(1, len(heights)):
            heights[i] = max(heights[i], heights[i - 1] + apart)
        excess = max(heights[-1] - (centre[1] + radius + apart / 2), 0) if heights else 0
        for i in range(len(heights) - 1, -1, -1):
            limit = heights[i + 1] - apart if i + 1 < len(heights) else heights[i] - excess
            heights[i] = min(heights[i], limit)
        for height, (_, m, text) in zip(heights, own, strict=True):
            x = centre[0] + side * max((radius + 8) * abs(math.cos(m)), 4)
            sheet.text((x, height), text, style.face, style.label_px, style.ink, "lm" if side > 0 else "rm")
