"""Pictures of one line, or of a few lines, of text to read aloud: skills `lines.read` and `lines.block`; and of
sums to work out: `lines.sum`."""

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from omnie.data import augment, fonts, words
from omnie.data.example import Example, Generator, Split, Written
from omnie.data.pictures import backgrounds
from omnie.data.pictures.questions import ask
from omnie.data.text_logic import equation, operands
from omnie.data.words import Language, choose
from omnie.media.types import Image
from omnie.messages import Part, text

SIZES = (12, 40)
"""Font sizes of single lines, pixels per em."""
WIDEST, LOWEST = 420, 24
"""Most pixels across and fewest pixels down."""
SUMS = ("{}", "{} =", "{} = ?", "{}=", "{}=?", "{} = ...")
"""How a sum is written."""
WRITTEN_SIGNS = {"+": ("+",), "-": ("-", "-", "–"), "*": ("x", "*")}
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""
LONGEST = 40
"""Most characters of a line."""


def read(rng: np.random.Generator, split: Split) -> Example:
    """One line of words, numbers, dates, prices, codes or names in any font, worn or clean; the answer is the exact text."""
    language = words.any_language(rng)
    face, content = fonts.pick(rng, split), line(rng, language)
    size = int(np.exp(rng.uniform(np.log(SIZES[0]), np.log(SIZES[1]))))
    pixels, _ = render(rng, (content,), face, size)
    pixels = augment.photographed(rng, pixels) if split == "train" else pixels
    question, wording = ask(rng, "lines-read", split, language)
    return Example("lines.read", (Part("image", Image(pixels)), text(question)), content, "cer", content,
                   {"font": face.family, "template": wording})  # fmt: skip


def block(rng: np.random.Generator, split: Split) -> Example:
    """Two to four short lines; the answer has them one below the other. Training has up to nine, small and close, for letters
    are what it is to learn."""
    language = words.any_language(rng)
    face = fonts.pick(rng, split)
    many = split == "train" and rng.random() < 0.4
    lines = tuple(line(rng, language, most=22) for _ in range(int(rng.integers(5, 10) if many else rng.integers(2, 5))))
    pixels, boxes = render(rng, lines, face, int(rng.integers(9, 18) if many else rng.integers(SIZES[0], 27)))
    pixels = augment.photographed(rng, pixels) if split == "train" else pixels
    question, wording = ask(rng, "lines-block", split, language)
    written = tuple(Written(content, box) for content, box in zip(lines, boxes, strict=True))
    return Example("lines.block", (Part("image", Image(pixels)), text(question)), "\n".join(lines), "cer", written=written,
                   families={"font": face.family, "template": wording})  # fmt: skip


def sum_(rng: np.random.Generator, split: Split) -> Example:
    """A sum in any font; the answer says it with its result, as `text.math` does."""
    language = words.any_language(rng)
    a, b, sign = operands(rng, split)
    face, shown = fonts.pick(rng, split), choose(rng, WRITTEN_SIGNS[sign])
    content = choose(rng, SUMS).format(f"{a} {shown} {b}" if rng.random() < 0.7 else f"{a}{shown}{b}")
    pixels, _ = render(rng, (content,), face, int(np.exp(rng.uniform(np.log(SIZES[0]), np.log(SIZES[1])))))
    pixels = augment.photographed(rng, pixels) if split == "train" else pixels
    question, wording = ask(rng, "lines-sum", split, language)
    return Example("lines.sum", (Part("image", Image(pixels)), text(question)), equation(a, sign, b), "exact", content,
                   {"font": face.family, "template": wording})  # fmt: skip


GENERATORS: dict[str, Generator] = {"lines.read": read, "lines.block": block, "lines.sum": sum_}


# --- what is written


