"""4-bit products on a GPU, for the GPU queue: no network, from the repository's root, torch 2.11, Triton 3.6, one result file.

`python3 benchmarks/gpu/int4.py` takes about eight minutes and writes `int4_gpu.json` into $OUT (else into
`benchmarks/results/`). `--only check`, `tune`, `few`, `many` picks parts; `--small` runs every line at toy sizes, on a CPU
through Triton's interpreter too (`TRITON_INTERPRET=1`), and writes nothing.

- limits, always: bytes read a second by a kernel that only adds, bytes copied by torch, bfloat16 TFLOP/s of a large product.
- check: both products against the reference, odd sizes, group sizes, dtypes, rows; run twice, same bits. A failure is written
  down before anything is timed.
- tune: microseconds of candidate tiles; the fastest ones serve what follows. Put them into `ops/int4_linear/gpu/launch.py`.
- few: 1 to 16 rows of `8b`'s matrices: packed bytes a second, as a share of the reading rate, against bfloat16.
- many: 512 to 8,192 rows: TFLOP/s, as a share of the product's rate, against bfloat16.

bfloat16 is `torch.matmul`, and for experts `torch._grouped_mm` between sorting and adding. Times are those of CUDA graphs of
many calls that go through more weights than the cache holds (`eager_us` is a call without a graph). `roofline` is the time that
the limits allow, max(bytes / bandwidth, operations / rate), over the time taken.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

import clock  # noqa: E402
import torch  # noqa: E402
import triton  # noqa: E402
import triton.language as tl  # noqa: E402
from clock import CUDA, DEVICE  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from omnie.model.config import architecture  # noqa: E402
from omnie.ops.int4_linear import Packed, gpu, reference, shapes  # noqa: E402
from omnie.ops.int4_linear.gpu import launch  # noqa: E402
from omnie.ops.int4_linear.gpu.launch import LARGEST, Tile  # noqa: E402

DTYPE = torch.bfloat16
GROUP = 32
TOGETHER = 512 << 20 if CUDA else 0
"""Bytes of weights that a graph goes through, several times an H200's cache."""
CALLS = 96
CANDIDATES: dict[str, dict[int, list[Tile]]] = {
    "LINEAR": {
        16: [Tile(128, 16, 128, 4, 4), Tile(64, 16, 128, 4, 4), Tile(64, 16, 256, 4, 3), Tile(128, 16, 256, 8, 3)],
        32: [Tile(128, 32, 128, 4, 3), Tile(64, 32, 128, 4, 4)],
        64: [Tile(128, 64, 64, 4, 4), Tile(128, 64, 128, 8, 3), Tile(64, 64, 128, 4, 3)],
        LARGEST: [
            Tile(128, 128, 64, 8, 3),
            Tile(128, 128, 64, 8, 4),
            Tile(128, 128, 128, 8, 3),
            Tile(128, 256, 64, 8, 3),
            Tile(128, 128, 64, 4, 3),
        ],
    },
    "EXPERTS": {
        8: [Tile(64, 16, 128, 4, 4), Tile(128, 16, 128, 4, 4), Tile(32, 16, 128, 4, 4), Tile(128, 16, 128, 8, 4)],
        24: [Tile(128, 32, 128, 4, 3), Tile(64, 32, 128, 4, 4)],
        64: [Tile(128, 64, 64, 4, 4), Tile(128, 64, 128, 8, 3)],
        LARGEST: [Tile(128, 128, 64, 8, 3), Tile(128, 128, 64, 8, 4), Tile(128, 128, 128, 8, 3), Tile(128, 64, 64, 4, 4)],
    },
}
TUNED_AT = {
    "LINEAR": {16: 8, 32: 32, 64: 64, LARGEST: 4096},
    "EXPERTS": {8: 8, 24: 128, 64: 512, LARGEST: 4096},
}
"""Table -> its key -> rows that stand for it."""


def timed(run: Callable[[int], Any], calls: int, seconds: float = 0.2) -> float:
    """Seconds of a call: the median of replayed graphs of `calls` calls, the n-th with the n-th weights."""
    run(0)
    if not CUDA:
        start = time.perf_counter()
        run(0)
        return time.perf_counter() - start
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        for call in range(calls):
            run(call)
    return clock.timed(graph.replay, seconds) / calls


def eager(run: Callable[[int], Any]) -> float:
    """Seconds of a call of fifty that are launched one after the other, without a graph."""
    count = 50 if CUDA else 1
    run(0)
    if CUDA:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for call in range(count):
        run(call)
    if CUDA:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / count


# Limits


