"""Held-out charts, drawn by Matplotlib in its built-in styles: a renderer whose pictures no training example shows.

Matplotlib is imported only here, and only where a held-out picture is drawn.
"""

import functools
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from omnie.data import fonts
from omnie.data.charts.axes import decimals, number
from omnie.data.charts.content import choice
from omnie.data.charts.spec import Chart

STYLES = (
    "default", "default", "default", "classic", "ggplot", "bmh", "fivethirtyeight", "seaborn-v0_8", "seaborn-v0_8-whitegrid",
    "seaborn-v0_8-darkgrid", "seaborn-v0_8-ticks", "seaborn-v0_8-pastel", "dark_background", "Solarize_Light2",
    "tableau-colorblind10", "fast",
)  # fmt: skip
BUNDLED = ("DejaVu Sans", "DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono")
SIZES = (
    (448, 320, 80),
    (448, 320, 72),
    (448, 288, 76),
    (416, 320, 78),
    (400, 300, 72),
    (352, 288, 68),
    (640, 480, 100),
    (480, 288, 80),
)
"""Width, height, dots per inch: 10-point text is 9 to 14 pixels high."""


def picture(rng: np.random.Generator, chart: Chart) -> tuple[np.ndarray, dict[str, str]]:
    """A chart as Matplotlib draws it: pixels uint8 [height, width, 3] and the families it drew on."""
    name, (wide, high, dpi) = choice(rng, STYLES), choice(rng, SIZES)
    family = (
        choice(rng, BUNDLED)
        if rng.random() < 0.5
        else _register(fonts.pick(rng, "heldout", kinds=("sans", "serif", "mono"), styles=("regular",)))
    )
    with matplotlib.rc_context(), style.context(name):
        matplotlib.rcParams.update(_settings(rng, family, dpi))
        figure = Figure(figsize=(wide / dpi, high / dpi), dpi=dpi)
        canvas = FigureCanvasAgg(figure)
        _draw(rng, figure.subplots(), chart)
        figure.tight_layout(pad=0.6)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    families = {
        "font": family,
        "title font": family,
        "palette": f"matplotlib {name}",
        "layout": f"matplotlib {name}",
        "renderer": "matplotlib",
    }
    return pixels, families


@functools.cache
def _register(face: fonts.Face) -> str:
    """The name under which Matplotlib knows a font file."""
    font_manager.fontManager.addfont(face.path)
    return font_manager.FontProperties(fname=str(face.path)).get_name()


def _settings(rng: np.random.Generator, family: str, dpi: int) -> dict[str, Any]:
    size = float(rng.integers(10, 12))
    return {
        "font.family": family, "font.size": size, "axes.titlesize": size + float(rng.integers(0, 4)), "axes.labelsize": size,
        "xtick.labelsize": size, "ytick.labelsize": size, "legend.fontsize": size, "savefig.dpi": dpi, "figure.dpi": dpi,
        "axes.titlelocation": choice(rng, ("center", "center", "center", "left")),
    }  # fmt: skip


def _draw(rng: np.random.Generator, ax: Axes, chart: Chart) -> None:
    if chart.title:
        ax.set_title(chart.title)
    if chart.is_pie:
        return _pie(rng, ax, chart)
    {"bar": _bars, "barh": _bars, "line": _lines, "scatter": _points}[chart.kind](rng, ax, chart)
    sideways = chart.kind == "barh"
    ax.set_xlabel(chart.y_title if sideways else chart.x_title)
    ax.set_ylabel(chart.x_title if sideways else chart.y_title)
    if rng.random() < 0.3:
        ax.grid(True, axis=choice(rng, ("both", "x" if sideways else "y")))
        ax.set_axisbelow(True)
    if rng.random() < 0.2:
        ax.spines[["top", "right"]].set_visible(False)
    if chart.language == "de" and rng.random() < 0.6 or rng.random() < 0.15:
        _group(ax.xaxis if sideways else ax.yaxis, "dot" if chart.language == "de" else "comma")
    if any(series.name for series in chart.series):
        ax.legend(loc=choice(rng, ("best", "best", "upper right", "upper left")))


def _group(axis, convention: str) -> None:
    """Tick labels with a thousands mark."""
    step = abs(float(np.diff(axis.get_ticklocs())[0]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value, decimals(round(step, 9)), convention)))


def _label(chart: Chart):
    convention = "dot" if chart.language == "de" else "plain"
    return lambda value: number(value, chart.decimals, convention)


def _bars(rng: np.random.Generator, ax: Axes, chart: Chart) -> None:
    places, n = np.arange(len(chart.categories)), len(chart.series)
    thick = float(rng.uniform(0.5, 0.85)) / n
    sideways = chart.kind == "barh"
    for index, series in enumerate(chart.series):
        where = places + (index - (n - 1) / 2) * thick
        bars = (ax.barh if sideways else ax.bar)(where, series.values, thick, label=series.name or None)
        if chart.labelled:
            ax.bar_label(bars, fmt=_label(chart), padding=2)
            ax.margins(**{"x" if sideways else "y": 0.15})
    if sideways:
        ax.set_yticks(places, chart.categories)
        ax.invert_yaxis()
    else:
        _names(ax, chart)


def _names(ax: Axes, chart: Chart) -> None:
    """Category names below the axis, slanted where they would touch."""
    long = sum(len(name) + 1.5 for name in chart.categories) > 48
    ax.set_xticks(
        np.arange(len(chart.categories)), chart.categories, rotation=45 if long else 0, ha="right" if long else "center"
    )


def _lines(rng: np.random.Generator, ax: Axes, chart: Chart) -> None:
    marker = choice(rng, ("", "o", "s", "^", "o"))
    for series in chart.series:
        ax.plot(np.arange(len(series.values)), series.values, marker=marker, label=series.name or None)
        for x, value in enumerate(series.values) if chart.labelled else ():
            ax.annotate(_label(chart)(value), (x, value), (0, 5), textcoords="offset points", ha="center")
    if chart.labelled:
        ax.margins(0.1, 0.18)
    if min(chart.values) > 0 and (len(set(chart.series[0].values)) == 1 or rng.random() < 0.5 or _flat(chart)):
        ax.set_ylim(bottom=0)
    _names(ax, chart)


def _flat(chart: Chart) -> bool:
    """The values differ so little that an axis of their own would show noise as a trend."""
    return max(chart.values) - min(chart.values) < 0.1 * max(chart.values)


def _points(rng: np.random.Generator, ax: Axes, chart: Chart) -> None:
    ax.scatter(
        [float(name) for name in chart.categories], chart.series[0].values, marker=choice(rng, ("o", "o", "x", "s", "^"))
    )
    if min(chart.values) > 0 and (rng.random() < 0.5 or _flat(chart)):
        ax.set_ylim(bottom=0)


def _pie(rng: np.random.Generator, ax: Axes, chart: Chart) -> None:
    legend = rng.random() < 0.35
    hole = {"width": 0.45} if chart.kind == "donut" else {}
    shares = {"autopct": "%1.0f%%", "pctdistance": 0.77 if hole else 0.6} if chart.labelled else {}
    turn = {"startangle": choice(rng, (0, 90)), "counterclock": rng.random() < 0.7}
    wedges = ax.pie(chart.values, labels=None if legend else chart.categories, wedgeprops=hole, **shares, **turn)
    if legend:
        ax.legend(wedges[0], chart.categories, loc="center left", bbox_to_anchor=(1, 0.5))
