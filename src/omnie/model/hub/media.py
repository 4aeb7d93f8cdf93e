"""The media tensors of a batch as a table, and the rows of features that belong to each item. Nothing is encoded here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from omnie.errors import InputError
from omnie.inputs import AUDIO, IMAGE, VIDEO, audio_tokens, image_tokens, video_tokens

MEDIA = {
    IMAGE: ("pixel_values", "image_grid_thw"),
    VIDEO: ("pixel_values_videos", "video_grid_thw"),
    AUDIO: ("input_features", "audio_lengths"),
}
"""Modality -> its features and the sizes of its items, in the names of `omnie/inputs.py`."""
MEDIA_NAMES = tuple(name for names in MEDIA.values() for name in names)

COUNTS: dict[int, Callable[..., int]] = {IMAGE: image_tokens, VIDEO: video_tokens, AUDIO: audio_tokens}
"""Modality -> tokens of an item of the given size."""


def item_lengths(sizes: Tensor) -> Tensor:
    """Patches of each picture from grids [I, 3], or mel frames of each sound from lengths [A]."""
    return sizes if sizes.ndim == 1 else sizes.prod(-1)


def check_lengths(values: Tensor, sizes: Tensor | None, names: Sequence[str]) -> None:
    """Raises `InputError` unless the features are as many as the sizes of the items say."""
    expected = None if sizes is None else int(item_lengths(sizes).sum())
    if expected != len(values):
        raise InputError(f"{names[0]} and {names[1]} disagree", value=f"{len(values)} features", allowed=f"{expected}")


def repeated(modality: int, values: Tensor, sizes: Tensor, row_tokens: list[int], times: int) -> tuple[Tensor, Tensor]:
    """The media of a batch whose every row stands `times` times; `row_tokens`: placeholders of each row."""
    remaining = iter(enumerate(COUNTS[modality](size) for size in sizes.tolist()))
    order: list[int] = []
    for tokens in row_tokens:
        row: list[int] = []
        while tokens > 0:
            item, count = next(remaining)
            row.append(item)
            tokens -= count
        order += row * times
    pieces = values.split(item_lengths(sizes).tolist())
    return torch.cat([pieces[item] for item in order]), sizes[order]
