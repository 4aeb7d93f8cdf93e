"""Colours and grounds to draw on (plain, gradients, stripes, textures), and ink that stands out. No text, no objects."""

import colorsys
from collections.abc import Callable

import numpy as np
from PIL import Image

from omnie.data.words import choose

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""How bright red, green and blue look (ITU-R BT.601)."""


Range = tuple[float, float]


def colour(rng: np.random.Generator, saturation: Range = (0.0, 1.0), value: Range = (0.0, 1.0)) -> np.ndarray:
    """A colour, float32 [3], 0 to 255, of any hue, with saturation and value (HSV) drawn from the ranges."""
    return 255 * np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value)), np.float32)


def luma(rgb: np.ndarray) -> float:
    """Perceived brightness of a colour [3], 0 to 255."""
    return float(rgb @ LUMA)


def ink(rng: np.random.Generator, ground: np.ndarray, contrast: float = 70.0) -> np.ndarray:
    """A colour [3] whose brightness differs from `ground` [3] by at least `contrast` (0 to 127): often plain black or white."""
    if rng.random() < 0.4:
        return np.full(3, 0.0 if luma(ground) > 127 else 255.0, np.float32)
    for _ in range(8):
        candidate = colour(rng, (0, 1), (0, 1))
        if abs(luma(candidate) - luma(ground)) >= contrast:
            return candidate
    return np.full(3, 20.0 if luma(ground) > 127 else 240.0, np.float32)


def base(rng: np.random.Generator) -> np.ndarray:
    """A ground's colour [3]: white and paper most often, then pale, dark and strong colours."""
    draw = rng.random()
    if draw < 0.3:
        return np.full(3, 255.0, np.float32)
    if draw < 0.65:
        return colour(rng, (0, 0.2), (0.82, 1.0))
    return colour(rng, (0, 0.9), (0.1, 0.4)) if draw < 0.82 else colour(rng, (0.2, 1.0), (0.4, 1.0))


def ground(rng: np.random.Generator, height: int, width: int, rgb: np.ndarray, depth: float = 25.0) -> np.ndarray:
    """A ground of about the colour `rgb` [3]: float32 [height, width, 3], 0 to 255.

    Args:
        depth: How far (0 to 127) a texture may depart from the colour; half of all grounds are plain.
    """
    if rng.random() < 0.5 or depth <= 0:
        return np.broadcast_to(rgb, (height, width, 3)).astype(np.float32)
    field = choose(rng, _FIELDS)(rng, height, width)
    tint = rng.uniform(0.4, 1.0, 3).astype(np.float32) * depth * (1 if luma(rgb) < 127 else -1)
    return np.clip(rgb + field[..., None] * tint, 0, 255)


def _gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    turn = rng.uniform(0, 2 * np.pi)
    rows, columns = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    return (np.float32(np.sin(turn)) * rows + np.float32(np.cos(turn)) * columns + 1) / 2


def _stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    step = int(rng.integers(3, 24))
    rows, columns = np.arange(height)[:, None], np.arange(width)
    across = choose(rng, (rows + 0 * columns, columns + 0 * rows, rows + columns))
    return (across // step % 2).astype(np.float32) * 0.6


def _squares(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    step = int(rng.integers(6, 28))
    return ((np.arange(height)[:, None] // step + np.arange(width) // step) % 2).astype(np.float32) * 0.6


def _clouds(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cell = int(rng.integers(2, 24))
    coarse = rng.integers(0, 256, (max(2, height // cell), max(2, width // cell)), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR), np.float32) / 255


_FIELDS: tuple[Callable[[np.random.Generator, int, int], np.ndarray], ...] = (_gradient, _gradient, _stripes, _squares, _clouds)