@triton.jit
def read_kernel(data, out, share, BLOCK: tl.constexpr):
    """out[p] = sum of the p-th `share` int32 of `data`; `share` is a multiple of BLOCK."""
    at = tl.program_id(0).to(tl.int64) * share + tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.int32)
    for start in range(0, share, BLOCK):
        total += tl.load(data + at + start)
    tl.store(out + tl.program_id(0), tl.sum(total, 0))


def limits(small: bool) -> dict[str, float]:
    block, programs, turns = (256, 2, 2) if small else (4096, 132 * 8, 64)
    data = torch.ones(programs * turns * block, dtype=torch.int32, device=DEVICE)
    out = torch.empty(programs, dtype=torch.int32, device=DEVICE)
    size = 256 if small else 8192
    a, b = (torch.randn(size, size, dtype=DTYPE, device=DEVICE) for _ in range(2))
    other = torch.empty_like(data)
    read = timed(lambda _: read_kernel[(programs,)](data, out, turns * block, BLOCK=block, num_warps=8), 1)
    assert int(out.sum()) == data.numel()
    copy, product = timed(lambda _: other.copy_(data), 1), timed(lambda _: a @ b, 1)
    return {
        "read_gb_s": data.nbytes / read / 1e9,
        "copy_gb_s": 2 * data.nbytes / copy / 1e9,
        "tflops": 2 * size**3 / product / 1e12,
    }


# Products


def random(shape: list[int], group: int = GROUP) -> Packed:
    """A matrix of random bytes."""
    parts = (torch.empty(size, dtype=dtype, device=DEVICE) for size, dtype in shapes(shape, group).values())
    codes, scale, block = parts
    return Packed(codes.random_(0, 256), scale.random_(1, 128), block.uniform_(1e-4, 3e-4), shape[-1], group)


def size_of(packed: Packed) -> int:
    return sum(part.nbytes for part in packed[:3])


def chosen(rows: int, experts: int, top_k: int) -> Tensor:
    return torch.rand(rows, experts, device=DEVICE).argsort(-1)[:, :top_k].contiguous()


def grouped(x_TD: Tensor, index_TK: Tensor, weight_TK: Tensor, gate_up_EID: Tensor, down_EDI: Tensor) -> Tensor:
    """The experts by torch's grouped product, in bfloat16."""
    expert, order = index_TK.flatten().sort(stable=True)
    ends = torch.searchsorted(expert, torch.arange(len(down_EDI), device=DEVICE), right=True).int()
    token = order // index_TK.shape[1]
    gate, up = torch._grouped_mm(x_TD.index_select(0, token), gate_up_EID.mT, offs=ends).chunk(2, -1)
    hidden = F.silu(gate) * up * weight_TK.flatten()[order, None]
    return torch.zeros_like(x_TD).index_add_(0, token, torch._grouped_mm(hidden, down_EDI.mT, offs=ends))


Row = dict[str, Any]


