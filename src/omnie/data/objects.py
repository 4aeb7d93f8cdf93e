"""Pictures of concrete things on all sorts of grounds, to be named, counted and told apart: skills `objects.*`.

The drawings come from emoji families; a held-out family shows known things as they were never drawn in training.
"""

import functools
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from PIL import Image as Pillow

from omnie.data import augment, words
from omnie.data.assets import Asset
from omnie.data.example import Example, Generator, Split, Written
from omnie.data.pictures import backgrounds, emoji, shapes
from omnie.data.pictures.questions import turn
from omnie.data.pictures.restyle import restyled
from omnie.data.pictures.things import Thing, things
from omnie.data.turns import Turn, followed
from omnie.data.words import Language, choose
from omnie.media.types import Image
from omnie.messages import Part, text

Box = tuple[int, int, int]
"""Left, top and side of the square that a drawing fills, in pixels."""

PLACES: dict[Language, dict[int, tuple[str, ...]]] = {
    "en": {2: ("on the left", "on the right"), 3: ("on the left", "in the middle", "on the right")},
    "de": {2: ("links", "rechts"), 3: ("links", "in der Mitte", "rechts")},
}
"""How a place in a row of two or three is written in a question; as an answer it is one of `words.SIDES`."""


def name(rng: np.random.Generator, split: Split) -> Example:
    """One thing, 24 to 110 pixels large, in a picture of 96 to 128 pixels; the answer is its name.

    Training asks for it in the other language too.
    """
    family, language = _family(rng, split), words.any_language(rng)
    thing = things()[choose(rng, emoji.drawn_by(family.family))]
    width, height = (int(side) for side in rng.integers(96, 129, 2))
    side = int(min(rng.integers(24 if rng.random() < 0.2 else 52, 111), width - 4, height - 4))
    box = int(rng.integers(2, width - side - 1)), int(rng.integers(2, height - side - 1)), side
    pixels = paint(rng, family, [(thing.name, box)], width, height)
    turns = (_named(rng, split, thing, asked) for asked in (language, _other(language)))
    return _example("objects.name", pixels, split, family, turns, _seen([(thing, box)]))


def _named(rng: np.random.Generator, split: Split, thing: Thing, language: Language) -> Turn:
    return turn(rng, "objects-name", split, language, word(thing, language))


def _other(language: Language) -> Language:
    return "en" if language == "de" else "de"


def count(rng: np.random.Generator, split: Split) -> Example:
    """One to five of a thing, alone or among others; the answer is their number, or now and then the number of all things.

    Among others, training asks for each of these numbers.
    """
    family, language = _family(rng, split), words.any_language(rng)
    wanted, other = (things()[choose(rng, _countable(family))] for _ in range(2))
    number, others = int(rng.integers(1, 6)), int(rng.integers(0, 3)) if rng.random() < 0.5 else 0
    if other.name == wanted.name:
        others = 0
    width, height = (int(side) for side in rng.integers(120, 177, 2))
    boxes = _scatter(rng, number + others, width, height)
    names = [wanted.name] * number + [other.name] * others
    pixels = paint(rng, family, list(zip(names, boxes, strict=True)), width, height)
    counts: list[tuple[Thing | None, int]] = [(wanted, number), (None, number + others), (other, others)]
    if rng.random() < 0.2:
        counts = [counts[1], counts[0], counts[2]]
    turns = (_counted(rng, split, language, *of) for of in (counts if others else counts[:1]))
    drawn = zip([wanted] * number + [other] * others, boxes, strict=True)
    return _example("objects.count", pixels, split, family, turns, _seen(drawn))


def _counted(rng: np.random.Generator, split: Split, language: Language, thing: Thing | None, number: int) -> Turn:
    """The question for the number of a thing; None asks for all things. Training says the number as it is read
    (`model/reading/things.py`)."""
    if thing is None:
        asked, said = turn(rng, "objects-count-all", split, language, str(number)), "n"
    else:
        plural = thing.plural if language == "en" else thing.german_plural
        asked, said = turn(rng, "objects-count", split, language, str(number), plural=plural), word(thing, language)
    return replace(asked, scoring="cell", quote=f"{said} = {number}")


def which(rng: np.random.Generator, split: Split) -> Example:
    """Two or three different things side by side; asked is what is at a place, or where a thing is.

    Training asks once for each thing.
    """
    family, language = _family(rng, split), words.any_language(rng)
    number = int(rng.integers(2, 4))
    row = [things()[str(chosen)] for chosen in rng.choice(emoji.drawn_by(family.family), number, replace=False)]
    height, cell = int(rng.integers(64, 113)), int(rng.integers(56, 73))
    boxes = _in_a_row(rng, number, cell, height)
    pixels = paint(rng, family, [(thing.name, box) for thing, box in zip(row, boxes, strict=True)], number * cell, height)
    first = int(rng.integers(number))
    order = [first, *(index for index in range(number) if index != first)]
    turns = (_placed(rng, split, language, row, index) for index in order)
    return _example("objects.which", pixels, split, family, turns, _seen(zip(row, boxes, strict=True)))


def _placed(rng: np.random.Generator, split: Split, language: Language, row: list[Thing], index: int) -> Turn:
    """The question what is at a place of the row, or where that thing is."""
    name = word(row[index], language)
    if rng.random() < 0.6:
        return turn(rng, "objects-which", split, language, name, place=PLACES[language][len(row)][index])
    return turn(rng, "objects-where", split, language, words.SIDES[language][len(row)][index], name=name)


GENERATORS: dict[str, Generator] = {
    "objects.name": name, "objects.count": count, "objects.which": which, "objects.colour": shapes.colour,
}  # fmt: skip


