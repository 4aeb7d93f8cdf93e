"""What pages of keys may weigh in each row, from their summaries (`pages.py`): three products a page instead of one a key.

    bound  =  scaling min(q+ high + q- low,  q c + |q| r) + rounding + log n
    apparent  =  max(scaling q c + log n,  bound - APART)

One program owns BLOCK_M queries of one head and goes through all pages, PAGES at a time, but not through those of which no tile
is asked for. It never stores a row's numbers, of which there are T x P: it sums them up by rows (the log of what all pages of a
row weigh) or by pages (what a page weighs in the rows of the block, as shares of a reference, at most or in all). Layout: low,
high, centre [B, G, P, H] in the queries' dtype, radius, largest float32 [B, G, P], chosen uint8 [B x N, blocks, C] with SPAN
pages a tile.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _weights(
    q, length, valid, base, numbers, low, high, centre, radius, largest, flags, page, pages, keys, scale, slack, apart,
    H: tl.constexpr, HP: tl.constexpr, PAGE: tl.constexpr, APPARENT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Logarithms [rows, pages]; -inf where a page is not asked for, +inf where its keys are not finite."""
    head = tl.arange(0, HP)
    at, inside = base + page[:, None] * H + head[None, :], (page[:, None] < pages) & (head[None, :] < H)
    c = tl.load(centre + at, mask=inside, other=0.0)
    middle = tl.dot(q, tl.trans(c), input_precision=PRECISION)
    zero = tl.zeros_like(q)
    ends = tl.load(high + at, mask=inside, other=0.0)
    box = tl.dot(tl.maximum(q, zero).to(q.dtype), tl.trans(ends), input_precision=PRECISION)
    ends = tl.load(low + at, mask=inside, other=0.0)
    box = tl.dot(tl.minimum(q, zero).to(q.dtype), tl.trans(ends), box, input_precision=PRECISION)
    r = tl.load(radius + numbers + page, mask=page < pages, other=0.0)
    norm = tl.load(largest + numbers + page, mask=page < pages, other=0.0)
    ball = middle + length[:, None] * r[None, :]
    bound = tl.where(box < ball, box, ball)  # either may be NaN
    bound = tl.where((box == box) & (ball == ball), bound + slack * length[:, None] * norm[None, :], float("inf"))
    size = tl.log(tl.minimum(keys - page * PAGE, PAGE).to(tl.float32))
    weight = bound * scale + size[None, :]
    if APPARENT:
        seeming = middle * scale + size[None, :]
        seeming = tl.where(seeming == seeming, seeming, float("inf"))
        weight = tl.maximum(seeming, weight - apart)
    return tl.where((flags[None, :] != 0) & valid[:, None], weight, float("-inf"))


@triton.jit
def weigh_kernel(
    q, low, high, centre, radius, largest, chosen, reference, result,
    heads, groups, queries, pages, keys, blocks, columns, scale, slack, apart, enlarge, tiny,
    H: tl.constexpr, HP: tl.constexpr, BLOCK_M: tl.constexpr, PAGES: tl.constexpr, PAGE: tl.constexpr, SPAN: tl.constexpr,
    BY_ROW: tl.constexpr, APPARENT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid (blocks of queries, B x N). By row: `result` float32 [B x N, T]. By page: [B x N, blocks, P], as shares of
    `reference` [B x N, T]: the logarithm of the largest, or, of what is apparent, their sum."""
    block, owner = tl.program_id(0), tl.program_id(1)
    group = owner // heads * groups + owner % heads // (heads // groups)
    row, head = block * BLOCK_M + tl.arange(0, BLOCK_M), tl.arange(0, HP)
    valid = row < queries
    start = owner.to(tl.int64) * queries
    q_tile = tl.load(q + (start + row)[:, None] * H + head[None, :], mask=valid[:, None] & (head[None, :] < H), other=0.0)
    wide = q_tile.to(tl.float32)
    length = tl.sqrt(tl.sum(wide * wide, 1)) * enlarge + tiny
    base, numbers = group.to(tl.int64) * pages * H, group.to(tl.int64) * pages
    chosen += (owner * blocks + block).to(tl.int64) * columns
    m, z = tl.full([BLOCK_M], float("-inf"), tl.float32), tl.zeros([BLOCK_M], tl.float32)
    ref = m
    if not BY_ROW:
        ref = tl.load(reference + start + row, mask=valid, other=0.0)
        result += (owner * blocks + block).to(tl.int64) * pages
    for first in range(0, pages, PAGES):
        page = first + tl.arange(0, PAGES)
        flags = tl.load(chosen + page // SPAN, mask=page < pages, other=0)
        if tl.max(flags, 0) > 0:
            weight = _weights(
                q_tile, length, valid, base, numbers, low, high, centre, radius, largest, flags, page, pages, keys, scale,
                slack, apart, H, HP, PAGE, APPARENT, PRECISION,
            )  # fmt: skip
            if BY_ROW:
                top = tl.maximum(m, tl.max(weight, 1))
                safe = tl.where((top == float("-inf")) | (top == float("inf")), 0.0, top)
                z = z * tl.exp(m - safe) + tl.sum(tl.exp(weight - safe[:, None]), 1)
                m = top
            else:
                share = tl.where(weight == float("-inf"), weight, weight - ref[:, None])
                share = tl.where(share == share, share, float("inf"))
                if APPARENT:
                    share = tl.minimum(share, 0.0)
                    tl.store(result + page, tl.sum(tl.exp(share), 0), mask=page < pages)
                else:
                    tl.store(result + page, tl.max(share, 0), mask=page < pages)
    if BY_ROW:
        blind = m == float("-inf")
        total = tl.where(blind, m, tl.where(m == float("inf"), m, m + tl.log(tl.where(blind | (m == float("inf")), 1.0, z))))
        tl.store(result + start + row, total, mask=valid)
