"""Attention masks of the decoder as column intervals, O(T) memory: causal, padding, sliding window, packed rows."""

import torch
from torch import Tensor

from omnie.ops.flashmask import ColumnMask, kinds


def decoder_mask(
    queries: int,
    past: int,
    device: torch.device,
    *,
    attention_mask: Tensor | None = None,
    window: int | None = None,
) -> ColumnMask | None:
    """The mask of `queries` new tokens after `past` cached ones.

    Args:
        attention_mask: [B, past + queries], 1 for real tokens.
        window: Tokens that a sliding-window layer sees, the token itself included.

    Returns:
        [B or 1, 1, past + queries], or None when plain causal attention says the same. A row that may attend to nothing
        (padding) gets zeros.
    """
    keys = past + queries
    real = attention_mask is not None and not bool(attention_mask.all())
    windowed = window is not None and keys > window
    if not real and not windowed and (past == 0 or queries == 1):
        return None
    mask = kinds.sliding_window(keys, window, device) if windowed else kinds.causal(keys, device)
    mask = mask.rows(past, keys) if past else mask
    return mask.with_padding(attention_mask) if real else mask


def packed_mask(mask: ColumnMask | None, segment_ids_BT: Tensor) -> ColumnMask:
    """A mask of whole packed rows, held within their segments; None is plain causal attention."""
    inside = kinds.packed(segment_ids_BT)
    return inside if mask is None else inside & mask
