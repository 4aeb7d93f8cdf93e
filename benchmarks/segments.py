"""Attention for training on a CPU against torch's fused kernel and the bare products, forward and backward, in one run.

`python benchmarks/segments.py` writes `benchmarks/results/segments_cpu.json`, in about a minute on two idle cores. Shapes are
what `nano` trains on: four heads of 64, causal, 8,192 tokens of sequences of one length, and three heads of 64 that see all, as
the picture encoder's. `ours` is `omnie/ops/attention/cpu.py`. `fused` is `scaled_dot_product_attention`, both ways; `fused
again` is the same forward with the backward that forms all weights of a sequence at once, which training had before. `products`
is the matrix products that both passes cannot do without, half of each for causal attention, and nothing else: a limit, not a
contender.

Seconds are processor time of one thread (`time.thread_time`); each figure is the median of a few calls; contenders take turns.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omnie.train.optim.process import keep_pages

keep_pages()  # as in training; before PyTorch

import torch  # noqa: E402
from clock import processor  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from omnie.ops.attention import cpu  # noqa: E402

RESULT = Path(__file__).resolve().parent / "results" / "segments_cpu.json"
TOKENS, SIZE = 8192, 64
CASES = [(4, length, True) for length in (64, 256, 1024, 4096)] + [(3, length, False) for length in (48, 384, 960)]
"""Heads, length of a sequence, causal."""
CALLS = 5
"""That count; one more warms up."""

Attend = Callable[[Tensor, Tensor, Tensor, bool], Tensor]


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


CONTENDERS: dict[str, Attend] = {"ours": ours, "fused": fused, "fused again": _WholeWeights.apply}


def both(attend: Attend, qkv: list[Tensor], direction: Tensor, causal: bool) -> tuple[float, float, list[Tensor]]:
    """Seconds of forward and backward, and the results."""
    start = time.thread_time()
    y = attend(*qkv, causal)
    middle = time.thread_time()
    gradients = torch.autograd.grad(y, qkv, direction)
    return middle - start, time.thread_time() - middle, [y, *gradients]


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


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def close(name: str, got: list[Tensor], want: list[Tensor]) -> None:
    for a, b in zip(got, want, strict=True):
        error = float((a.detach().float() - b.detach().float()).norm() / b.detach().float().norm())
        assert error < 2e-2, f"{name} is {error:.4f} off"


def case(heads: int, length: int, causal: bool, dtype: torch.dtype) -> dict[str, Any]:
    """Seconds of both passes by all contenders, and of the products."""
    random = torch.Generator().manual_seed(0)
    shape = (TOKENS // length, heads, length, SIZE)
    qkv = [torch.randn(shape, generator=random).to(dtype).requires_grad_() for _ in range(3)]
    direction = torch.randn(shape, generator=random).to(dtype)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    limit = []
    for call in range(CALLS + 1):
        results = {}
        for name, attend in CONTENDERS.items():
            forward, backward, results[name] = both(attend, qkv, direction, causal)
            if call:
                times[name].append((forward, backward))
        if not call:
            close(f"{heads} heads, {length} tokens", results["ours"], results["fused"])
        limit.append(products(qkv, causal))
    row: dict[str, Any] = {"heads": heads, "length": length, "causal": causal, "dtype": str(dtype)[6:]}
    for name, found in times.items():
        row |= {f"{name}_{p}": median(list(column)) for p, column in zip(("forward", "backward"), zip(*found), strict=True)}
    row["products"] = median(limit[1:])
    total = {name: row[f"{name}_forward"] + row[f"{name}_backward"] for name in CONTENDERS}
    row |= {f"times as fast as {name}": total[name] / total["ours"] for name in CONTENDERS if name != "ours"}
    return row | {"share of the limit": row["products"] / total["ours"]}


def shown(values: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--note", help="what else the machine did, for the file")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for dtype in (torch.bfloat16, torch.float32):
        for heads, length, causal in CASES:
            rows.append(shown(case(heads, length, causal, dtype)))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    given.out.write_text(json.dumps({"rows": rows, "facts": processor(given.note)}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
