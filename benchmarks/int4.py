"""4-bit products on a CPU: our kernels against torch's own and against plain torch, with what the machine can do, in one run.

`make bench-int4` writes `benchmarks/results/int4_cpu.json`. Shapes are those of `8b`: a projection of attention, the dense
layer's second matrix, and a layer's text experts (64 of width 512, 8 a token). Weights are random, larger than the last-level
cache in all, and change from call to call, so that they come from memory as in decoding. Best round of a few, all cores.

The limits are measured before and after, and the better counts: one row reads every byte of its weights once, so bytes /
bandwidth bounds it from below; many rows are bound by products of bytes (`vpmaddubsw`, 32 an instruction). Torch's kernel is
`_weight_int4pack_mm_for_cpu` with bfloat16 (with float32 it takes 10 to 90 times as long); experts are a loop over it.
"""

import argparse
import ctypes
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from omnie.model.config import architecture
from omnie.ops.int4_linear import Packed, cpu, reference, shapes
from omnie.ops.int4_linear.native import build

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "int4_cpu.json"
MODEL = architecture("8b")
GROUP, TOGETHER = 32, 96 * 2**20
"""Group size, and bytes of weights that a round goes through (three times a last-level cache of 32 MiB)."""
ROWS = (1, 8, 64, 512)
TURNS = 2_000_000

Timed = dict[str, Any]


def best(run: Callable[[int], Any], calls: int, seconds: float = 0.6, most: int = 12) -> float:
    """Seconds of a call, in the fastest round of `calls` of them; the first round does not count unless it is long."""
    start = time.perf_counter()
    run(0)
    if (once := time.perf_counter() - start) > seconds:
        return once
    calls, rounds = max(1, min(calls, round(seconds / once))), []
    while not rounds or (sum(rounds) < seconds and len(rounds) < most):
        start = time.perf_counter()
        for call in range(calls):
            run(call)
        rounds.append(time.perf_counter() - start)
        if len(rounds) == 1 and rounds[0] < seconds:
            seconds += rounds[0]
    return min(rounds[1:] or rounds) / calls