class Case:
    """A kind of product: copies of its weights, what it reads and computes for so many rows, and the calls to be timed."""

    def __init__(self, name: str, shape: list[int], top_k: int = 0):
        """`shape` is [out, in] of a linear map, or [E, width, hidden] of experts."""
        self.name, self.shape, self.top_k = name, shape, top_k
        one = self._packed()
        self.bytes = sum(map(size_of, one))
        self.packed = [one, *(self._packed() for _ in range(self._more(self.bytes)))]
        self.parameters = shape[0] * shape[1] if not top_k else 3 * math.prod(shape)

    def _packed(self) -> list[Packed]:
        if not self.top_k:
            return [random(self.shape)]
        experts, width, hidden = self.shape
        return [random([experts, 2 * width, hidden]), random([experts, hidden, width])]

    @staticmethod
    def _more(size: int) -> int:
        return min(CALLS, math.ceil(TOGETHER / size)) - 1 if TOGETHER else 0

    def inputs(self, rows: int) -> tuple[Tensor, list[Tensor], Tensor]:
        """x, some choices of experts, the choices' weights."""
        x = torch.randn(rows, self.shape[-1], dtype=DTYPE, device=DEVICE)
        if not self.top_k:
            return x, [], x
        return (
            x,
            [chosen(rows, self.shape[0], self.top_k) for _ in range(7)],
            torch.rand(rows, self.top_k, device=DEVICE).to(DTYPE),
        )

    def ours(self, rows: int) -> Callable[[int], Tensor]:
        x, index, weight = self.inputs(rows)
        if not self.top_k:
            return lambda call: gpu.linear(x, self.packed[call % len(self.packed)][0])
        return lambda call: gpu.experts(x, index[call % 7], weight, *self.packed[call % len(self.packed)])

    def plain(self, rows: int) -> tuple[Callable[[int], Tensor], int]:
        """The same in bfloat16, and how many copies of the weights it goes through."""
        x, index, weight = self.inputs(rows)

        def weights() -> list[Tensor]:
            return [
                torch.empty(*m.scale.shape[:-1], m.inputs, dtype=DTYPE, device=DEVICE).normal_(0, 0.02) for m in self.packed[0]
            ]

        copies = [weights() for _ in range(1 + self._more(2 * self.parameters))]
        if not self.top_k:
            return (lambda call: x @ copies[call % len(copies)][0].T), len(copies)
        return (lambda call: grouped(x, index[call % 7], weight, *copies[call % len(copies)])), len(copies)

    def read(self, rows: int) -> float:
        """Packed bytes that a call reads, in the mean."""
        if not self.top_k:
            return self.bytes
        return self.bytes * (1 - (1 - self.top_k / self.shape[0]) ** rows)

    def operations(self, rows: int) -> float:
        per_row = self.parameters if not self.top_k else self.parameters * self.top_k / self.shape[0]
        return 2 * rows * per_row

    def measure(self, rows: int, limit: dict[str, float]) -> Row:
        """One line of the results; what fails is written down beside the others' figures."""
        row: Row = {"kind": self.name, "rows": rows}
        read, operations = self.read(rows), self.operations(rows)
        bandwidth, rate = 1e9 * max(limit["read_gb_s"], limit["copy_gb_s"]), 1e12 * limit["tflops"]
        try:
            run = self.ours(rows)
            seconds = timed(run, min(CALLS, max(len(self.packed), math.ceil(TOGETHER / read), 1)) if rows <= 64 else 4)
            row |= {"us": 1e6 * seconds, "gb_s": read / seconds / 1e9, "tflops": operations / seconds / 1e12}
            row |= {"bandwidth_share": read / seconds / bandwidth, "rate_share": operations / seconds / rate}
            row["roofline"] = max(read / bandwidth, operations / rate) / seconds
            row["eager_us"] = 1e6 * eager(run)
        except Exception as error:  # noqa: BLE001
            row["error"] = f"{type(error).__name__}: {error}"[:300]
        try:
            run, copies = self.plain(rows)
            seconds = timed(run, max(copies, 8) if rows <= 64 else 4)
            row |= {"bf16_us": 1e6 * seconds, "bf16_tflops": operations / seconds / 1e12}
            row["vs_bf16"] = 1e6 * seconds / row["us"] if "us" in row else None
        except Exception as error:  # noqa: BLE001
            row["bf16_error"] = f"{type(error).__name__}: {error}"[:300]
        print(json.dumps(row), file=sys.stderr, flush=True)
        return {key: shown(value) for key, value in row.items()}


