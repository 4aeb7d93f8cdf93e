"""Weights as int8 with one float16 scale per group of 32 inputs, and back to floating point.

The decoder's attention stays float16: it is what answers about passages lose by when rounded (`docs/lab.md`), and of nano's
weights one in twenty-four.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCALE = ".scale"
GROUP = 32
"""Inputs that share a scale."""
KEPT = ".language_model."
ATTENTION = ".self_attn."
"""What the names of matrices hold that stay float16."""
SMALL = 4096
"""Tensors of fewer elements stay in floating point: they are norms and biases, and cost nothing."""


def quantised(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """A matrix as int8 and its scales [..., groups] (float16), or as float16; small, float32-only and odd ones unchanged."""
    import torch

    if tensor.dim() < 2 or tensor.numel() < SMALL or tensor.shape[-1] % GROUP or name.endswith("gate.weight"):
        return {name: tensor.contiguous()}
    if KEPT in name and ATTENTION in name:
        return {name: tensor.to(torch.float16).contiguous()}
    groups = tensor.float().unflatten(-1, (-1, GROUP))
    # The scale is rounded to float16 first, so that the codes are the best for the scale that is stored.
    scale = (groups.abs().amax(-1) / 127).clamp_min(2**-24).to(torch.float16)
    codes = (groups / scale.float().unsqueeze(-1)).round().clamp(-127, 127).to(torch.int8)
    return {name: codes.flatten(-2).contiguous(), name + SCALE: scale}


def as_bytes(tensor: Tensor) -> Tensor:
    """A matrix of whole numbers below 256 as bytes, anything else unchanged."""
    import torch

    if tensor.dim() < 2:
        return tensor
    found = tensor.clamp(0, 255).to(torch.uint8)
    return found if torch.equal(found.to(tensor.dtype), tensor) else tensor


def dequantised(codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The weights that `quantised` stored."""
    return (codes.unflatten(-1, (-1, GROUP)) * scale.float().unsqueeze(-1)).flatten(-2).to(dtype)
