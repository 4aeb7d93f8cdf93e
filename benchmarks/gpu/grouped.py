"""The grouped product on a GPU, for the GPU queue: no network, from the repository's root, torch 2.11, Triton 3.6, one result.

`python3 benchmarks/gpu/grouped.py` takes about four minutes and writes `grouped_gpu.json` into $OUT (else into
`benchmarks/results/`). `--only check`, `tune`, `products`, `layers` picks parts; `--small` runs every line at toy sizes, on a
CPU through Triton's interpreter too (`TRITON_INTERPRET=1`).

- check: output and gradients against the reference, bfloat16 and float32, odd shapes and empty groups, before anything is
  timed; that no call waits for the device; a failure is written down.
- tune: TFLOP/s of candidate tile shapes; the fastest ones serve what follows. Put them into `ops/grouped_linear/gpu.py`.
- products: TFLOP/s of forward and backward for the experts of `nano` and `8b`, even and uneven loads, against
  `torch._grouped_mm`, beside the measured rate of one large matrix product and the time in which memory moves the bytes.
- layers: milliseconds of a layer's experts (`ops/experts/`), both passes.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

import torch  # noqa: E402
from clock import CUDA, DEVICE, timed  # noqa: E402
from torch import Tensor  # noqa: E402

from omnie.ops.experts import BACKENDS as EXPERTS  # noqa: E402
from omnie.ops.grouped_linear import gpu, grouped_linear  # noqa: E402

CHECKS = {
    "odd": ([3, 1, 4, 0, 5], 7, 3),
    "edges": ([0, 63, 64, 65, 0, 129], 100, 36),
    "one": ([0, 0, 513], 33, 130),
    "eights": ([0, 70, 3, 0, 513], 64, 40),
}
"""Rows of each group, inputs, outputs."""
MODELS = {"nano": (16384, 64, 8, 256, 32), "8b": (8192, 64, 8, 2048, 512), "8b few rows": (512, 64, 8, 2048, 512)}
SMALL = {"toy": (12, 4, 2, 24, 8)}
"""Tokens, experts, choices, hidden size, width."""
CANDIDATES: dict[str, list[gpu.Tile]] = {
    "ROWS": [(64, 128, 64, 4, 4), (64, 64, 64, 4, 4), (128, 128, 64, 8, 3), (128, 128, 32, 4, 4), (128, 256, 64, 8, 3)],
    "WEIGHTS": [(128, 128, 64, 8, 3), (64, 128, 64, 4, 4), (64, 64, 64, 4, 4), (128, 128, 32, 4, 4), (128, 256, 64, 8, 3)],
}
"""For bfloat16: BLOCK_M, BLOCK_N, BLOCK_K, warps, stages."""


def tensors(counts: list[int], inputs: int, outputs: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(sum(counts), inputs, generator=random).to(DEVICE, dtype).requires_grad_()
    weight = torch.randn(len(counts), outputs, inputs, generator=random).to(DEVICE, dtype).requires_grad_()
    return x, torch.tensor(counts, device=DEVICE).cumsum(0), weight


def check(names: list[str]) -> dict[str, str]:
    """Largest relative RMS error of output and gradients, or what went wrong."""
    found = {}
    for name in names:
        for dtype, tolerance in ((torch.bfloat16, 8e-3), (torch.float32, 1e-5)):
            _, inputs, outputs = CHECKS[name]
            for backend in ("gpu", "torch") if dtype == torch.bfloat16 and inputs % 8 == outputs % 8 == 0 else ("gpu",):
                try:
                    error = deviation(*tensors(*CHECKS[name], dtype), backend)
                    found[f"{name} {dtype} {backend}"] = f"{'ok' if error < tolerance else 'WRONG'} {error:.1e}"
                except Exception as error:  # noqa: BLE001 (one broken shape must not hide the others)
                    found[f"{name} {dtype} {backend}"] = f"FAILED {type(error).__name__}: {error}"[:300]
    if CUDA:
        found["waits"] = waiting()
    return found


def deviation(x: Tensor, end: Tensor, weight: Tensor, backend: str) -> float:
    """Of the kernels from the reference in float32."""
    wide = [tensor.detach().float().requires_grad_() for tensor in (x, weight)]
    results = []
    for leaves, name in (((x, weight), backend), (wide, "reference")):
        y = grouped_linear(leaves[0], end, leaves[1], backend=name)
        results.append([y, *torch.autograd.grad(y, leaves, torch.ones_like(y))])
    return max(float((a.detach().float() - b.detach()).norm() / b.detach().norm()) for a, b in zip(*results))


def waiting() -> str:
    """Whether both passes of the experts run without waiting for the device, once their kernels are compiled."""
    arguments = experts_case(*SMALL["toy"])
    run = both_passes(arguments)
    run()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
        return "ok"
    except RuntimeError as error:
        return f"WAITS {error}"[:300]
    finally:
        torch.cuda.set_sync_debug_mode("default")


def loads(tokens: int, experts: int, chosen: int, skew: float) -> list[int]:
    """Choices of each expert; `skew`: deviation of what the router prefers, in that of its scores."""
    random = torch.Generator().manual_seed(0)
    scores = torch.randn(tokens, experts, generator=random) + skew * torch.randn(experts, generator=random)
    return torch.bincount(scores.topk(chosen).indices.flatten(), minlength=experts).tolist()


def tune(model: tuple[int, ...]) -> dict[str, Any]:
    """Sets the fastest tile shapes for bfloat16 on even loads; gives TFLOP/s of all."""
    tokens, experts, chosen, hidden, width = model
    x, end, weight = (t.detach() for t in tensors(loads(tokens, experts, chosen, 0.0), hidden, 2 * width, working_dtype()))
    y = gpu.rows(x, end, weight.transpose(1, 2))
    runs = {"ROWS": lambda: gpu.rows(x, end, weight.transpose(1, 2)), "WEIGHTS": lambda: gpu.weights(x, end, y)}
    found: dict[str, Any] = {}
    for name, table in (("ROWS", gpu.ROWS), ("WEIGHTS", gpu.WEIGHTS)):
        speeds: dict[gpu.Tile, Any] = {}
        for shape in CANDIDATES[name]:
            table[2] = shape
            try:
                speeds[shape] = round(2 * x.numel() * 2 * width / timed(runs[name]) / 1e12, 2)
            except Exception as error:  # noqa: BLE001 (a shape that does not fit into the chip is an answer too)
                speeds[shape] = type(error).__name__
        numbers = {shape: speed for shape, speed in speeds.items() if isinstance(speed, float)}
        table[2] = max(numbers, key=lambda shape: numbers[shape], default=CANDIDATES[name][0])
        found[name] = {"best": table[2], "tflops": {str(shape): speed for shape, speed in speeds.items()}}
    return found


def working_dtype() -> torch.dtype:
    return torch.bfloat16 if CUDA else torch.float32  # the interpreter has no bfloat16 product


def products(models: dict[str, tuple[int, ...]]) -> list[dict[str, Any]]:
    found = []
    for name, (tokens, experts, chosen, hidden, width) in models.items():
        for inputs, outputs in ((hidden, 2 * width), (width, hidden)):
            for skew in (0.0, 0.7):
                row: dict[str, Any] = {"model": name, "inputs": inputs, "outputs": outputs, "skew": skew}
                found.append(
                    row | one_product(*tensors(loads(tokens, experts, chosen, skew), inputs, outputs, working_dtype()))
                )
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    return found


def one_product(x: Tensor, end: Tensor, weight: Tensor) -> dict[str, Any]:
    """TFLOP/s of both passes, and of the memory's share: reading and writing everything once."""
    flops, offsets = 2 * x.numel() * weight.shape[1], end.int()
    moved = (x.numel() + weight.numel() + len(x) * weight.shape[1]) * x.element_size()
    row: dict[str, Any] = {"tflop": flops / 1e12, "gb": moved / 1e9}
    contenders = {
        "ours": lambda: grouped_linear(x, end, weight, backend="gpu"),
        "grouped_mm": lambda: torch._grouped_mm(x, weight.transpose(1, 2), offs=offsets),
    }
    for name, run in contenders.items():
        try:
            with torch.no_grad():
                seconds = timed(run)
            row |= {
                f"{name}_forward": round(flops / seconds / 1e12, 2),
                f"{name}_forward_gb_s": round(moved / seconds / 1e9, 1),
            }
            y = run()
            back = timed(lambda y=y: torch.autograd.grad(y, (x, weight), torch.ones_like(y), retain_graph=True))
            row[f"{name}_backward"] = round(2 * flops / back / 1e12, 2)
        except Exception as error:  # noqa: BLE001 (written down beside the other's figures)
            row[name] = f"{type(error).__name__}: {error}"[:200]
    return row


