"""How a chart looks: pools of palettes, frames and places, and one drawn `Style`. No pixels are set here.

Train and validation share the vocabulary of conventions but never a combination: a layout's name lists its choices, and a hash
of that name gives it to one split. Palettes are owned by name; colours are shifted a little, so none is met exactly twice.
"""

import colorsys
import functools
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnie.data import fonts
from omnie.data.charts.content import choice
from omnie.data.charts.spec import Chart
from omnie.data.example import Split

Colour = tuple[int, int, int]

PALETTES: dict[str, str] = {
    "tab": "1f77b4 ff7f0e 2ca02c d62728 9467bd 8c564b e377c2",
    "purple-green": "9400d3 009e73 56b4e9 e69f00 f0e442 0072b2 e51e10",
    "office": "4472c4 ed7d31 a5a5a5 ffc000 5b9bd5 70ad47 264478",
    "office-old": "4f81bd c0504d 9bbb59 8064a2 4bacc6 f79646 2c4d75",
    "grammar": "f8766d 00ba38 619cff b79f00 00bfc4 f564e3 7cae00",
    "deep": "4c72b0 dd8452 55a868 c44e52 8172b3 937860 da8bc3",
    "muted": "4878d0 ee854a 6acc64 d65f5f 956cb4 8c613c dc7ec0",
    "web": "3366cc dc3912 ff9900 109618 990099 0099c6 dd4477",
    "vega": "4c78a8 f58518 e45756 72b7b2 54a24b eeca3b b279a2",
    "flat": "3498db e74c3c 2ecc71 f1c40f 9b59b6 34495e 1abc9c",
    "primary": "0000ff ff0000 008000 ffa500 800080 00aaaa 808000",
    "bright": "ff0000 00c000 0080ff c000ff 00eeee c04000 c8c800",
    "plotly": "636efa ef553b 00cc96 ab63fa ffa15a 19d3f3 ff6692",
    "set": "66c2a5 fc8d62 8da0cb e78ac3 a6d854 ffd92f e5c494",
    "dark-set": "1b9e77 d95f02 7570b3 e7298a 66a61e e6ab02 a6761d",
    "blues": "08519c 3182bd 6baed6 9ecae1 c6dbef 08306b 4292c6",
    "greens": "006d2c 31a354 74c476 a1d99b c7e9c0 00441b 41ab5d",
    "greys": "252525 636363 969696 bdbdbd d9d9d9 111111 7f7f7f",
    "reds": "a50f15 de2d26 fb6a4a fc9272 fcbba1 67000d ef3b2c",
    "warm": "d73027 fc8d59 fee090 f46d43 fdae61 a50026 e08214",
    "viridis": "440154 3b528b 21918c 5ec962 fde725 46327e 277f8e",
    "earth": "8c510a bf812d dfc27d 80cdc1 35978f 01665e 543005",
    "black": "000000 777777 bbbbbb 444444 999999 222222 cccccc",
    "neon": "00e5ff ff4081 76ff03 ffea00 d500f9 ff6d00 1de9b6",
    "ink": "003f5c 58508d bc5090 ff6361 ffa600 2f4b7c a05195",
    "sea": "264653 2a9d8f e9c46a f4a261 e76f51 457b9d 1d3557",
    "steel": "4682b4 cd5c5c 3cb371 daa520 9370db 708090 20b2aa",
    "wine": "722f37 b5838d 6d6875 e5989b ffb4a2 4a4e69 9a8c98",
    "forest": "386641 6a994e a7c957 bc4749 f2e8cf 283618 dda15e",
    "candy": "f72585 7209b7 3a0ca3 4361ee 4cc9f0 b5179e 560bad",
}
VALIDATION_PALETTES = frozenset({"vega", "dark-set", "reds", "sea", "steel", "office-old"})
"""The other palettes are trained on. Seven colours each: charts have at most seven parts."""

BACKGROUNDS: dict[str, tuple[str, str, str, str]] = {
    "white": ("ffffff", "ffffff", "000000", "d0d0d0"), "paper": ("ffffff", "ffffff", "404040", "e0e0e0"),
    "grey panel": ("ffffff", "ebebeb", "4d4d4d", "ffffff"), "grey": ("e8e8e8", "f4f4f4", "202020", "c8c8c8"),
    "cream": ("fdf6e3", "fdf6e3", "4a4238", "e5dcc5"), "blue panel": ("ffffff", "e5ecf6", "2a3f5f", "ffffff"),
    "dark": ("1e1e1e", "1e1e1e", "e6e6e6", "484848"), "black": ("000000", "000000", "ffffff", "505050"),
    "night": ("0f1b2d", "14243b", "d8e2f0", "33455f"), "old office": ("ffffff", "c0c0c0", "000000", "000000"),
}  # fmt: skip
BACKGROUND_SHARES = {
    "white": 0.42, "paper": 0.2, "grey panel": 0.09, "grey": 0.06, "cream": 0.05, "blue panel": 0.04, "dark": 0.05,
    "black": 0.02, "night": 0.04, "old office": 0.03,
}  # fmt: skip
"""Background -> how often; each gives the colours of the picture, the plot area, the text and the grid."""

