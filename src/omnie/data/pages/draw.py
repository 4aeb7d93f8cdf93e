"""Draws a page from marked lines: a picture, and the words of its text layer with their boxes. It does not choose words.

Marks: `#` title, `##` subtitle, `>` right-aligned, `= label | value`, `| table | row`, `---` rule, nothing for a gap; any
other line is a paragraph.
"""

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from omnie.data import fonts
from omnie.data.fonts import Face
from omnie.data.pages.style import Style
from omnie.media.types import Image, Page, Word

HEIGHTS = (448, 720)
"""Shortest and tallest page in pixels; the model sees about 448 of them."""


def draw_page(rng: np.random.Generator, body: str, style: Style) -> Page:
    """The page; text that would run over the foot is drawn smaller."""
    height, scale = int(rng.integers(*HEIGHTS)), 1.0
    while True:
        sheet = Sheet(style, height, scale)
        for line in body.split("\n"):
            sheet.add(line.strip())
        if sheet.y <= height * 0.97 or scale < 0.5:
            return Page(1, Image(np.array(sheet.picture)), tuple(sheet.words))
        scale *= 0.85


class Sheet:
    """A page that is being written from top to bottom."""

    def __init__(self, style: Style, height: int, scale: float):
        self.style, self.height, self.width = style, height, round(height / style.aspect)
        self.left, self.right = self.width * style.margin, self.width * (1 - style.margin)
        self.size = max(6, round(style.size * scale * height))
        self.picture = Picture.new("RGB", (self.width, self.height), style.paper)
        self.draw = ImageDraw.Draw(self.picture)
        self.words: list[Word] = []
        self.y = self.height * 0.05
        self.rows = 0
        self.accent()

    def accent(self) -> None:
        """The coloured shape of the layout, if it has one."""
        if self.style.accent == "bar":
            self.draw.rectangle((0, 0, self.width, self.height * 0.02), fill=self.style.colour)
        elif self.style.accent == "side":
            self.draw.rectangle((0, 0, self.width * 0.025, self.height), fill=self.style.colour)

    def add(self, line: str) -> None:
        """Write one marked line."""
        mark, _, rest = line.partition(" ")
        writers = {"#": self.title, "##": self.subtitle, ">": self.edge, "=": self.pair, "|": self.row, "---": self.rule}
        if mark != "|":
            self.rows = 0
        if line:
            writers.get(mark, self.paragraph)(rest if mark in writers else line)
        else:
            self.y += self.size * 0.8

    def put(self, x: float, words: str, face: Face, size: int, ink: tuple[int, int, int]) -> float:
        """Write words at x on the present line; returns where they end."""
        font = fonts.font(face, size)
        self.draw.text((x, self.y), words, fill=ink, font=font)
        bottom, start = (self.y + size * 1.1) / self.height, x
        for word in words.split(" "):
            end = start + font.getlength(word)
            if word:
                box = (start / self.width, self.y / self.height, min(1.0, end / self.width), min(1.0, bottom))
                self.words.append(Word(word, box))
            start = end + font.getlength(" ")
        return end

    def step(self, size: float) -> None:
        """Go to the next line."""
        self.y += size * self.style.gap

    def heading(self, words: str, factor: float) -> None:
        """A line in the heading's size, side and colour; a band or a rule belongs to it."""
        size = round(self.size * factor)
        font = fonts.font(self.style.bold, size)
        while font.getlength(words) > self.right - self.left and size > self.size:
            size -= 1
            font = fonts.font(self.style.bold, size)
        free = self.right - self.left - font.getlength(words)
        ink = self.style.ink if self.style.accent == "none" else self.style.colour
        if self.style.accent == "band" and factor > 1.5:
            self.draw.rectangle((0, self.y - size * 0.3, self.width, self.y + size * 1.5), fill=self.style.colour)
            ink = self.style.paper
        place = self.left + free * {"left": 0, "centre": 0.5, "right": 1}[self.style.heading]
        self.put(place, words, self.style.bold, size, ink)
        self.step(size * 1.2)
        if self.style.accent == "rule" and factor > 1.5:
            self.rule("")

    def title(self, words: str) -> None:
        self.heading(words, 1.9)

    def subtitle(self, words: str) -> None:
        self.heading(words, 1.3)

    def edge(self, words: str) -> None:
        """A right-aligned line."""
        length = fonts.font(self.style.body, self.size).getlength(words)
        self.put(max(self.left, self.right - length), words, self.style.body, self.size, self.style.ink)
        self.step(self.size)

    def pair(self, words: str) -> None:
        """A label and its value: in a column, behind a colon, or at the right edge (after dots, or bold)."""
        label, _, value = words.partition(" | ")
        keys, face = self.style.keys, self.style.bold if self.style.keys in ("columns", "edge") else self.style.body
        font = fonts.font(self.style.body, self.size)
        end = self.put(self.left, label + (":" if keys == "colon" else ""), self.style.body, self.size, self.style.ink)
        end += font.getlength(" ")
        column = self.left + (self.right - self.left) * 0.45
        edge = self.right - fonts.font(face, self.size).getlength(value)
        place = max(end, {"colon": end, "columns": column}.get(keys, edge))
        if keys == "leader":
            dots = int((place - end) / font.getlength(".")) - 1
            self.draw.text((end, self.y), "." * max(0, dots), fill=self.style.ink, font=font)
        self.put(place, value, face, self.size, self.style.ink)
        self.step(self.size)

    def row(self, words: str) -> None:
        """A table row: the first cell left, the others in equal columns; a first row without digits is a header."""
        cells, span = words.split(" | "), self.right - self.left
        header = self.rows == 0 and not any(letter.isdigit() for letter in words)
        face = self.style.bold if header else self.style.body
        if self.style.table == "zebra" and self.rows % 2:
            shade = tuple(channel - 14 for channel in self.style.paper)
            self.draw.rectangle((self.left, self.y, self.right, self.y + self.size * 1.4), fill=shade)
        for index, cell in enumerate(cells):
            share = 0 if index == 0 else 0.45 + 0.55 * (index - 1) / (len(cells) - 1)
            x = self.left + span * share
            self.put(x, cell, face, self.size, self.style.ink)
        self.step(self.size)
        if self.style.table == "lines":
            self.y += self.size * 0.3
            self.draw.line((self.left, self.y - 1, self.right, self.y - 1), fill=self.style.colour)
        self.rows += 1

    def rule(self, _: str) -> None:
        """A horizontal line."""
        self.y += self.size * 0.2
        self.draw.line((self.left, self.y, self.right, self.y), fill=self.style.colour)
        self.y += self.size * 0.5

    def paragraph(self, words: str) -> None:
        """Words, wrapped at the right margin."""
        font: ImageFont.FreeTypeFont = fonts.font(self.style.body, self.size)
        line: list[str] = []
        for word in [*words.split(), None]:
            if word is None or (line and font.getlength(" ".join([*line, word])) > self.right - self.left):
                self.put(self.left, " ".join(line), self.style.body, self.size, self.style.ink)
                self.step(self.size)
                line = []
            line.append(word or "")
