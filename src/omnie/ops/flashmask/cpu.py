"""Attention under a column mask on a CPU: tiles that the mask empties are never formed, and no N x N tensor exists.

    O_i = sum_j P_ij V_j,  P_ij = exp(Q_i K_j scaling - L_i),  L_i = log sum_j exp(Q_i K_j scaling)  over the keys j that i sees
    dV = P^T dO,  dS = P * (dO V^T - rowsum(dO * O)),  dQ = dS K scaling,  dK = dS^T Q scaling

Layout: [B, N, T, H]; the R = N / G query heads of a key-value head lie below each other as rows of one product, so keys are
never repeated. One step owns ROWS / R to TALL / R queries: it gathers the columns of its full tiles and those of its mixed
tiles, runs torch's fused kernel over each of the two (the latter with a mask of rows x mixed columns), and joins both by their
log-sum-exp (the online softmax of Milakov and Gimelshein 2018, by groups of tiles). Memory beside the results is O(ROWS x S) in
the worst case.

bfloat16 and float16 are computed in float32: this kernel is for processors, and most of them have nothing faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omnie.ops.flashmask.mask import ColumnMask
from omnie.ops.flashmask.tiles import Run, TileBounds

ROWS, TALL, LEAST, COLUMNS = 256, 2048, 64, 64
"""Folded rows (queries times R) of the lowest and of the tallest step, the fewest queries of one, and keys a tile."""
WORTH = 0.9
"""A step is halved when that leaves at most this share of its columns."""
SHORT = 256
"""So many columns a step are not worth two calls: its full tiles go with the mixed ones."""

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class Step(NamedTuple):
    """One block of queries: its rows, the columns of full tiles, and those of mixed tiles with what they hide [rows, mixed]."""

    first: int
    last: int
    full: list[Run]
    mixed: list[Run]
    hidden: Tensor | None


def attention(q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask | None, scaling: float) -> tuple[Tensor, Tensor]:
    """See `reference.attention`; differentiable in q, k and v."""
    return _Attention.apply(q, k, v, mask, scaling)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask | None, scaling: float):  # type: ignore[override]
        wide = torch.promote_types(q.dtype, torch.float32)
        out, lse = torch.empty_like(q), q.new_empty(q.shape[:3], dtype=wide)
        k_wide, v_wide, repeat = k.to(wide), v.to(wide), q.shape[1] // k.shape[1]
        for batch, heads, part in parts(q, k, mask):
            group = slice(heads.start * repeat, heads.stop * repeat)
            keys, values = k_wide[batch, heads], v_wide[batch, heads]
            for step in steps(part, q.shape[2], k.shape[2], repeat):
                rows = slice(step.first, step.last)
                y, y_lse = attend(fold(q[batch, group, rows].to(wide), keys.shape[1]), keys, values, step, scaling)
                out[batch, group, rows] = unfold(y, group.stop - group.start).to(q.dtype)
                lse[batch, group, rows] = unfold(y_lse[..., None], group.stop - group.start)[..., 0]
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.mask, ctx.scaling = mask, scaling
        ctx.mark_non_differentiable(lse)
        return out, lse

    @staticmethod
    def backward(ctx, d_out: Tensor, _):  # type: ignore[override]
        q, k, v, out, lse = ctx.saved_tensors
        repeat = q.shape[1] // k.shape[1]
        d_q = torch.zeros_like(q)
        d_k, d_v = (torch.zeros(x.shape, dtype=lse.dtype, device=x.device) for x in (k, v))
        k_wide, v_wide = k.to(lse.dtype), v.to(lse.dtype)
        lse = lse.masked_fill(lse == -torch.inf, torch.inf)  # exp(score - inf) is 0: a row that sees nothing has no gradient
        for batch, heads, part in parts(q, k, ctx.mask):
            group = slice(heads.start * repeat, heads.stop * repeat)
            count = heads.stop - heads.start
            for step in steps(part, q.shape[2], k.shape[2], repeat):
                rows = slice(step.first, step.last)
                d_y, x, y, row_lse = (fold(t[batch, group, rows].to(lse.dtype), count) for t in (d_out, q, out, lse[..., None]))
                stored = (k_wide[batch, heads], v_wide[batch, heads], d_k[batch, heads], d_v[batch, heads])
                d = _step_backward(d_y, x, y, row_lse[..., 0], stored, step, ctx.scaling)
                d_q[batch, group, rows] = unfold(d, group.stop - group.start).to(q.dtype)
        return d_q, d_k.to(k.dtype), d_v.to(v.dtype), None, None


def parts(q: Tensor, k: Tensor, mask: ColumnMask | None) -> Iterator[tuple[slice, slice, ColumnMask | None]]:
    """Sequences and key-value heads that share one mask, and that mask."""
    batches, heads = (1, 1) if mask is None else mask.lts.shape[:2]
    for b in range(batches):
        for m in range(heads):
            batch = slice(None) if batches == 1 else slice(b, b + 1)
            head = slice(0, k.shape[1]) if heads == 1 else slice(m, m + 1)
            yield batch, head, None if mask is None else mask.part(b, m)


def steps(mask: ColumnMask | None, queries: int, keys: int, repeat: int) -> Iterator[Step]:
    """The blocks of queries under one mask [1, 1, S]."""
    if mask is None:
        yield Step(0, queries, [(0, keys)], [], None)
        return
    tiles = TileBounds.of(mask, COLUMNS)
    tall, least = max(TALL // repeat, LEAST), max(ROWS // repeat, LEAST)
    for start in range(0, queries, tall):
        yield from halved(mask, tiles, (start, min(start + tall, queries)), least)


def halved(mask: ColumnMask, tiles: TileBounds, rows: tuple[int, int], least: int) -> Iterator[Step]:
    """One step, or its halves where these have clearly fewer columns: torch's kernel is at its best with many queries."""
    (first, last), middle = rows, (rows[0] + rows[1]) // 2
    empty, full = tiles.row(first, last)
    if last - first > least:
        half = sum(int((~tiles.row(*part)[0]).sum()) for part in ((first, middle), (middle, last))) / 2
        if half < WORTH * int((~empty).sum()):
            yield from halved(mask, tiles, (first, middle), least)
            yield from halved(mask, tiles, (middle, last), least)
            return
    yield step_of(mask, tiles, rows, ~empty, full)


