"""A small drawing surface over Pillow: shapes drawn large and averaged down, text on top. It knows nothing of charts."""

import functools
import math

import numpy as np
from PIL import Image, ImageDraw

from omnie.data import fonts
from omnie.data.charts.styles import Colour
from omnie.data.example import Mark, Written

Point = tuple[float, float]
Box = tuple[float, float, float, float]


class Sheet:
    """A picture in the making. All coordinates and lengths are pixels of the finished picture, floats welcome."""

    def __init__(self, size: tuple[int, int], background: Colour, scale: int, text_scaled: bool):
        self.size, self.scale = size, scale
        self.text_scale = scale if text_scaled else 1
        self._image = Image.new("RGB", (size[0] * scale, size[1] * scale), background)
        self._draw = ImageDraw.Draw(self._image)
        self._texts: list[tuple] = []
        self.marks: list[Mark] = []

    def _at(self, points) -> list[float]:
        return [value * self.scale for value in points]

    def box(self, box: Box, fill: Colour | None = None, outline: Colour | None = None, width: float = 1) -> None:
        """A rectangle that covers left..right and top..bottom exactly (both edges in pixels, right and bottom exclusive)."""
        left, top, right, bottom = (round(value * self.scale) for value in box)
        if right > left and bottom > top:
            self._draw.rectangle((left, top, right - 1, bottom - 1), fill, outline, max(1, round(width * self.scale)))

    def line(self, points: list[Point], colour: Colour, width: float = 1, dash: tuple[float, ...] = ()) -> None:
        """A polyline; `dash` alternates drawn and blank lengths."""
        thick = max(1, round(width * self.scale))
        for part in _dashes(points, dash) if dash else [points]:
            flat = [value * self.scale for point in part for value in point]
            self._draw.line(flat, colour, thick, joint="curve" if len(part) > 2 else None)

    def polygon(self, points: list[Point], fill: Colour) -> None:
        self._draw.polygon([value * self.scale for point in points for value in point], fill)

    def circle(
        self, centre: Point, radius: float, fill: Colour | None, outline: Colour | None = None, width: float = 1
    ) -> None:
        x, y, r = centre[0] * self.scale, centre[1] * self.scale, radius * self.scale
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill, outline, max(1, round(width * self.scale)))

    def slice(self, centre: Point, radius: float, start: float, end: float, fill: Colour, edge: Colour | None) -> None:
        """A wedge from `start` to `end`, degrees clockwise from three o'clock."""
        x, y, r = centre[0] * self.scale, centre[1] * self.scale, radius * self.scale
        self._draw.pieslice((x - r, y - r, x + r, y + r), start, end, fill, edge, self.scale if edge else 0)

    def hatch(self, box: Box, pattern: str, colour: Colour) -> None:
        """Lines or dots over a rectangle."""
        left, top, right, bottom = (round(value * self.scale) for value in box)
        if right - left > 1 and bottom - top > 1:
            mask = _tile(pattern, self.scale)[: bottom - top, : right - left]
            self._image.paste(colour, (left, top), Image.fromarray(mask))

    def text(self, at: Point, text: str, face: fonts.Face, px: int, colour: Colour, anchor: str = "mm", angle: int = 0) -> None:
        """Text whose `anchor` (Pillow's two letters) lies on `at`; with an `angle` (degrees counter-clockwise) "mm" or "ra"."""
        self._texts.append((at, text, face, px, colour, anchor, angle))

    @property
    def written(self) -> tuple[Written, ...]:
        """The texts that are not turned, and where they stand."""
        found = []
        for (x, y), text, face, px, _, anchor, angle in self._texts:
            if text and not angle:
                left, top, right, bottom = fonts.font(face, px).getbbox(text, anchor=anchor)
                found.append(Written(text, (x + left, y + top, x + right, y + bottom)))
        return tuple(found)

    def pixels(self) -> np.ndarray:
        """The finished picture: uint8 [height, width, 3]."""
        if self.text_scale != 1:
            self._write(self._image, self.scale)
            return np.asarray(self._image.reduce(self.scale))
        image = self._image.reduce(self.scale) if self.scale > 1 else self._image
        self._write(image, 1)
        return np.asarray(image)

    def _write(self, image: Image.Image, scale: int) -> None:
        draw = ImageDraw.Draw(image)
        for (x, y), text, face, px, colour, anchor, angle in self._texts:
            if angle:
                _turned(image, (x * scale, y * scale), text, fonts.font(face, px * scale), colour, anchor, angle)
            else:
                draw.text((round(x * scale), round(y * scale)), text, colour, fonts.font(face, px * scale), anchor)


def width(text: str, face: fonts.Face, px: int) -> float:
    """The length of a line of text in pixels."""
    return fonts.font(face, px).getlength(text)


def _turned(image: Image.Image, at: Point, text: str, font, colour: Colour, anchor: str, angle: int) -> None:
    ascent, descent = font.getmetrics()
    mask = Image.new("L", (math.ceil(font.getlength(text)) + 2, ascent + descent))
    ImageDraw.Draw(mask).text((1, 0), text, 255, font)
    wide, high = mask.size
    turn = math.radians(angle)
    mask = (
        mask.transpose(Image.Transpose.ROTATE_90) if angle == 90 else mask.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    )
    dx, dy = (0.0, 0.0) if anchor == "mm" else (-wide / 2, 0.0)
    centre = at[0] + dx * math.cos(turn), at[1] - dx * math.sin(turn)
    if anchor != "mm" and angle != 90:
        centre = centre[0], centre[1] + high * 0.35
    image.paste(colour, (round(centre[0] - mask.width / 2), round(centre[1] - mask.height / 2)), mask)


def _dashes(points: list[Point], dash: tuple[float, ...]) -> list[list[Point]]:
    parts, left, index = [], dash[0], 0
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        length, done = math.hypot(x1 - x0, y1 - y0), 0.0
        while length - done > 1e-6:
            step = min(left, length - done)
            if index % 2 == 0:
                a, b = done / length, (done + step) / length
                parts.append([(x0 + (x1 - x0) * a, y0 + (y1 - y0) * a), (x0 + (x1 - x0) * b, y0 + (y1 - y0) * b)])
            done, left = done + step, left - step
            if left <= 1e-6:
                index += 1
                left = dash[index % len(dash)]
    return parts


@functools.cache
def _tile(pattern: str, scale: int) -> np.ndarray:
    """A mask (0 or 255) of one hatch pattern, large enough for any bar."""
    y, x = np.mgrid[0 : 400 * scale, 0 : 500 * scale]
    period, thick = 7 * scale, max(1, scale)
    on = {
        "/": (x + y) % period < thick, "\\": (x - y) % period < thick, "-": y % period < thick, "|": x % period < thick,
        "x": ((x + y) % period < thick) | ((x - y) % period < thick), ".": (x % period < 2 * scale) & (y % period < 2 * scale),
    }[pattern]  # fmt: skip
    return on.astype(np.uint8) * 255
