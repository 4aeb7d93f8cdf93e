"""Decoding over a long cache: a few queries, the keys split among programs (split-KV, "Flash-Decoding", Dao et al. 2023).

    each split:  O_s, L_s over its pages;   then  L = log sum_s e^(L_s),  O = sum_s e^(L_s - L) O_s

Layout: q [B, N, T, H] with T x R <= 64, k, v [B, G, S, H]. One program owns one split of one key-value head and all its R x T
queries, as rows of one product (at least 16, the smallest that the matrix units take); it visits `pages`, a list of column
blocks of that head, so that a dynamic level reads the chosen pages and no others. Partial results are float32 [B x G, splits, R
x T, H].
"""

from __future__ import annotations

import triton
import triton.language as tl

from omnie.ops.flashmask.gpu.forward import hide


@triton.jit
def decode_kernel(
    q, k, v, out, lse, lts, lte, uts, ute, pages, counts,
    groups, rows, queries, keys, columns, splits, mask_batch, mask_head, page_head, scale,
    H: tl.constexpr, HP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid (splits, B x G). `page_head`: 1 when every head has its own list, 0 when one serves all."""
    split, owner = tl.program_id(0), tl.program_id(1)
    batch, group = owner // groups, owner % groups
    mask = batch * mask_batch + group * mask_head
    lts, lte, uts, ute = lts + mask * keys, lte + mask * keys, uts + mask * keys, ute + mask * keys
    pages += owner.to(tl.int64) * page_head * columns
    count = tl.load(counts + owner * page_head)
    each = tl.cdiv(count, splits)
    row, head = tl.arange(0, BLOCK_M), tl.arange(0, HP)
    kept = head[None, :] < H
    at = (owner.to(tl.int64) * rows + row)[:, None] * H + head[None, :]
    q_tile = tl.load(q + at, mask=(row[:, None] < rows) & kept, other=0.0)
    base = owner.to(tl.int64) * keys * H
    acc = tl.zeros([BLOCK_M, HP], tl.float32)
    m, z = tl.full([BLOCK_M], float("-inf"), tl.float32), tl.zeros([BLOCK_M], tl.float32)
    for i in range(split * each, tl.minimum(split * each + each, count)):
        column = tl.load(pages + i) * BLOCK_N + tl.arange(0, BLOCK_N)
        at_k, valid = base + column[:, None] * H + head[None, :], (column[:, None] < keys) & kept
        k_tile = tl.load(k + at_k, mask=valid, other=0.0)
        scores = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION) * scale
        scores = hide(scores, row % queries, column, lts, lte, uts, ute, keys)
        top = tl.maximum(m, tl.max(scores, 1))
        safe = tl.where(top == float("-inf"), 0.0, top)
        weights, shrink = tl.exp2(scores - safe[:, None]), tl.exp2(m - safe)
        z = z * shrink + tl.sum(weights, 1)
        v_tile = tl.load(v + at_k, mask=valid, other=0.0)
        acc = tl.dot(weights.to(v_tile.dtype), v_tile, acc * shrink[:, None], input_precision=PRECISION)
        m = top
    blind = z == 0.0
    partial = (owner * splits + split).to(tl.int64) * rows + row
    stored = (row[:, None] < rows) & kept
    tl.store(out + partial[:, None] * H + head[None, :], acc / tl.where(blind, 1.0, z)[:, None], mask=stored)
    total = tl.where(blind, float("-inf"), (m + tl.log2(tl.where(blind, 1.0, z))) * 0.6931471805599453)
    tl.store(lse + partial, total, mask=row < rows)
