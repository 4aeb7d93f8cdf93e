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
    "train": ("flat", "outlined", "shaded", "hatched", "speckled", "rimmed", "halved", "soft"),
    "validation": ("banded",),
    "heldout": ("lit", "shadowed"),
}
BACKGROUNDS: dict[Split, tuple[str, ...]] = {
    "train": ("plain", "slope", "stripes", "clouds", "horizon", "patches", "noise", "rays", "ripples", "weave", "litter"),
    "validation": ("vignette",),
    "heldout": ("checks", "dots", "bricks"),
}
SIZES: dict[Split, tuple[tuple[int, int], ...]] = {
    "train": (
        *((128, 96), (128, 96), (160, 96), (96, 96), (96, 128), (120, 90), (144, 80), (136, 136), (176, 99), (168, 126)),
        *((104, 104), (112, 84), (144, 144), (180, 120), (112, 150)),
    ),
    "validation": ((136, 102),),
    "heldout": ((192, 108), (160, 120), (112, 112)),
}
"""Width and height in pixels."""
FULLER = 0.06
"""By how much, in radii, training's shapes may be thicker or thinner than they are by themselves."""


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
        angle, fuller = rng.uniform(-0.3, 0.3), rng.uniform(-FULLER, FULLER) if split == "train" else 0.0
        for frame, x, y, radius in zip(frames, thing.path.x, thing.path.y, thing.path.radius, strict=True):
            height, width = frame.shape[:2]
            form = Form(thing.shape, radius * min(width, height), angle, fuller)
            _paint(frame, surface, form, (x * width, y * height), colour)
    if split == "train" and rng.random() < 0.5:
        frames = _filmed(rng, frames)
    if rng.random() < 0.4:
        _grain(rng, frames, rng.uniform(1, 7))
    return np.clip(frames, 0, 255).astype(np.uint8), surface


@dataclass(frozen=True)
class Form:
    """A shape as it is drawn: `radius` in pixels, turned by `angle` (radians), its parts `fuller` (in radii) than others'."""

    shape: str
    radius: float
    angle: float
    fuller: float = 0.0

    def cover(self, x: np.ndarray, y: np.ndarray, grown: float = 0.0) -> np.ndarray:
        """How much of each pixel it covers (`shapes.exact`), if it is so many pixels larger."""
        return exact(self.shape, x, y, self.radius + grown, self.angle, self.fuller)


def _paint(frame: np.ndarray, surface: str, form: Form, centre: tuple[float, float], colour: np.ndarray) -> None:
    """One shape into one frame, in place."""
    radius = form.radius
    left, right = (int(np.clip(centre[0] + side * (radius * 1.3 + 2), 0, frame.shape[1])) for side in (-1, 1))
    top, bottom = (int(np.clip(centre[1] + side * (radius * 1.3 + 2), 0, frame.shape[0])) for side in (-1, 1))
    if right <= left or bottom <= top:
        return
    x = (np.arange(left, right, dtype=np.float32) + 0.5 - centre[0])[None, :]
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5 - centre[1])[:, None]
    area = frame[top:bottom, left:right]
    for cover, paint in _SURFACES[surface](form, x, y, colour):
        area += cover[..., None] * (paint - area)


Layers = list[tuple[np.ndarray, np.ndarray]]
"""Coverage [height, width] and colour [3] or [height, width, 3], painted one over the other."""


