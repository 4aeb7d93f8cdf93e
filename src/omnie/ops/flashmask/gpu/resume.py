"""More tiles for rows that have seen some: attention goes on from an output and its log-sum-exp, over lists of each head's own.

    O = o, m = L / ln 2, z = 1;  then as `forward.py`, tile by tile

With SKIP a tile's values are not read if its scores show that they hardly count (as in BLASST): 2^(largest score) times the
number of its keys, with all that was left out so before, within `limit` of z for every row. What was left out is written down.
Layout as in `forward.py`, but for the lists, one for each of the B x N heads; left: float32 [B x N, T], skipped: int32 [B x N,
blocks].
"""

from __future__ import annotations

import triton
import triton.language as tl

from omnie.ops.flashmask.gpu.forward import gather, score

LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def _step(
    acc, m, z, d, count, limit, valid, q, k, v, tile, row, lts, lte, uts, ute, keys, scale,
    H: tl.constexpr, HP: tl.constexpr, BLOCK_N: tl.constexpr, MIXED: tl.constexpr, SKIP: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """The state after one more tile; d is what was left out, in units of 2^m, as z is."""
    column, head = tile * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, HP)
    at, kept = column[:, None] * H + head[None, :], (column[:, None] < keys) & (head[None, :] < H)
    scores = score(q, k, at, kept, row, column, lts, lte, uts, ute, keys, scale, H, HP, MIXED, PRECISION)
    light, more = False, d
    if SKIP:
        top = tl.max(scores, 1)
        more = d + tl.where(top == float("-inf"), 0.0, tl.exp2(top - m) * BLOCK_N)
        light = tl.min(((more <= limit * z) | (valid == 0)).to(tl.int32), 0) > 0
    if light:
        d, count = more, count + 1
    else:
        before = m
        acc, m, z = gather(acc, m, z, scores, v, at, kept, H, HP, MIXED, PRECISION)
        d = tl.where(d > 0.0, d * tl.exp2(before - m), d)
    return acc, m, z, d, count


@triton.jit
def resume_kernel(
    q, k, v, o, lse, left, skipped, lts, lte, uts, ute, tiles, full_count, mixed_count,
    heads, groups, queries, keys, columns, blocks, mask_batch, mask_head, scale, limit,
    H: tl.constexpr, HP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, SKIP: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid (blocks of queries, B x N); `o` and `lse` are read and written."""
    block, owner = tl.num_programs(0) - 1 - tl.program_id(0), tl.program_id(1)
    batch, n = owner // heads, owner % heads
    group = n // (heads // groups)
    mask = batch * mask_batch + group * mask_head
    k += (batch * groups + group).to(tl.int64) * keys * H
    v += (batch * groups + group).to(tl.int64) * keys * H
    lts, lte, uts, ute = lts + mask * keys, lte + mask * keys, uts + mask * keys, ute + mask * keys
    tiles += (owner * blocks + block).to(tl.int64) * columns
    n_full, n_mixed = tl.load(full_count + owner * blocks + block), tl.load(mixed_count + owner * blocks + block)

    row, head = block * BLOCK_M + tl.arange(0, BLOCK_M), tl.arange(0, HP)
    start = owner.to(tl.int64) * queries
    at, valid = (start + row)[:, None] * H + head[None, :], row < queries
    inside = valid[:, None] & (head[None, :] < H)
    q_tile = tl.load(q + at, mask=inside, other=0.0)
    acc = tl.load(o + at, mask=inside, other=0.0)
    m = tl.load(lse + start + row, mask=valid, other=float("-inf")) / LN2
    z = tl.where(m == float("-inf"), 0.0, 1.0)
    d, count = tl.zeros([BLOCK_M], tl.float32), 0
    for i in range(n_full):
        tile = tl.load(tiles + i)
        acc, m, z, d, count = _step(
            acc, m, z, d, count, limit, valid, q_tile, k, v, tile, row, lts, lte, uts, ute, keys, scale,
            H, HP, BLOCK_N, False, SKIP, PRECISION,
        )  # fmt: skip
    for i in range(n_mixed):
        tile = tl.load(tiles + columns - 1 - i)
        acc, m, z, d, count = _step(
            acc, m, z, d, count, limit, valid, q_tile, k, v, tile, row, lts, lte, uts, ute, keys, scale,
            H, HP, BLOCK_N, True, SKIP, PRECISION,
        )  # fmt: skip
    blind = z == 0.0
    out = acc / tl.where(blind, 1.0, z)[:, None]
    total = tl.where(blind, float("-inf"), (m + tl.log2(tl.where(blind, 1.0, z))) * LN2)
    tl.store(o + at, out, mask=inside)
    tl.store(lse + start + row, total, mask=valid)
    if SKIP:
        gone = tl.where(d > 0.0, (m + tl.log2(tl.where(d > 0.0, d, 1.0))) * LN2, float("-inf"))
        tl.store(left + start + row, gone, mask=valid)
        tl.store(skipped + owner * blocks + block, count)