def line(rng: np.random.Generator, language: Language, most: int = LONGEST) -> str:
    """A text of 3 to `most` characters, short more often than long."""
    wanted = 3 + (most - 3) * rng.random() ** 1.6
    for _ in range(6):
        content = _cased(rng, choose(rng, _WRITERS)(rng, language))
        if 3 <= len(content) <= wanted:
            return content
    return content if 3 <= len(content) <= most else words.made_up(rng)[:most].ljust(3, "n")


def _cased(rng: np.random.Generator, content: str) -> str:
    draw = rng.random()
    if draw < 0.1:
        return content.upper()
    return content.title() if draw < 0.13 else content[:1].upper() + content[1:] if draw < 0.4 else content


def _code(rng: np.random.Generator, language: Language) -> str:
    """Order numbers, plates and keys: letters and digits that no language model can guess."""
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    groups = ("".join(choose(rng, letters if rng.random() < 0.5 else "0123456789") for _ in range(int(rng.integers(2, 6))))
              for _ in range(int(rng.integers(1, 4))))  # fmt: skip
    return choose(rng, ("-", " ", "/", ".")).join(groups)


def _labelled(rng: np.random.Generator, language: Language) -> str:
    label = words.word(rng, language, choose(rng, ("business", "nouns", "products")))
    value = choose(rng, (words.number_text, words.number_text, lambda source: words.date_text(source, language)))(rng)
    return f"{label[:1].upper()}{label[1:]}: {value}"


def _person(rng: np.random.Generator, language: Language) -> str:
    name, surname = words.word(rng, language, "names"), words.word(rng, language, "surnames")
    return choose(rng, (name, f"{name} {surname}", f"{surname}, {name}", f"{name[0]}. {surname}", f"Dr. {surname}"))


def _address(rng: np.random.Generator, language: Language) -> str:
    number, city = int(rng.integers(1, 200)), words.word(rng, language, "cities")
    surname = words.word(rng, language, "surnames")
    if language == "en":
        return choose(rng, (f"{number} {surname} {choose(rng, ('Road', 'Street', 'Lane', 'Avenue'))}", f"{city} {number}"))
    street = f"{surname}{choose(rng, ('straße', 'weg', 'platz', 'allee'))} {number}"
    return choose(rng, (street, f"{rng.integers(10000, 99999)} {city}"))


_ASCII = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


def _online(rng: np.random.Generator, language: Language) -> str:
    host, name = (words.word(rng, language, kind).lower().translate(_ASCII) for kind in ("nouns", "names"))
    domain = choose(rng, ("com", "org", "de", "net", "eu"))
    file = f"{host}.{choose(rng, ('pdf', 'txt', 'csv', 'png'))}"
    return choose(rng, (f"{name}@{host}.{domain}", f"www.{host}.{domain}", file, f"#{host}"))


def _marked(rng: np.random.Generator, language: Language) -> str:
    """Words with the marks of running text: brackets, quotes, dashes, exclamations."""
    one, two = words.phrase(rng, language, int(rng.integers(1, 4))), words.word(rng, language)
    opening, closing = ("„", "“") if language == "de" else ("“", "”")
    forms = (f"{one}!", f"{one}?", f"({one})", f"{one} ({two})", f"{opening}{one}{closing}", f"{one} – {two}", f"{one}, {two}",
             f"{one} & {two}", f"{one}/{two}", f"{two}-{two}", f"{int(rng.integers(1, 10))}. {one}", f"* {one}", f"{one};",
             f"{one} + {two}")  # fmt: skip
    return choose(rng, forms)


def _letters(rng: np.random.Generator, language: Language) -> str:
    """Letters without sense, of the language's alphabet."""
    alphabet = "abcdefghijklmnopqrstuvwxyz" + ("äöüß" if language == "de" else "")
    return "".join(choose(rng, alphabet) for _ in range(int(rng.integers(3, 10))))


