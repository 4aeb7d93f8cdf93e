"""Backgrounds and surfaces: how a clip looks, apart from what happens in it. Each split has its own of both.

Colours have names that a question may ask for; the shade of a name varies, and differs between the splits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omnie.data.clips.motion import Path
from omnie.data.clips.shapes import exact, raster
from omnie.data.example import Split

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 35),
    "green": (35, 160, 60),
    "blue": (40, 75, 215),
    "yellow": (240, 215, 40),
    "orange": (245, 135, 25),
    "purple": (135, 50, 170),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}

SURFACES: dict[Split, tuple[str, ...]] = {
    "train": ("flat", "outlined", "shaded"),
    "validation": ("banded",),
    "heldout": ("lit", "shadowed"),
}
BACKGROUNDS: dict[Split, tuple[str, ...]] = {
    "train": ("plain", "slope", "stripes", "clouds", "horizon"),
    "validation": ("vignette",),
    "heldout": ("checks", "dots", "bricks"),
}
SIZES: dict[Split, tuple[tuple[int, int], ...]] = {
    "train": ((128, 96), (128, 96), (160, 96), (96, 96), (96, 128), (120, 90), (144, 80)),
    "validation": ((136, 102),),
    "heldout": ((192, 108), (160, 120), (112, 112)),
}
"""Width and height in pixels."""


@dataclass(frozen=True)
class Thing:
    """A shape with its colour name and its path."""

    shape: str
    colour: str
    path: Path


def draw_background(rng: np.random.Generator, split: Split, size: tuple[int, int], keep: list[str]) -> tuple[np.ndarray, str]:
    """A muted picture, float32 [height, width, 3], 0 to 255, on which no colour of `keep` vanishes; and its family."""
    name = str(rng.choice(BACKGROUNDS[split]))
    x, y = np.linspace(0, 1, size[0], dtype=np.float32)[None, :], np.linspace(0, 1, size[1], dtype=np.float32)[:, None]
    first = _muted(rng, keep)
    second = _away(first, rng.uniform(-32, 32, 3) + rng.choice([-18, 18]), keep)
    blend = np.broadcast_to(_BLENDS[name](rng, x, y), (size[1], size[0]))[..., None]
    return (first * (1 - blend) + second * blend).astype(np.float32), name


def draw_clip(rng: np.random.Generator, split: Split, background: np.ndarray, things: list[Thing]) -> tuple[np.ndarray, str]:
    """The things on their paths before the background: uint8 [frames, height, width, 3]; and the family of the surface."""
    surface = str(rng.choice(SURFACES[split]))
    frames = np.repeat(background[None], len(things[0].path.x), 0)
    for thing in things:
        colour = np.clip(np.array(COLOURS[thing.colour]) + _shade(rng, split, thing.colour), 0, 255).astype(np.float32)
        angle = rng.uniform(-0.3, 0.3)
        for frame, x, y, radius in zip(frames, thing.path.x, thing.path.y, thing.path.radius, strict=True):
            height, width = frame.shape[:2]
            _paint(frame, surface, thing.shape, (x * width, y * height), radius * min(width, height), angle, colour)
    if rng.random() < 0.4:
        _grain(rng, frames, rng.uniform(1, 7))
    return np.clip(frames, 0, 255).astype(np.uint8), surface


def _paint(
    frame: np.ndarray,
    surface: str,
    shape: str,
    centre: tuple[float, float],
    radius: float,
    angle: float,
    colour: np.ndarray,
) -> None:
    """One shape into one frame, in place."""
    left, right = (int(np.clip(centre[0] + side * (radius * 1.3 + 2), 0, frame.shape[1])) for side in (-1, 1))
    top, bottom = (int(np.clip(centre[1] + side * (radius * 1.3 + 2), 0, frame.shape[0])) for side in (-1, 1))
    if right <= left or bottom <= top:
        return
    x = (np.arange(left, right, dtype=np.float32) + 0.5 - centre[0])[None, :]
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5 - centre[1])[:, None]
    area = frame[top:bottom, left:right]
    for cover, paint in _SURFACES[surface](shape, x, y, radius, angle, colour):
        area += cover[..., None] * (paint - area)


Layers = list[tuple[np.ndarray, np.ndarray]]
"""Coverage [height, width] and colour [3] or [height, width, 3], painted one over the other."""


def _flat(shape: str, x: np.ndarray, y: np.ndarray, radius: float, angle: float, colour: np.ndarray) -> Layers:
    return [(exact(shape, x, y, radius, angle), colour)]


def _outlined(shape: str, x: np.ndarray, y: np.ndarray, radius: float, angle: float, colour: np.ndarray) -> Layers:
    """A thin rim, darker than the shape (or lighter than a black one)."""
    rim = colour * 0.35 if colour.sum() > 120 else colour + 110
    return [(exact(shape, x, y, radius + 1, angle), rim), (exact(shape, x, y, radius - 0.8, angle), colour)]


def _shaded(shape: str, x: np.ndarray, y: np.ndarray, radius: float, angle: float, colour: np.ndarray) -> Layers:
    """Darker towards the bottom."""
    light = np.clip(1.0 - 0.22 * y / radius, 0.7, 1.2)[..., None]
    return [(exact(shape, x, y, radius, angle), np.broadcast_to(colour * light, (y.shape[0], x.shape[1], 3)))]


def _banded(shape: str, x: np.ndarray, y: np.ndarray, radius: float, angle: float, colour: np.ndarray) -> Layers:
    """Slanted bands of two near shades."""
    bands = 0.88 + 0.16 * (((x + y) / radius * 2.5) % 1 > 0.5)
    return [(exact(shape, x, y, radius, angle), colour * bands[..., None])]


def _lit(shape: str, x: np.ndarray, y: np.ndarray, radius: float, angle: float, colour: np.ndarray) -> Layers:
    """As a ball or a tile under a lamp at the upper left."""
    glow = np.exp(-((x / radius + 0.35) ** 2 + (y / radius + 0.4) ** 2) * 2)[..., None]
    return [(raster(shape, x, y, radius, angle), colour * (0.85 - 0.1 * glow) + 60 * glow)]


def _shadowed(shape: str, x: np.ndarray, y: np.ndarray, radius: float, angle: float, colour: np.ndarray) -> Layers:
    """Floating above its own shadow."""
    shift = radius * 0.14
    shadow = raster(shape, x - shift, y - shift, radius, angle) * 0.35
    return [(shadow, np.zeros(3, np.float32)), (raster(shape, x, y, radius, angle), colour)]


_SURFACES: dict[str, Callable[[str, np.ndarray, np.ndarray, float, float, np.ndarray], Layers]] = {
    "flat": _flat,
    "outlined": _outlined,
    "shaded": _shaded,
    "banded": _banded,
    "lit": _lit,
    "shadowed": _shadowed,
}


def _clouds(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Smooth noise: a few waves in random directions."""
    waves = rng.uniform(-9, 9, (5, 2))
    return 0.5 + sum(np.sin(a * x + b * y + rng.uniform(0, 6)) for a, b in waves) * 0.13


