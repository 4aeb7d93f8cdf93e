"""y = x W^T + b from packed W, and the sum over parts of the inputs where outputs are few.

    part[s, m, n] = sum over the inputs of split s,   y[m, n] = sum_s part[s, m, n] + b[n]     (one split: y at once)

Layout: x [rows, in] with a stride, y [rows, out] and parts [splits, rows, out] without gaps, the matrix as the package says.
One program of `linear_kernel` owns BLOCK_M rows, BLOCK_N outputs and `share` inputs; it reads each packed byte of its part
once. Programs of the same outputs follow each other, so that a matrix larger than the cache is read from memory once. One
program of `sum_kernel` owns BLOCK outputs of all rows taken together. Nothing is added atomically: same input, same bits.
"""

from __future__ import annotations

import triton
import triton.language as tl

from omnie.ops.int4_linear.gpu.tile import product


@triton.jit
def linear_kernel(
    x, codes, scale, block, bias, y, rows, outputs, inputs, x_stride, row_codes, row_scales, share,
    GROUP: tl.constexpr, PER: tl.constexpr, BIAS: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr, WHOLE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid (blocks of rows, blocks of outputs, splits); `share` is a multiple of BLOCK_K, PER the rows of a block of scales."""
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    first = tl.program_id(2) * share
    row, out = tl.minimum(m, rows - 1).to(tl.int64), tl.minimum(n, outputs - 1)
    acc = product(
        x + row * x_stride, codes + out.to(tl.int64) * row_codes, scale + out.to(tl.int64) * row_scales, block + out // PER,
        inputs, first, tl.minimum(first + share, inputs), GROUP, BLOCK_N, BLOCK_M, BLOCK_K, WHOLE, PRECISION,
    )  # fmt: skip
    if BIAS:
        acc += tl.load(bias + out).to(tl.float32)[:, None]
    y += tl.program_id(2).to(tl.int64) * rows * outputs
    inside = (n[:, None] < outputs) & (m[None, :] < rows)
    tl.store(y + row[None, :] * outputs + n[:, None], acc.to(y.dtype.element_ty), mask=inside)


@triton.jit
def sum_kernel(part, bias, y, total, outputs, splits, BIAS: tl.constexpr, BLOCK: tl.constexpr):
    """Grid (blocks of BLOCK of the `total` = rows x outputs)."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    acc = tl.zeros([BLOCK], tl.float32)
    one = part + at
    for _ in range(splits):
        acc += tl.load(one, mask=inside, other=0.0)
        one += total
    if BIAS:
        acc += tl.load(bias + at % outputs, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + at, acc.to(y.dtype.element_ty), mask=inside)
