"""Charts by Vega-Lite, pygal and ReportLab: `python tools/wild/charts.py FOLDER`; `charts.mjs` has ECharts and Chart.js.

CairoSVG makes the pixels of all of them: training's material is drawn with Pillow and resvg (Vega-Lite's own way to PNG).
"""

import sys
from pathlib import Path
from typing import Any

import cairosvg
import pygal
import vl_convert
from pygal.style import CleanStyle, DarkColorizedStyle, DefaultStyle, RedBlueStyle
from reportlab.graphics import renderSVG
from reportlab.graphics.charts.barcharts import HorizontalBarChart, VerticalBarChart
from reportlab.graphics.charts.legends import Legend
from reportlab.graphics.charts.linecharts import HorizontalLineChart
from reportlab.graphics.charts.piecharts import Pie
from reportlab.graphics.shapes import Drawing, String
from reportlab.lib import colors


def main(folder: Path) -> None:
    for name, chart in vega().items():
        save(vl_convert.vegalite_to_svg(chart), folder / f"{name}.png", scale=1.25)
    for name, drawn in pygals().items():
        drawn.config.pretty_print = False
        save(drawn.render(), folder / f"{name}.png")
    for name, drawing in reports().items():
        save(renderSVG.drawToString(drawing), folder / f"{name}.png", scale=1.3)


def save(svg: str | bytes, path: Path, scale: float = 1) -> None:
    cairosvg.svg2png(svg, write_to=str(path), scale=scale, background_color="white")


def vega() -> dict[str, dict[str, Any]]:
    """Vega-Lite specifications by file name."""
    towns = rows(("Bremen", 41), ("Ulm", 26), ("Jena", 58), ("Kiel", 33), ("Trier", 19))
    months = rows(("Jan", 12), ("Feb", 15), ("Mar", 21), ("Apr", 26), ("May", 34), ("Jun", 41), ("Jul", 47))
    falling = rows(*zip(range(2016, 2025), (88, 83, 79, 70, 66, 57, 49, 44, 38)))
    shares = rows(("Cotton", 45), ("Wool", 25), ("Linen", 20), ("Silk", 10))
    dots = [{"a": a, "b": round(0.6 * a + 9 * ((a * 37 % 11) / 11 - 0.5), 1)} for a in range(5, 65, 2)]
    area = rows(*zip(range(1, 9), (20, 24, 31, 29, 38, 46, 52, 60)))
    label = {"mark": {"type": "text", "dy": -7}, "encoding": {"text": {"field": "b", "type": "quantitative"}}}
    return {
        "vega_bar": chart("Library visits per town (thousands)", towns, "bar", nominal("a"), number("b", "visits")),
        "vega_bar_labelled": layered("Besucher im Zoo", months, [{"mark": "bar"}, label], ordered("a"), number("b", "Tausend")),
        "vega_barh": chart("Gewicht der Hunde", rows(("Dackel", 9), ("Boxer", 31), ("Collie", 24), ("Mops", 8)),
                           {"type": "bar", "color": "#8a5a2b"}, number("b", "kg"), nominal("a")),
        "vega_line": chart("Letters delivered", falling, {"type": "line", "point": True}, ordered("a", "year"),
                           number("b", "millions")),
        "vega_area": chart("Solar panels on roofs", area, {"type": "area", "color": "#e4a11b"}, ordered("a", "week"),
                           number("b", "panels")),
        "vega_scatter": chart("Height and shoe size", dots, {"type": "point", "filled": True}, number("a", "height"),
                              number("b", "size")),
        "vega_pie": {
            "title": "Fabric on sale", "data": {"values": shares}, "width": 220, "height": 220, "padding": 12,
            "encoding": {"theta": {"field": "b", "type": "quantitative", "stack": True},
                         "order": {"field": "b", "sort": "descending"}},
            "layer": [
                {"mark": {"type": "arc", "outerRadius": 100},
                 "encoding": {"color": {"field": "a", "type": "nominal", "title": None}}},
                {"mark": {"type": "text", "radius": 70, "fill": "white", "fontSize": 13},
                 "encoding": {"text": {"field": "b", "type": "quantitative"}, "detail": {"field": "a"}}},
            ],
        },
    }  # fmt: skip


def rows(*pairs: tuple[Any, float]) -> list[dict[str, Any]]:
    return [{"a": a, "b": b} for a, b in pairs]


def nominal(field: str) -> dict[str, Any]:
    return {"field": field, "type": "nominal", "title": None, "sort": None}


def ordered(field: str, title: str | None = None) -> dict[str, Any]:
    return {"field": field, "type": "ordinal", "title": title, "sort": None}


def number(field: str, title: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title}


