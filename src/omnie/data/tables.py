"""Small tables, as a picture (`tables.lookup`) and as cells (`tables.text_lookup`), and questions for one cell.

Training says a cell by reading its row aloud up to it, columns named: so said, no column has to be counted. A layout's name
lists its choices, and a hash of that name gives it to one split, as it does for charts.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from omnie.data import fonts
from omnie.data.charts import content, spec, templates
from omnie.data.charts.axes import number
from omnie.data.charts.content import choice
from omnie.data.charts.questions import UNKNOWN
from omnie.data.charts.sheet import Sheet, width
from omnie.data.example import Example, Generator, Split, Written
from omnie.data.turns import ROOM, Turn, followed
from omnie.media.types import CELLS, Image, Table, record
from omnie.messages import Part, text

LINES = ("all", "all", "rows", "rows", "header", "outer", "none", "book", "columns")
HEADERS = ("plain", "bold", "filled", "filled", "inverted", "underlined")
STRIPES = ("none", "none", "even", "odd")
ALIGNS = ("right", "right", "left", "centre")
TITLES = ("none", "none", "top left", "top centre", "bottom")
FILLS = (
    (217, 225, 242),
    (226, 239, 218),
    (242, 242, 242),
    (255, 242, 204),
    (252, 228, 214),
    (221, 235, 247),
    (230, 230, 250),
    (208, 224, 227),
)
DARKS = ((68, 114, 196), (47, 84, 60), (64, 64, 64), (128, 0, 32), (0, 90, 120), (90, 60, 130), (34, 45, 65), (0, 110, 90))

WORD_HEADERS = {
    "de": {"fruit": "Obst", "city": "Stadt", "country": "Land", "energy": "Energie", "transport": "Fahrzeug", "sport": "Sport",
           "person": "Leitung", "animal": "Tier", "department": "Bereich", "color": "Farbe", "subject": "Fach",
           "answer": "Antwort"},
    "en": {"fruit": "Fruit", "city": "City", "country": "Country", "energy": "Energy", "transport": "Vehicle", "sport": "Sport",
           "person": "Manager", "animal": "Animal", "department": "Office", "color": "Colour", "subject": "Subject",
           "answer": "Answer"},
}  # fmt: skip
"""The header over a column of words of a kind (the kinds of `content.NAMES`)."""

TEXT = 700
"""Characters of a table in text and of what further turns add, together: 98 % of such examples have fewer than 480 tokens."""


@dataclass(frozen=True)
class Cells:
    """A table's content. `shown` has the header row first and row names in column 0; `answers` gives the cells plainly."""

    language: str
    title: str
    shown: tuple[tuple[str, ...], ...]
    answers: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


def make(rng: np.random.Generator, language: str, rows: int, columns: int) -> Cells:
    """A random table of `rows` data rows and `columns` columns, the first of them names."""
    names = content.unordered(rng, language, rows) if rng.random() < 0.7 else content.ordered(rng, language, rows)
    corner = choice(rng, (*content.KINDS_OF[language], "Name", "Name")).capitalize()
    made: dict[str, _Column] = {}
    while len(made) < columns - 1:
        column = _words(rng, language, rows) if rng.random() < 0.25 else _numbers(rng, language, rows)
        if column.header != corner:
            made[column.header] = column
    columns_of = list(made.values())
    shown = ((corner, *made), *zip(names.names, *(column.shown for column in columns_of), strict=True))
    answers = ((corner, *made), *zip(names.names, *(column.answers for column in columns_of), strict=True))
    return Cells(language, content.title(rng, language), shown, answers, (False, *(column.numeric for column in columns_of)))


@dataclass(frozen=True)
class _Column:
    header: str
    shown: list[str]
    answers: list[str]
    numeric: bool


def _words(rng: np.random.Generator, language: str, rows: int) -> _Column:
    kind = choice(rng, tuple(WORD_HEADERS[language]))
    cells = [choice(rng, content.NAMES[language][kind].split()) for _ in range(rows)]
    return _Column(WORD_HEADERS[language][kind], cells, cells, False)


def _numbers(rng: np.random.Generator, language: str, rows: int) -> _Column:
    digits = int(choice(rng, (0, 0, 0, 1, 1, 2)))
    top = 10.0 ** int(rng.integers(1, 6 - digits))
    values = [round(float(value), digits) for value in rng.uniform(top / 20, top, rows)]
    convention = choice(rng, ("plain", "dot", "comma-decimal") if language == "de" else ("plain", "comma"))
    unit = choice(rng, ("", "", "", "", " €", " kg", " %", " km"))
    shown = [number(value, digits, convention) + unit for value in values]
    return _Column(choice(rng, content.TOPICS[language].split()), shown, [spec.plain(value) for value in values], True)


