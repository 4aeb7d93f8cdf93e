"""How a shape moves through a clip: position and size as functions of time, in shares of the picture."""

from dataclasses import dataclass

import numpy as np

MOTIONS: tuple[str, ...] = ("right", "left", "up", "down", "still", "grows", "shrinks", "circles")

_WAYS = {"right": (1.0, 0.0), "left": (-1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}


@dataclass(frozen=True, eq=False)
class Path:
    """Where a shape is in each frame.

    `x`, `y`: float64 [frames], its centre in shares of the width and height; `radius`: float64 [frames], in shares of the
    shorter side.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray


SEEN = 0.015
"""The least way in the time between two frames, and the least change of size, in shares of the picture, that is called one."""
CROSSING = 0.3
"""Share of the straight paths that come from beyond one edge or go beyond the other, as filmed things do."""


def seen(path: Path, first: int, second: int) -> str | None:
    """What a shape does from one frame to another, as far as these two show it: one of `MOTIONS` but "circles", or None where
    it moves too little to tell."""
    x, y, size = (float(values[second] - values[first]) for values in (path.x, path.y, path.radius))
    if max(abs(x), abs(y)) >= SEEN:
        return ("right" if x > 0 else "left") if abs(x) >= abs(y) else "down" if y > 0 else "up"
    if abs(size) >= SEEN / 2:
        return "grows" if size > 0 else "shrinks"
    still = all(np.ptp(values) == 0 for values in (path.x, path.y, path.radius))
    return "still" if still else None


def draw_path(rng: np.random.Generator, motion: str, frames: int, seconds: float) -> Path:
    """A random path of the kind `motion` (one of `MOTIONS`), wide enough to be seen; only straight ones leave the picture."""
    share = np.arange(frames) / max(frames - 1, 1)
    pace = share if rng.random() < 0.6 else share**2 * (3 - 2 * share)
    radius = np.full(frames, rng.uniform(0.12, 0.2))
    x, y = (np.full(frames, rng.uniform(0.28, 0.72)) for _ in range(2))
    if motion in _WAYS:
        x, y = _line(rng, _WAYS[motion], pace)
    elif motion == "circles":
        x, y = _round(rng, share * max(frames - 1, 1) / frames, seconds)
    elif motion in ("grows", "shrinks"):
        sizes = rng.uniform(0.07, 0.11) + pace * rng.uniform(0.12, 0.17)
        radius = sizes if motion == "grows" else sizes[::-1]
        x, y = 0.5 + (x - 0.5) * 0.7, 0.5 + (y - 0.5) * 0.5
    return Path(x, y, radius)


def _line(rng: np.random.Generator, way: tuple[float, float], pace: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From about one side to the other, hardly drifting; perhaps across the edges."""
    reach, drift, side = rng.uniform(0.2, 0.3), rng.uniform(-0.05, 0.05), rng.uniform(0.3, 0.7)
    middle = rng.uniform(0.2 + reach - 0.02, 0.8 - reach + 0.02)
    along, across = middle + reach * (2 * pace - 1), side + drift * (2 * pace - 1)
    if rng.random() < CROSSING:
        start, end = rng.uniform(-0.15, 0.25), rng.uniform(0.75, 1.15)
        along = start + (end - start) * pace
    if way[0]:
        return (along if way[0] > 0 else along[::-1]), across
    return across, (along if way[1] > 0 else along[::-1])


def _round(rng: np.random.Generator, share: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Most of a turn or more, but at least 2.5 s a turn: two frames a second must show it."""
    turns = rng.uniform(0.9, max(1.0, min(1.6, seconds / 2.5)))
    angle = 2 * np.pi * (rng.random() + turns * share * rng.choice([-1, 1]))
    reach = rng.uniform(0.18, 0.26)
    return 0.5 + reach * np.cos(angle), 0.5 + reach * np.sin(angle)
