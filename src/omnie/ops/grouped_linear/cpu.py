"""The grouped product on a CPU: one product a group, from rows where they lie to rows where they belong, no padded copies.

In bfloat16 the products are oneDNN's, which compiles a kernel for every number of rows that it has not seen (about 0.6 ms; it
keeps 1,024), and a router's loads are new in every step. So numbers of rows are multiples of HEIGHT there:

- a group of n rows is computed as a window of n rounded up. What it writes behind its own rows is the next group's, which is
  computed after it and writes over that;
- a sum over n rows is one over n rounded down, added to that over the rest, which one batched product with empty rows set to
  zero computes for all groups (no value of a neighbour must come in here, not even times zero).

Where matrices are so small (`SMALL`) that calls are what takes time, tiles of equal height are faster: one batched product with
a copy of its group's matrix for each tile. It takes groups whose numbers of rows are multiples of a power of two from 16 on;
`multiple` says which one, for callers who can leave gaps. float32 and float64 go to BLAS, which compiles nothing and is called
at less cost: windows are exact there, and there are no tiles. `docs/lab.md` has the numbers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from omnie.ops.grouped_linear.passes import GroupedLinear

HEIGHT = 64
SMALL = 2**15
"""Tiles for matrices of up to so many numbers. With AMX tiles are faster at 2^14 (`nano`) and slower at 2^20 (`8b`)."""


def grouped_linear(x_RI: Tensor, end_E: Tensor, weight_EOI: Tensor) -> Tensor:
    """See `omnie.ops.grouped_linear.grouped_linear`."""
    return GroupedLinear.apply(x_RI, end_E, weight_EOI, sys.modules[__name__])


def height(dtype: torch.dtype) -> int:
    """What numbers of rows are multiples of."""
    return HEIGHT if dtype.itemsize == 2 else 1


def groups(end_E: Tensor) -> Iterator[tuple[int, int, int]]:
    """Number, first row and end of each group that has rows."""
    ends = end_E.tolist()
    return ((group, begin, end) for group, (begin, end) in enumerate(zip([0, *ends], ends)) if end > begin)


def multiple(rows: int, groups: int, numbers: int, dtype: torch.dtype) -> int:
    """What a caller had best fill up each group's rows to a multiple of: the height of tiles, or 1 where they are not faster.

    Args:
        numbers: In a matrix.
    """
    if height(dtype) == 1 or numbers > SMALL:
        return 1
    return min(128, max(16, 1 << max(0, (2 * rows // (3 * groups)).bit_length() - 1)))  # about half of the mean group


def tiled(x_RI: Tensor, end_E: Tensor, outputs: int) -> int:
    """The height of tiles; 0 where groups are no whole tiles or tiles are not faster."""
    if height(x_RI.dtype) == 1 or x_RI.shape[1] * outputs > SMALL:
        return 0
    divisor = math.gcd(*end_E.tolist())
    high = min(divisor & -divisor, 128)
    return high if high >= 16 else 0


def rows(x_RI: Tensor, end_E: Tensor, weight_EIO: Tensor) -> Tensor:
    """See `passes.Products`."""
    if high := tiled(x_RI, end_E, weight_EIO.shape[2]):
        return torch.bmm(x_RI.unflatten(0, (-1, high)), weight_EIO.index_select(0, _group_of_tile(end_E, high))).flatten(0, 1)
    step = height(x_RI.dtype)
    y_RO = x_RI.new_empty(len(x_RI) + step - 1, weight_EIO.shape[2])
    matrices = weight_EIO.unbind()
    for group, begin, end in groups(end_E):
        stop = begin + -(-(end - begin) // step) * step
        window = x_RI[begin:stop] if stop <= len(x_RI) else F.pad(x_RI[begin:end], (0, 0, 0, stop - end))
        torch.mm(window, matrices[group], out=y_RO[begin:stop])
    return y_RO[: len(x_RI)]


def weights(x_RI: Tensor, end_E: Tensor, y_RO: Tensor) -> Tensor:
    """See `passes.Products`."""
    if high := tiled(x_RI, end_E, y_RO.shape[1]):
        y_GOH = y_RO.unflatten(0, (-1, high)).transpose(1, 2)
        return _sums(torch.bmm(y_GOH, x_RI.unflatten(0, (-1, high))), _group_of_tile(end_E, high), len(end_E))
    step = height(x_RI.dtype)
    total_EOI = x_RI.new_empty(len(end_E), y_RO.shape[1], x_RI.shape[1])
    totals = total_EOI.unbind()
    if step == 1 or not len(x_RI):
        ends = end_E.tolist()
        for total, begin, end in zip(totals, [0, *ends], ends):
            torch.mm(y_RO[begin:end].t(), x_RI[begin:end], out=total)  # over no rows: 0
        return total_EOI
    torch.bmm(_rest(y_RO, end_E, step).transpose(1, 2), _rest(x_RI, end_E, step), out=total_EOI)
    for group, begin, end in groups(end_E):
        stop = begin + (end - begin) // step * step
        if stop > begin:
            totals[group].addmm_(y_RO[begin:stop].t(), x_RI[begin:stop])
    return total_EOI


def _rest(x_RI: Tensor, end_E: Tensor, step: int) -> Tensor:
    """[E, step, I]: the rows of each group behind the last multiple of `step`, then zeros."""
    count_E = end_E.diff(prepend=end_E.new_zeros(1)) % step
    row_S = torch.arange(step)
    inside_ES = row_S < count_E[:, None]
    at_ES = torch.where(inside_ES, (end_E - count_E)[:, None] + row_S, 0)
    picked = x_RI.index_select(0, at_ES.flatten()).unflatten(0, at_ES.shape)
    return picked.masked_fill_(~inside_ES[..., None], 0)


def _group_of_tile(end_E: Tensor, high: int) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(end_E)), end_E.diff(prepend=end_E.new_zeros(1)) // high)


def _sums(tiles_GOI: Tensor, group_G: Tensor, number: int) -> Tensor:
    """[E, O, I]: the sum of each group's tiles, which lie side by side. A bag's sum is faster than `index_add`."""
    begin_E = torch.searchsorted(group_G, torch.arange(number))
    sums = F.embedding_bag(torch.arange(len(tiles_GOI)), tiles_GOI.flatten(1), begin_E, mode="sum")
    return sums.unflatten(1, tiles_GOI.shape[1:])