def _flat(form: Form, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> Layers:
    return [(form.cover(x, y), colour)]


def _outlined(form: Form, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> Layers:
    """A thin rim, darker than the shape (or lighter than a black one)."""
    rim = colour * 0.35 if colour.sum() > 120 else colour + 110
    return [(form.cover(x, y, 1), rim), (form.cover(x, y, -0.8), colour)]


def _shaded(form: Form, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> Layers:
    """Darker towards the bottom."""
    light = np.clip(1.0 - 0.22 * y / form.radius, 0.7, 1.2)[..., None]
    return [(form.cover(x, y), np.broadcast_to(colour * light, (y.shape[0], x.shape[1], 3)))]


def _hatched(form: Form, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> Layers:
    """Thin darker lines along one direction, which turns with the shape."""
    along = x * np.cos(3 * form.angle) + y * np.sin(3 * form.angle)
    return [(form.cover(x, y), colour * (1 - 0.25 * (along / 3.5 % 1 < 0.3))[..., None])]


def _speckled(form: Form, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> Layers:
    """Sprinkled with dots that move along with it."""
    dots = np.sin(x * 1.9 + 3 * form.angle) * np.sin(y * 1.7 - x * 0.6) > 0.55
    return [(form.cover(x, y), colour + 42.0 * (1 if colour.sum() < 380 else -1) * dots[..., None])]


def _rimmed(form: Form, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> Layers:
    """Lighter towards the edge, as glass is."""
    far = np.clip(np.hypot(x, y) / form.radius, 0, 1)[..., None] ** 2
    return [(form.cover(x, y), colour * (0.84 + 0.1 * far) + 34 * far)]


def _halved(form: Form, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> Layers:
    """Two near shades that meet in a line through the middle."""
    side = x * np.cos(5 * form.angle) + y * np.sin(5 * form.angle) > 0
    return [(form.cover(x, y), colour * (0.8 + 0.25 * side[..., None]))]


def _soft(form: Form, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> Layers:
    """Out of focus: edges that fade over some pixels."""
    covers = [form.cover(x, y, grown) for grown in (-1.5, -0.5, 0.5, 1.5)]
    return [(np.mean(covers, axis=0), colour)]


def _banded(form: Form, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> Layers:
    """Slanted bands of two near shades."""
    bands = 0.88 + 0.16 * (((x + y) / form.radius * 2.5) % 1 > 0.5)
    return [(form.cover(x, y), colour * bands[..., None])]


def _lit(form: Form, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> Layers:
    """As a ball or a tile under a lamp at the upper left."""
    glow = np.exp(-((x / form.radius + 0.35) ** 2 + (y / form.radius + 0.4) ** 2) * 2)[..., None]
    return [(raster(form.shape, x, y, form.radius, form.angle), colour * (0.85 - 0.1 * glow) + 60 * glow)]


def _shadowed(form: Form, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> Layers:
    """Floating above its own shadow."""
    shift = form.radius * 0.14
    shadow = raster(form.shape, x - shift, y - shift, form.radius, form.angle) * 0.35
    return [(shadow, np.zeros(3, np.float32)), (raster(form.shape, x, y, form.radius, form.angle), colour)]


_SURFACES: dict[str, Callable[[Form, np.ndarray, np.ndarray, np.ndarray], Layers]] = {
    "flat": _flat,
    "outlined": _outlined,
    "shaded": _shaded,
    "hatched": _hatched,
    "speckled": _speckled,
    "rimmed": _rimmed,
    "halved": _halved,
    "soft": _soft,
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


def _patches(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Each place has the shade of the nearest of some points, as fields seen from above."""
    points = rng.uniform(-0.1, 1.1, (int(rng.integers(4, 14)), 2))
    return rng.random(len(points))[np.argmin([(x - a) ** 2 + (y - b) ** 2 for a, b in points], axis=0)]


def _noise(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Soft noise of several sizes."""
    field, sizes = np.zeros((y.shape[0], x.shape[1])), 2 ** rng.integers(2, 6, 3)
    for size in sizes:
        rows, columns = ((values.ravel() * (size - 1)).astype(int) for values in (y, x))
        field += rng.random((size, size))[rows[:, None], columns]
    return field / len(sizes)


def _rays(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    around = np.arctan2(y - rng.uniform(-0.3, 1.3), x - rng.uniform(-0.3, 1.3))
    return 0.5 + 0.5 * np.sin(around * int(rng.integers(4, 16)))


def _ripples(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.sin(np.hypot(x - rng.uniform(-0.3, 1.3), y - rng.uniform(-0.3, 1.3)) * rng.uniform(12, 50))


def _weave(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Two sets of fine waves across each other."""
    turn, count = rng.uniform(0, np.pi), rng.uniform(6, 22)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return 0.5 + 0.25 * (np.sin(2 * np.pi * count * along) + np.sin(2 * np.pi * count * rng.uniform(0.6, 1.4) * across))


def _litter(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Little rectangles lying about."""
    field = np.zeros((y.shape[0], x.shape[1]))
    for _ in range(int(rng.integers(5, 30))):
        (a, b), (wide, high), shade = rng.random(2), rng.uniform(0.03, 0.2, 2), rng.random()
        field[((np.abs(x - a) < wide / 2) & (np.abs(y - b) < high / 2))] = shade
    return field


_BLENDS: dict[str, Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]] = {
    "plain": lambda rng, x, y: np.zeros((1, 1), np.float32),
    "slope": _slope,
    "stripes": _stripes,
    "clouds": _clouds,
    "horizon": lambda rng, x, y: (y > rng.uniform(0.4, 0.7)).astype(np.float32),
    "patches": _patches,
    "noise": _noise,
    "rays": _rays,
    "ripples": _ripples,
    "weave": _weave,
    "litter": _litter,
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


def _filmed(rng: np.random.Generator, frames: np.ndarray) -> np.ndarray:
    """As another camera sees it: more or less light and contrast, a tint, now and then out of focus; the same in all frames."""
    frames = (frames - 127.5) * rng.uniform(0.8, 1.1) + 127.5 + rng.uniform(-14, 14) + rng.uniform(-7, 7, 3)
    if rng.random() < 0.4:
        near = [np.roll(frames, shift, axis) for axis in (1, 2) for shift in (-1, 1)]
        frames = 0.5 * frames + 0.125 * np.sum(near, axis=0)
    return frames.astype(np.float32)


def _grain(rng: np.random.Generator, frames: np.ndarray, strength: float) -> None:
    """Sensor noise, in place; one sheet of it, shifted from frame to frame."""
    sheet = rng.standard_normal(frames.shape[1:], dtype=np.float32) * np.float32(strength)
    for frame in frames:
        frame += np.roll(sheet, int(rng.integers(0, sheet.shape[1])), 1)