FRAMES = ("box", "box", "box", "left-bottom", "left-bottom", "bottom", "none")
GRIDS = ("none", "none", "none", "y", "y", "y", "both", "y dashed", "both dashed", "both dotted")
TICKS = ("out", "out", "in", "in", "both-in", "none")
TITLES = ("centre", "centre", "centre", "figure centre", "left", "figure left", "bottom")
LEGENDS = ("inside right", "inside right", "inside left", "right", "right", "top", "bottom")
NUMBERS = {
    "de": ("plain", "dot", "dot", "dot", "space", "comma", "comma-decimal", "kilo", "unit"),
    "en": ("plain", "plain", "comma", "comma", "comma", "kilo", "space", "unit"),
}
HATCHES = ("", "/", "\\", "x", "-", "|", ".")
MARKERS = ("circle", "square", "triangle", "diamond", "plus", "cross", "ring")
SIZES = ((448, 320), (448, 320), (448, 288), (416, 320), (416, 288), (384, 288), (384, 256), (352, 256), (320, 240), (448, 256),
         (320, 288), (288, 224), (320, 320), (480, 288), (256, 192), (224, 192))  # fmt: skip


@dataclass(frozen=True)
class Style:
    """Everything that the drawing code may choose. Lengths are pixels of the finished picture.

    Attributes:
        scale: Shapes are drawn this many times larger and then averaged down (1: no anti-aliasing of shapes).
        text_scaled: Text is drawn large and averaged down too, as in a picture that was reduced afterwards.
        tight: The value axis ends at the highest value instead of at the next tick above it.
        edge_to_edge: A line starts on the left edge of the plot and ends on the right one.
        sample_right: The legend's sample stands to the right of its text.
    """

    size: tuple[int, int]
    face: fonts.Face
    title_face: fonts.Face
    title_px: int
    label_px: int
    background: Colour
    panel: Colour
    ink: Colour
    axis: Colour
    grid_colour: Colour
    colours: tuple[Colour, ...]
    frame: str
    grid: str
    ticks: str
    title: str
    legend: str
    legend_box: bool
    sample_right: bool
    numbers: str
    tick_count: int
    tight: bool
    edge_to_edge: bool
    bar_share: float
    bar_edge: bool
    by_category: bool
    hatched: bool
    line_px: int
    markers: tuple[str, ...]
    dashed: bool
    pie_labels: str
    label_inside: bool
    slanted: int
    scale: int
    text_scaled: bool
    pad: int
    border: bool
    names: dict[str, str]


def owner(name: str) -> Split:
    """The split (train or validation) that a layout name belongs to."""
    return "validation" if zlib.crc32(name.encode()) % 8 == 0 else "train"


def draw_style(rng: np.random.Generator, split: Split, chart: Chart) -> Style:
    """A random style of the split for this chart."""
    chosen = _paint(rng, split, chart) | _letters(rng, split) | _places(rng, split) | _conventions(rng, chart)
    chosen["names"] = {
        "font": chosen["face"].family, "title font": chosen["title_face"].family, "palette": chosen.pop("palette"),
        "layout": f"pillow {chosen.pop('layout')}", "renderer": "pillow",
    }  # fmt: skip
    return Style(**chosen)


def _paint(rng: np.random.Generator, split: Split, chart: Chart) -> dict[str, Any]:
    theme = _weighted(rng, BACKGROUND_SHARES)
    background, panel, ink, grid_colour = (_rgb(code) for code in BACKGROUNDS[theme])
    palette, colours = _palette(rng, split, panel, len(chart.categories) if chart.is_pie else len(chart.series))
    axis = ink if rng.random() < 0.7 else _mix(ink, background, 0.5)
    return {"background": background, "panel": panel, "ink": ink, "axis": axis, "grid_colour": grid_colour, "palette": palette,
            "colours": colours}  # fmt: skip


def _letters(rng: np.random.Generator, split: Split) -> dict[str, Any]:
    """The picture's size, and faces and sizes of its texts."""
    size, larger = _size(rng)
    plain = None if rng.random() < 0.15 else ("sans", "serif", "mono")
    face = title_face = fonts.pick(
        rng, split, kinds=plain, styles=(_weighted(rng, {"regular": 0.8, "bold": 0.13, "italic": 0.07}),)
    )
    if rng.random() < 0.15:
        title_face = fonts.pick(rng, split, kinds=("sans", "serif", "slab", "display"), styles=("regular", "bold"))
    small = size[0] < 310
    label_px = int(rng.integers(10, 12 if small else 15))
    title_px = min(label_px + int(rng.integers(0, 6)), 13 if small else 19)
    scale = 1 if larger > 1 else int(choice(rng, (1, 2, 2, 2)))
    return {
        "size": size, "face": face, "title_face": title_face, "label_px": round(label_px * larger * _enlarge(face)),
        "title_px": round(title_px * larger * _enlarge(title_face)), "scale": scale, "text_scaled": rng.random() < 0.2,
    }  # fmt: skip


