"""Positions of a batch where the caller gives none, and where they go on after what a cache holds. No weights here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Cache

from omnie.errors import InputError
from omnie.inputs import positions

OFFSET = "omnie_position_offset"
"""Attribute of a cache: [B], how far the next position differs from the number of real tokens before it.

A picture takes fewer positions than tokens. The difference belongs to the sequence, so the cache carries it, not the model."""


def remember(cache: Cache, position_ids: Tensor, attention_mask: Tensor | None) -> None:
    """Notes on the cache where positions go on after these; called before the keys are appended."""
    batch, length = position_ids.shape[:2]
    end = int(cache.get_seq_length()) + length
    padded = attention_mask is not None and not isinstance(attention_mask, dict) and attention_mask.ndim == 2
    count_B = attention_mask[:, :end].sum(1) if padded else position_ids.new_full((batch,), end)
    if attention_mask is None or padded:
        real_BT = attention_mask[:, end - length : end] if padded else torch.ones_like(position_ids[..., 0])
        last_B = (real_BT.bool() * torch.arange(length, device=real_BT.device)).argmax(1)
        # Rows and columns: a clip's time may have run ahead of what follows (`inputs.positions`).
        place_B = position_ids[torch.arange(batch), last_B, 1:].amax(1)
        setattr(cache, OFFSET, place_B + 1 - count_B)


def media_positions(types_BT: Tensor, real_BT: Tensor, grids: Sequence[Tensor | None]) -> Tensor:
    """`inputs.positions` of the real tokens of each row; 0 at padding."""
    # One iterator for all rows: items stand one after the other, whichever row they belong to.
    images, videos = (iter([] if grid is None else grid.tolist()) for grid in grids)
    result = torch.zeros(*types_BT.shape, 3, dtype=torch.long)
    try:
        for row, types, real in zip(result, types_BT.cpu(), real_BT.cpu(), strict=True):
            row[real] = torch.from_numpy(positions(types[real].numpy(), images, videos))
    except (StopIteration, ValueError) as error:
        raise InputError(
            "media placeholders and patch grids disagree", hint="encode the conversation with the model's own processor"
        ) from error
    return result.to(types_BT.device)


def packed_segments(position_ids: Tensor | None, shape: Sequence[int]) -> Tensor | None:
    """Which sequence each token of packed rows belongs to, int64 [B, T] from 1, where plain positions start again.

    That is how `DataCollatorWithFlattening` packs; None where they do not, or have three axes, as media need them.
    """
    if position_ids is None or tuple(position_ids.shape) not in (tuple(shape), (1, *shape[1:])):
        return None
    starts = position_ids.diff(dim=-1) != 1
    if not starts.any():
        return None
    return torch.nn.functional.pad(starts.long(), (1, 0)).cumsum(-1).expand(*shape) + 1


def three_axes(position_ids: Tensor, shape: Sequence[int]) -> Tensor:
    """Positions as [B, T, 3] from [B, T, 3], from [3, B, T] or from plain [B, T]."""
    shapes = {(*shape, 3): lambda p: p, (3, *shape): lambda p: p.permute(1, 2, 0), tuple(shape): lambda p: p[..., None]}
    for known, turned in shapes.items():
        if tuple(position_ids.shape) in (known, (1, *known[1:])):
            return turned(position_ids).expand(*shape, 3)
    raise InputError("position_ids have another shape", value=list(position_ids.shape), allowed=f"{[*shape, 3]}")
