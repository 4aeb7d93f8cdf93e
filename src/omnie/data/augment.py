"""What scanners, cameras, screens and savers do to a picture, in NumPy and Pillow, fast enough to run on every example.

`warp` bends a drawing before it is put on its ground (so no empty corners appear); `degrade` wears the finished picture.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from omnie.data.words import choose


def strength(rng: np.random.Generator, clean: float = 0.4) -> float:
    """How worn an example is, 0 to 1: 0 with probability `clean`, else mild more often than heavy."""
    return 0.0 if rng.random() < clean else float(rng.random()) ** 1.5


def warp(rng: np.random.Generator, drawing: Image.Image, amount: float, fill: int | tuple[int, ...] = 0) -> Image.Image:
    """Turns (up to 2.5 degrees), slants and squeezes a drawing a little; same size, uncovered corners are `fill`."""
    if amount <= 0:
        return drawing
    turn, slant = rng.uniform(-0.044, 0.044) * amount, rng.uniform(-0.15, 0.15) * amount
    turn *= min(1.0, 2.5 * drawing.height / drawing.width)
    squeeze = 1 + rng.uniform(0, 0.06) * amount
    middle = drawing.width / 2, drawing.height / 2
    forward = np.array([[squeeze, slant - turn], [turn, 1.0]])
    offset = middle - forward @ middle
    coefficients = (forward[0, 0], forward[0, 1], offset[0], forward[1, 0], forward[1, 1], offset[1])
    return drawing.transform(drawing.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=fill)


def degrade(rng: np.random.Generator, pixels: np.ndarray, amount: float) -> np.ndarray:
    """Wears a picture: up to three different effects, each the stronger the larger `amount` (0 to 1; 0 changes nothing).

    Args:
        pixels: uint8 [height, width, 3].

    Returns:
        uint8 [height, width, 3], same size.
    """
    if amount <= 0:
        return pixels
    for index in rng.permutation(len(_EFFECTS))[: int(rng.integers(1, 4))]:
        pixels = _EFFECTS[index](rng, pixels, amount)
    return pixels


def _noise(rng: np.random.Generator, pixels: np.ndarray, amount: float) -> np.ndarray:
    """Sensor noise, grey or coloured."""
    shape = pixels.shape if rng.random() < 0.3 else (*pixels.shape[:2], 1)
    grain = rng.standard_normal(shape, np.float32) * np.float32(rng.uniform(2, 4 + 26 * amount))
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def _specks(rng: np.random.Generator, pixels: np.ndarray, amount: float) -> np.ndarray:
    """Single black or white dots, as on a fax."""
    height, width = pixels.shape[:2]
    count = int(height * width * 0.02 * amount * rng.random())
    worn = pixels.copy()
    worn[rng.integers(0, height, count), rng.integers(0, width, count)] = choose(rng, (0, 255))
    return worn


def _blur(rng: np.random.Generator, pixels: np.ndarray, amount: float) -> np.ndarray:
    radius = rng.uniform(0.2, 0.4 + 0.9 * amount)
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def _jpeg(rng: np.random.Generator, pixels: np.ndarray, amount: float) -> np.ndarray:
    """Saves and opens at a low quality."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.uniform(75 - 60 * amount, 90)))
    return np.asarray(Image.open(buffer).convert("RGB"))


def _contrast(rng: np.random.Generator, pixels: np.ndarray, amount: float) -> np.ndarray:
    """Fades towards a middle and shifts brightness; never inverts, and keeps at least 55 % of the contrast."""
    keep, shift = 1 - 0.45 * amount * rng.random(), 40 * amount * rng.uniform(-1, 1)
    table = np.clip((np.arange(256) - 127.5) * keep + 127.5 + shift, 0, 255).astype(np.uint8)
    return table[pixels]


def _tint(rng: np.random.Generator, pixels: np.ndarray, amount: float) -> np.ndarray:
    """Yellowed paper or a coloured lamp."""
    factors = 1 - amount * rng.uniform(0, 0.3, 3)
    return (pixels * factors.astype(np.float32)).astype(np.uint8)


def _light(rng: np.random.Generator, pixels: np.ndarray, amount: float) -> np.ndarray:
    """A shadow that falls off from one side to the other."""
    height, width = pixels.shape[:2]
    rows, columns = np.linspace(0, 1, height, dtype=np.float32)[:, None], np.linspace(0, 1, width, dtype=np.float32)
    across = columns if rng.random() < 0.7 else rows
    across = across if rng.random() < 0.5 else 1 - across
    factor = 1 - np.float32(0.5 * amount * rng.random()) * np.broadcast_to(across, (height, width))
    return (pixels * factor[..., None]).astype(np.uint8)


def _rescale(rng: np.random.Generator, pixels: np.ndarray, amount: float) -> np.ndarray:
    """Smaller and back, as pictures that were shared twice."""
    picture = Image.fromarray(pixels)
    factor = 1 - 0.45 * amount * rng.random()
    small = picture.resize([max(1, int(side * factor)) for side in picture.size], Image.Resampling.BILINEAR)
    return np.asarray(small.resize(picture.size, choose(rng, (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC))))


_EFFECTS: tuple[Callable[[np.random.Generator, np.ndarray, float], np.ndarray], ...] = (
    _noise, _specks, _blur, _jpeg, _contrast, _tint, _light, _rescale,
)  # fmt: skip