def _bricks(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    rows = rng.integers(6, 11)
    row = np.floor(y * rows)
    along = (x * rows * 0.7 + 0.5 * (row % 2)) % 1
    return ((y * rows % 1 < 0.14) | (along < 0.08)).astype(np.float32)


def _dots(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    cells = rng.integers(7, 13)
    return (np.hypot(x * cells % 1 - 0.5, y * cells % 1 - 0.5) < rng.uniform(0.18, 0.3)).astype(np.float32)


def _stripes(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    turn, count = rng.uniform(0, np.pi), rng.uniform(3, 9)
    return 0.5 + 0.5 * np.sin(2 * np.pi * count * (x * np.cos(turn) + y * np.sin(turn)))


def _slope(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    turn = rng.uniform(0, 2 * np.pi)
    return np.clip(0.5 + (x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn), 0, 1)


_BLENDS: dict[str, Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]] = {
    "plain": lambda rng, x, y: np.zeros((1, 1), np.float32),
    "slope": _slope,
    "stripes": _stripes,
    "clouds": _clouds,
    "horizon": lambda rng, x, y: (y > rng.uniform(0.4, 0.7)).astype(np.float32),
    "vignette": lambda rng, x, y: 2 * ((x - 0.5) ** 2 + (y - 0.5) ** 2),
    "checks": lambda rng, x, y: (np.floor(x * rng.integers(5, 9)) + np.floor(y * rng.integers(4, 7))) % 2,
    "dots": _dots,
    "bricks": _bricks,
}


def _muted(rng: np.random.Generator, keep: list[str]) -> np.ndarray:
    """A greyish colour far from those in `keep`."""
    named = np.array([COLOURS[name] for name in keep], np.float64)
    candidates = rng.uniform(25, 235, (12, 1)) + rng.uniform(-22, 22, (12, 3))
    distances = np.sqrt(((candidates[:, None] - named) ** 2).sum(-1)).min(1)
    fitting = np.flatnonzero(distances > 105)
    return candidates[fitting[0] if len(fitting) else distances.argmax()]


def _away(start: np.ndarray, step: np.ndarray, keep: list[str]) -> np.ndarray:
    """A step from `start`, forwards or backwards, whichever ends farther from the colours in `keep`."""
    ends = np.clip([start + step, start - step], 0, 255)
    named = np.array([COLOURS[name] for name in keep], np.float64)
    return ends[np.linalg.norm(ends[:, None] - named, axis=-1).min(1).argmax()]


def _shade(rng: np.random.Generator, split: Split, colour: str) -> np.ndarray:
    """How far a shade is from its name's own; a little darker or lighter in held-out clips than ever in training."""
    jitter = rng.uniform(-16, 16, 3)
    if split != "heldout" or colour in ("white", "black"):
        return jitter * (0.6 if colour in ("white", "black") else 1)
    return jitter * 0.5 + rng.choice([-20, 20])


def _grain(rng: np.random.Generator, frames: np.ndarray, strength: float) -> None:
    """Sensor noise, in place; one sheet of it, shifted from frame to frame."""
    sheet = rng.standard_normal(frames.shape[1:], dtype=np.float32) * np.float32(strength)
    for frame in frames:
        frame += np.roll(sheet, int(rng.integers(0, sheet.shape[1])), 1)
