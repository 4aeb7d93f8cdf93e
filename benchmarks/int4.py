"""4-bit products on a CPU: our kernels against torch's own and against plain torch, with what the machine can do, in one run.

`make bench-int4` writes `benchmarks/results/int4_cpu.json`. Shapes are those of `8b`: a projection of attention, the dense
layer's second matrix, and a layer's text experts (64 of width 512, 8 a token). Weights are random, larger than the last-level
cache in all, and change from call to call, so that they come from memory as in decoding. Best round of a few, all cores.

One row reads every byte of its weights once, so bytes / bandwidth bounds it from below; many rows are bound by products of
bytes (`vpdpbusd`, 64 an instruction, where there is AVX-512 with VNNI, else `vpmaddubsw`, 32). Neighbours on the same machine
change both from minute to minute, so each share is taken of the limit as measured right before and after, the better of both.
Torch's kernel is `_weight_int4pack_mm_for_cpu` with bfloat16 (with float32 it takes 10 to 90 times as long); experts are a loop
over it.

`--llama FOLDER` compares a layer's products besides with llama.cpp built there (`int4_llama.cpp` tells how).
"""

import argparse
import ctypes
import json
import math
import os
import platform
import subprocess
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
GROUP = 32
TURNS = 500_000
"""Of the loop that multiplies bytes."""
ROWS = (1, 8, 64, 512)

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


class Machine:
    """What all threads can do together at best: bytes read a second, byte products a second."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "machine.so"
            if why := build.build(library, source=Path(__file__).with_name("int4_machine.cpp")):
                raise SystemExit(f"the machine cannot be measured: {why}")
            self.code = ctypes.CDLL(str(library))
        self.code.read_all.argtypes, self.code.multiply_bytes.argtypes = [ctypes.c_void_p, ctypes.c_int64], [ctypes.c_int64]
        self.code.multiply_bytes.restype = ctypes.c_int64
        self.memory = torch.ones(TOGETHER, dtype=torch.uint8)
        self.threads = os.cpu_count() or 1
        self.pool = ThreadPoolExecutor(self.threads)
        self.seen: dict[str, list[float]] = {"read_gb_s": [], "byte_products_g_s": []}

    def read(self) -> float:
        share = self.memory.numel() // self.threads // 128 * 128
        first = self.memory.data_ptr()
        seconds = self._together(lambda thread: self.code.read_all(first + thread * share, share))
        self.seen["read_gb_s"].append(self.threads * share / seconds / 1e9)
        return self.seen["read_gb_s"][-1]

    def multiply(self) -> float:
        products = self.threads * self.code.multiply_bytes(1) * TURNS
        seconds = self._together(lambda thread: self.code.multiply_bytes(TURNS))
        self.seen["byte_products_g_s"].append(products / seconds / 1e9)
        return self.seen["byte_products_g_s"][-1]

    def _together(self, work: Callable[[int], Any]) -> float:
        return best(lambda _: list(self.pool.map(work, range(self.threads))), 1, seconds=0.3)

    def facts(self) -> dict[str, Any]:
        """Range of what was measured."""
        return {name: [shown(min(values)), shown(max(values))] for name, values in self.seen.items() if values}


def together() -> int:
    """Bytes of weights that a round goes through: twice the last-level cache, at least 96 MiB."""
    sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max([96 * 2**20, *(2 * 1024 * int(size[:-1]) for size in sizes if size.endswith("K"))])


TOGETHER = together()


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


def row_of(kind: str, rows: int, products: int, read: int, contenders: Contenders, machine: Machine) -> Timed:
    """Seconds of each contender, after its results have been compared, and our share of the limit that counts."""
    want = contenders["reference"][0](0)
    found: Timed = {"kind": kind, "rows": rows, "products": products, "bytes": read}
    for name, (run, _) in contenders.items():
        close(name, run(0), want, 0.03)
    limit = {1: machine.read, 512: machine.multiply}.get(rows)
    before = limit() if limit else 0.0
    found["int8"] = best(*contenders.pop("int8"))
    found |= {"gb_s": read / found["int8"] / 1e9, "products_g_s": products / found["int8"] / 1e9}
    if limit:
        found["limit"] = max(before, limit())
        found["share"] = found["gb_s" if rows == 1 else "products_g_s"] / found["limit"]
    found |= {name: best(*contender) for name, contender in contenders.items()}
    print(json.dumps({key: shown(value) for key, value in found.items()}), file=sys.stderr, flush=True)
    return found


def linear(outputs: int, inputs: int, machine: Machine) -> list[Timed]:
    """One matrix [out, in], for 1 to 512 rows."""
    copies = copies_of((random([outputs, inputs]),))
    ours = [random([outputs, inputs]) for _ in range(copies)]
    theirs = [for_torch(packed) for packed in ours]
    return [linear_of(rows, ours, theirs, machine) for rows in ROWS]


def linear_of(rows: int, ours: list[Packed], theirs: list[tuple[Tensor, Tensor]], machine: Machine) -> Timed:
    (outputs, _), inputs = ours[0].codes.shape, ours[0].inputs
    x, calls = torch.randn(rows, inputs), len(ours)
    contenders: Contenders = {
        "int8": (lambda n: cpu.linear(x, ours[n]), calls),
        "float": (lambda n: cpu.linear(x, ours[n], activations="float"), calls),
        "reference": (lambda n: reference.linear(x, ours[n]), calls),
        "torch": (lambda n: torch_linear(x.bfloat16(), theirs[n]), calls),
    }
    return row_of(f"linear {inputs} -> {outputs}", rows, rows * outputs * inputs, size(ours[0]), contenders, machine)


def experts(machine: Machine) -> list[Timed]:
    """A layer's text experts, for 1 to 512 tokens; each call takes another layer and chooses other experts."""
    group, hidden = MODEL.expert_groups["text"], MODEL.hidden_size
    count, width = group["experts"], group["width"]
    layers = [(random([count, 2 * width, hidden]), random([count, hidden, width]))]
    layers += [(random([count, 2 * width, hidden]), random([count, hidden, width])) for _ in range(copies_of(layers[0]) - 1)]
    theirs = [[[for_torch(packed.expert(e)) for e in range(count)] for packed in layer] for layer in layers]
    return [experts_of(rows, group["top_k"], layers, theirs, machine) for rows in ROWS]


