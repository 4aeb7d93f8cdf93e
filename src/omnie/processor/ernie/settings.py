"""How a published folder wants pictures and clips: sizes, scales, sampling, read from its files. No processing here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omnie.errors import CheckpointError

COMBINED, IMAGES, CLIPS = "processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pixels that CLIP (Radford et al. 2021) was trained on, channel by channel, in 0 to 1."""
BICUBIC = 3
"""Pillow's number of the filter."""
ALWAYS = ("do_resize", "do_rescale", "do_normalize")
"""Steps that a folder may not turn off: the model was trained with them."""


@dataclass(frozen=True)
class PictureSettings:
    """Attributes:
    patch_size: Side of a patch, pixels; `merge_size`: patches along a side that become one token.
    min_pixels, max_pixels: Of a picture after resizing.
    image_mean, image_std, rescale_factor: A pixel x becomes (x * rescale_factor - mean) / std.
    """

    patch_size: int = 14
    merge_size: int = 2
    min_pixels: int = 56 * 56
    max_pixels: int = 28 * 28 * 6177
    rescale_factor: float = 1 / 255
    image_mean: tuple[float, ...] = MEAN
    image_std: tuple[float, ...] = STD

    @property
    def unit(self) -> int:
        """Side of the square of pixels that becomes one token."""
        return self.patch_size * self.merge_size


@dataclass(frozen=True)
class ClipSettings(PictureSettings):
    """Attributes:
    min_frames, max_frames: Of a clip; `fps`: frames a second, or `num_frames` in all; both None: every frame.
    draw_on_frames: Whether each frame shows its time; `font`: the file of the letters.
    """

    min_pixels: int = 299 * 28 * 28
    max_pixels: int = 1196 * 28 * 28
    min_frames: int = 16
    max_frames: int = 180
    fps: float | None = None
    num_frames: int | None = None
    draw_on_frames: bool = True
    font: str = "Roboto-Regular.ttf"


def load(folder: Path) -> tuple[PictureSettings, ClipSettings]:
    """What the folder's files say, defaults where they say nothing.

    Raises:
        CheckpointError: a file is damaged, or asks for something that is not done.
    """
    combined, pictures, clips = (read(folder / name) for name in (COMBINED, IMAGES, CLIPS))
    images = combined.get("image_processor") or pictures
    videos = combined.get("video_processor") or clips
    return _settings(PictureSettings, images, folder), _settings(ClipSettings, videos, folder)


def read(file: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file."""
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError("settings cannot be read", value=f"{file}: {error}") from None
    if not isinstance(values, dict):
        raise CheckpointError("settings are not a JSON object", value=file)
    return values


def _settings(kind: type[Any], values: Mapping[str, Any], folder: Path) -> Any:
    """Settings of a kind; sizes may stand in `size` or as two numbers."""
    for step in ALWAYS:
        if values.get(step, True) is not True:
            raise CheckpointError(f"{step} is not supported", value=f"{values[step]} in {folder}", allowed="true")
    if values.get("resample", BICUBIC) != BICUBIC:
        raise CheckpointError("resample is not supported", value=f"{values['resample']} in {folder}", allowed=str(BICUBIC))
    if values.get("temporal_patch_size", 2) not in (1, 2):
        raise CheckpointError("temporal_patch_size is not supported", value=values["temporal_patch_size"], allowed="1 or 2")
    given = values.get("size")
    size: dict[str, Any] = given if isinstance(given, dict) else {}
    found = {item.name: values[item.name] for item in fields(kind) if values.get(item.name) is not None}
    for name, edge in (("min_pixels", "shortest_edge"), ("max_pixels", "longest_edge")):
        if edge in size:
            found[name] = size[edge]
    result = kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in found.items()})
    _check(result, folder)
    return result


def _check(settings: PictureSettings, folder: Path) -> None:
    for item in fields(settings):
        value = getattr(settings, item.name)
        whole, number = item.type.startswith("int"), item.type.startswith(("int", "float"))  # type: ignore[union-attr]
        bad = number and value is not None and (isinstance(value, bool) or not isinstance(value, int if whole else int | float))
        if bad or (number and value is not None and not 0 < value < 2**40):
            raise CheckpointError(f"{item.name} is not usable", value=f"{value} in {folder}", allowed="a number above 0")
        if item.name in ("image_mean", "image_std") and (len(value) != 3 or not all(isinstance(x, float | int) for x in value)):
            raise CheckpointError(f"{item.name} is not usable", value=f"{value} in {folder}", allowed="three numbers")
    if settings.merge_size != 2:
        raise CheckpointError("merge_size is not supported", value=f"{settings.merge_size} in {folder}", allowed="2")
    if settings.patch_size > 4096:
        raise CheckpointError("patch_size is not usable", value=f"{settings.patch_size} in {folder}", allowed="at most 4096")
