"""Attention for training on a CPU: torch's fused forward, and a backward of plain matrix products.

Torch's fused CPU backward reaches about 100 GFLOP/s where bfloat16 products with matrix units reach 1,000 to 2,000, and it is
ten times slower still on short sequences (`docs/lab.md`). Here the weights P = softmax(Q K^T scale) are formed again:
dV = P^T dO, dS = softmax'(P, dO V^T), dQ = dS K scale, dK = dS^T Q scale. Memory is L x L per head, which suits packed rows.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


class _DenseAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(q, k, v, mask)
        ctx.causal, ctx.scale = causal, scale
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        *qkv, mask = ctx.saved_tensors
        q, k, v = (x.flatten(0, 1) for x in qkv)
        d_out = grad.flatten(0, 1)
        scores = _scores(q, k, ctx.causal, ctx.scale)
        if mask is not None:
            scores.view(*grad.shape[:-1], -1).masked_fill_(~mask, -torch.inf)
        p = scores.softmax(dim=-1)
        d_v = p.transpose(1, 2) @ d_out
        d_s = torch._softmax_backward_data(d_out @ v.transpose(1, 2), p, -1, p.dtype)
        d_q = (d_s @ k).mul_(ctx.scale).view_as(qkv[0])
        d_k = (d_s.transpose(1, 2) @ q).mul_(ctx.scale).view_as(qkv[1])
        return d_q, d_k, d_v.view_as(qkv[2]), None, None, None


def _scores(q: Tensor, k: Tensor, causal: bool, scale: float) -> Tensor:
    mask = q.new_zeros(q.shape[1], k.shape[1])
    if causal:
        mask = torch.full_like(mask, -torch.inf).triu_(1)
    return torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale)


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
    return _DenseAttention.apply(q, k, v, mask, causal, scaling if scaling is not None else q.shape[-1] ** -0.5)
