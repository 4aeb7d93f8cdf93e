"""What scanners, cameras, screens and savers do to a picture, in NumPy and Pillow, fast enough to run on every example.

`warp` bends a drawing before it is put on its ground (so no empty corners appear); `degrade` wears the finished picture, in
every split alike; `photographed` is training's alone.
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


def photographed(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """A third of all pictures, as if printed and photographed, or taken off a screen: one to three different effects.

    Args:
        pixels: uint8 [height, width, 3].

    Returns:
        uint8 [height, width, 3], same size.
    """
    if rng.random() < 2 / 3:
        return pixels
    for index in rng.permutation(len(_PHOTOGRAPHED))[: int(rng.integers(1, 4))]:
        pixels = _PHOTOGRAPHED[index](rng, pixels)
    return pixels


def _perspective(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Seen from a side: each corner moves by up to 7 % of the shorter side; what comes into view goes on as the edge does."""
    height, width = pixels.shape[:2]
    reach = max(1, round(0.07 * min(height, width)))
    wide = Image.fromarray(np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), "edge"))
    corners = np.array([(0, 0), (0, height), (width, height), (width, 0)]) + reach
    moved = corners + rng.uniform(-reach, reach, (4, 2))
    return np.asarray(wide.transform((width, height), Image.Transform.QUAD, moved.flatten(), Image.Resampling.BICUBIC))


def _paper(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Fibres and stains: patterns of one, a few and many pixels that darken."""
    height, width = pixels.shape[:2]
    shade = np.zeros((height, width), np.float32)
    for cell in (1, int(rng.integers(2, 6)), int(rng.integers(16, 48))):
        size = max(2, -(-height // cell)), max(2, -(-width // cell))
        coarse = Image.fromarray(rng.standard_normal(size).astype(np.float32))
        shade += np.float32(rng.uniform(0, 0.05)) * np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(pixels * (1 - np.abs(shade)[..., None]), 0, 255).astype(np.uint8)


def _shadow(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """A hand's or a page's shadow with a soft edge in any direction, or a fold: light on one side, dark on the other."""
    height, width = pixels.shape[:2]
    angle, place, soft = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4), rng.uniform(0.01, 0.15)
    rows, columns = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None], np.linspace(-0.5, 0.5, width, dtype=np.float32)
    across = (np.cos(angle) * columns + np.sin(angle) * rows - place) / soft
    depth = np.float32(rng.uniform(0.1, 0.5))
    edge, fold = 1 / (1 + np.exp(np.clip(across, -30, 30))), np.tanh(across) * np.exp(-np.abs(across) / 4) / 2
    falls = edge if rng.random() < 0.7 else fold
    return np.clip(pixels * (1 - depth * falls[..., None]), 0, 255).astype(np.uint8)


def _moved(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """The camera moved: the mean of a few shifts along one direction."""
    steps, angle = int(rng.integers(2, 4)), rng.uniform(0, np.pi)
    shifts = [(round(step * np.sin(angle)), round(step * np.cos(angle))) for step in range(steps)]
    return np.mean([np.roll(pixels, shift, (0, 1)) for shift in shifts], axis=0).astype(np.uint8)


def _sharpened(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """As telephones do: edges get rims."""
    mask = ImageFilter.UnsharpMask(radius=rng.uniform(0.6, 2.0), percent=int(rng.uniform(60, 250)), threshold=0)
    return np.asarray(Image.fromarray(pixels).filter(mask))


def _screen(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Waves of a screen's grid against the camera's."""
    height, width = pixels.shape[:2]
    angle, length = rng.uniform(0, np.pi), rng.uniform(2.5, 9)
    phase = (np.cos(angle) * np.arange(width) + np.sin(angle) * np.arange(height)[:, None]) * (2 * np.pi / length)
    waves = np.sin(phase[..., None] + rng.uniform(0, 2 * np.pi, 3)).astype(np.float32)
    return np.clip(pixels * (1 - np.float32(rng.uniform(0.02, 0.12)) * (1 + waves)), 0, 255).astype(np.uint8)


_PHOTOGRAPHED: tuple[Callable[[np.random.Generator, np.ndarray], np.ndarray], ...] = (
    _perspective, _paper, _shadow, _moved, _sharpened, _screen,
)  # fmt: skip


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
