"""Attention for training on a CPU against torch's fused kernel and the bare products, forward and backward, in one run.

`python benchmarks/segments.py` writes `benchmarks/results/segments_cpu.json`, in about a minute on two idle cores. Shapes are
what `nano` trains on: four heads of 64, causal, 8,192 tokens of sequences of one length, and three heads of 64 that see all, as
the picture encoder's. `ours` is `omnie/ops/attention/cpu.py`. `fused` is `scaled_dot_product_attention`, both ways; `fused
again` is the same forward with the backward that forms all weights of a sequence at once, which training had before. `products`
is the matrix products that both passes cannot do without, half of each for causal attention, and nothing else: a limit, not a
contender. How seconds are taken: `contest.py`.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from omnie.train.optim.process import keep_pages

keep_pages()  # as in training; before PyTorch

import torch  # noqa: E402
from contest import Contender, run, turns  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from omnie.ops.attention import cpu  # noqa: E402

RESULT = Path(__file__).resolve().parent / "results" / "segments_cpu.json"
TOKENS, SIZE = 8192, 64
CASES = [(4, length, True) for length in (64, 256, 1024, 4096)] + [(3, length, False) for length in (48, 384, 960)]
"""Heads, length of a sequence, causal."""
CALLS = 5
"""That count; one more warms up."""


class _WholeWeights(torch.autograd.Function):
    """The fused forward, and a backward that forms all weights again."""

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(q, k, v)
        ctx.causal = causal
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        q, k, v = (x.flatten(0, 1) for x in ctx.saved_tensors)
        d_out, scale = grad.flatten(0, 1), q.shape[-1] ** -0.5
        mask = q.new_zeros(q.shape[1], k.shape[1])
        mask = torch.full_like(mask, -torch.inf).triu_(1) if ctx.causal else mask
        p = torch.baddbmm(mask, q, k.mT, alpha=scale).softmax(dim=-1)
        d_s = torch._softmax_backward_data(d_out @ v.mT, p, -1, p.dtype)
        d_qkv = (d_s @ k).mul_(scale), (d_s.mT @ q).mul_(scale), p.mT @ d_out
        return *(d.view(grad.shape) for d in d_qkv), None


def ours(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    return cpu.attention(q, k, v, causal=causal)


def fused(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


CONTENDERS: dict[str, Contender] = {"ours": ours, "fused": fused, "fused again": _WholeWeights.apply}


def products(qkv: list[Tensor], causal: bool) -> float:
    """Seconds of six products [L, H] x [H, L] or [L, L] x [L, H] by sequence and head, half of them if causal."""
    q, k, _ = (x.detach().flatten(0, 1) for x in qkv)
    p = q @ k.mT
    start = time.thread_time()
    for _ in range(2):
        q @ k.mT
    for _ in range(4):
        p @ k
    return (time.thread_time() - start) / (2 if causal else 1)


def rows() -> Iterator[dict[str, Any]]:
    for dtype in (torch.bfloat16, torch.float32):
        for heads, length, causal in CASES:
            random = torch.Generator().manual_seed(0)
            shape = (TOKENS // length, heads, length, SIZE)
            qkv = [torch.randn(shape, generator=random).to(dtype).requires_grad_() for _ in range(3)]
            direction = torch.randn(shape, generator=random).to(dtype)
            what = {"heads": heads, "length": length, "causal": causal, "dtype": str(dtype)[6:]}
            yield what | turns(CONTENDERS, qkv, (causal,), direction, ("products", partial(products, qkv, causal)), CALLS)


if __name__ == "__main__":
    run(__doc__, RESULT, rows())
