"""A convolution over the last few tokens, channel by channel, and which of these belong to the same sequence.

Attention finds a token by what it is; where the same words stand before and after many others, it must be found by its
neighbourhood, which two layers of heads learn slowly or not at all. With its neighbours in it, a token can be found by one
head (Arora et al. 2023, "Zoology", section 4; Allen-Zhu 2025, "Physics of Language Models: Part 4.1", canon layers).
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.ops.convolution import convolve
from omnie.ops.flashmask import ColumnMask

CONVOLUTIONS = 2
"""In a layer: before attention and before the experts."""


class StateCache(Protocol):
    """What a convolution asks of a cache; Transformers' cache of hybrid layers fits, and so does the engine's."""

    def update_conv_state(self, conv_states: Tensor, layer_idx: int, state_idx: int = 0, *, conv_kernel_size: int) -> Tensor:
        """Keeps the last `conv_kernel_size` of all tokens seen by a layer's convolution; gives those kept before with the new
        ones, [B, D, S + T]."""
        ...


class ShortConvolution(nn.Module):
    """x_t + w_0 x_t + w_1 x_(t-1) + ..., the weights of each channel its own; a fresh one changes nothing.

    Args:
        hidden: Channels.
        kernel: Tokens that it spans, the present one included.
        place: Layer, and which of the layer's convolutions: where a cache keeps the tokens before.
    """

    def __init__(self, hidden: int, kernel: int, place: tuple[int, int]):
        super().__init__()
        self.place, self.before = place, kernel - 1
        self.weight = nn.Parameter(torch.zeros(kernel, hidden))

    def forward(self, x_BTD: Tensor, near_BTK: Tensor | None, cache: Any | None) -> Tensor:
        """Same shape as `x_BTD`; `near_BTK` as `neighbours` gives it."""
        seen = x_BTD
        if cache is not None and self.before:
            seen = cache.update_conv_state(x_BTD.transpose(1, 2), *self.place, conv_kernel_size=self.before).transpose(1, 2)
        missing = max(x_BTD.shape[1] + self.before - seen.shape[1], 0)
        return convolve(F.pad(seen, (0, 0, missing, 0)), self.weight, near_BTK)


def neighbours(mask: Any, count: int, past: int, length: int, dtype: torch.dtype) -> Tensor | None:
    """Which of the `count` tokens before each new one it may see: 1 or 0, [B or 1, T, count]; None: all that there are.

    Args:
        mask: What attention sees: None (causal), segments [B, T] of packed rows, real tokens [B, S], a `ColumnMask` or a dense
            mask [B, 1, T, S] (bool, or to be added).
        past: Tokens before the new ones, which number `length`.
    """
    if mask is None:
        return None
    if isinstance(mask, ColumnMask):
        near = [_column(mask, k, past, length) for k in range(1, count + 1)]
    elif mask.ndim == 4:
        seen = mask if mask.dtype == torch.bool else mask > -1
        near = [_diagonal(seen[:, 0], k, past, length) for k in range(1, count + 1)]
    elif mask.shape[1] == length and past == 0:
        near = [F.pad(mask[:, k:] == mask[:, :-k], (min(k, length), 0))[:, -length:] for k in range(1, count + 1)]
    else:
        near = [F.pad(mask.bool(), (k, 0))[:, past : past + length] for k in range(1, count + 1)]
    return torch.stack(near, dim=-1).to(dtype)


def _column(mask: ColumnMask, k: int, past: int, length: int) -> Tensor:
    """Whether each row sees the key `k` before its own, [B, T]; without heads, for a token's neighbours are every head's."""
    row = torch.arange(length, device=mask.device, dtype=torch.int32)
    lts, lte, uts, ute = (F.pad(bound[:, 0], (k, 0))[:, past : past + length] for bound in mask.bounds)
    hidden = ((row >= lts) & (row < lte)) | ((row >= uts) & (row < ute))
    return ~hidden & (row + past >= k)


def _diagonal(seen_BTS: Tensor, k: int, past: int, length: int) -> Tensor:
    """The same of a dense mask."""
    return torch.diagonal(F.pad(seen_BTS, (k, 0)), past, 1, 2)[:, :length]
