"""Attention masks of the decoder as dense boolean tensors (True: attend): causal, padding, sliding window."""

import torch
from torch import Tensor


def decoder_mask(
    queries: int,
    past: int,
    device: torch.device,
    *,
    attention_mask: Tensor | None = None,
    window: int | None = None,
) -> Tensor | None:
    """The mask of `queries` new tokens after `past` cached ones.

    Args:
        attention_mask: [B, past + queries], 1 for real tokens.
        window: Tokens that a sliding-window layer sees, the token itself included.

    Returns:
        bool [B or 1, 1, queries, past + queries], or None when plain causal attention says the same. A row that may attend
        to nothing (padding) attends to itself: its output is never read and its softmax stays finite.
    """
    keys = past + queries
    real = attention_mask is not None and not bool(attention_mask.all())
    windowed = window is not None and keys > window
    if not real and not windowed and (past == 0 or queries == 1):
        return None
    query, key = torch.arange(past, keys, device=device)[:, None], torch.arange(keys, device=device)
    mask = (key <= query)[None]
    if windowed:
        mask = mask & (query - key < window)
    if real:
        mask = mask & attention_mask[:, None, :].bool()
    return (mask | (key == query))[:, None]


def packed_mask(mask: Tensor | None, segment_ids_BT: Tensor) -> Tensor:
    """A mask of whole packed rows, held within their segments: bool [B, 1, T, T]; None is plain causal attention."""
    same = segment_ids_BT[:, None, :, None] == segment_ids_BT[:, None, None, :]
    return same.tril() if mask is None else same & mask
