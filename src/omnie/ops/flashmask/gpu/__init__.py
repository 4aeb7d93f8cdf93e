"""FlashMask in Triton: `forward.py`, `backward.py`, `decode.py`, and `lists.py`, which says what tiles they visit; `dynamic.py`
chooses among them with `bounds.py` and computes them with `resume.py`.

Here are block sizes and launches. Written for Hopper (sm_90); without a GPU it runs in Triton's interpreter
(`TRITON_INTERPRET=1`).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from omnie.errors import OptionError
from omnie.ops.flashmask.gpu.backward import key_kernel, query_kernel
from omnie.ops.flashmask.gpu.decode import decode_kernel
from omnie.ops.flashmask.gpu.forward import forward_kernel
from omnie.ops.flashmask.gpu.lists import Lists, kept_lists
from omnie.ops.flashmask.mask import ColumnMask

Table = dict[int, tuple[int, int, int, int]]
FORWARD: Table = {64: (64, 64, 4, 3), 128: (128, 128, 8, 3), 256: (64, 64, 8, 2)}
BACKWARD: Table = {64: (64, 64, 4, 2), 128: (128, 64, 8, 2), 256: (32, 64, 8, 1)}
"""Largest padded head -> queries, keys a tile, warps, stages. In half precision; float32 takes the next larger head's row.

The fastest of `benchmarks/gpu/attention.py` on an H200, causal, 16K tokens; those of 256, not measured, are the largest whose
program keeps to its registers, by ptxas' own report (`docs/lab.md`)."""
INTERPRETED = (16, 16, 4, 1)
DECODE_ROWS, DECODE_KEYS = 64, 64
LOG2E = 1.4426950408889634


