"""The convolution over the last tokens on a CPU, forward and backward, against what it cannot do without, in one run.

`python benchmarks/convolution.py` writes `benchmarks/results/convolution_cpu.json`, in half a minute on an idle core. Shapes
are what `nano` trains on: 8,192 tokens of sequences of 700, across whose borders nothing is seen; 8 taps before attention and
experts, 13 for the lookahead, 17 for the places where heads looked. `ours` is `omnie/ops/convolution/cpu.py`; `by weights` is
`reference.py`, which training had before; `autograd` is oneDNN both ways, which knows no borders, on the same tokens without
any. `copies` is a limit, not a contender: to write as many numbers as both passes must read and write (forward tokens in and
out, backward tokens and gradients in and gradients out) by copying.

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

from omnie.model.layers.convolution import neighbours  # noqa: E402
from omnie.ops.convolution import cpu, reference  # noqa: E402
from omnie.ops.precision import fast_dtype  # noqa: E402

RESULT = Path(__file__).resolve().parent / "results" / "convolution_cpu.json"
TOKENS, LENGTH = 8192, 700
CASES = [(8, 256), (13, 256), (17, 64)]
"""Taps, channels."""
CALLS = 7
"""That count; one more warms up."""


def autograd(seen_BSD: Tensor, weight_KD: Tensor, near_BTK: Tensor | None) -> Tensor:
    kernel = torch.cat([1 + weight_KD[:1], weight_KD[1:]]).flip(0).t().reshape(-1, 1, 1, len(weight_KD))
    return F.conv2d(seen_BSD.unsqueeze(1).permute(0, 3, 1, 2), kernel, groups=len(kernel)).permute(0, 2, 3, 1).squeeze(1)


CONTENDERS: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "ours": cpu.convolve,
    "by weights": reference.convolve,
    "autograd": autograd,
}


def both(convolve: Callable, leaves: list[Tensor], near: Tensor, direction: Tensor) -> tuple[float, float, list[Tensor]]:
    """Seconds of forward and backward, and the results."""
    start = time.thread_time()
    y = convolve(*leaves, near)
    middle = time.thread_time()
    gradients = torch.autograd.grad(y, leaves, direction)
    return middle - start, time.thread_time() - middle, [y, *gradients]


def copies(x: Tensor) -> float:
    """Seconds for moving five times as many numbers as there are in `x`: each copy moves two."""
    target = torch.empty_like(x)
    start = time.thread_time()
    target.copy_(x)
    return (time.thread_time() - start) * 2.5


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def close(got: list[Tensor], want: list[Tensor]) -> None:
    for a, b in zip(got, want, strict=True):
        error = float((a.detach().float() - b.detach().float()).norm() / b.detach().float().norm())
        assert error < 2e-2, f"ours is {error:.4f} off"


def case(taps: int, channels: int, dtype: torch.dtype) -> dict[str, Any]:
    """Seconds of both passes by all contenders, and of the copies."""
    random = torch.Generator().manual_seed(0)
    shapes = ((1, TOKENS + taps - 1, channels), (taps, channels), (1, TOKENS, channels))
    seen, weight, direction = (torch.randn(shape, generator=random).to(dtype) for shape in shapes)
    leaves = [seen.requires_grad_(), weight.requires_grad_()]
    segments = torch.arange(TOKENS)[None] // LENGTH + 1
    near = neighbours(segments, taps - 1, 0, TOKENS, dtype)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    limit = []
    for call in range(CALLS + 1):
        results = {}
        for name, convolve in CONTENDERS.items():
            forward, backward, results[name] = both(convolve, leaves, near, direction)
            if call:
                times[name].append((forward, backward))
        if not call:
            close(results["ours"], results["by weights"])
        limit.append(copies(direction))
    row: dict[str, Any] = {"taps": taps, "channels": channels, "dtype": str(dtype)[6:]}
    for name, found in times.items():
        row |= {f"{name}_{p}": median(list(column)) for p, column in zip(("forward", "backward"), zip(*found), strict=True)}
    row["copies"] = median(limit[1:])
    total = {name: row[f"{name}_forward"] + row[f"{name}_backward"] for name in CONTENDERS}
    row |= {f"times as fast as {name}": total[name] / total["ours"] for name in CONTENDERS if name != "ours"}
    return row | {"share of the limit": row["copies"] / total["ours"]}


def shown(values: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--note", help="what else the machine did, for the file")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for dtype in dict.fromkeys((torch.float32, fast_dtype())):
        for taps, channels in CASES:
            rows.append(shown(case(taps, channels, dtype)))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    given.out.write_text(json.dumps({"rows": rows, "facts": processor(given.note)}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
