"""The grouped product in Triton, both passes. Written for Hopper (sm_90); without a GPU it runs in Triton's interpreter
(`TRITON_INTERPRET=1`).

    rows:     Y[r, :] = sum over k of X[r, k] W[e, k, :],   e the group of row r          (the forward pass, and dX = dY W)
    weights:  T[e, m, n] = sum over the rows r of e of Y[r, m] X[r, n]                    (dW)

Layout: X [R, K] and Y contiguous, W [E, K, N] by its strides, `ends` [E] on the device. In `rows` one program owns BLOCK_M rows
of one group and BLOCK_N columns; in `weights` one group's BLOCK_M x BLOCK_N piece of T, over all rows of the group. How many
tiles a group has is known on the device alone, so the grid of `rows` has as many as there can be, ceil(R / BLOCK_M) + E: each
program finds its group among the running sums of tiles, and those behind the last tile end at once. Nothing waits for the
device. Sums are float32.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from omnie.errors import OptionError
from omnie.ops.grouped_linear.passes import GroupedLinear

Tile = tuple[int, int, int, int, int]
ROWS: dict[int, Tile] = {2: (128, 256, 64, 8, 3), 4: (64, 64, 32, 4, 3)}
WEIGHTS: dict[int, Tile] = {2: (128, 256, 64, 8, 3), 4: (64, 64, 32, 4, 3)}
"""Bytes of an element -> BLOCK_M, BLOCK_N, BLOCK_K, warps, stages. In 16 bits the fastest of `benchmarks/gpu/grouped.py` for
the experts of `8b` on an H200; those of float32 are guesses."""
INTERPRETED: Tile = (16, 16, 16, 4, 1)


def grouped_linear(x_RI: Tensor, end_E: Tensor, weight_EOI: Tensor) -> Tensor:
    """See `omnie.ops.grouped_linear.grouped_linear`. Not in float64."""
    if x_RI.dtype == torch.float64:
        raise OptionError("the GPU's kernels do not compute this dtype", value=x_RI.dtype, allowed="float32, bfloat16, float16")
    if x_RI.device.type == "cpu" and x_RI.dtype == torch.bfloat16:  # Triton's interpreter has no product of this type
        return grouped_linear(x_RI.float(), end_E, weight_EOI.float()).to(x_RI.dtype)
    return GroupedLinear.apply(x_RI, end_E, weight_EOI, sys.modules[__name__])


@triton.jit
def _clipped(ends, group, groups, rows):
    """First row and end of groups, whatever `ends` says: no address outside the rows."""
    begin = tl.load(ends + group - 1, mask=(group > 0) & (group < groups), other=0).to(tl.int32)
    end = tl.load(ends + group, mask=group < groups, other=0).to(tl.int32)
    begin, end = tl.minimum(tl.maximum(begin, 0), rows), tl.minimum(tl.maximum(end, 0), rows)
    return begin, tl.where(group < groups, tl.maximum(begin, end), begin)


@triton.jit
def rows_kernel(
    x, w, y, ends, groups, rows, inner, columns, w_group, w_inner, w_column,
    GROUPS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid (tiles of rows that there can be, blocks of columns); GROUPS: a power of two, at least `groups`."""
    tile = tl.program_id(0)
    every = tl.arange(0, GROUPS)
    begins, stops = _clipped(ends, every, groups, rows)
    tiles = tl.cdiv(stops - begins, BLOCK_M)
    behind = tl.cumsum(tiles, 0)  # the tile behind each group's last one
    group = tl.sum((behind <= tile).to(tl.int32), 0)
    if group < groups:
        own = every == group
        begin, stop = tl.sum(tl.where(own, begins, 0), 0), tl.sum(tl.where(own, stops, 0), 0)
        first = begin + (tile - tl.sum(tl.where(own, behind - tiles, 0), 0)) * BLOCK_M
        row, column = first + tl.arange(0, BLOCK_M), tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
        row_inside, column_inside = row[:, None] < stop, column[None, :] < columns
        x_row = x + row.to(tl.int64)[:, None] * inner
        w_at = w + group.to(tl.int64) * w_group + column.to(tl.int64)[None, :] * w_column
        total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
        for start in range(0, inner, BLOCK_K):
            k = start + tl.arange(0, BLOCK_K)
            x_tile = tl.load(x_row + k[None, :], mask=row_inside & (k[None, :] < inner), other=0.0)
            w_tile = tl.load(w_at + k[:, None] * w_inner, mask=(k[:, None] < inner) & column_inside, other=0.0)
            total = tl.dot(x_tile, w_tile, total, input_precision=PRECISION)
        y_at = y + row.to(tl.int64)[:, None] * columns + column[None, :]
        tl.store(y_at, total.to(y.dtype.element_ty), mask=row_inside & column_inside)


