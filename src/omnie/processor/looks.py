"""Another look at the same pictures, and another listening to the same sounds: moved by half a patch or half a token, so that
what was cut in two the first time lies whole.

What an encoder misreads depends on where its patches fall, and a model knows how sure it is of what it read: of several looks
the surest one is more often right than the first (test-time augmentation, as the ten crops of Krizhevsky et al. 2012, section
4.1; there they are averaged). Every look has the same tokens, so nothing but pixels and log-mel frames differ.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from omnie.inputs import MEL_PER_TOKEN
from omnie.processor.image import cut, join

SHIFTS = ((0, 0), (1, 1), (1, 0), (0, 1))
"""By how many halves of a patch each look is moved, down or up and right or left."""
FRAMES = (0, MEL_PER_TOKEN // 2, MEL_PER_TOKEN // 4, 3 * MEL_PER_TOKEN // 4)
"""By how many log-mel frames each listening is, later or earlier."""
PICTURES, CLIPS, SOUNDS = "pixel_values", "pixel_values_videos", "input_features"


class Looks(Sequence[Mapping[str, np.ndarray]]):
    """The looks behind the first at one conversation: its arrays with pictures and sounds moved, made when they are asked for.

    Args:
        arrays: What `Encoder.encode` gave. Where there is nothing but text, or a clip among the media, there are no more looks:
            clips take long, and what happens in them is told no better (decision 37).
        count: Looks in all, the first included, as in `ProcessorSettings`.
        patch: Side of a patch (pixels).
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], count: int, patch: int):
        self._arrays, self._patch = arrays, patch
        again = any(name in arrays for name in (PICTURES, SOUNDS)) and CLIPS not in arrays
        self._numbers = range(1, count) if again else range(0)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: Any) -> Any:
        number = self._numbers[number]
        down, right = (halves * self._patch // 2 for halves in SHIFTS[number])
        result = dict(self._arrays)
        if PICTURES in result:
            result[PICTURES] = _pictures(result[PICTURES], result["image_grid_thw"], down, right, self._patch)
        if SOUNDS in result:
            sounds = np.split(result[SOUNDS], np.cumsum(result["audio_lengths"])[:-1])
            result[SOUNDS] = np.concatenate([slide(sound, FRAMES[number], 0, loudness) for sound in sounds])
        return result


def _pictures(patches_PD: np.ndarray, grids_N3: np.ndarray, down: int, right: int, patch: int) -> np.ndarray:
    """Patches of pictures, all moved."""
    sizes = grids_N3[:, 1:].tolist()
    parts = np.split(patches_PD, np.cumsum([rows * columns for rows, columns in sizes])[:-1])
    moved = []
    for part, (rows, columns) in zip(parts, sizes, strict=True):
        pixels = join(part, rows, columns, patch)
        moved.append(cut(slide(slide(pixels, down, 0), right, 1), patch))
    return np.concatenate(moved)


def busyness(lines: np.ndarray) -> float:
    """How much there is to see: the mean distance from the mean colour."""
    return float(np.abs(lines - lines.mean((0, 1))).mean())


def loudness(frames: np.ndarray) -> float:
    """How much there is to hear."""
    return float(frames.mean())


def slide(values: np.ndarray, by: int, axis: int, weigh: Callable[[np.ndarray], float] = busyness) -> np.ndarray:
    """Pixels or frames moved along an axis, over the end where there is less to lose; the last ones at the other end fill what
    is left free. What is shorter stays where it is.

    Args:
        weigh: How much there is to lose, axis first.
    """
    lines = np.moveaxis(values, axis, 0)
    if not 0 < by < len(lines):
        return values
    if weigh(lines[-by:]) <= weigh(lines[:by]):
        lines = np.concatenate([np.repeat(lines[:1], by, 0), lines[:-by]])
    else:
        lines = np.concatenate([lines[by:], np.repeat(lines[-1:], by, 0)])
    return np.moveaxis(lines, 0, axis)
