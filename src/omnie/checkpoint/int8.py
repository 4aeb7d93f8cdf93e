"""Weights as int8 with one float16 scale per group of 32 inputs, and back to floating point.

The decoder's attention stays float16: it is what answers about passages lose by when rounded (`docs/lab.md`), and of nano's
weights one in twenty-four. So do the picture encoder's queries, keys and values, which make a third of that encoder's error,
and routers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCALE = ".scale"
GROUP = 32
"""Inputs that share a scale."""
LARGEST = 127
KEPT = re.compile(r"\.language_model\..*\.self_attn\.|\.visual\..*\.qkv\.weight$|\.gate\.weight$")
"""Names of matrices that stay float16."""
SMALL = 4096
"""Matrices of fewer elements stay float16."""


def quantised(name: str, tensor: Tensor, gram: Tensor | None = None) -> dict[str, Tensor]:
    """A matrix as int8 and its scales [..., groups] (float16), small and odd ones as float16; vectors unchanged.

    Args:
        gram: The sum of x x^T over inputs x, [(E,) in, in]: errors are then made up for by the weights that are rounded after
            them (GPTQ; `ops/int4_linear/hessian.py`).
    """
    import torch

    if tensor.dim() < 2:
        return {name: tensor.contiguous()}
    if tensor.numel() < SMALL or tensor.shape[-1] % GROUP or KEPT.search(name):
        return {name: tensor.to(torch.float16).contiguous()}
    if gram is not None:
        codes, scale = _fitted(tensor.float(), gram)
        return {name: codes, name + SCALE: scale}
    groups = tensor.float().unflatten(-1, (-1, GROUP))
    scale = _scale(groups)
    codes = (groups / scale.float().unsqueeze(-1)).round().clamp(-LARGEST, LARGEST).to(torch.int8)
    return {name: codes.flatten(-2).contiguous(), name + SCALE: scale}


def _scale(groups: Tensor) -> Tensor:
    """Of groups [..., GROUP]; rounded to float16 before it is used, so that the codes are the best for what is stored."""
    import torch

    return (groups.abs().amax(-1) / LARGEST).clamp_min(2**-24).to(torch.float16)


def _fitted(weight: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """Codes and scales of a matrix, [out, in], or of experts', [E, out, in], rounded for their inputs."""
    import torch

    from omnie.ops.int4_linear.hessian import factor, levels, shared

    fused = weight.dim() == 3
    w_EOI, h_EII = (weight.clone(), shared(gram)) if fused else (weight[None].clone(), gram[None])
    u_EII, codes, scales = factor(h_EII), torch.empty_like(w_EOI, dtype=torch.int8), []
    for begin in range(0, w_EOI.shape[-1], GROUP):
        here, behind = slice(begin, begin + GROUP), slice(begin + GROUP, None)
        scales.append(_scale(w_EOI[..., here]))
        found, errors = levels(w_EOI[..., here], scales[-1].float(), u_EII[:, here, here], -LARGEST, LARGEST)
        codes[..., here] = found.to(torch.int8)
        w_EOI[..., behind] -= errors @ u_EII[:, here, behind]
    scale = torch.stack(scales, dim=-1)
    return (codes, scale) if fused else (codes[0], scale[0])


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