def experts_case(tokens: int, experts: int, chosen: int, hidden: int, width: int) -> list[Tensor]:
    """x, index, weight, gate_up, down on the device."""
    random = torch.Generator().manual_seed(0)
    index = torch.randn(tokens, experts, generator=random).topk(chosen).indices.to(DEVICE)
    sizes = (tokens, hidden), (tokens, chosen), (experts, 2 * width, hidden), (experts, hidden, width)
    leaves = [torch.randn(size, generator=random).mul(0.1).to(DEVICE, working_dtype()).requires_grad_() for size in sizes]
    return [leaves[0], index, *leaves[1:]]


def both_passes(arguments: list[Tensor]) -> Callable[[], Any]:
    leaves = [tensor for tensor in arguments if tensor.is_floating_point()]
    direction = torch.ones_like(arguments[0])
    return lambda: torch.autograd.grad(EXPERTS["batched"](*arguments), leaves, direction)


def layers(models: dict[str, tuple[int, ...]]) -> dict[str, float]:
    """Milliseconds of both passes."""
    return {name: round(1000 * timed(both_passes(experts_case(*model))), 3) for name, model in models.items()}


def limits(n: int) -> dict[str, float]:
    """TFLOP/s of one large product, and GB/s of a copy."""
    a, b = (torch.randn(n, n, dtype=working_dtype(), device=DEVICE) for _ in range(2))
    source = torch.empty(16 * n * n, dtype=torch.uint8, device=DEVICE)
    copied = 2 * source.numel() / timed(lambda: source.clone())
    return {"matrix_tflops": round(2 * n**3 / timed(lambda: a @ b) / 1e12, 2), "copy_gb_s": round(copied / 1e9, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["check", "tune", "products", "layers"])
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    models = SMALL if given.small else MODELS
    if given.small:
        for name in CANDIDATES:
            CANDIDATES[name] = CANDIDATES[name][:1]
    parts: dict[str, Callable[[], Any]] = {
        "check": lambda: check(["odd"] if given.small else list(CHECKS)),
        "tune": lambda: tune(models["toy" if given.small else "8b"]),
        "products": lambda: products(models),
        "layers": lambda: layers(models),
    }
    device = torch.cuda.get_device_name() if CUDA else "cpu, Triton's interpreter"
    result: dict[str, Any] = {"device": device, "torch": torch.__version__, "dtype": str(working_dtype())}
    result |= limits(64 if given.small else 8192)
    folder = Path(os.environ.get("OUT", ROOT / "benchmarks" / "results"))
    for name in given.only:
        result[name] = parts[name]()
        if not given.small:
            (folder / "grouped_gpu.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
