"""The grouped product on a CPU against `torch._grouped_mm` and a plain batched product, forward and backward, in one run.

`python benchmarks/grouped.py` writes `benchmarks/results/grouped_cpu.json`, in about three minutes on two idle cores. Shapes
are the two products of a layer's experts of `nano` (64 experts of width 32; 4,096 and 512 tokens) and of `8b` (64 of width 512;
512 tokens), 8 choices a token. Loads are uneven and new in every call, as a router's are: that is what decides in bfloat16,
where a kernel is compiled for every number of rows that has not been seen. `_again` is the same with loads that have been seen.
`bmm` is one product of groups of equal size with nothing to sort or to pad: a limit, not a contender. `layer` is the whole
feed-forward product of `ops/experts/`, router and tokens' gathers included, against its reference (a loop over experts).

Seconds are processor time of one thread (`time.thread_time`), so that neighbours who take the core away do not count; they
still cost caches and bandwidth. Each figure is the median of a few calls; contenders take turns.
"""

import argparse
import json
import math
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

from omnie.ops.experts import BACKENDS as EXPERTS  # noqa: E402
from omnie.ops.grouped_linear import grouped_linear  # noqa: E402

RESULT = Path(__file__).resolve().parent / "results" / "grouped_cpu.json"
MODELS = {"nano": (4096, 64, 8, 256, 32), "nano few rows": (512, 64, 8, 256, 32), "8b": (512, 64, 8, 2048, 512)}
"""Tokens, experts, choices, hidden size, width."""
SKEW = 0.7
"""Standard deviation of what a router prefers, in that of its scores: the largest load is some six times the mean."""
CALLS = {"nano": 5, "nano few rows": 7, "8b": 3}
"""That count; one more warms up."""

Run = Callable[[Tensor, Tensor, Tensor], Tensor]


def choices(model: str, calls: int) -> list[Tensor]:
    """A router's choices [T, K], new ones for each call."""
    tokens, experts, chosen, *_ = MODELS[model]
    random = torch.Generator().manual_seed(0)
    preferred = SKEW * torch.randn(experts, generator=random)
    return [(torch.randn(tokens, experts, generator=random) + preferred).topk(chosen).indices for _ in range(calls)]


def ends(index_TK: Tensor, experts: int) -> Tensor:
    return torch.bincount(index_TK.flatten(), minlength=experts).cumsum(0)