def step_of(mask: ColumnMask | None, tiles: TileBounds, rows: tuple[int, int], chosen: np.ndarray, full: np.ndarray) -> Step:
    """The step of a block of rows over the chosen blocks of columns [C]."""
    mixed = chosen & ~full
    if mixed.any() and chosen.sum() * tiles.width <= SHORT:
        mixed = chosen
    runs = tiles.runs(mixed)
    hidden = None
    if runs:
        assert mask is not None
        hidden = torch.cat([mask.hidden(*rows, *run)[0, 0] for run in runs], 1)
    return Step(*rows, tiles.runs(chosen & ~mixed), runs, hidden)


def attend(q: Tensor, k: Tensor, v: Tensor, step: Step, scaling: float) -> tuple[Tensor, Tensor]:
    """Output [B, G, R x rows, H] and log-sum-exp of one step's folded queries."""
    found = []
    if step.full:
        found.append(_forward(q, *(gather(x, step.full).to(q.dtype) for x in (k, v)), scale=scaling))
    if step.hidden is not None:
        hidden = step.hidden.repeat(q.shape[2] // len(step.hidden), 1)
        keys, values = (gather(x, step.mixed).to(q.dtype) for x in (k, v))
        y, lse = _forward(q, keys, values, attn_mask=_additive(hidden, q), scale=scaling)
        found.append((y, lse.masked_fill(hidden.all(1), -torch.inf)))
    if not found:
        return torch.zeros_like(q), q.new_full(q.shape[:3], -torch.inf)
    return found[0] if len(found) == 1 else join(*found[0], *found[1])


def join(y: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over two disjoint sets of keys as attention over both."""
    both = torch.logaddexp(lse, other_lse)
    share = (lse - both).exp().masked_fill(both == -torch.inf, 0.0)[..., None]
    rest = (other_lse - both).exp().masked_fill(both == -torch.inf, 0.0)[..., None]
    return y * share + other * rest, both


def _step_backward(d_out: Tensor, q: Tensor, out: Tensor, lse: Tensor, stored, step: Step, scaling: float) -> Tensor:
    """dQ of one step; adds its part of dK and dV."""
    k, v, d_k, d_v = stored
    total = torch.zeros_like(q)
    for runs, hidden in ((step.full, None), (step.mixed, step.hidden)):
        if runs:
            additive = None if hidden is None else _additive(hidden.repeat(q.shape[2] // len(hidden), 1), q)
            arguments = (d_out, q, gather(k, runs), gather(v, runs), out, lse, 0.0, False)
            part, part_k, part_v = _backward(*arguments, attn_mask=additive, scale=scaling)
            total += part
            scatter(d_k, runs, part_k)
            scatter(d_v, runs, part_v)
    return total


def _additive(hidden: Tensor, like: Tensor) -> Tensor:
    return torch.zeros(hidden.shape, dtype=like.dtype).masked_fill_(hidden, -torch.inf)[None, None]


def gather(x: Tensor, runs: list[Run]) -> Tensor:
    """[B, G, columns of the runs, H]; a view of a single run."""
    pieces = [x[:, :, start:stop] for start, stop in runs]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, 2)


def scatter(total: Tensor, runs: list[Run], part: Tensor) -> None:
    """Adds the columns of the runs to where they belong."""
    for (start, stop), piece in zip(runs, part.split([stop - start for start, stop in runs], 2)):
        total[:, :, start:stop] += piece


def fold(x: Tensor, groups: int) -> Tensor:
    """[B, N, rows, H] to [B, G, R x rows, H]."""
    return x.reshape(x.shape[0], groups, -1, x.shape[-1])


def unfold(x: Tensor, heads: int) -> Tensor:
    """[B, G, R x rows, H] to [B, N, rows, H]."""
    return x.reshape(x.shape[0], heads, -1, x.shape[-1])
