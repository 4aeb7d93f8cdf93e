"""Pictures and clips as ERNIE 4.5 was trained on them: sizes, time stamps on frames, normalised patches. NumPy and Pillow."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from omnie.errors import CheckpointError, InputError
from omnie.media.types import Video
from omnie.processor.ernie.settings import ClipSettings, PictureSettings
from omnie.processor.image import check

LONGEST_ASPECT = 200
"""A picture's longer side over its shorter."""
STAMP = 0.1
"""Height of a time stamp over the frame's shorter side; and its outline's width over its height."""


def fit(height: int, width: int, settings: PictureSettings) -> tuple[int, int]:
    """The size at which a picture is looked at: sides in whole tokens, pixels between the settings' two limits."""
    if min(height, width) < 1 or max(height, width) > LONGEST_ASPECT * min(height, width):
        raise InputError(
            "picture has extreme sides",
            value=f"{width} x {height} pixels",
            allowed=f"one side up to {LONGEST_ASPECT} times the other",
        )
    unit, pixels = settings.unit, height * width
    rounded = [round(side / unit) * unit for side in (height, width)]
    if rounded[0] * rounded[1] > settings.max_pixels:
        shrink = math.sqrt(pixels / settings.max_pixels)
        rounded = [max(unit, math.floor(side / shrink / unit) * unit) for side in (height, width)]
    elif rounded[0] * rounded[1] < settings.min_pixels:
        grow = math.sqrt(settings.min_pixels / pixels)
        rounded = [math.ceil(side * grow / unit) * unit for side in (height, width)]
    return rounded[0], rounded[1]


def grid(height: int, width: int, settings: PictureSettings, frames: int = 1) -> tuple[int, int, int]:
    """Patch grid (frames, rows, columns), without looking at the picture."""
    high, wide = fit(height, width, settings)
    return frames, high // settings.patch_size, wide // settings.patch_size


def image_patches(pixels: np.ndarray, settings: PictureSettings) -> np.ndarray:
    """uint8 [H, W, 3] -> float32 [P, 3 * p * p], channel by channel; scaled, then normalised, each in float32."""
    scaled = (resized(check(pixels), settings).astype(np.float64) * settings.rescale_factor).astype(np.float32)
    mean, std = (np.array(values, dtype=np.float32) for values in (settings.image_mean, settings.image_std))
    return cut((scaled - mean) / std, settings)


def frame_patches(pixels: np.ndarray, settings: PictureSettings) -> np.ndarray:
    """As `image_patches`, but scaled and normalised in one step, as frames were."""
    scale = np.float32(1.0 / settings.rescale_factor)
    mean, std = (np.array(values, dtype=np.float32) * scale for values in (settings.image_mean, settings.image_std))
    return cut((resized(check(pixels), settings).astype(np.float32) - mean) / std, settings)


def resized(pixels: np.ndarray, settings: PictureSettings) -> np.ndarray:
    """uint8 [H, W, 3] at the size of `fit`, bicubic."""
    height, width = fit(pixels.shape[0], pixels.shape[1], settings)
    return np.asarray(Pillow.fromarray(pixels).resize((width, height), Pillow.Resampling.BICUBIC))


def cut(pixels: np.ndarray, settings: PictureSettings) -> np.ndarray:
    """[H, W, 3] -> [P, 3 * p * p]: the four patches of a token one after the other, each channel by channel."""
    patch, merge = settings.patch_size, settings.merge_size
    rows, columns = (side // settings.unit for side in pixels.shape[:2])
    blocks = pixels.reshape(rows, merge, patch, columns, merge, patch, 3)
    return np.ascontiguousarray(blocks.transpose(0, 3, 1, 4, 6, 2, 5)).reshape(-1, 3 * patch * patch)


def choose(frames: int, seconds: float, settings: ClipSettings) -> np.ndarray:
    """Indices of the frames that are looked at, evenly spread over the clip: int64 [n].

    Raises:
        InputError: the settings ask for more frames than the clip has.
    """
    wanted: float = frames
    if settings.num_frames is not None:
        wanted = settings.num_frames
    elif settings.fps is not None:
        wanted = seconds * settings.fps
    wanted = wanted if settings.num_frames is not None else min(max(wanted, settings.min_frames), settings.max_frames, frames)
    if wanted > frames or frames == 0:
        raise InputError("clip has too few frames", value=frames, allowed=f"{math.ceil(wanted) or 1} or more")
    step = frames / wanted
    return (np.arange(math.ceil(frames / step)) * step).astype(np.float32).astype(np.int64)


def stamped(pixels: np.ndarray, seconds: float, font: Path) -> np.ndarray:
    """A frame with its time in its upper left corner, black with a white outline: uint8 [H, W, 3]."""
    frame = Pillow.fromarray(pixels)
    size = int(min(frame.size) * STAMP)
    if size < 1:
        raise InputError(
            "frame is too small for a time stamp", value=f"{frame.width} x {frame.height}", allowed="10 x 10 or more"
        )
    outline = int(size * STAMP)
    ImageDraw.Draw(frame).text(
        (0, 0), stamp(seconds), font=_letters(font, size), fill=(0, 0, 0), stroke_width=outline, stroke_fill=(255, 255, 255)
    )
    return np.asarray(frame)


def stamp(seconds: float) -> str:
    """`time: 00:01:02.50`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"time: {hours:02d}:{minutes:02d}:{rest:05.02f}"


def _letters(font: Path, size: int) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(str(font), size)
    except OSError:
        raise CheckpointError(
            "the font of the time stamps is missing",
            value=font,
            allowed="a TrueType file",
            hint="put it there; the published models use Roboto Regular",
        ) from None


def clip_patches(clip: Video, chosen: np.ndarray, settings: ClipSettings, folder: Path) -> np.ndarray:
    """Patches of the chosen frames, the last one once more where their number is odd: float32 [P, 3 * p * p]."""
    parts = []
    for index in chosen.tolist():
        frame = clip.frames[index]
        if settings.draw_on_frames:
            frame = stamped(frame, float(clip.times[index]), folder / Path(settings.font).name)
        parts.append(frame_patches(frame, settings))
    return np.concatenate(parts + parts[-1:] * (len(parts) % 2))