def chart(title: str, values: list[dict], mark: Any, x: dict, y: dict) -> dict[str, Any]:
    size = {"width": 320, "height": 220, "padding": 10}
    return {"title": title, "data": {"values": values}, "mark": mark, "encoding": {"x": x, "y": y}} | size


def layered(title: str, values: list[dict], layers: list[dict], x: dict, y: dict) -> dict[str, Any]:
    size = {"width": 320, "height": 220, "padding": 10}
    return {"title": title, "data": {"values": values}, "layer": layers, "encoding": {"x": x, "y": y}} | size


def pygals() -> dict[str, pygal.graph.graph.Graph]:
    """pygal charts by file name; CairoSVG makes pixels of them."""
    size: dict[str, Any] = {"width": 560, "height": 380, "explicit_size": True, "js": ()}
    bar = pygal.Bar(title="Tore pro Mannschaft", style=CleanStyle, print_values=True, show_legend=False, **size)
    bar.x_labels = ["Adler", "Wölfe", "Haie", "Tiger"]
    bar.add("Tore", [17, 29, 23, 11])
    line = pygal.Line(title="Water level of the pond", style=DarkColorizedStyle, show_legend=False, **size)
    line.x_labels = ["6am", "8am", "10am", "12pm", "2pm", "4pm", "6pm"]
    line.add("cm", [140, 131, 118, 109, 97, 88, 71])
    pie = pygal.Pie(title="Lieblingsfächer der Klasse", style=DefaultStyle, print_values=True, **size)
    for name, share in (("Sport", 9), ("Kunst", 6), ("Musik", 4), ("Mathe", 3)):
        pie.add(name, share)
    rise = pygal.Bar(title="Members of the chess club", style=RedBlueStyle, show_legend=False, **size)
    rise.x_labels = [str(year) for year in range(2017, 2024)]
    rise.add("members", [20, 26, 31, 39, 47, 52, 64])
    dots = pygal.XY(title="Alter und Preis", style=CleanStyle, stroke=False, show_legend=False, dots_size=5, **size)
    dots.add("Autos", [(n, 24 - 1.4 * n + 3 * ((n * 29 % 7) / 7 - 0.5)) for n in range(1, 15)])
    return {"pygal_bar": bar, "pygal_line": line, "pygal_pie": pie, "pygal_rise": rise, "pygal_scatter": dots}


def reports() -> dict[str, Drawing]:
    """ReportLab drawings by file name."""
    bar = drawn(VerticalBarChart(), "Bread sold by day", (62, 48, 75, 90, 34), ("Mon", "Tue", "Wed", "Thu", "Fri"))
    wide = drawn(HorizontalBarChart(), "Länge der Wanderwege in km", (14, 8, 21), ("Seeweg", "Waldpfad", "Höhenweg"))
    line = HorizontalLineChart()
    line.joinedLines, line.lines[0].strokeWidth = 1, 2
    flat = drawn(line, "Strompreis je Woche", (40, 40, 41, 40, 40, 39, 40), ("1", "2", "3", "4", "5", "6", "7"))
    line.valueAxis.valueMax = 60
    pie = Pie()
    pie.x, pie.y, pie.width, pie.height = 60, 35, 150, 150
    pie.data, pie.labels = [55, 30, 15], ["55 %", "30 %", "15 %"]
    legend = Legend()
    legend.x, legend.y, legend.alignment, legend.fontSize = 250, 130, "right", 11
    tints = (colors.steelblue, colors.orange, colors.seagreen)
    legend.colorNamePairs = list(zip(tints, ("Bicycle", "Bus", "On foot")))
    for number, tint in enumerate(tints):
        pie.slices[number].fillColor = tint
    paper = sheet("How pupils come to school")
    paper.add(pie)
    paper.add(legend)
    return {"reportlab_bar": bar, "reportlab_barh": wide, "reportlab_line": flat, "reportlab_pie": paper}


def sheet(title: str) -> Drawing:
    paper = Drawing(380, 250)
    paper.add(String(190, 226, title, fontSize=14, textAnchor="middle"))
    return paper


def drawn(plot: Any, title: str, values: tuple[float, ...], names: tuple[str, ...]) -> Drawing:
    """A ReportLab plot of one series on paper, from zero."""
    plot.x, plot.y, plot.width, plot.height = 70, 40, 280, 165
    plot.data, plot.categoryAxis.categoryNames, plot.valueAxis.valueMin = [values], list(names), 0
    if isinstance(plot, HorizontalBarChart):
        plot.categoryAxis.labels.dx = -6
    paper = sheet(title)
    paper.add(plot)
    return paper


if __name__ == "__main__":
    main(Path(sys.argv[1]))
