"""The shapes as areas: for each pixel the share of it that a shape covers.

Two independent back ends, one for each side of the split:
`exact` computes signed distances in NumPy and is used in training and validation; `raster` fills polygons with Pillow at four
times the size and is used in held-out clips. Their stars, rings, crosses and triangles also differ in proportion.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "ring", "cross")

_CORNERS = {"triangle": 3, "square": 4}


def exact(shape: str, x: np.ndarray, y: np.ndarray, radius: float, angle: float, fuller: float = 0.0) -> np.ndarray:
    """Share of each pixel that the shape covers: float32 [height, width].

    Args:
        x: [1, width], distance of the pixels from the centre, in pixels.
        y: [height, 1], likewise, downwards.
        radius: Of the circle around the shape, in pixels.
        angle: By which it is turned, in radians.
        fuller: By how many radii its edge lies farther outside: arms of crosses and rings get thicker, corners duller.
    """
    u = (x * np.cos(angle) + y * np.sin(angle)) / radius
    v = (y * np.cos(angle) - x * np.sin(angle)) / radius
    return np.clip(0.5 - (_DISTANCES[shape](u, v) - fuller) * radius, 0, 1).astype(np.float32)


def raster(shape: str, x: np.ndarray, y: np.ndarray, radius: float, angle: float) -> np.ndarray:
    """The same as `exact`, drawn by Pillow from polygons; see there."""
    size, scale = (x.shape[1], y.shape[0]), 4
    canvas = Pictures.new("L", (size[0] * scale, size[1] * scale), 0)
    pen = ImageDraw.Draw(canvas)
    centre = np.array([-x[0, 0] + 0.5, -y[0, 0] + 0.5])
    for points, ink in _outlines(shape, angle):
        corners = (centre + points * radius) * scale
        pen.polygon([tuple(corner) for corner in corners], fill=ink)
    return np.asarray(canvas.reduce(scale), np.float32) / 255


def _circle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(u, v) - 0.95


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) - 0.8


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(v - 0.5, np.abs(u) * 0.866 - v * 0.5 - 0.5)


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(u, v) - 0.72) - 0.22


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    a, b = np.abs(u), np.abs(v)
    return np.maximum(np.minimum(a, b) - 0.28, np.maximum(a, b) - 0.92)


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Five points: the plane folded onto one half point, then the distance from its edge (approximate outside the tips)."""
    fold = np.pi / 5
    around = np.abs((np.arctan2(u, -v) + fold) % (2 * fold) - fold)
    length = np.hypot(u, v)
    p, q = length * np.cos(around), length * np.sin(around)
    tip, dent = np.array([1.0, 0.0]), 0.45 * np.array([np.cos(fold), np.sin(fold)])
    edge = dent - tip
    normal = np.array([-edge[1], edge[0]]) / np.hypot(*edge)
    inwards = -np.sign(normal @ tip)
    return -inwards * ((p - tip[0]) * normal[0] + (q - tip[1]) * normal[1])


_DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}


def _outlines(shape: str, angle: float) -> list[tuple[np.ndarray, int]]:
    """Polygons [corners, 2] in radii with the ink (255 or 0) to fill them with, in order."""
    if shape in ("circle", "ring"):
        inner = [(_polygon(48, 0.55, angle), 0)] if shape == "ring" else []
        return [(_polygon(48, 0.95, angle), 255), *inner]
    if shape in _CORNERS:
        turn = np.pi / 4 if shape == "square" else 0
        return [(_polygon(_CORNERS[shape], 1.05, angle + turn), 255)]
    if shape == "star":
        reach = np.where(np.arange(10) % 2 == 0, 1.05, 0.5)[:, None]
        return [(_polygon(10, 1.0, angle) * reach, 255)]
    arm = np.array([[-0.22, -0.98], [0.22, -0.98], [0.22, 0.98], [-0.22, 0.98]])
    return [(_turned(arm, angle), 255), (_turned(arm, angle + np.pi / 2), 255)]


def _polygon(corners: int, radius: float, angle: float) -> np.ndarray:
    """A regular polygon with one corner on top, turned by `angle`: [corners, 2]."""
    around = 2 * np.pi * np.arange(corners) / corners + angle - np.pi / 2
    return radius * np.stack([np.cos(around), np.sin(around)], 1)


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return points @ turn