def attention(q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask | None, scaling: float) -> tuple[Tensor, Tensor]:
    """See `reference.attention`; differentiable in q, k and v. Not in float64."""
    if unknown(q):
        out, lse = attention(q.float(), k.float(), v.float(), mask, scaling)
        return out.to(q.dtype), lse
    mask = opened(q, k) if mask is None else mask
    if not torch.is_grad_enabled() and q.shape[2] * (q.shape[1] // k.shape[1]) <= DECODE_ROWS:
        return decode(q, k, v, mask, scaling)
    return _Attention.apply(q.contiguous(), k.contiguous(), v.contiguous(), mask, scaling)


def unknown(q: Tensor) -> bool:
    """Whether it is only Triton's interpreter that has no product of this dtype.

    Raises:
        OptionError: no kernel has.
    """
    if q.dtype == torch.float64:
        raise OptionError("the GPU's kernels do not compute this dtype", value=q.dtype, allowed="float32, bfloat16, float16")
    return q.device.type == "cpu" and q.dtype == torch.bfloat16


def opened(q: Tensor, k: Tensor) -> ColumnMask:
    """A mask that hides nothing."""
    zero = torch.zeros(1, 1, k.shape[2], dtype=torch.int32, device=q.device)
    return ColumnMask(zero + q.shape[2], zero + q.shape[2], zero, zero, q.shape[2])


def launch(table: Table, q: Tensor, interpreted: tuple[int, int, int, int] = INTERPRETED) -> tuple[int, int, dict[str, Any]]:
    """Queries and keys a tile, and the launch's other constants."""
    padded = max(16, triton.next_power_of_2(q.shape[3]))
    size = padded if q.dtype.itemsize == 2 else 2 * padded
    chosen = next((value for largest, value in table.items() if size <= largest), table[256])
    rows, width, warps, stages = chosen if q.device.type == "cuda" else interpreted
    constants = {"H": q.shape[3], "HP": padded, "BLOCK_M": rows, "BLOCK_N": width, "num_warps": warps, "num_stages": stages}
    return rows, width, constants | {"PRECISION": "ieee" if q.dtype == torch.float32 else "tf32"}


def strides(mask: ColumnMask) -> tuple[int, int]:
    """Masks from one sequence to the next, and from one key-value head to the next; 0 where one serves all."""
    batches, heads = mask.lts.shape[:2]
    return heads if batches > 1 else 0, 1 if heads > 1 else 0


def forward(
    q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask, scaling: float, lists: Lists | None = None
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp over the tiles of `lists` (its strides are the mask's), or over all that the mask leaves."""
    rows, width, constants = launch(FORWARD, q)
    lists = kept_lists(mask, rows, width) if lists is None else lists
    out, lse = torch.empty_like(q), q.new_empty(q.shape[:3], dtype=torch.float32)
    blocks, columns = lists.tiles.shape[1:]
    forward_kernel[(blocks, q.shape[0] * q.shape[1])](
        q, k, v, out, lse, *mask.bounds, *lists, q.shape[1], k.shape[1], q.shape[2], k.shape[2], columns, blocks,
        *strides(mask), scaling * LOG2E, **constants,
    )  # fmt: skip
    return out, lse


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask, scaling: float):  # type: ignore[override]
        out, lse = forward(q, k, v, mask, scaling)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.mask, ctx.scaling = mask, scaling
        ctx.mark_non_differentiable(lse)
        return out, lse

    @staticmethod
    def backward(ctx, d_out: Tensor, _):  # type: ignore[override]
        q, k, v, out, lse = ctx.saved_tensors
        return *backward(q, k, v, out, lse, d_out.contiguous(), ctx.mask, ctx.scaling), None, None


def backward(
    q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, d_out: Tensor, mask: ColumnMask, scaling: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v."""
    rows, width, constants = launch(BACKWARD, q)
    delta = (d_out.float() * out.float()).sum(-1)
    lse = lse.masked_fill(lse == -torch.inf, torch.inf)
    d_q, d_k, d_v = (torch.empty_like(x) for x in (q, k, v))
    sizes = q.shape[1], k.shape[1], q.shape[2], k.shape[2]
    lists = kept_lists(mask, rows, width, by_columns=True)
    blocks, entries = lists.tiles.shape[1:]
    key_kernel[(blocks, q.shape[0] * k.shape[1])](
        q,
        k,
        v,
        d_out,
        lse,
        delta,
        d_k,
        d_v,
        *mask.bounds,
        *lists,
        *sizes,
        entries,
        blocks,
        *strides(mask),
        scaling,
        **constants,
    )
    lists = kept_lists(mask, rows, width)
    blocks, entries = lists.tiles.shape[1:]
    query_kernel[(blocks, q.shape[0] * q.shape[1])](
        q, k, v, d_out, lse, delta, d_q, *mask.bounds, *lists, *sizes, entries, blocks, *strides(mask), scaling, **constants
    )
    return d_q, d_k, d_v


def decode(
    q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask, scaling: float, pages: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Attention of few queries over many keys, without gradients.

    Args:
        pages: Blocks of DECODE_KEYS keys to read, int32 [B x G, n], and how many of each row count; None: all of them.
    """
    batch, groups, keys = k.shape[:3]
    rows, columns = q.shape[1] // groups * q.shape[2], triton.cdiv(keys, DECODE_KEYS)
    own = pages is not None
    if pages is None:
        pages = (
            torch.arange(columns, dtype=torch.int32, device=q.device),
            torch.tensor([columns], dtype=torch.int32, device=q.device),
        )
    splits = max(1, min(128, triton.cdiv(columns, 4), triton.cdiv(264, batch * groups)))
    partial = q.new_empty(batch * groups, splits, rows, q.shape[3], dtype=torch.float32)
    lse = q.new_empty(batch * groups, splits, rows, dtype=torch.float32)
    constants = launch(FORWARD, q)[2] | {"BLOCK_M": max(16, triton.next_power_of_2(rows)), "BLOCK_N": DECODE_KEYS}
    decode_kernel[(splits, batch * groups)](
        q.contiguous(), k.contiguous(), v.contiguous(), partial, lse, *mask.bounds, *pages, groups, rows, q.shape[2], keys,
        pages[0].shape[-1], splits, *strides(mask), int(own), scaling * LOG2E, **constants,
    )  # fmt: skip
    total = lse.logsumexp(1)
    share = (lse - total[:, None]).exp().masked_fill(total[:, None] == -torch.inf, 0.0)
    out = (partial * share[..., None]).sum(1)
    return out.view_as(q).to(q.dtype), total.view(q.shape[:3])
