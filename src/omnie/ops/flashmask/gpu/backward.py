"""Backward pass of FlashMask: weights are formed again from the stored log-sum-exp, tile by tile, in two kernels.

    P = exp(Q K^T scaling - L);  dV = P^T dO;  dS = P * (dO V^T - D),  D = rowsum(dO * O);  dK = dS^T Q scaling;  dQ = dS K
    scaling

`key_kernel`: one program owns BLOCK_N keys of one key-value head and visits, for each of its R query heads, the blocks of
queries in its list; dK and dV stay in registers, so nothing is added atomically and results do not depend on timing.
`query_kernel`: one program owns BLOCK_M queries of one head. Layout as in `forward.py`; `lse` holds +inf for rows that see
nothing, which makes their weights 0. Scores are in units of log2.
"""

from __future__ import annotations

import triton
import triton.language as tl

from omnie.ops.flashmask.gpu.forward import hide

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _weights(
    q_tile, k_tile, row_lse, row, column, lts, lte, uts, ute, keys, scale, MIXED: tl.constexpr, PRECISION: tl.constexpr
):
    """P of one tile, [rows, columns]."""
    scores = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION) * (scale * LOG2E)
    if MIXED:
        scores = hide(scores, row, column, lts, lte, uts, ute, keys)
    return tl.exp2(scores - row_lse[:, None] * LOG2E)


