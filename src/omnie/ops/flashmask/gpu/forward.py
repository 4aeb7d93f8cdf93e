"""Forward pass of FlashMask: one program owns BLOCK_M queries of one head and visits the tiles of its list.

    S = Q K^T scaling (log2 e);  m' = max(m, rowmax S);  P = 2^(S - m');  z = z 2^(m - m') + rowsum P;  O = O 2^(m - m') + P V
    at the end O / z, and L = (m + log2 z) ln 2                    (FlashAttention-2, Dao 2023, algorithm 1, with a tile list)

Layout: q, o [B, N, T, H], k, v [B, G, S, H], lse [B, N, T], all contiguous; the last program of a row of the grid starts first,
because causal rows grow. Full tiles come first and need neither mask nor bounds check: the loop over them is pipelined by the
compiler and has no branch. Mixed tiles read LTS, LTE, UTS, UTE of their columns.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def hide(scores, row, column, lts, lte, uts, ute, keys):
    """Scores [rows, columns] with -inf where the mask hides the column, or where there is none."""
    inside = column < keys
    a, b = tl.load(lts + column, mask=inside, other=0), tl.load(lte + column, mask=inside, other=2147483647)
    c, d = tl.load(uts + column, mask=inside, other=0), tl.load(ute + column, mask=inside, other=0)
    lower = (row[:, None] >= a[None, :]) & (row[:, None] < b[None, :])
    upper = (row[:, None] >= c[None, :]) & (row[:, None] < d[None, :])
    return tl.where(lower | upper, float("-inf"), scores)


@triton.jit
def score(
    q, k, at, kept, row, column, lts, lte, uts, ute, keys, scale,
    H: tl.constexpr, HP: tl.constexpr, MIXED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Scores of one tile times log2 e, -inf where the mask hides them."""
    k_tile = tl.load(k + at, mask=kept, other=0.0) if MIXED or H != HP else tl.load(k + at)
    scores = tl.dot(q, tl.trans(k_tile), input_precision=PRECISION) * scale
    if MIXED:
        scores = hide(scores, row, column, lts, lte, uts, ute, keys)
    return scores


@triton.jit
def gather(
    acc, m, z, scores, v, at, kept, H: tl.constexpr, HP: tl.constexpr, MIXED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The online softmax's state after a tile with these scores."""
    top = tl.maximum(m, tl.max(scores, 1))
    base = tl.where(top == float("-inf"), 0.0, top) if MIXED else top
    weights = tl.exp2(scores - base[:, None])
    shrink = tl.exp2(m - base)
    z = z * shrink + tl.sum(weights, 1)
    v_tile = tl.load(v + at, mask=kept, other=0.0) if MIXED or H != HP else tl.load(v + at)
    acc = tl.dot(weights.to(v_tile.dtype), v_tile, acc * shrink[:, None], input_precision=PRECISION)
    return acc, top, z


@triton.jit
def _visit(
    acc, m, z, q, k, v, tile, row, lts, lte, uts, ute, keys, scale,
    H: tl.constexpr, HP: tl.constexpr, BLOCK_N: tl.constexpr, MIXED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The online softmax's state after one more tile."""
    column, head = tile * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, HP)
    at, kept = column[:, None] * H + head[None, :], (column[:, None] < keys) & (head[None, :] < H)
    scores = score(q, k, at, kept, row, column, lts, lte, uts, ute, keys, scale, H, HP, MIXED, PRECISION)
    return gather(acc, m, z, scores, v, at, kept, H, HP, MIXED, PRECISION)


@triton.jit
def forward_kernel(
    q, k, v, o, lse, lts, lte, uts, ute, tiles, full_count, mixed_count,
    heads, groups, queries, keys, columns, blocks, mask_batch, mask_head, scale,
    H: tl.constexpr, HP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid (blocks of queries, B x N). `mask_batch`, `mask_head`: masks from one sequence or head to the next; 0: shared."""
    block = tl.num_programs(0) - 1 - tl.program_id(0)
    batch, n = tl.program_id(1) // heads, tl.program_id(1) % heads
    group = n // (heads // groups)
    mask = batch * mask_batch + group * mask_head
    k += (batch * groups + group).to(tl.int64) * keys * H
    v += (batch * groups + group).to(tl.int64) * keys * H
    start = tl.program_id(1).to(tl.int64) * queries
    lts, lte, uts, ute = lts + mask * keys, lte + mask * keys, uts + mask * keys, ute + mask * keys
    tiles += (mask * blocks + block).to(tl.int64) * columns
    n_full, n_mixed = tl.load(full_count + mask * blocks + block), tl.load(mixed_count + mask * blocks + block)

    row, head = block * BLOCK_M + tl.arange(0, BLOCK_M), tl.arange(0, HP)
    at = (start + row)[:, None] * H + head[None, :]
    valid = (row[:, None] < queries) & (head[None, :] < H)
    q_tile = tl.load(q + at, mask=valid, other=0.0)
    acc = tl.zeros([BLOCK_M, HP], tl.float32)
    m, z = tl.full([BLOCK_M], float("-inf"), tl.float32), tl.zeros([BLOCK_M], tl.float32)
    for i in range(n_full):
        tile = tl.load(tiles + i)
        acc, m, z = _visit(
            acc, m, z, q_tile, k, v, tile, row, lts, lte, uts, ute, keys, scale, H, HP, BLOCK_N, False, PRECISION
        )
    for i in range(n_mixed):
        tile = tl.load(tiles + columns - 1 - i)
        acc, m, z = _visit(acc, m, z, q_tile, k, v, tile, row, lts, lte, uts, ute, keys, scale, H, HP, BLOCK_N, True, PRECISION)
    blind = z == 0.0
    out = acc / tl.where(blind, 1.0, z)[:, None]
    total = tl.where(blind, float("-inf"), (m + tl.log2(tl.where(blind, 1.0, z))) * 0.6931471805599453)
    tl.store(o + at, out.to(o.dtype.element_ty), mask=valid)
    tl.store(lse + start + row, total, mask=row < queries)