def owner(layout: str) -> Split:
    """The split that a layout name belongs to."""
    share = zlib.crc32(layout.encode()) % 8
    return "validation" if share == 0 else "heldout" if share == 1 else "train"


def draw(rng: np.random.Generator, split: Split, table: Cells) -> tuple[np.ndarray, tuple[Written, ...], dict[str, str]]:
    """The table as a picture: uint8 [height, width, 3], at most about 480 pixels wide, what is written in it, and the families
    it drew on."""
    while owner(layout := "/".join(choice(rng, pool) for pool in (LINES, HEADERS, STRIPES, ALIGNS, TITLES))) != split:
        continue
    face = fonts.pick(rng, split, kinds=("sans", "serif", "mono", "slab"), styles=("regular",))
    strong = _bold(face, split)
    px, gap = int(rng.integers(11, 17)), int(rng.integers(6, 18))
    title = table.title if not layout.endswith("none") else ""
    while (sizes := _widths(table, strong, px, gap)) and sum(sizes) > 470 and (px, gap) != (10, 4):
        px, gap = max(px - 1, 10), max(gap - 2, 4)
    high = px + int(rng.integers(4, 14))
    drawn = _Drawn(rng, layout, table, face, strong, px, gap, sizes, high, title)
    return drawn.pixels(), drawn.sheet.written, {"font": face.family, "layout": f"table {layout}", "renderer": "pillow"}


def _bold(face: fonts.Face, split: Split) -> fonts.Face:
    for family in fonts.faces(split, face.kind):
        for other in family:
            if other.family == face.family and other.style == "bold":
                return other
    return face


def _widths(table: Cells, face: fonts.Face, px: int, gap: int) -> list[float]:
    return [max(width(cell, face, px) for cell in column) + gap for column in zip(*table.shown, strict=True)]


class _Drawn:
    """One drawing of a table: lines, fills and cell texts by a layout's name."""

    def __init__(
        self, rng, layout: str, table: Cells, face, strong, px: int, gap: int, sizes: list[float], high: int, title: str
    ):
        self.lines, self.header, self.stripes, self.align, self.place = layout.split("/")
        self.table, self.face, self.strong, self.px, self.gap, self.high = table, face, strong, px, gap, high
        dark = rng.random() < 0.08
        self.paper, self.ink = (
            ((28, 30, 36), (230, 230, 230)) if dark else ((255, 255, 255), choice(rng, ((0, 0, 0), (50, 50, 50))))
        )
        self.fill = (58, 62, 72) if dark else choice(rng, FILLS)
        self.dark, self.rule = choice(rng, DARKS), choice(rng, (self.ink, (150, 150, 150), (110, 110, 110)))
        margin, extra = int(rng.integers(4, 20)), px + 10 if title else 0
        wide = max(sum(sizes), width(title, strong, px)) + 2 * margin
        tall = high * len(table.shown) + 2 * margin + extra
        self.sheet = Sheet((max(int(wide), 128), max(int(tall), 96)), self.paper, 1, False)
        self.xs = [margin + sum(sizes[:i]) for i in range(len(sizes) + 1)]
        first = margin + (extra if self.place.startswith("top") else 0)
        self.ys = [first + high * i for i in range(len(table.shown) + 1)]
        if title:
            y = margin + px / 2 if self.place.startswith("top") else self.ys[-1] + 6 + px / 2
            x, anchor = (margin, "lm") if self.place == "top left" else (self.sheet.size[0] / 2, "mm")
            self.sheet.text((x, y), title, strong, px, self.ink, anchor)

    def pixels(self) -> np.ndarray:
        self._fills()
        self._rules()
        for row, cells in enumerate(self.table.shown):
            for column, cell in enumerate(cells):
                self._cell(row, column, cell)
        return self.sheet.pixels()

    def _fills(self) -> None:
        left, right = self.xs[0], self.xs[-1]
        for row in range(1, len(self.table.shown)):
            if self.stripes != "none" and row % 2 == (self.stripes == "odd"):
                self.sheet.box((left, self.ys[row], right, self.ys[row + 1]), self.fill)
        if self.header in ("filled", "inverted"):
            self.sheet.box((left, self.ys[0], right, self.ys[1]), self.fill if self.header == "filled" else self.dark)

    def _rules(self) -> None:
        left, right, top, bottom = self.xs[0], self.xs[-1], self.ys[0], self.ys[-1]
        across = {
            "all": self.ys,
            "rows": self.ys,
            "header": self.ys[1:2],
            "outer": (top, bottom),
            "book": (top, self.ys[1], bottom),
        }
        down = {"all": self.xs, "outer": (left, right), "columns": self.xs[1:-1]}
        for y in (*across.get(self.lines, ()), *(self.ys[1:2] if self.header == "underlined" else ())):
            self.sheet.line([(left, y), (right, y)], self.rule)
        for x in down.get(self.lines, ()):
            self.sheet.line([(x, top), (x, bottom)], self.rule)

    def _cell(self, row: int, column: int, cell: str) -> None:
        face = self.strong if row == 0 and self.header != "plain" else self.face
        ink = (255, 255, 255) if row == 0 and self.header == "inverted" else self.ink
        align = "left" if column == 0 or (self.align == "right" and not self.table.numeric[column]) else self.align
        x, anchor = {
            "left": (self.xs[column] + self.gap / 2, "lm"), "right": (self.xs[column + 1] - self.gap / 2, "rm"),
            "centre": ((self.xs[column] + self.xs[column + 1]) / 2, "mm"),
        }[align]  # fmt: skip
        self.sheet.text((x, (self.ys[row] + self.ys[row + 1]) / 2), cell, face, self.px, ink, anchor)


