"""Pictures to patches: which size, resampling, cutting and the way back. One picture at a time; clips use the same functions.

A picture keeps its aspect as nearly as sides in whole tokens allow. Patches stand in the order in which the model merges them:
four patches (a 2 x 2 block) in a row are one token, blocks run row by row.
"""

import itertools
import math

import numpy as np
from PIL import Image as Pillow

from omnie.errors import InputError
from omnie.inputs import SPATIAL_MERGE
from omnie.processor.settings import ProcessorSettings


def fit(height: int, width: int, *, unit: int, max_pixels: int, min_pixels: int = 1, zoom: float = 1.0) -> tuple[int, int]:
    """The size (height, width) at which a picture is looked at.

    Both sides become multiples of `unit`, nearest in ratio to the picture scaled into `max_pixels`. A picture is enlarged if it
    has fewer than `min_pixels` or a side shorter than `unit`; one of n times half as many by the root of n, at most `zoom`: the
    larger a picture, the more is in it and the smaller each thing.
    """
    if height < 1 or width < 1:
        raise InputError("picture is empty", value=f"{width} x {height} pixels", allowed="at least 1 x 1")
    area = height * width
    enlarged = max(min(math.sqrt(2 * area / min_pixels), zoom), math.sqrt(min_pixels / area))
    scale = min(enlarged, math.sqrt(max_pixels / area))
    scale = max(scale, unit / min(height, width))
    longest = max_pixels / unit
    ideal = [min(side * scale, longest) for side in (height, width)]
    choices = [sorted({max(unit, int(round_(side / unit)) * unit) for round_ in (math.floor, math.ceil)}) for side in ideal]
    fitting = [(high, wide) for high, wide in itertools.product(*choices) if high * wide <= max_pixels]
    return min(fitting, key=lambda size: sum(abs(math.log(got / want)) for got, want in zip(size, ideal, strict=True)))


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [H, W, 3] resampled to [height, width, 3]; both filters average over the area when they shrink."""
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = pixels.shape[0] * pixels.shape[1] > height * width
    method = Pillow.Resampling.LANCZOS if shrinks else Pillow.Resampling.BICUBIC
    return np.asarray(Pillow.fromarray(pixels).resize((width, height), method, reducing_gap=2.0 if shrinks else None))


Grid = tuple[int, int, int]
"""Frames, rows and columns of patches."""


def grid_of_picture(height: int, width: int, settings: ProcessorSettings, max_pixels: int) -> Grid:
    """Patch grid (1, rows, columns) of a picture of that size, resized to at most `max_pixels`, without looking at it."""
    high, wide = fit(
        height,
        width,
        unit=settings.unit,
        max_pixels=max_pixels,
        min_pixels=settings.image_min_pixels,
        zoom=settings.image_zoom,
    )
    return 1, high // settings.patch, wide // settings.patch


def grid_of_frame(height: int, width: int, settings: ProcessorSettings) -> Grid:
    """The same of a clip's frame."""
    high, wide = fit(height, width, unit=settings.unit, max_pixels=settings.video_max_pixels)
    return 1, high // settings.patch, wide // settings.patch


def patches(pixels: np.ndarray, rows: int, columns: int, patch: int) -> np.ndarray:
    """A picture, resized to a patch grid and cut: uint8 [H, W, 3] -> float32 [rows * columns, patch * patch * 3] in [-1, 1]."""
    pixels = resize(check(pixels), rows * patch, columns * patch)
    return cut(pixels, patch).astype(np.float32) / np.float32(127.5) - np.float32(1)


def cut(pixels: np.ndarray, patch: int) -> np.ndarray:
    """[H, W, C] -> [P, patch * patch * C] in merge order; sides are multiples of `2 * patch`."""
    height, width, channels = pixels.shape
    merge = SPATIAL_MERGE
    blocks = pixels.reshape(height // patch // merge, merge, patch, width // patch // merge, merge, patch, channels)
    return blocks.transpose(0, 3, 1, 4, 2, 5, 6).reshape(-1, patch * patch * channels)


def join(patches_PD: np.ndarray, rows: int, columns: int, patch: int) -> np.ndarray:
    """The way back from `cut`: [P, patch * patch * C] -> [rows * patch, columns * patch, C]."""
    merge = SPATIAL_MERGE
    blocks = patches_PD.reshape(rows // merge, columns // merge, merge, merge, patch, patch, -1)
    return blocks.transpose(0, 2, 4, 1, 3, 5, 6).reshape(rows * patch, columns * patch, -1)


def check(pixels: np.ndarray) -> np.ndarray:
    """The pixels, if they are uint8 [H, W, 3]."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError("picture has the wrong form", value=f"{pixels.dtype} {pixels.shape}", allowed="uint8 [H, W, 3]")
    return pixels