@triton.jit
def weights_kernel(
    y, x, t, ends, groups, rows, outputs, inputs,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid (groups, blocks of outputs, blocks of inputs)."""
    group = tl.program_id(0)
    begin, stop = _clipped(ends, group, groups, rows)
    output, input_ = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M), tl.program_id(2) * BLOCK_N + tl.arange(0, BLOCK_N)
    output_inside, input_inside = output < outputs, input_ < inputs
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for start in range(begin, stop, BLOCK_K):
        row = start + tl.arange(0, BLOCK_K)
        inside, at = row < stop, row.to(tl.int64)
        y_at = y + output[:, None] + at[None, :] * outputs
        y_tile = tl.load(y_at, mask=output_inside[:, None] & inside[None, :], other=0.0)
        x_tile = tl.load(x + at[:, None] * inputs + input_[None, :], mask=inside[:, None] & input_inside[None, :], other=0.0)
        total = tl.dot(y_tile, x_tile, total, input_precision=PRECISION)
    t_at = t + (group.to(tl.int64) * outputs + output[:, None]) * inputs + input_[None, :]
    tl.store(t_at, total.to(t.dtype.element_ty), mask=output_inside[:, None] & input_inside[None, :])


def launch(table: dict[int, Tile], x: Tensor) -> tuple[int, int, dict[str, Any]]:
    """BLOCK_M and BLOCK_N, and all constants of the launch."""
    m, n, k, warps, stages = table[x.dtype.itemsize] if x.device.type == "cuda" else INTERPRETED
    precision = "ieee" if x.dtype == torch.float32 else "tf32"  # the latter means nothing for 16 bits
    constants = {"BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": k, "num_warps": warps, "num_stages": stages, "PRECISION": precision}
    return m, n, constants


def rows(x_RI: Tensor, end_E: Tensor, weight_EIO: Tensor) -> Tensor:
    """See `passes.Products`."""
    groups, inner, columns = weight_EIO.shape
    y_RO = x_RI.new_empty(len(x_RI), columns)
    block_m, block_n, constants = launch(ROWS, x_RI)
    if y_RO.numel():
        grid = (triton.cdiv(len(x_RI), block_m) + groups, triton.cdiv(columns, block_n))
        rows_kernel[grid](
            x_RI, weight_EIO, y_RO, end_E, groups, len(x_RI), inner, columns, *weight_EIO.stride(),
            GROUPS=triton.next_power_of_2(groups), **constants,
        )  # fmt: skip
    return y_RO


def weights(x_RI: Tensor, end_E: Tensor, y_RO: Tensor) -> Tensor:
    """See `passes.Products`."""
    groups, outputs, inputs = len(end_E), y_RO.shape[1], x_RI.shape[1]
    total_EOI = x_RI.new_empty(groups, outputs, inputs)
    block_m, block_n, constants = launch(WEIGHTS, x_RI)
    if total_EOI.numel():
        grid = (groups, triton.cdiv(outputs, block_m), triton.cdiv(inputs, block_n))
        weights_kernel[grid](y_RO, x_RI, total_EOI, end_E, groups, len(x_RI), outputs, inputs, **constants)
    return total_EOI
