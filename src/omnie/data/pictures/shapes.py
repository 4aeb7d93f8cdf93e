"""Pictures of plain coloured shapes: skill `objects.colour`. Asked is a colour, a shape or a side."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from omnie.data import augment, words
from omnie.data.example import Example, Split, Written
from omnie.data.pictures import backgrounds
from omnie.data.pictures.questions import turn
from omnie.data.turns import Turn, followed
from omnie.data.words import Language, choose
from omnie.media.types import Image
from omnie.messages import Part, text

COLOURS: dict[str, tuple[str, tuple[tuple[int, int, int], ...]]] = {
    "red": ("rot", ((220, 30, 30), (190, 20, 40), (255, 40, 40))),
    "blue": ("blau", ((30, 60, 220), (20, 90, 200), (50, 110, 255))),
    "green": ("grün", ((30, 160, 50), (20, 120, 40), (60, 200, 80))),
    "yellow": ("gelb", ((250, 220, 30), (255, 235, 60), (240, 205, 10))),
    "orange": ("orange", ((255, 140, 20), (245, 125, 0), (255, 155, 50))),
    "purple": ("lila", ((130, 40, 180), (110, 30, 150), (150, 70, 210))),
    "pink": ("rosa", ((255, 130, 190), (250, 150, 200), (255, 105, 180))),
    "brown": ("braun", ((120, 70, 30), (100, 60, 35), (140, 85, 45))),
    "black": ("schwarz", ((10, 10, 10), (25, 25, 25), (0, 0, 0))),
    "white": ("weiß", ((255, 255, 255), (248, 248, 248), (252, 252, 250))),
    "grey": ("grau", ((128, 128, 128), (145, 145, 150), (110, 112, 115))),
}
"""English name -> German name and examples (RGB), around which colours are drawn."""

Corners = list[tuple[float, float]]


@dataclass(frozen=True)
class Shape:
    """A shape: German name with its article, and its outline in a square from -1 to 1, or None for a circle."""

    german: str
    the: str
    outline: Callable[[], Corners] | None


def _ring(corners: int, turn: float = 0.0, inner: float = 1.0) -> Callable[[], Corners]:
    """Corners on a circle, every second one at `inner` of the radius."""
    angles = [np.pi * (2 * index / corners + turn) - np.pi / 2 for index in range(corners)]
    return lambda: [(float(np.cos(angle)) * (inner if index % 2 else 1), float(np.sin(angle)) * (inner if index % 2 else 1))
                    for index, angle in enumerate(angles)]  # fmt: skip


def _box(width: float, height: float) -> Callable[[], Corners]:
    return lambda: [(-width, -height), (width, -height), (width, height), (-width, height)]


def _cross() -> Corners:
    arm = 0.32
    return [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm), (arm, 1), (-arm, 1), (-arm, arm), (-1, arm),
            (-1, -arm), (-arm, -arm)]  # fmt: skip


def _arrow() -> Corners:
    return [(-1, -0.3), (0.1, -0.3), (0.1, -0.75), (1, 0), (0.1, 0.75), (0.1, 0.3), (-1, 0.3)]


SHAPES: dict[str, Shape] = {
    "circle": Shape("Kreis", "der", None),
    "square": Shape("Quadrat", "das", _box(0.85, 0.85)),
    "rectangle": Shape("Rechteck", "das", _box(1.0, 0.5)),
    "triangle": Shape("Dreieck", "das", _ring(3)),
    "diamond": Shape("Raute", "die", lambda: [(0, -1), (0.65, 0), (0, 1), (-0.65, 0)]),
    "hexagon": Shape("Sechseck", "das", _ring(6)),
    "star": Shape("Stern", "der", _ring(10, inner=0.42)),
    "cross": Shape("Kreuz", "das", _cross),
    "arrow": Shape("Pfeil", "der", _arrow),
}


def colour(rng: np.random.Generator, split: Split) -> Example:
    """One to three shapes of different kinds and colours; the answer is a colour, a shape or a side.

    Training asks for each shape, for it cannot be told from the others.
    """
    language = words.any_language(rng)
    number = int(rng.integers(1, 4))
    shapes = [str(item) for item in rng.choice(list(SHAPES), number, replace=False)]
    colours = [str(item) for item in rng.choice(list(COLOURS), number, replace=False)]
    pixels, boxes = paint(rng, shapes, colours)
    asked = int(rng.integers(number))
    first = _about(rng, split, language, shapes, colours, asked)
    parts = (Part("image", Image(pixels)), text(first.question))
    seen = tuple(Written(f"{shade} {shape}", box) for shade, shape, box in zip(colours, shapes, boxes, strict=True))
    example = Example("objects.colour", parts, first.answer, families={"template": first.template}, written=seen)
    others = [int(index) for index in rng.permutation(number) if index != asked]
    return followed(example, split, (_about(rng, split, language, shapes, colours, index) for index in others))


def _about(
    rng: np.random.Generator, split: Split, language: Language, shapes: list[str], colours: list[str], index: int
) -> Turn:
    """A question about one of the shapes: for its colour or kind, or, where there are several, its side."""
    number, shape, shade = len(shapes), SHAPES[shapes[index]], colours[index]
    named = {"shape": shapes[index], "colour": shade, "the": "the", "hue": shade}
    if language == "de":
        german = COLOURS[shade][0]
        named = {"shape": shape.german, "colour": german, "the": shape.the, "hue": german.capitalize()}
    kind = choose(rng, ("colour", "shape", "where") if number > 1 else ("colour", "shape"))
    answer = words.SIDES[language][number][index] if kind == "where" else named[kind]
    return turn(rng, f"shapes-{kind}", split, language, answer, **named)


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


def paint(rng: np.random.Generator, shapes: list[str], colours: list[str]) -> tuple[np.ndarray, list[Box]]:
    """The shapes from left to right on a ground that none is lost on, perhaps worn: uint8 [height, width, 3]; and where their
    names are read: as high as the shape, as wide as its part of the picture."""
    cell, height = int(rng.integers(48, 97)), int(rng.integers(64, 129))
    fills = [_shade(rng, shade) for shade in colours]
    ground = _ground(rng, fills)
    canvas = Pillow.fromarray(backgrounds.ground(rng, height, cell * len(shapes), ground, depth=25).astype(np.uint8))
    pen, boxes = ImageDraw.Draw(canvas), []
    for index, (shape, fill) in enumerate(zip(shapes, fills, strict=True)):
        radius = rng.uniform(0.28, 0.47) * min(cell, height)
        middle = index * cell + rng.uniform(radius + 1, cell - radius - 1), rng.uniform(radius + 1, height - radius - 1)
        _draw(rng, pen, SHAPES[shape], middle, radius, fill)
        boxes.append((float(index * cell), middle[1] - radius, float((index + 1) * cell), middle[1] + radius))
    return augment.degrade(rng, np.asarray(canvas), augment.strength(rng) * 0.7), boxes


def _draw(rng: np.random.Generator, pen: ImageDraw.ImageDraw, shape: Shape, middle: tuple[float, float], radius: float,
          fill: tuple[int, int, int]) -> None:  # fmt: skip
    """One shape, filled, turned by up to 12 degrees."""
    x, y = middle
    if shape.outline is None:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill)
        return
    turn = np.radians(rng.uniform(-12, 12)) if rng.random() < 0.5 else 0.0
    cos, sin = np.cos(turn) * radius, np.sin(turn) * radius
    pen.polygon([(x + cos * u - sin * v, y + sin * u + cos * v) for u, v in shape.outline()], fill)


def _shade(rng: np.random.Generator, name: str) -> tuple[int, int, int]:
    """A colour that everybody would call by this name."""
    red, green, blue = np.clip(np.array(choose(rng, COLOURS[name][1])) + rng.integers(-8, 9, 3), 0, 255).tolist()
    return red, green, blue


def _ground(rng: np.random.Generator, fills: list[tuple[int, int, int]]) -> np.ndarray:
    """A pale or dark colour [3] that differs from every fill."""
    candidates = [backgrounds.colour(rng, (0, 0.25), (0.85, 1.0)) for _ in range(4)]
    candidates += [backgrounds.colour(rng, (0, 0.3), (0.1, 0.35)), np.full(3, 255.0, np.float32)]
    near = [min(float(np.abs(ground - np.array(fill)).mean()) for fill in fills) for ground in candidates]
    seen = [ground for ground, distance in zip(candidates, near, strict=True) if distance >= 45]
    return choose(rng, seen) if seen else candidates[int(np.argmax(near))]