def limits() -> dict[str, float]:
    """Bytes a second, byte products a second, float32 products a second, with one thread and with all."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "machine.so"
        if why := build.build(library, source=Path(__file__).with_name("int4_machine.cpp")):
            raise SystemExit(f"the machine cannot be measured: {why}")
        machine = ctypes.CDLL(str(library))
    machine.read_all.argtypes, machine.multiply_bytes.argtypes = [ctypes.c_void_p, ctypes.c_int64], [ctypes.c_int64]
    memory = torch.ones(2**28, dtype=torch.uint8)
    return {
        f"{name}_{threads}": value
        for threads in sorted({1, os.cpu_count() or 1})
        for name, value in limits_of(machine, memory, threads).items()
    }


def limits_of(machine: ctypes.CDLL, memory: Tensor, threads: int) -> dict[str, float]:
    share = memory.numel() // threads // 128 * 128
    with ThreadPoolExecutor(threads) as pool:

        def all_at_once(work: Callable[[int], Any]) -> None:
            list(pool.map(work, range(threads)))

        read = best(lambda _: all_at_once(lambda t: machine.read_all(memory.data_ptr() + t * share, share)), 1)
        multiply = best(lambda _: all_at_once(lambda t: machine.multiply_bytes(TURNS)), 1)
    torch.set_num_threads(threads)
    a, b = torch.randn(2, 1024, 1024)
    return {
        "read_gb_s": threads * share / read / 1e9,
        "byte_products_g_s": threads * TURNS * 8 * 32 / multiply / 1e9,
        "float_products_g_s": 1024**3 / best(lambda _: a @ b, 4) / 1e9,
    }


def random(shape: list[int]) -> Packed:
    """A matrix of random bytes."""
    codes, scale, block = (torch.empty(size, dtype=dtype) for size, dtype in shapes(shape, GROUP).values())
    return Packed(codes.random_(0, 256), scale.random_(1, 128), block.uniform_(1e-4, 3e-4), shape[-1], GROUP)


def size(packed: Packed) -> int:
    return sum(part.nbytes for part in packed[:3])


def for_torch(packed: Packed) -> tuple[Tensor, Tensor]:
    """The same matrix [out, in] as torch's kernel reads it: packed codes, and scale and zero point of each group."""
    code = torch.stack((packed.codes & 15, packed.codes >> 4), -1).flatten(-2).int()
    scale = packed.scale * packed.block.repeat_interleave(max(1, 64 // packed.scale.shape[1]))[: len(code), None]
    both = torch.stack((scale.T, torch.zeros_like(scale.T)), -1).bfloat16()
    return torch.ops.aten._convert_weight_to_int4pack_for_cpu(code, 1), both


def torch_linear(x: Tensor, weight: tuple[Tensor, Tensor]) -> Tensor:
    return torch.ops.aten._weight_int4pack_mm_for_cpu(x, weight[0], GROUP, weight[1])


def torch_experts(x_TD: Tensor, index_TK: Tensor, weight_TK: Tensor, gate_up: list, down: list) -> Tensor:
    y_TD = torch.zeros_like(x_TD)
    for expert in index_TK.unique().tolist():
        token, choice = torch.where(index_TK == expert)
        gate, up = torch_linear(x_TD.index_select(0, token), gate_up[expert]).chunk(2, dim=-1)
        hidden = F.silu(gate) * up * weight_TK[token, choice, None]
        y_TD.index_add_(0, token, torch_linear(hidden, down[expert]))
    return y_TD


def close(name: str, got: Tensor, want: Tensor, tolerance: float) -> None:
    error = float((got.float() - want.float()).norm() / want.float().norm())
    assert error < tolerance, f"{name} is {error:.4f} off"


Contenders = dict[str, tuple[Callable[[int], Tensor], int]]
"""Name -> the n-th call, and the calls of a round."""


def row_of(kind: str, rows: int, products: int, read: int, contenders: Contenders) -> Timed:
    """Seconds of each contender, after its results have been compared."""
    want = contenders["reference"][0](0)
    found: Timed = {"kind": kind, "rows": rows, "products": products, "bytes": read}
    for name, (run, calls) in contenders.items():
        close(name, run(0), want, 0.03)
        found[name] = best(run, calls)
    found |= {"gb_s": read / found["int8"] / 1e9, "products_g_s": products / found["int8"] / 1e9}
    print(json.dumps({key: shown(value) for key, value in found.items()}), file=sys.stderr, flush=True)
    return found


def linear(outputs: int, inputs: int) -> list[Timed]:
    """One matrix [out, in], for 1 to 512 rows."""
    copies = max(2, TOGETHER // size(random([outputs, inputs])))
    ours = [random([outputs, inputs]) for _ in range(copies)]
    theirs = [for_torch(packed) for packed in ours]
    return [linear_of(rows, ours, theirs) for rows in ROWS]


def linear_of(rows: int, ours: list[Packed], theirs: list[tuple[Tensor, Tensor]]) -> Timed:
    (outputs, _), inputs = ours[0].codes.shape, ours[0].inputs
    x, calls = torch.randn(rows, inputs), len(ours)
    contenders: Contenders = {
        "int8": (lambda n: cpu.linear(x, ours[n]), calls),
        "float": (lambda n: cpu.linear(x, ours[n], activations="float"), calls),
        "reference": (lambda n: reference.linear(x, ours[n]), calls),
        "torch": (lambda n: torch_linear(x.bfloat16(), theirs[n]), calls),
    }
    return row_of(f"linear {inputs} -> {outputs}", rows, rows * outputs * inputs, size(ours[0]), contenders)


def experts() -> list[Timed]:
    """A layer's text experts, for 1 to 512 tokens; each call chooses others."""
    group, hidden = MODEL.expert_groups["text"], MODEL.hidden_size
    count, width = group["experts"], group["width"]
    layers = [(random([count, 2 * width, hidden]), random([count, hidden, width])) for _ in range(2)]
    theirs = [[for_torch(packed.expert(e)) for e in range(count)] for packed in layers[0]]
    return [experts_of(rows, group["top_k"], layers, theirs) for rows in ROWS]


def experts_of(rows: int, chosen: int, layers: list[tuple[Packed, Packed]], theirs: list[list]) -> Timed:
    gate_up, down = layers[0]
    count, hidden, width = len(gate_up.codes), gate_up.inputs, down.inputs
    x, weight = torch.randn(rows, hidden), torch.rand(rows, chosen)
    indices = [torch.stack([torch.randperm(count)[:chosen] for _ in range(rows)]) for _ in range(16)]
    busy = sum(len(index.unique()) for index in indices) / len(indices) / count
    contenders: Contenders = {
        "int8": (lambda n: cpu.experts(x, indices[n], weight, *layers[n % 2]), 16),
        "float": (lambda n: cpu.experts(x, indices[n], weight, *layers[n % 2], activations="float"), 16),
        "reference": (lambda n: reference.experts(x, indices[n], weight, *layers[n % 2]), 2),
        "torch": (lambda n: torch_experts(x.bfloat16(), indices[n], weight.bfloat16(), *theirs), 16),
    }
    read = round(busy * (size(gate_up) + size(down)))
    return row_of(f"{count} experts", rows, rows * chosen * 3 * hidden * width, read, contenders)


def ratios(rows: list[Timed], machine: dict[str, float]) -> dict[str, float]:
    """Geometric means over the kinds, and those of the experts alone."""
    threads = torch.get_num_threads()
    read, peak = machine[f"read_gb_s_{threads}"], machine[f"byte_products_g_s_{threads}"]
    found = {}
    for suffix, chosen in (("", rows), ("_experts", [row for row in rows if "experts" in row["kind"]])):

        def mean(count: int, value: Callable[[Timed], float], chosen: list[Timed] = chosen) -> float:
            values = [value(row) for row in chosen if row["rows"] == count]
            return math.exp(sum(map(math.log, values)) / len(values))

        def faster(row: Timed) -> float:
            return row["torch"] / row["int8"]

        found |= {
            f"bandwidth_share_1_row{suffix}": mean(1, lambda row: row["gb_s"] / read),
            f"vs_torch_int4_1_row{suffix}": mean(1, faster),
            f"vs_torch_int4_64_rows{suffix}": mean(64, faster),
            f"vs_torch_int4_512_rows{suffix}": mean(512, faster),
            f"vs_reference_1_row{suffix}": mean(1, lambda row: row["reference"] / row["int8"]),
            f"vs_reference_512_rows{suffix}": mean(512, lambda row: row["reference"] / row["int8"]),
            f"int8_vs_float_512_rows{suffix}": mean(512, lambda row: row["float"] / row["int8"]),
            f"int8_peak_share_512_rows{suffix}": mean(512, lambda row: row["products_g_s"] / peak),
        }
    return found


def shown(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    assert cpu.library() is not None, "there is no library to measure"
    torch.manual_seed(0)
    started, machine = time.perf_counter(), limits()
    print(json.dumps({key: shown(value) for key, value in machine.items()}), file=sys.stderr, flush=True)
    with torch.inference_mode():
        rows = [*linear(MODEL.hidden_size, MODEL.hidden_size), *linear(MODEL.hidden_size, MODEL.intermediate_size), *experts()]
    machine = {name: max(value, machine[name]) for name, value in limits().items()}  # other work may slow one of both down
    facts = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    result: dict[str, Any] = {"ratios": ratios(rows, machine), "limits": machine, "rows": rows, "facts": facts}
    for part in ("ratios", "limits", "facts"):
        result[part] = {key: shown(value) for key, value in result[part].items()}
    result["rows"] = [{key: shown(value) for key, value in row.items()} for row in rows]
    result["seconds"] = round(time.perf_counter() - started)
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result["ratios"]))


if __name__ == "__main__":
    main()