@triton.jit
def _key_visit(
    d_k, d_v, k_tile, v_tile, q, d_o, lse, delta, start, block, column, lts, lte, uts, ute, queries, keys, scale,
    H: tl.constexpr, HP: tl.constexpr, BLOCK_M: tl.constexpr, MIXED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row, head = block * BLOCK_M + tl.arange(0, BLOCK_M), tl.arange(0, HP)
    at, inside = (start + row)[:, None] * H + head[None, :], row < queries
    valid = inside[:, None] & (head[None, :] < H)
    q_tile, d_tile = tl.load(q + at, mask=valid, other=0.0), tl.load(d_o + at, mask=valid, other=0.0)
    row_lse = tl.load(lse + start + row, mask=inside, other=float("inf"))
    row_delta = tl.load(delta + start + row, mask=inside, other=0.0)
    p = _weights(q_tile, k_tile, row_lse, row, column, lts, lte, uts, ute, keys, scale, MIXED, PRECISION)
    d_v = tl.dot(tl.trans(p.to(d_tile.dtype)), d_tile, d_v, input_precision=PRECISION)
    d_p = tl.dot(d_tile, tl.trans(v_tile), input_precision=PRECISION)
    d_s = (p * (d_p - row_delta[:, None])).to(q_tile.dtype)
    return tl.dot(tl.trans(d_s), q_tile, d_k, input_precision=PRECISION), d_v


@triton.jit
def key_kernel(
    q, k, v, d_o, lse, delta, d_k, d_v, lts, lte, uts, ute, tiles, full_count, mixed_count,
    heads, groups, queries, keys, entries, blocks, mask_batch, mask_head, scale,
    H: tl.constexpr, HP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid (blocks of keys, B x G); `entries` is the number of blocks of queries, `blocks` that of blocks of keys."""
    block, batch, group = tl.program_id(0), tl.program_id(1) // groups, tl.program_id(1) % groups
    mask = batch * mask_batch + group * mask_head
    lts, lte, uts, ute = lts + mask * keys, lte + mask * keys, uts + mask * keys, ute + mask * keys
    tiles += (mask * blocks + block).to(tl.int64) * entries
    n_full, n_mixed = tl.load(full_count + mask * blocks + block), tl.load(mixed_count + mask * blocks + block)
    column, head = block * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, HP)
    at = (tl.program_id(1).to(tl.int64) * keys + column)[:, None] * H + head[None, :]
    valid = (column[:, None] < keys) & (head[None, :] < H)
    k_tile, v_tile = tl.load(k + at, mask=valid, other=0.0), tl.load(v + at, mask=valid, other=0.0)
    sum_k, sum_v = tl.zeros([BLOCK_N, HP], tl.float32), tl.zeros([BLOCK_N, HP], tl.float32)
    repeat = heads // groups
    for r in range(repeat):
        start = (batch * heads + group * repeat + r).to(tl.int64) * queries
        for i in range(n_full):
            rows = tl.load(tiles + i)
            sum_k, sum_v = _key_visit(
                sum_k, sum_v, k_tile, v_tile, q, d_o, lse, delta, start, rows, column, lts, lte, uts, ute, queries, keys, scale,
                H, HP, BLOCK_M, False, PRECISION,
            )  # fmt: skip
        for i in range(n_mixed):
            rows = tl.load(tiles + entries - 1 - i)
            sum_k, sum_v = _key_visit(
                sum_k, sum_v, k_tile, v_tile, q, d_o, lse, delta, start, rows, column, lts, lte, uts, ute, queries, keys, scale,
                H, HP, BLOCK_M, True, PRECISION,
            )  # fmt: skip
    tl.store(d_k + at, (sum_k * scale).to(d_k.dtype.element_ty), mask=valid)
    tl.store(d_v + at, sum_v.to(d_v.dtype.element_ty), mask=valid)


@triton.jit
def _query_visit(
    d_q, q_tile, d_tile, row_lse, row_delta, k, v, tile, row, lts, lte, uts, ute, keys, scale,
    H: tl.constexpr, HP: tl.constexpr, BLOCK_N: tl.constexpr, MIXED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    column, head = tile * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, HP)
    at = column[:, None] * H + head[None, :]
    valid = (column[:, None] < keys) & (head[None, :] < H)
    k_tile, v_tile = tl.load(k + at, mask=valid, other=0.0), tl.load(v + at, mask=valid, other=0.0)
    p = _weights(q_tile, k_tile, row_lse, row, column, lts, lte, uts, ute, keys, scale, MIXED, PRECISION)
    d_p = tl.dot(d_tile, tl.trans(v_tile), input_precision=PRECISION)
    d_s = (p * (d_p - row_delta[:, None])).to(k_tile.dtype)
    return tl.dot(d_s, k_tile, d_q, input_precision=PRECISION)


@triton.jit
def query_kernel(
    q, k, v, d_o, lse, delta, d_q, lts, lte, uts, ute, tiles, full_count, mixed_count,
    heads, groups, queries, keys, columns, blocks, mask_batch, mask_head, scale,
    H: tl.constexpr, HP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid (blocks of queries, B x N)."""
    block = tl.num_programs(0) - 1 - tl.program_id(0)
    batch, n = tl.program_id(1) // heads, tl.program_id(1) % heads
    group = n // (heads // groups)
    mask = batch * mask_batch + group * mask_head
    k += (batch * groups + group).to(tl.int64) * keys * H
    v += (batch * groups + group).to(tl.int64) * keys * H
    lts, lte, uts, ute = lts + mask * keys, lte + mask * keys, uts + mask * keys, ute + mask * keys
    tiles += (mask * blocks + block).to(tl.int64) * columns
    n_full, n_mixed = tl.load(full_count + mask * blocks + block), tl.load(mixed_count + mask * blocks + block)
    row, head = block * BLOCK_M + tl.arange(0, BLOCK_M), tl.arange(0, HP)
    start, inside = tl.program_id(1).to(tl.int64) * queries, row < queries
    at = (start + row)[:, None] * H + head[None, :]
    valid = inside[:, None] & (head[None, :] < H)
    q_tile, d_tile = tl.load(q + at, mask=valid, other=0.0), tl.load(d_o + at, mask=valid, other=0.0)
    row_lse = tl.load(lse + start + row, mask=inside, other=float("inf"))
    row_delta = tl.load(delta + start + row, mask=inside, other=0.0)
    total = tl.zeros([BLOCK_M, HP], tl.float32)
    for i in range(n_full):
        tile = tl.load(tiles + i)
        total = _query_visit(
            total, q_tile, d_tile, row_lse, row_delta, k, v, tile, row, lts, lte, uts, ute, keys, scale,
            H, HP, BLOCK_N, False, PRECISION,
        )  # fmt: skip
    for i in range(n_mixed):
        tile = tl.load(tiles + columns - 1 - i)
        total = _query_visit(
            total, q_tile, d_tile, row_lse, row_delta, k, v, tile, row, lts, lte, uts, ute, keys, scale,
            H, HP, BLOCK_N, True, PRECISION,
        )  # fmt: skip
    tl.store(d_q + at, (total * scale).to(d_q.dtype.element_ty), mask=valid)
