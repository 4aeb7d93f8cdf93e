"""The concrete things of `objects.toml` with their names, and drawing their icons from an SVG set. Writes no files."""

import functools
import io
import re
import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

SIZE = 120
"""Sides of a drawn icon in pixels; the drawing touches two opposite ones."""


@dataclass(frozen=True)
class Thing:
    """Something that is drawn. `plural` is English; `german` and `german_plural` are written as nouns are, with a capital."""

    name: str
    plural: str
    german: str
    german_plural: str
    icons: frozenset[str]


_PLURALS = {"mouse": "mice", "wolf": "wolves", "fish": "fish", "sheep": "sheep", "dice": "dice", "snowman": "snowmen",
            "scarf": "scarves", "cactus": "cacti", "deer": "deer", "shrimp": "shrimps", "knife": "knives", "leaf": "leaves",
            "computer mouse": "computer mice", "volcano": "volcanoes", "tornado": "tornadoes",
            "wine": "glasses of wine", "coffee": "cups of coffee", "corn": "cobs of corn", "bread": "loaves of bread",
            "cheese": "pieces of cheese", "chocolate": "bars of chocolate", "honey": "jars of honey",
            "milk": "glasses of milk", "popcorn": "bags of popcorn", "spaghetti": "plates of spaghetti",
            "lightning": "flashes of lightning"}  # fmt: skip


_PAIRS = frozenset(("gloves", "glasses", "trousers", "scissors", "cherries", "grapes", "fries", "pancakes", "peanuts", "skis",
                    "headphones", "scales", "swords"))  # fmt: skip
"""Names that are plurals already."""


def _plural(name: str) -> str:
    if name in _PAIRS:
        return name
    if name in _PLURALS:
        return _PLURALS[name]
    if re.search(r"[^aeiou]y$", name):
        return name[:-1] + "ies"
    return name + ("es" if re.search(r"(s|x|ch|sh|ato)$", name) else "s")


@functools.cache
def things() -> dict[str, Thing]:
    """English name -> thing, in the table's order."""
    table = tomllib.loads(Path(__file__).with_name("objects.toml").read_text(encoding="utf-8"))["things"]
    return {name: Thing(name, _plural(name), row[0], row[1], frozenset(map(_plain, row[2:]))) for name, row in table.items()}


@functools.cache
def fingerprint() -> int:
    """A number that changes whenever a thing gains or loses an icon."""
    return zlib.crc32(repr([(name, sorted(thing.icons)) for name, thing in things().items()]).encode())


def _plain(icon: str) -> str:
    """An icon's name without what sets write differently: "hot-beverage-2" and "hotbeverage" are equal."""
    return re.sub(r"-\d+$", "", icon).replace("-", "")


def icons(table: dict) -> Iterator[tuple[str, str, Image.Image]]:
    """Every icon of a thing in an SVG set: thing, icon name, RGBA picture [120, 120], cropped to the drawing and centred.

    Args:
        table: The set's `icons.json`: `icons` maps a name to an SVG `body`, with `width`, `height`, `left` and `top` there or
            for the whole set.
    """
    owners = {icon: name for name, thing in things().items() for icon in thing.icons}
    for icon, drawing in table["icons"].items():
        if _plain(icon) in owners:
            yield owners[_plain(icon)], icon, _draw(_sides(table) | drawing)


def _sides(table: dict) -> dict:
    default = {"width": 16, "height": 16, "left": 0, "top": 0}
    return {side: table.get(side, default[side]) for side in default}


def _draw(drawing: dict) -> Image.Image:
    """One SVG body as a square RGBA picture."""
    import resvg_py

    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    box = "{left} {top} {width} {height}".format(**drawing)
    svg = f'<svg {spaces} viewBox="{box}">{drawing["body"]}</svg>'
    png = resvg_py.svg_to_bytes(svg_string=svg, width=3 * SIZE, skip_system_fonts=True)
    large = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    tight = large.crop(large.getchannel("A").point(lambda alpha: 255 * (alpha > 8)).getbbox())
    scale = SIZE / max(tight.size)
    tight = tight.resize([max(1, round(side * scale)) for side in tight.size], Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (SIZE, SIZE))
    square.paste(tight, ((SIZE - tight.width) // 2, (SIZE - tight.height) // 2))
    return square
