"""Another look at the same pictures: moved by half a patch, so that what one look cut in two lies whole in the other.

What an encoder misreads depends on where its patches fall, and a model knows how sure it is of what it read: of several looks
the surest one is more often right than the first (test-time augmentation, as the ten crops of Krizhevsky et al. 2012, section
4.1; there they are averaged). Every look has the same tokens, so nothing but the pixels differs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from omnie.processor.image import cut, join

SHIFTS = ((0, 0), (1, 1), (1, 0), (0, 1))
"""By how many halves of a patch each look is moved, down or up and right or left."""
PICTURES = {"pixel_values": "image_grid_thw", "pixel_values_videos": "video_grid_thw"}


class Looks(Sequence[Mapping[str, np.ndarray]]):
    """The looks behind the first at one conversation: its arrays with pictures and frames moved, made when they are asked for.

    Args:
        arrays: What `Encoder.encode` gave; without pictures there is nothing to look at again.
        count: Looks in all, the first included, as in `ProcessorSettings`.
        patch: Side of a patch (pixels).
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], count: int, patch: int):
        self._arrays, self._patch = arrays, patch
        self._shifts: Sequence[tuple[int, int]] = SHIFTS[1:count] if any(name in arrays for name in PICTURES) else ()

    def __len__(self) -> int:
        return len(self._shifts)

    def __getitem__(self, number: Any) -> Any:
        down, right = self._shifts[number]
        return _moved(self._arrays, down, right, self._patch)


def _moved(arrays: Mapping[str, np.ndarray], down: int, right: int, patch: int) -> dict[str, np.ndarray]:
    result = dict(arrays)
    for name, grid in PICTURES.items():
        if name in arrays:
            sizes = [(rows, columns) for frames, rows, columns in arrays[grid].tolist() for _ in range(frames)]
            ends = np.cumsum([rows * columns for rows, columns in sizes])[:-1]
            parts = np.split(arrays[name], ends)
            result[name] = np.concatenate([_picture(part, *size, down, right, patch) for part, size in zip(parts, sizes)])
    return result


def _picture(patches_PD: np.ndarray, rows: int, columns: int, down: int, right: int, patch: int) -> np.ndarray:
    pixels = join(patches_PD, rows, columns, patch)
    return cut(slide(slide(pixels, down * patch // 2, 0), right * patch // 2, 1), patch)


def slide(pixels: np.ndarray, by: int, axis: int) -> np.ndarray:
    """Pixels moved along an axis, over the side where there is less to lose; the last row or column fills what is left free."""
    if not by:
        return pixels
    lines = np.moveaxis(pixels, axis, 0)
    if _busy(lines[-by:]) <= _busy(lines[:by]):
        lines = np.concatenate([np.repeat(lines[:1], by, 0), lines[:-by]])
    else:
        lines = np.concatenate([lines[by:], np.repeat(lines[-1:], by, 0)])
    return np.moveaxis(lines, 0, axis)


def _busy(lines: np.ndarray) -> float:
    """How much there is to see: the mean distance from the mean colour."""
    return float(np.abs(lines - lines.mean((0, 1))).mean())
