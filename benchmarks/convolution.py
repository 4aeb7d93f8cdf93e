"""The convolution over the last tokens on a CPU, forward and backward, against what it cannot do without, in one run.

`python benchmarks/convolution.py` writes `benchmarks/results/convolution_cpu.json`, in half a minute on an idle core. Shapes
are what `nano` trains on: 8,192 tokens of sequences of 700, across whose borders nothing is seen; 8 taps before attention and
experts, 13 for the lookahead, 17 for the places where heads looked. `ours` is `omnie/ops/convolution/cpu.py`; `by weights` is
`reference.py`, which training had before; `autograd` is oneDNN both ways, which knows no borders, on the same tokens without
any. `copies` is a limit, not a contender: to move as many numbers as both passes must read and write (forward tokens in and
out, backward tokens and gradients in and gradients out) by copying. How seconds are taken: `contest.py`.
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


CONTENDERS: dict[str, Contender] = {"ours": cpu.convolve, "by weights": reference.convolve, "autograd": autograd}


def copies(x: Tensor) -> float:
    """Seconds for moving five times as many numbers as there are in `x`: each copy moves two."""
    target = torch.empty_like(x)
    start = time.thread_time()
    target.copy_(x)
    return (time.thread_time() - start) * 2.5


def rows() -> Iterator[dict[str, Any]]:
    for dtype in dict.fromkeys((torch.float32, fast_dtype())):
        for taps, channels in CASES:
            random = torch.Generator().manual_seed(0)
            shapes = ((1, TOKENS + taps - 1, channels), (taps, channels), (1, TOKENS, channels))
            seen, weight, direction = (torch.randn(shape, generator=random).to(dtype) for shape in shapes)
            leaves = [seen.requires_grad_(), weight.requires_grad_()]
            near = neighbours(torch.arange(TOKENS)[None] // LENGTH + 1, taps - 1, 0, TOKENS, dtype)
            what = {"taps": taps, "channels": channels, "dtype": str(dtype)[6:]}
            yield what | turns(CONTENDERS, leaves, (near,), direction, ("copies", partial(copies, direction)), CALLS)


if __name__ == "__main__":
    run(__doc__, RESULT, rows())