def _size(rng: np.random.Generator) -> tuple[tuple[int, int], float]:
    """A picture's size, and how much larger than the model sees it: screenshots are scaled down or stretched a little."""
    wide, high = choice(rng, SIZES)
    draw = rng.random()
    if draw < 0.15 and wide > 300:
        larger = float(rng.uniform(1.15, 1.6))
        return (round(wide * larger), round(high * larger)), larger
    if draw < 0.4:
        return (wide + int(rng.integers(-16, 17)), high + int(rng.integers(-14, 15))), 1.0
    return (wide, high), 1.0


def _places(rng: np.random.Generator, split: Split) -> dict[str, Any]:
    layout = _layout(rng, split)
    frame, grid, ticks, title, legend = layout.split("/")
    return {"layout": layout, "frame": frame, "grid": grid, "ticks": ticks, "title": title, "legend": legend,
            "legend_box": rng.random() < 0.4, "sample_right": rng.random() < 0.3, "pad": int(rng.integers(3, 14)),
            "border": rng.random() < 0.12}  # fmt: skip


def _conventions(rng: np.random.Generator, chart: Chart) -> dict[str, Any]:
    """How numbers are written and marks are drawn."""
    return {
        "numbers": choice(rng, NUMBERS[chart.language]), "tick_count": int(rng.integers(4, 8)), "tight": rng.random() < 0.35,
        "edge_to_edge": rng.random() < 0.3, "bar_share": float(rng.uniform(0.35, 0.95)), "bar_edge": rng.random() < 0.3,
        "by_category": rng.random() < 0.25, "hatched": rng.random() < 0.07, "dashed": rng.random() < 0.15,
        "markers": tuple(choice(rng, MARKERS) for _ in range(3)) if rng.random() < 0.6 else (),
        "line_px": int(choice(rng, (1, 1, 2, 2, 2, 3, 4))), "label_inside": rng.random() < 0.2,
        "pie_labels": choice(rng, ("outside", "outside", "legend", "legend", "all outside")),
        "slanted": int(choice(rng, (90, 45, 30))),
    }  # fmt: skip


def _layout(rng: np.random.Generator, split: Split) -> str:
    while True:
        name = "/".join(choice(rng, pool) for pool in (FRAMES, GRIDS, TICKS, TITLES, LEGENDS))
        if owner(name) == split:
            return name


@functools.cache
def _enlarge(face: fonts.Face) -> float:
    """How much larger than usual a face must be set for its small letters to be half an em high, at most 1.3."""
    top, bottom = fonts.font(face, 200).getbbox("x")[1::2]
    return min(max(100 / max(bottom - top, 1), 1.0), 1.3)


def _palette(rng: np.random.Generator, split: Split, panel: Colour, n: int) -> tuple[str, tuple[Colour, ...]]:
    """A palette whose first `n` colours stand out from the panel and from each other."""
    while True:
        name, raw = _raw_palette(rng, split)
        colours = _visible(raw, panel)
        if all(_distance(a, b) > 75 for i, a in enumerate(colours[:n]) for b in colours[:i]):
            return name, colours


def _raw_palette(rng: np.random.Generator, split: Split) -> tuple[str, list[Colour]]:
    if split == "train" and rng.random() < 0.25:
        hues = ((rng.random() + np.arange(7) / 7) % 1)[rng.permutation(7)]
        light, rich = rng.uniform(0.35, 0.65), rng.uniform(0.4, 1)
        return "random hues", [tuple(int(255 * c) for c in colorsys.hls_to_rgb(hue, light, rich)) for hue in hues]
    names = [name for name in PALETTES if (name in VALIDATION_PALETTES) == (split == "validation")]
    name = choice(rng, names)
    colours = [_shift(rng, _rgb(code)) for code in PALETTES[name].split()]
    if rng.random() < 0.3:
        colours = [colours[i] for i in rng.permutation(len(colours))]
    return name, colours


def _weighted(rng: np.random.Generator, shares: dict[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def _rgb(code: str) -> Colour:
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


def _shift(rng: np.random.Generator, colour: Colour) -> Colour:
    return tuple(int(min(max(c + d, 0), 255)) for c, d in zip(colour, rng.integers(-12, 13, 3), strict=True))


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    return tuple(round(x * share + y * (1 - share)) for x, y in zip(a, b, strict=True))


def _distance(a: Colour, b: Colour) -> int:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True))


def brightness(colour: Colour) -> float:
    """Perceived lightness, 0 to 255 (Rec. 601 weights)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def _visible(colours: list[Colour], panel: Colour) -> tuple[Colour, ...]:
    """Colours that stand out from the panel: a mark nobody can see teaches nothing."""
    ground, seen = brightness(panel), []
    for colour in colours:
        if _distance(colour, panel) < 110 or abs(brightness(colour) - ground) < 40:
            colour = _mix(colour, (0, 0, 0) if ground > 128 else (255, 255, 255), 0.55)
        seen.append(colour)
    return tuple(seen)