def copies_of(layer: tuple[Packed, ...]) -> int:
    return max(2, -(-TOGETHER // sum(map(size, layer))))


def experts_of(rows: int, chosen: int, layers: list[tuple[Packed, Packed]], theirs: list[list], machine: Machine) -> Timed:
    gate_up, down = layers[0]
    count, hidden, width = len(gate_up.codes), gate_up.inputs, down.inputs
    x, weight = torch.randn(rows, hidden), torch.rand(rows, chosen)
    indices = [torch.stack([torch.randperm(count)[:chosen] for _ in range(rows)]) for _ in range(7 * len(layers))]
    busy = sum(len(index.unique()) for index in indices) / len(indices) / count
    half = weight.bfloat16()

    def layer(call: int) -> int:
        return call % len(layers)

    contenders: Contenders = {
        "int8": (lambda n: cpu.experts(x, indices[n], weight, *layers[layer(n)]), len(indices)),
        "float": (lambda n: cpu.experts(x, indices[n], weight, *layers[layer(n)], activations="float"), len(indices)),
        "reference": (lambda n: reference.experts(x, indices[n], weight, *layers[layer(n)]), 2),
        "torch": (lambda n: torch_experts(x.bfloat16(), indices[n], half, *theirs[layer(n)]), len(indices)),
    }
    read = round(busy * (size(gate_up) + size(down)))
    return row_of(f"{count} experts", rows, rows * chosen * 3 * hidden * width, read, contenders, machine)


def llama(folder: Path) -> dict[str, float]:
    """How many times as long llama.cpp takes for the products of a layer: with one token, and with 512."""
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch) / "layer"
        source, libraries = Path(__file__).with_name("int4_llama.cpp"), [f"-lggml{part}" for part in ("", "-base", "-cpu")]
        at = [f"-I{folder / 'include'}", f"-L{folder / 'lib'}", f"-Wl,-rpath,{folder / 'lib'}"]
        command = [*(build.compiler() or ["c++"]), "-std=c++17", "-O2", str(source), "-o", str(program), *at, *libraries]
        subprocess.run(command, check=True)
        layers = [layer() for _ in range(copies_of(layer()))]
        found = {}
        for name, tokens, count in (("decode", 1, len(layers)), ("prefill", 512, 1)):
            theirs, layouts = llama_layer(program, count, tokens)
            ours = best(of_layers(layers[:count], tokens), 7 * count if tokens == 1 else 1, seconds=2)
            facts = {f"{name}_llama_cpp": shown(theirs), f"{name}_ours": shown(ours), "layouts": layouts}
            print(json.dumps(facts), file=sys.stderr, flush=True)
            found[f"vs_llama_cpp_layer_{name}"] = theirs / ours
    return found


def llama_layer(program: Path, layers: int, tokens: int) -> tuple[float, str]:
    """Seconds of a layer by llama.cpp in its fastest layout that works, and which layouts those are."""
    group, kv = MODEL.expert_groups["text"], MODEL.num_key_value_heads * MODEL.head_dim
    sizes = [torch.get_num_threads(), layers, tokens, MODEL.hidden_size, kv, group["experts"], group["top_k"], group["width"]]
    command = [str(program), *map(str, sizes), str(MODEL.shared_expert_width)]
    runs = [subprocess.run([*command, *without], capture_output=True, text=True) for without in ([], ["AMX"])]
    return min(
        (float(seconds), " ".join(names)) for run in runs if not run.returncode for seconds, *names in [run.stdout.split()]
    )


def layer() -> tuple[Packed, ...]:
    """One layer's matrices: attention's, the shared expert's, the routed experts'."""
    group, hidden, shared = MODEL.expert_groups["text"], MODEL.hidden_size, MODEL.shared_expert_width
    projected = (MODEL.num_attention_heads + 2 * MODEL.num_key_value_heads) * MODEL.head_dim
    linear = [random(shape) for shape in ([projected, hidden], [hidden, hidden], [2 * shared, hidden], [hidden, shared])]
    experts, width = group["experts"], group["width"]
    return (*linear, random([experts, 2 * width, hidden]), random([experts, hidden, width]))


def of_layers(layers: list[tuple[Packed, ...]], tokens: int) -> Callable[[int], Tensor]:
    """The n-th call multiplies by all matrices of a layer."""
    group = MODEL.expert_groups["text"]
    x, weight = torch.randn(tokens, MODEL.hidden_size), torch.rand(tokens, group["top_k"])
    chosen = [torch.stack([torch.randperm(group["experts"])[: group["top_k"]] for _ in range(tokens)]) for _ in range(7)]

    def run(call: int) -> Tensor:
        project, out, gate_up, down, *experts = layers[call % len(layers)]
        cpu.linear(x, project), cpu.linear(x, out)
        gate, up = cpu.linear(x, gate_up).chunk(2, dim=-1)
        return cpu.linear(F.silu(gate) * up, down) + cpu.experts(x, chosen[call % 7], weight, *experts)

    return run


def ratios(rows: list[Timed], vnni: bool) -> dict[str, float]:
    """Geometric means over the kinds, and those of the experts alone."""
    peak = "vnni_share_512_rows" if vnni else "byte_products_share_512_rows"
    found = {}
    for suffix, chosen in (("", rows), ("_experts", [row for row in rows if "experts" in row["kind"]])):

        def mean(count: int, value: Callable[[Timed], float], chosen: list[Timed] = chosen) -> float:
            values = [value(row) for row in chosen if row["rows"] == count]
            return math.exp(sum(map(math.log, values)) / len(values))

        def faster(row: Timed) -> float:
            return row["torch"] / row["int8"]

        found |= {
            f"bandwidth_share_1_row{suffix}": mean(1, lambda row: row["share"]),
            f"{peak}{suffix}": mean(512, lambda row: row["share"]),
            f"vs_torch_int4_1_row{suffix}": mean(1, faster),
            f"vs_torch_int4_64_rows{suffix}": mean(64, faster),
            f"vs_torch_int4_512_rows{suffix}": mean(512, faster),
            f"vs_reference_1_row{suffix}": mean(1, lambda row: row["reference"] / row["int8"]),
            f"vs_reference_512_rows{suffix}": mean(512, lambda row: row["reference"] / row["int8"]),
            f"int8_vs_float_512_rows{suffix}": mean(512, lambda row: row["float"] / row["int8"]),
        }
    return found


def shown(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--llama", type=Path, help="folder with ggml's include and lib")
    given = parser.parse_args()
    assert cpu.library() is not None, "there is no library to measure"
    torch.manual_seed(0)
    started, machine = time.perf_counter(), Machine()
    with torch.inference_mode():
        rows = [
            *linear(MODEL.hidden_size, MODEL.hidden_size, machine),
            *linear(MODEL.hidden_size, MODEL.intermediate_size, machine),
            *experts(machine),
        ]
        compared = llama(given.llama) if given.llama else {}
    facts = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "kernels": cpu.kernels(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    found = ratios(rows, bool(machine.code.has_vnni())) | compared
    result: dict[str, Any] = {"ratios": found, "limits": machine.facts(), "rows": rows, "facts": facts}
    for part in ("ratios", "facts"):
        result[part] = {key: shown(value) for key, value in result[part].items()}
    result["rows"] = [{key: shown(value) for key, value in row.items()} for row in rows]
    result["seconds"] = round(time.perf_counter() - started)
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result["ratios"]))


if __name__ == "__main__":
    main()
