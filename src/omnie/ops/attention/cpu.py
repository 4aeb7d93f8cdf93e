"""Attention on a CPU by blocks of queries, in plain matrix products: for training, and for bfloat16 without it.

Torch's fused CPU kernels reach 80 to 170 GFLOP/s forward and 100 backward where bfloat16 products reach 400 (Zen 4) to 2,000
(matrix units), and they are slower still on short sequences (`docs/lab.md`). Here a block of queries forms its weights
P = softmax(Q K^T scale) against all keys that it may see, in the cache, and backward has dV = P^T dO, dS = softmax'(P, dO V^T),
dQ = dS K scale, dK = dS^T Q scale. Causal blocks end with their own last key, which halves all of it.

Weights are kept for backward up to `KEPT` tokens (L x L / 2 a head) and formed again for longer sequences.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 128
"""Queries whose weights are formed at once: with 1,024 keys and four heads a megabyte, what the second-level cache holds."""
KEPT = 8192
"""Longest sequence whose weights are kept from forward to backward."""


class _BlockAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:  # type: ignore[override]
        keep = any(ctx.needs_input_grad[:3]) and q.shape[2] <= KEPT
        kept, outputs = [], []
        for begin, end, seen in _blocks(q, k, causal):
            p = _weights(q, k, begin, end, seen, mask, causal, scale)
            outputs.append(p @ v.flatten(0, 1)[:, :seen])
            kept += [p] if keep else []
        ctx.save_for_backward(q, k, v, mask, *kept)
        ctx.causal, ctx.scale = causal, scale
        return torch.cat(outputs, dim=1).view_as(q)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        q, k, v, mask, *kept = ctx.saved_tensors
        q_, k_, v_, d_out = (x.flatten(0, 1) for x in (q, k, v, grad))
        d_q = []
        d_k, d_v = (torch.zeros(x.shape, dtype=torch.promote_types(x.dtype, torch.float32)) for x in (k_, v_))
        for n, (begin, end, seen) in enumerate(_blocks(q, k, ctx.causal)):
            p = kept[n] if kept else _weights(q, k, begin, end, seen, mask, ctx.causal, ctx.scale)
            d_o = d_out[:, begin:end]
            d_s = torch._softmax_backward_data(d_o @ v_[:, :seen].mT, p, -1, p.dtype)
            d_q.append(d_s @ k_[:, :seen])
            d_k[:, :seen] += d_s.mT @ q_[:, begin:end]
            d_v[:, :seen] += p.mT @ d_o
        d_qkv = torch.cat(d_q, dim=1).mul_(ctx.scale), d_k.mul_(ctx.scale).to(k.dtype), d_v.to(v.dtype)
        return *(d.view_as(x) for d, x in zip(d_qkv, (q, k, v), strict=True)), None, None, None


def _blocks(q: Tensor, k: Tensor, causal: bool) -> Iterator[tuple[int, int, int]]:
    """Where each block of queries begins and ends, and how many keys it sees."""
    for begin in range(0, q.shape[2], BLOCK):
        end = min(begin + BLOCK, q.shape[2])
        yield begin, end, end if causal else k.shape[2]


def _weights(q: Tensor, k: Tensor, begin: int, end: int, seen: int, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    """P [B * N, end - begin, seen] of a block of queries."""
    queries, keys = q.flatten(0, 1)[:, begin:end], k.flatten(0, 1)[:, :seen]
    scores = torch.baddbmm(q.new_empty(()), queries, keys.mT, beta=0, alpha=scale)
    if causal:
        scores[:, :, begin:] += q.new_full((end - begin, end - begin), -torch.inf).triu_(1)
    if mask is not None:
        hidden = ~(mask[..., begin:end, :] if mask.shape[-2] > 1 else mask)
        scores.view(*q.shape[:2], end - begin, seen).masked_fill_(hidden, -torch.inf)
    return scores.softmax(dim=-1)


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, causal: bool = False, scaling: float | None = None
) -> Tensor:
    """Differentiable attention of equally long sequences.

    Args:
        q: [B, N, L, H]; k, v: [B, N, S, H].
        mask: bool, broadcastable to [B, N, L, S], every row with something to attend to; not with `causal`.

    Returns:
        [B, N, L, H].
    """
    return _BlockAttention.apply(q, k, v, mask, causal, scaling if scaling is not None else q.shape[-1] ** -0.5)


def suits(x: Tensor) -> bool:
    """Whether this is faster than torch's fused kernel: on a CPU, in training or in bfloat16."""
    return x.device.type == "cpu" and (torch.is_grad_enabled() or x.dtype == torch.bfloat16)