def shown(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def cases(small: bool, head: bool = True) -> list[Callable[[], Case]]:
    """Kinds of products of `8b`, built one after the other: a case's weights take several hundred MB."""
    if small:
        return [partial(Case, "linear 64 -> 48", [48, 64]), partial(Case, "4 experts of 16, top 2", [4, 16, 64], 2)]
    model = architecture("8b")
    hidden, text, vision = model.hidden_size, model.expert_groups["text"], model.expert_groups["vision"]
    found: list[Callable[[], Case]] = [
        partial(Case, f"linear {hidden} -> {hidden}", [hidden, hidden]),
        partial(Case, f"linear {hidden} -> {2 * model.intermediate_size}", [2 * model.intermediate_size, hidden]),
    ]
    for group in (text, vision):
        experts, width, top_k = group["experts"], group["width"], group["top_k"]
        found.append(partial(Case, f"{experts} experts of {width}, top {top_k}", [experts, width, hidden], top_k))
    if head:
        found.append(partial(Case, f"linear {hidden} -> {model.vocab_size}", [model.vocab_size, hidden]))
    return found


# Parts


def check(small: bool) -> dict[str, str]:
    """Relative RMS error of each product, or what went wrong."""
    found = {}
    tolerances = {torch.float32: 2e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}
    # Every combination is a kernel to compile, for seconds: groups and dtypes vary together.
    kinds = [(torch.float32, 32), (torch.bfloat16, 32), (torch.float16, 64), (torch.bfloat16, 128)]
    sizes = [(48, 64), (5, 33)] if small else [(1, 1), (5, 33), (200, 1999), (2048, 2048)]
    counts = (1, 17) if small else (0, 1, 17, 64, 513)
    shapes = [(4, 16, 64, 2)] if small else [(6, 33, 70, 2), (64, 192, 512, 8)]
    for dtype, group in kinds[:2] if small else kinds:
        for size in sizes:
            weight, bias = random(list(size), group), torch.randn(size[0], device=DEVICE).to(dtype)
            for rows in counts:
                x = torch.randn(rows, size[1], device=DEVICE).to(dtype)
                name = f"linear {size}, {rows} rows, group {group}, {dtype}"
                exact = partial(reference.linear, x.float(), weight, bias.float())
                found[name] = verdict(partial(gpu.linear, x, weight, bias), exact, tolerances[dtype])
        for experts, width, hidden, top_k in shapes:
            first, second = random([experts, 2 * width, hidden], group), random([experts, hidden, width], group)
            for rows in counts:
                index = chosen(rows, experts, top_k)
                x, weights = (
                    torch.randn(rows, hidden, device=DEVICE).to(dtype),
                    torch.rand(rows, top_k, device=DEVICE).to(dtype),
                )
                for kind, places in (("", index), (", all on one", torch.full_like(index[:, :1], experts - 1))):
                    own = weights[:, : places.shape[1]]
                    name = f"{experts} experts of {width} x {hidden}{kind}, {rows} rows, group {group}, {dtype}"
                    given, exact = (x, places, own, first, second), (x.float(), places, own.float(), first, second)
                    run, want = partial(gpu.experts, *given), partial(reference.experts, *exact)
                    found[name] = verdict(run, want, tolerances[dtype])
    wrong = {name: outcome for name, outcome in found.items() if not outcome.startswith("ok")}
    largest = max((outcome for name, outcome in found.items() if name not in wrong), key=lambda text: float(text.split()[1]))
    for name, outcome in wrong.items():
        print(f"{name}: {outcome}", file=sys.stderr, flush=True)
    return {"cases": str(len(found)), "wrong": str(len(wrong)), "largest": largest, **wrong}


def verdict(run: Callable[[], Tensor], want: Callable[[], Tensor], tolerance: float) -> str:
    try:
        got, again, right = run(), run(), want()
        error = float((got.float() - right).norm() / right.norm().clamp_min(1e-20)) if right.numel() else 0.0
        if not torch.equal(got, again):
            return "DIFFERS from run to run"
        return f"{'ok' if error < tolerance else 'WRONG'} {error:.1e}"
    except Exception as error:  # noqa: BLE001 (one broken case must not hide the others)
        return f"FAILED {type(error).__name__}: {error}"[:300]


def tune(small: bool) -> list[Row]:
    """Microseconds of each candidate; the fastest goes into the table."""
    found: list[Row] = []
    built = cases(small, head=False)
    for table, build in (("LINEAR", built[0 if small else 1]), ("EXPERTS", built[1 if small else 2])):
        case = build()
        for key, tiles in CANDIDATES[table].items():
            rows, best = 3 if small else TUNED_AT[table][key], math.inf
            kept = getattr(launch, table)[key]
            for tile in tiles[:1] if small else tiles:
                getattr(launch, table)[key] = tile
                row: Row = {"table": table, "rows": rows, "tile": list(tile)}
                try:
                    row["us"] = shown(1e6 * timed(case.ours(rows), len(case.packed) if rows <= 64 else 4, 0.1))
                except Exception as error:  # noqa: BLE001
                    row["error"] = f"{type(error).__name__}: {error}"[:200]
                if row.get("us", math.inf) < best:
                    best, kept = row["us"], tile
                found.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
            getattr(launch, table)[key] = kept
    return found


def rows_of(counts: tuple[int, ...], small: bool, limit: dict[str, float], until: float) -> list[Row]:
    """As many kinds as the time allows; what was left out is named."""
    found: list[Row] = []
    for build in cases(small):
        if time.time() > until:
            found.append({"left out": "the time is up"})
            break
        case = build()
        found += [case.measure(rows, limit) for rows in counts]
        del case
        if CUDA:
            torch.cuda.empty_cache()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["check", "tune", "few", "many"])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no further kind of product is begun")
    given = parser.parse_args()
    torch.manual_seed(0)
    start, small = time.time(), given.small
    until = start + 60 * given.minutes
    limit = limits(small)
    parts: dict[str, Callable[[], Any]] = {
        "check": lambda: check(small),
        "tune": lambda: tune(small),
        "few": lambda: rows_of((1, 3) if small else (1, 2, 4, 8, 16), small, limit, until),
        "many": lambda: rows_of((20,) if small else (512, 2048, 8192), small, limit, until),
    }
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if CUDA else "cpu, Triton's interpreter",
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "group": GROUP,
        "dtype": str(DTYPE),
        "limits": {key: shown(value) for key, value in limit.items()},
    }
    folder = Path(os.environ.get("OUT", ROOT / "benchmarks" / "results"))
    with torch.inference_mode():
        for name in given.only:
            result[name] = parts[name]()
            result["seconds"] = round(time.time() - start)
            if not small:
                (folder / "int4_gpu.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