_WRITERS: tuple[Callable[[np.random.Generator, Language], str], ...] = (
    words.word, words.word, words.title, words.title, words.sentence, words.date_text,
    lambda rng, language: words.phrase(rng, language, int(rng.integers(2, 4))),
    lambda rng, language: words.phrase(rng, language, int(rng.integers(2, 7))),
    lambda rng, language: words.number_text(rng), lambda rng, language: words.number_text(rng),
    lambda rng, language: words.made_up(rng),
    lambda rng, language: " ".join(words.made_up(rng) for _ in range(int(rng.integers(2, 4)))),
    _labelled, _code, _person, _address, _online, _marked, _letters,
)  # fmt: skip


# --- how it looks


def render(rng: np.random.Generator, lines: tuple[str, ...], face: fonts.Face, size: int) -> tuple[np.ndarray, list[Box]]:
    """The lines in one face on a ground, perhaps worn: uint8 [height, width, 3], at most 420 wide, at least 24 high; and where
    each stands.

    Lines that are too long at `size` get a smaller one.
    """
    left, top, right, bottom = (int(side) for side in rng.integers(2, 4 + size // 2, 4))
    font, wide = _fitting(lines, face, size, WIDEST - left - right)
    pitch = round(_height(font) * (rng.uniform(1.0, 1.5 if len(lines) < 5 else 2.0) if len(lines) > 1 else 1))
    height = max(LOWEST, top + _height(font) + pitch * (len(lines) - 1) + bottom)
    mask = Pillow.new("L", (left + wide + right, height))
    pen, middle, boxes = ImageDraw.Draw(mask), rng.random() < 0.25, []
    for row, content in enumerate(lines):
        indent = (wide - _width(font, content)) // 2 if middle else 0
        at = left + indent - min(0, font.getbbox(content)[0]), top + row * pitch
        pen.text(at, content, 255, font)
        boxes.append(pen.textbbox(at, content, font))
    amount = augment.strength(rng)
    mask = augment.warp(rng, mask, amount if rng.random() < 0.5 else 0.0)
    return augment.degrade(rng, _coloured(rng, np.asarray(mask), amount), amount), boxes


def _coloured(rng: np.random.Generator, mask: np.ndarray, amount: float) -> np.ndarray:
    """Ink where the mask [height, width] is 255, ground where it is 0; sometimes a rule below or a frame around."""
    rgb = backgrounds.base(rng)
    ground = backgrounds.ground(rng, mask.shape[0], mask.shape[1], rgb, depth=12 + 18 * amount)
    ink = backgrounds.ink(rng, rgb, contrast=115 - 40 * amount)
    if rng.random() < 0.08:
        _frame(rng, ground, ink)
    cover = mask[..., None].astype(np.float32) / 255
    return (ground + cover * (ink - ground)).astype(np.uint8)


def _frame(rng: np.random.Generator, ground: np.ndarray, ink: np.ndarray) -> None:
    """Draws a rule along the bottom, or all four edges, into `ground`."""
    tone = ink if rng.random() < 0.5 else (ground[0, 0] + ink) / 2
    ground[-1] = tone
    if rng.random() < 0.6:
        ground[0] = tone
        ground[:, (0, -1)] = tone


def _fitting(lines: tuple[str, ...], face: fonts.Face, size: int, room: int) -> tuple[ImageFont.FreeTypeFont, int]:
    """The face at `size`, or at the largest smaller size at which all lines fit `room`, and the widest line in pixels."""
    while True:
        font = fonts.font(face, size)
        wide = max(_width(font, content) for content in lines)
        if wide <= room or size <= 8:
            return font, wide
        size = max(8, min(size - 1, int(size * room / wide)))


def _width(font: ImageFont.FreeTypeFont, content: str) -> int:
    """Pixels from the first to the last ink, or to the pen's end if that is further."""
    left, _, right, _ = font.getbbox(content)
    return int(max(right, font.getlength(content)) - min(0, left)) + 1


@functools.lru_cache(maxsize=4096)
def _height(font: ImageFont.FreeTypeFont) -> int:
    """Pixels from the highest accent to the lowest descender."""
    return int(font.getbbox("ÄÖÜjgpqy|ß")[3]) + 1