def torch_grouped(x: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    return torch._grouped_mm(x, weight.transpose(1, 2), offs=end.int())


def torch_bmm(x: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    return torch.bmm(x.view(len(weight), -1, x.shape[1]), weight.transpose(1, 2)).flatten(0, 1)


CONTENDERS: dict[str, Run] = {"ours": grouped_linear, "grouped_mm": torch_grouped, "bmm": torch_bmm}


def both(run: Run, x: Tensor, end: Tensor, weight: Tensor) -> tuple[float, float, list[Tensor]]:
    """Seconds of forward and backward, and the results."""
    start = time.thread_time()
    y = run(x, end, weight)
    middle = time.thread_time()
    gradients = torch.autograd.grad(y, (x, weight), torch.ones_like(y))
    return middle - start, time.thread_time() - middle, [y, *gradients]


def medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    forward, backward = (sorted(column)[len(times) // 2] for column in zip(*times))
    return forward, backward


def close(name: str, got: list[Tensor], want: list[Tensor], tolerance: float) -> None:
    for a, b in zip(got, want):
        error = float((a.detach().float() - b.detach().float()).norm() / b.detach().float().norm())
        assert error < tolerance, f"{name} is {error:.4f} off"


def product(model: str, dtype: torch.dtype, inputs: int, outputs: int) -> dict[str, Any]:
    """Seconds of one product's passes by all contenders, with loads that are new in each call, and once more with the same."""
    tokens, experts, chosen, *_ = MODELS[model]
    random = torch.Generator().manual_seed(1)
    x = torch.randn(tokens * chosen, inputs, generator=random).to(dtype).requires_grad_()
    weight = torch.randn(experts, outputs, inputs, generator=random).to(dtype).requires_grad_()
    drawn = [ends(index, experts) for index in choices(model, CALLS[model] + 1)]
    products = 2 * tokens * chosen * inputs * outputs
    row: dict[str, Any] = {"model": model, "dtype": str(dtype)[6:], "inputs": inputs, "outputs": outputs}
    for suffix in ("", "_again"):
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
        for call, end in enumerate(drawn):
            results = {}
            for name, run in CONTENDERS.items():
                forward, backward, results[name] = both(run, x, end, weight)
                if call:  # the first one warms up
                    times[name].append((forward, backward))
            if not call and not suffix:
                close(f"{model} {dtype}", results["ours"], results["grouped_mm"], 1e-5 if dtype == torch.float32 else 1e-2)
        for name in CONTENDERS:
            seconds = medians(times[name])
            for pass_, second, factor in zip(("forward", "backward"), seconds, (1, 2)):
                row[f"{name}_{pass_}{suffix}"] = second
                row[f"{name}_{pass_}{suffix}_gflops"] = factor * products / second / 1e9
    return row


def layer(model: str, dtype: torch.dtype) -> dict[str, Any]:
    """Seconds of a layer's experts, both passes."""
    tokens, experts, chosen, hidden, width = MODELS[model]
    random = torch.Generator().manual_seed(2)
    sizes = (tokens, hidden), (tokens, chosen), (experts, 2 * width, hidden), (experts, hidden, width)
    x, mix, gate_up, down = (torch.randn(size, generator=random).mul(0.1).to(dtype).requires_grad_() for size in sizes)
    row: dict[str, Any] = {"model": model, "dtype": str(dtype)[6:]}
    times: dict[str, list[tuple[float, float]]] = {"batched": [], "reference": []}
    for call, index in enumerate(choices(model, 3)):
        for name in times:
            start = time.thread_time()
            y = EXPERTS[name](x, index, mix, gate_up, down)
            middle = time.thread_time()
            torch.autograd.grad(y, (x, mix, gate_up, down), torch.ones_like(y))
            if call:
                times[name].append((middle - start, time.thread_time() - middle))
    for name, found in times.items():
        row |= dict(zip((f"{name}_forward", f"{name}_backward"), medians(found)))
    return row


def geomean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times as fast as each contender, the geometric mean of a model's two products."""
    found = {}
    for model, dtype in dict.fromkeys((row["model"], row["dtype"]) for row in rows):
        chosen = [row for row in rows if (row["model"], row["dtype"]) == (model, dtype)]
        for name in ("grouped_mm", "bmm"):
            for key in ("forward", "backward", "forward_again", "backward_again"):
                values = [row[f"{name}_{key}"] / row[f"ours_{key}"] for row in chosen]
                found[f"{model}_{dtype}_{key}_vs_{name}"] = geomean(values)
    return found


def shown(values: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--note", help="what else the machine did, for the file")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    cases = [(model, dtype) for model in given.models for dtype in (torch.bfloat16, torch.float32)]
    rows, layers = [], []
    for model, dtype in cases:
        hidden, width = MODELS[model][3:]
        for inputs, outputs in ((hidden, 2 * width), (width, hidden)):
            rows.append(product(model, dtype, inputs, outputs))
            print(json.dumps(shown(rows[-1])), file=sys.stderr, flush=True)
        layers.append(layer(model, dtype))
        print(json.dumps(shown(layers[-1])), file=sys.stderr, flush=True)
    result = {
        "ratios": shown(ratios(rows)),
        "rows": [*map(shown, rows)],
        "layers": [*map(shown, layers)],
        "facts": processor(given.note),
    }
    result["seconds"] = round(time.perf_counter() - started)
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result["ratios"], indent=1))


if __name__ == "__main__":
    main()
