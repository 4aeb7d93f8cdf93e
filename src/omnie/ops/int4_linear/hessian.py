"""Rounding that knows its inputs, in the same format: a weight's error is made up for by the weights that are rounded after it.

GPTQ (Frantar et al. 2023): with H = sum x x^T over inputs x, the squared error of the outputs W x is least when column j's
rounding error e_j is taken from the later columns as e_j / U[j, j] * U[j, j:], where U is the upper Cholesky factor of H^-1. A
group's scale is chosen, among those that `pack` tries, when its turn comes, each column weighed by 1 / U[j, j].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from omnie.ops.int4_linear.packing import RATIOS, Packed, _error, _groups, _of_rows, _scale, rows_per_block

DAMPING = 0.05
"""Share of H's mean diagonal that is added to it: inputs that calibration hardly saw keep their weights."""
SHARED = 0.05
"""Share of all experts' mean that is added to each one's H."""
HEADROOM = 1.4
"""How much larger than at first a block's largest weight may grow by what it takes over from others."""
CHUNK = 2**22
"""Weights of experts that are rounded side by side."""


def pack_for(weight: Tensor, gram: Tensor, group: int = 32) -> Packed:
    """A matrix in 4 bits, rounded for the inputs that `gram` sums up.

    Args:
        weight: [(E,) out, in], floating point, finite.
        gram: H, [(E,) in, in], in any scale.
        group: Inputs that share a scale.
    """
    fused = weight.dim() == 3
    w_EOI, h_EII = (weight, shared(gram)) if fused else (weight[None], gram[None])
    step = max(1, CHUNK // max(1, w_EOI[0].numel()))
    chunks = [_pack(w.float(), h.float(), group) for w, h in zip(w_EOI.split(step), h_EII.split(step))]
    codes, scale, block = (torch.cat(part) if fused else torch.cat(part)[0] for part in zip(*chunks))
    return Packed(codes, scale, block, weight.shape[-1], group)


def shared(gram_EII: Tensor) -> Tensor:
    """H of experts, each with a little of all others': one may have seen few tokens."""
    return gram_EII + SHARED * gram_EII.mean(0)


def _pack(w_EOI: Tensor, h_EII: Tensor, group: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, scales and blocks of some matrices."""
    inputs = w_EOI.shape[-1]
    u_EII, w_EOI = factor(h_EII), w_EOI.clone()
    block = _blocks(w_EOI, group)
    unit_EO = _of_rows(block, w_EOI.shape[1], rows_per_block(inputs, group)).squeeze(-1)
    code, scale = torch.empty_like(w_EOI), []
    for begin in range(0, inputs, group):
        here = slice(begin, min(begin + group, inputs))
        own = u_EII[:, here, here]
        scale.append(_best(w_EOI[..., here], unit_EO, own))
        code[..., here], error = levels(w_EOI[..., here], scale[-1] * unit_EO, own, -8, 7)
        w_EOI[..., here.stop :] -= error @ u_EII[:, here, here.stop :]
    nibbles = (code + 8).to(torch.uint8)
    low, high = F.pad(nibbles, (0, inputs % 2), value=8).unflatten(-1, (-1, 2)).unbind(-1)
    return low | (high << 4), torch.stack(scale, dim=-1).to(torch.int8), block


def factor(h_EII: Tensor) -> Tensor:
    """U of each H, damped, float32 [E, in, in]."""
    mean_E = h_EII.diagonal(dim1=-2, dim2=-1).mean(-1)
    damped = h_EII + torch.diag_embed((DAMPING * mean_E + 1e-12)[:, None].expand(h_EII.shape[:2]))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped.double()))
    return torch.linalg.cholesky(inverse, upper=True).float()


def _blocks(w_EOI: Tensor, group: int) -> Tensor:
    """The floats of blocks, [E, blocks]."""
    _, outputs, inputs = w_EOI.shape
    rows = rows_per_block(inputs, group)
    largest = _groups(w_EOI, group).abs().amax(-1) / 8
    padded = F.pad(largest, (0, 0, 0, -outputs % rows)).view(len(w_EOI), -1, rows * largest.shape[-1])
    return (padded.amax(-1) * HEADROOM / 127).clamp_min(2.0**-120)


def _best(w_EOG: Tensor, unit_EO: Tensor, u_EGG: Tensor) -> Tensor:
    """Each group's scale, a whole number in float32."""
    weight = u_EGG.diagonal(dim1=-2, dim2=-1).reciprocal()[:, None]
    wanted = w_EOG.gather(-1, w_EOG.abs().argmax(-1, keepdim=True)).squeeze(-1) / -8
    scale = _scale(wanted, unit_EO, 1.0)
    best = _error(w_EOG, scale * unit_EO, weight)
    for signed in [*RATIOS[1:], *(-ratio for ratio in RATIOS)]:
        other = _scale(wanted, unit_EO, signed)
        error = _error(w_EOG, other * unit_EO, weight)
        better = error < best
        scale, best = torch.where(better, other, scale), torch.where(better, error, best)
    return scale


def levels(w_EOG: Tensor, step_EO: Tensor, u_EGG: Tensor, low: int, high: int) -> tuple[Tensor, Tensor]:
    """Levels from `low` to `high` of a group's columns, one after the other, and their errors over U's diagonal, which later
    columns take over."""
    rest, found, errors = w_EOG.clone(), torch.empty_like(w_EOG), torch.empty_like(w_EOG)
    for j in range(w_EOG.shape[-1]):
        found[..., j] = (rest[..., j] / step_EO).round().clamp_(low, high)
        errors[..., j] = (rest[..., j] - found[..., j] * step_EO) / u_EGG[:, None, j, j]
        rest[..., j:] -= errors[..., j, None] * u_EGG[:, None, j, j:]
    return found, errors
