"""Matrices to 4 bits and back. The format is described in the package's docstring; products are not here."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

GROUPS = (32, 64, 128)
"""Group sizes that the format knows."""
PARTS = ("codes", "scale", "block")
"""A packed matrix's tensors: `N` is stored as `N_codes`, `N_scale`, `N_block`."""
BLOCK = 64
"""Scales that share a float, at least (a whole row's, if it has more)."""
RATIOS = (1.0, 0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.15)
"""Scales that the search tries, as shares of the one that the group's largest weight asks for; the first is the plain one."""
CHUNK = 2**18
"""Weights that are packed at once: 1 MiB of float32, so that the search works in the cache."""

Rounding = Literal["plain", "search"]


class Packed(NamedTuple):
    """A matrix [(E,) out, in] in 4 bits; `inputs` is `in`, `group` is G."""

    codes: Tensor
    scale: Tensor
    block: Tensor
    inputs: int
    group: int

    def expert(self, index: int) -> Packed:
        """One expert's matrix of fused ones (views, no copy)."""
        return Packed(self.codes[index], self.scale[index], self.block[index], self.inputs, self.group)


def rows_per_block(inputs: int, group: int) -> int:
    """R: how many rows share a float."""
    return max(1, BLOCK // -(-inputs // group))


def shapes(shape: list[int], group: int) -> dict[str, tuple[list[int], torch.dtype]]:
    """Part -> shape and dtype, for a matrix of `shape` [(E,) out, in]."""
    *lead, outputs, inputs = shape
    return {
        "codes": ([*lead, outputs, -(-inputs // 2)], torch.uint8),
        "scale": ([*lead, outputs, -(-inputs // group)], torch.int8),
        "block": ([*lead, -(-outputs // rows_per_block(inputs, group))], torch.float32),
    }


def pack(weight: Tensor, group: int = 32, rounding: Rounding = "search", energy: Tensor | None = None) -> Packed:
    """A matrix in 4 bits.

    Args:
        weight: [(E,) out, in], floating point, finite.
        group: G, one of `GROUPS`.
        rounding: "plain" takes each group's scale from its largest weight: a weight's error is at most 1/8 of its group's
            largest, plus 1/254 of its block's largest. "search" tries further scales and both signs for every group and keeps
            the one of least squared error.
        energy: Mean square of each input's activations, [in] or [E, in]: the search then weighs errors by it (as AWQ does,
            Lin et al. 2023), so that it minimises the error of the output for independent inputs.
    """
    assert group in GROUPS, f"group size {group}"
    parts = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in shapes(list(weight.shape), group).items()}
    *_, outputs, inputs = weight.shape
    matrices, codes, scale, block = (each if weight.dim() == 3 else each.unsqueeze(0) for each in (weight, *parts.values()))
    rows = rows_per_block(inputs, group)
    step = max(1, CHUNK // max(1, inputs * rows)) * rows
    for e, matrix in enumerate(matrices):
        importance = energy[e] if energy is not None and energy.dim() == 2 else energy
        for begin in range(0, outputs, step):
            here, blocks = slice(begin, begin + step), slice(begin // rows, (begin + step) // rows)
            codes[e, here], scale[e, here], block[e, blocks] = _pack_rows(matrix[here], group, rows, rounding, importance)
    return Packed(parts["codes"], parts["scale"], parts["block"], inputs, group)


def rounded(weight: Tensor, group: int = 32) -> Tensor:
    """What becomes of a matrix when it is packed by plain rounding, in float32: `unpack(pack(weight, group, "plain"))`, but
    without packing, for training that rounds at every step.

    Args:
        weight: [(E,) out, in], floating point, finite.
    """
    *_, outputs, inputs = weight.shape
    rows = rows_per_block(inputs, group)
    if outputs % rows:  # blocks end with a matrix
        return torch.stack([_rounded(w, group, rows) for w in weight]) if weight.dim() == 3 else _rounded(weight, group, rows)
    return _rounded(weight.reshape(-1, inputs), group, rows).view(weight.shape)


def _rounded(matrix: Tensor, group: int, rows: int) -> Tensor:
    x, scale, block = _plain(matrix, group, rows)
    step = scale * _of_rows(block, len(matrix), rows)
    return _levels(x, step).mul_(step.unsqueeze(-1)).flatten(-2)[:, : matrix.shape[1]]


def unpack(packed: Packed, dtype: torch.dtype = torch.float32) -> Tensor:
    """The matrix that `packed` means, [(E,) out, in]; products of float32, then rounded to `dtype`."""
    codes, scale, block, inputs, group = packed
    outputs, groups = scale.shape[-2:]
    code = torch.stack((codes & 15, codes >> 4), dim=-1).flatten(-2)
    if code.shape[-1] != groups * group:
        code = F.pad(code, (0, groups * group - code.shape[-1]))
    step = scale * _of_rows(block, outputs, rows_per_block(inputs, group))
    weight = (code.unflatten(-1, (groups, group)).float() - 8).mul_(step.unsqueeze(-1)).flatten(-2)
    return weight[..., :inputs].to(dtype)


def _of_rows(block: Tensor, outputs: int, rows: int) -> Tensor:
    """Each row's float: [..., out, 1]."""
    return (block.repeat_interleave(rows, dim=-1)[..., :outputs] if rows > 1 else block).unsqueeze(-1)


def _pack_rows(
    matrix: Tensor, group: int, rows: int, rounding: Rounding, importance: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, scales and blocks of some rows [r, in] of a matrix, which begin at a block."""
    outputs, inputs = matrix.shape
    x, scale, block = _plain(matrix, group, rows, RATIOS if rounding == "search" else RATIOS[:1])
    unit = _of_rows(block, outputs, rows)
    if rounding == "search":
        wanted = _wanted(x)
        weight = None if importance is None else _groups(importance.float().sqrt(), group)
        best = _error(x, scale * unit, weight)
        for signed in [*RATIOS[1:], *(-ratio for ratio in RATIOS)]:
            other = _scale(wanted, unit, signed)
            error = _error(x, other * unit, weight)
            better = error < best
            scale, best = torch.where(better, other, scale), torch.where(better, error, best)
    code = _levels(x, scale * unit).add_(8).to(torch.uint8).flatten(-2)[:, :inputs]
    if inputs % 2:
        code = F.pad(code, (0, 1), value=8)
    low, high = code.unflatten(-1, (-1, 2)).unbind(-1)
    return low | (high << 4), scale.to(torch.int8), block


def _plain(matrix: Tensor, group: int, rows: int, ratios: tuple[float, ...] = RATIOS[:1]) -> tuple[Tensor, Tensor, Tensor]:
    """A matrix in groups [out, g, G], its plain scales [out, g], and blocks with room for these times each of the ratios."""
    x = _groups(matrix.float(), group)
    wanted, outputs = _wanted(x), len(matrix)
    block = F.pad(wanted.abs(), (0, 0, 0, -outputs % rows)).view(-1, rows * x.shape[1]).amax(-1) * max(ratios) / 127
    block = block.clamp_min(2.0**-120)  # rows of zeros
    return x, _scale(wanted, _of_rows(block, outputs, rows), 1.0), block


def _wanted(x: Tensor) -> Tensor:
    """The scale at which a group's largest weight lies at level -8, whichever its sign is."""
    return x.gather(-1, x.abs().argmax(-1, keepdim=True)).squeeze(-1) / -8


def _groups(x: Tensor, group: int) -> Tensor:
    """[..., in] as [..., g, G], filled up with zeros."""
    return F.pad(x, (0, -x.shape[-1] % group)).unflatten(-1, (-1, group))


def _scale(wanted: Tensor, unit: Tensor, ratio: float) -> Tensor:
    """Scales as whole numbers (in float32): a tiny group takes 1, because with 0 it would vanish."""
    magnitude = (wanted.abs() / unit * abs(ratio)).round_().clamp_(1, 127)
    return torch.where((wanted < 0) == (ratio > 0), -magnitude, magnitude)


def _levels(x: Tensor, step: Tensor) -> Tensor:
    return (x * step.reciprocal().unsqueeze(-1)).round_().clamp_(-8, 7)


def _error(x: Tensor, step: Tensor, weight: Tensor | None) -> Tensor:
    """Root of each group's squared error, weighed."""
    rest = torch.addcmul(x, _levels(x, step), step.unsqueeze(-1), value=-1)
    return torch.linalg.vector_norm(rest if weight is None else rest.mul_(weight), dim=-1)