def word(thing: Thing, language: Language) -> str:
    """The thing's name in the language."""
    return thing.name if language == "en" else thing.german


def _seen(drawn: Iterable[tuple[Thing, Box]]) -> tuple[Written, ...]:
    numbers = {name: number for number, name in enumerate(things())}
    return tuple(
        Written(thing.name, (left, top, left + side, top + side), thing=numbers[thing.name])
        for thing, (left, top, side) in drawn
    )


SEVERAL = ("cherries", "grapes", "gloves", "fries", "pancakes", "peanuts", "skis", "swords", "sandal", "boot")
"""Things of which one drawing may show several."""


@functools.cache
def _countable(family: Asset) -> tuple[str, ...]:
    """The things of which one drawing shows one."""
    return tuple(name for name in emoji.drawn_by(family.family) if name not in SEVERAL)


def _family(rng: np.random.Generator, split: Split) -> Asset:
    """An emoji family of the split; outline families a third as often as coloured ones."""
    while True:
        family = choose(rng, emoji.families(split))
        if family.kind == "colour" or rng.random() < 0.34:
            return family


def _example(
    skill: str, pixels: np.ndarray, split: Split, family: Asset, turns: Iterable[Turn], seen: tuple[Written, ...]
) -> Example:
    """The first turn as an example; the others follow it in training."""
    first, *others = turns
    families = {"emoji": family.family, "template": first.template}
    parts = (Part("image", Image(pixels)), text(first.question))
    example = Example(skill, parts, first.answer, first.scoring, families=families, written=seen, quote=first.quote)
    return followed(example, split, others)


# --- where things are put


def _scatter(rng: np.random.Generator, number: int, width: int, height: int) -> list[Box]:
    """Squares that do not overlap, anywhere in the picture: cells of a loose grid, some left empty."""
    columns = 2 if number <= 4 and rng.random() < 0.5 else 3
    rows = max(2, -(-number // columns))
    cell_width, cell_height = width // columns, height // rows
    largest = min(cell_width, cell_height) - 2
    side = int(rng.integers(max(24, largest * 2 // 3), largest + 1))
    return [_in_cell(rng, int(cell) % columns * cell_width, int(cell) // columns * cell_height, cell_width, cell_height, side)
            for cell in rng.permutation(rows * columns)[:number]]  # fmt: skip


def _in_a_row(rng: np.random.Generator, number: int, cell: int, height: int) -> list[Box]:
    """Squares side by side, each in its own cell."""
    sides = rng.integers(36, min(cell, height) - 2, number)
    return [_in_cell(rng, index * cell, 0, cell, height, int(side)) for index, side in enumerate(sides)]


def _in_cell(rng: np.random.Generator, left: int, top: int, width: int, height: int, side: int) -> Box:
    return left + int(rng.integers(0, width - side + 1)), top + int(rng.integers(0, height - side + 1)), side


# --- how it looks


def paint(rng: np.random.Generator, family: Asset, placed: list[tuple[str, Box]], width: int, height: int) -> np.ndarray:
    """The things at their places on a ground on which each can be seen, perhaps worn: uint8 [height, width, 3].

    Families that are drawn as outlines are given any colour that stands out. Training's others come in other styles, all things
    of a picture in the same one.
    """
    style = int(rng.integers(2**31)) if family.split == "train" and family.kind == "colour" else None
    drawings = [_turned(rng, _styled(style, emoji.picture(rng, family.family, thing)), box[2]) for thing, box in placed]
    inked = family.kind == "outline"
    rgb = backgrounds.base(rng) if inked else _visible_ground(rng, drawings)
    canvas = Pillow.fromarray(backgrounds.ground(rng, height, width, rgb, depth=40).astype(np.uint8))
    ink = tuple(int(level) for level in backgrounds.ink(rng, rgb, 90))
    for drawing, (_, (left, top, _)) in zip(drawings, placed, strict=True):
        filling = ink if inked else drawing.convert("RGB")
        canvas.paste(filling, (left, top, left + drawing.width, top + drawing.height), drawing.getchannel("A"))
    return augment.degrade(rng, np.asarray(canvas), augment.strength(rng))


def _styled(style: int | None, drawing: Pillow.Image) -> Pillow.Image:
    return drawing if style is None else restyled(np.random.default_rng(style), drawing)


def _turned(rng: np.random.Generator, drawing: Pillow.Image, side: int) -> Pillow.Image:
    """The drawing at a size, now and then mirrored and turned by up to 20 degrees."""
    if rng.random() < 0.4:
        drawing = drawing.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.4:
        drawing = drawing.rotate(float(rng.uniform(-20, 20)), Pillow.Resampling.BILINEAR, expand=True)
    return drawing.resize((side, side), Pillow.Resampling.BILINEAR, reducing_gap=2.0)


def _visible_ground(rng: np.random.Generator, drawings: list[Pillow.Image]) -> np.ndarray:
    """A colour [3] that no drawing's mean colour comes close to (a white cloud is not put on white)."""
    means = [_mean(drawing) for drawing in drawings]
    candidates = [backgrounds.base(rng) for _ in range(5)]
    return max(candidates, key=lambda rgb: min(40.0, _distance(rgb, means)))


def _mean(drawing: Pillow.Image) -> np.ndarray:
    """Mean colour [3] of the covered pixels."""
    small = np.asarray(drawing.resize((8, 8), Pillow.Resampling.BOX), np.float32).reshape(64, 4)
    weight = small[:, 3:] + 1e-3
    return (small[:, :3] * weight).sum(0) / weight.sum()


def _distance(rgb: np.ndarray, means: list[np.ndarray]) -> float:
    return min(float(np.abs(rgb - mean).mean()) for mean in means)