def _turns(rng: np.random.Generator, split: Split, table: Cells) -> Iterator[Turn]:
    """Questions for one cell each, in any order, every cell at most once; one in ten is for a row that is not there."""
    asked: set[tuple[int, int]] = set()
    while len(asked) < (len(table.shown) - 1) * (len(table.shown[0]) - 1):
        language = table.language if rng.random() < 0.9 else "de" if table.language == "en" else "en"
        row, column = int(rng.integers(1, len(table.shown))), int(rng.integers(1, len(table.shown[0])))
        if (row, column) in asked:
            continue
        asked.add((row, column))
        absent = rng.random() < 0.1
        name = _absent(rng, table) if absent else table.shown[row][0]
        question, template = templates.pick(rng, split, f"cell/{language}", c=table.shown[0][column], r=name)
        if absent:
            yield Turn(question, UNKNOWN[language], template)
        else:
            cells = record(table.shown[0], table.shown[row])[: column + 1]
            cells[-1] = cells[-1].replace(": ", " = ", 1)  # said at the column's name: this is the one
            yield Turn(question, table.answers[row][column], template, "cell", CELLS.join(cells))


def _absent(rng: np.random.Generator, table: Cells) -> str:
    seen = " ".join((table.title, *(cell for row in table.shown for cell in row))).lower()
    while (name := choice(rng, content.unordered(rng, table.language, 3).names)).lower() in seen:
        continue
    return name


def lookup(rng: np.random.Generator, split: Split) -> Example:
    """A picture of a table and the question for one cell."""
    table = make(rng, choice(rng, ("de", "en")), int(rng.integers(3, 7)), int(rng.integers(2, 6)))
    pixels, written, families = draw(rng, split, table)
    turns = _turns(rng, split, table)
    first = next(turns)
    parts = (Part("image", Image(pixels)), text(first.question))
    families |= {"template": first.template}
    example = Example(
        "tables.lookup", parts, first.answer, first.scoring, families=families, written=written, quote=first.quote
    )
    return followed(example, split, turns, int(rng.integers(3, 6)), ROOM)


def text_lookup(rng: np.random.Generator, split: Split) -> Example:
    """A table as cells and the question for one cell."""
    table = make(rng, choice(rng, ("de", "en")), int(rng.integers(3, 8)), int(rng.integers(2, 6)))
    turns = _turns(rng, split, table)
    first = next(turns)
    parts = (Part("table", Table(choice(rng, ("Sheet1", "data", "Tabelle1", table.title)), table.shown)), text(first.question))
    families = {"template": first.template}
    example = Example("tables.text_lookup", parts, first.answer, first.scoring, families=families, quote=first.quote)
    size = sum(len(CELLS.join(record(table.shown[0], row))) for row in table.shown)
    return followed(example, split, turns, int(rng.integers(2, 5)), min(ROOM, TEXT - size))


GENERATORS: dict[str, Generator] = {"tables.lookup": lookup, "tables.text_lookup": text_lookup}
