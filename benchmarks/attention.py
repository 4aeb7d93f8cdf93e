"""Attention on a CPU: FlashMask against torch's fused kernel with a dense mask and against compiled FlexAttention, in one run.

`make bench-attention` writes `benchmarks/results/attention_cpu.json` and the plots in `docs/`. Best of a few repetitions, all
cores, float32, head size 64. What is ready before the clock starts: the dense additive mask and repeated key-value heads for
`scaled_dot_product_attention`, the tile lists and the compiled kernel for FlexAttention, the column mask for FlashMask.
Options: `--lengths`, `--skip-flex`, `--skip-dynamic`, `--out`.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from omnie.ops.flashmask import ColumnMask, attention, kinds
from omnie.ops.flashmask.tiles import TileBounds

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "attention_cpu.json"
LENGTHS = (2048, 8192, 32768)
HEADS = {2048: (4, 2), 8192: (4, 2), 32768: (2, 1)}
"""Query and key-value heads at each length."""
HEAD, BACKWARD_AT = 64, 8192
MEMORY_AT = (8192, 16384, 32768, 65536)


def twelve(n: int, device: str = "cpu") -> dict[str, ColumnMask]:
    """The twelve kinds of masks, scaled to n columns."""
    documents = [n * part // 16 for part in (3, 1, 4, 1, 5, 2)]
    half = n // 2
    random = torch.Generator().manual_seed(0)
    column = torch.arange(n)
    leave = column + 1 + (torch.rand(n, generator=random) * (n - column)).long()
    return {
        "full": kinds.full(n, device),
        "causal": kinds.causal(n, device),
        "sliding window": kinds.sliding_window(n, n // 16, device),
        "causal document": kinds.causal_document(documents, device),
        "document": kinds.document(documents, device),
        "share question": kinds.share_question([[n // 4, n // 8, n // 8], [n // 8, n // 8, n // 4]], device),
        "global + sliding": kinds.global_sliding(n, 64, n // 32, device),
        "causal blockwise": kinds.causal_blockwise(documents, device),
        "prefix document": kinds.prefix_document([(length // 2, length - length // 2) for length in documents], device),
        "prefix causal": kinds.prefix_causal(n, n // 4, device),
        "QK-sparse": kinds.qk_sparse(n, [(n // 8, n // 8), (half, n // 4)], device),
        "random eviction": kinds.eviction(leave.clamp_max(n).to(device)),
    }


def best(run: Callable[[], Any], seconds: float = 0.35, most: int = 7) -> float:
    """Seconds of the fastest of some repetitions, after one that does not count unless it is long."""
    times: list[float] = []
    while not times or (sum(times) < seconds and len(times) < most):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
        if len(times) == 1 and times[0] < seconds:
            seconds += times[0]
    return min(times[1:] or times)


def tensors(n: int, heads: tuple[int, int]) -> list[Tensor]:
    torch.manual_seed(n)
    return [torch.randn(1, h, n, HEAD) for h in (heads[0], heads[1], heads[1])]


def dense(mask: ColumnMask) -> Tensor:
    """The mask as torch's kernel reads it fastest, float32 [T, S]."""
    additive = torch.zeros(mask.queries, mask.keys)
    for first in range(0, mask.queries, 1024):
        last = min(first + 1024, mask.queries)
        additive[first:last].masked_fill_(mask.hidden(first, last, 0, mask.keys)[0, 0], -torch.inf)
    return additive


def block_mask(mask: ColumnMask, block: int = 128):
    """FlexAttention's block mask from the same tile lists, so that its own N x N evaluation is not counted against it."""
    from torch.nn.attention.flex_attention import BlockMask

    lts, lte, uts, ute = (bound[0, 0].long() for bound in mask.bounds)
    tiles = TileBounds.of(mask, block)
    rows = [tiles.row(first, first + block) for first in range(0, mask.queries, block)]
    full = torch.from_numpy(np.stack([full for _, full in rows]))
    mixed = ~torch.from_numpy(np.stack([empty for empty, _ in rows])) & ~full

    def see(b, h, q, k):
        return ~(((q >= lts[k]) & (q < lte[k])) | ((q >= uts[k]) & (q < ute[k])))

    lists = [
        value[None, None].int()
        for chosen in (mixed, full)
        for value in (chosen.sum(-1), chosen.int().argsort(dim=-1, descending=True, stable=True))
    ]
    return BlockMask.from_kv_blocks(*lists, BLOCK_SIZE=block, mask_mod=see)


def flex_runner() -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)  # its kernel for dynamic lengths does not compile on CPUs (torch 2.13)


def one_type(name: str, mask: ColumnMask, n: int, flex: Callable[..., Tensor] | None) -> dict[str, Any]:
    """Seconds of each contender for one mask."""
    heads = HEADS[n]
    q, k, v = tensors(n, heads)
    repeat = heads[0] // heads[1]
    wide, additive = [x.repeat_interleave(repeat, 1) for x in (k, v)], dense(mask)
    seen = float((additive == 0).sum()) / n / n
    row: dict[str, Any] = {"type": name, "length": n, "seen": round(seen, 4)}
    with torch.no_grad():
        row["flashmask"] = best(lambda: attention(q, k, v, mask))
        row["sdpa"] = best(lambda: F.scaled_dot_product_attention(q, *wide, attn_mask=additive))
        if flex is not None:
            row |= with_flex(flex, q, k, v, mask)
    if n == BACKWARD_AT:
        row |= backward(q, k, v, wide, mask, additive)
    row["gflops"] = round(4 * seen * n * n * HEAD * heads[0] / row["flashmask"] / 1e9, 1)
    return row


def with_flex(flex: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask) -> dict[str, Any]:
    """Seconds, after its result has been compared; or why it does not run."""
    blocks = block_mask(mask)
    try:
        got, want = flex(q, k, v, block_mask=blocks, enable_gqa=True), attention(q, k, v, mask)
    except Exception as error:  # noqa: BLE001 (no compiler, or a kernel that does not compile)
        return {"flex_error": f"{type(error).__name__}: {error}"[:300]}
    assert isinstance(want, Tensor) and (got - want)[want.abs().sum(-1) > 0].abs().max() < 1e-4
    return {"flex": best(lambda: flex(q, k, v, block_mask=blocks, enable_gqa=True))}


def backward(q: Tensor, k: Tensor, v: Tensor, wide: list[Tensor], mask: ColumnMask, additive: Tensor) -> dict[str, float]:
    """Seconds of forward and backward together."""
    ours = [x.clone().requires_grad_() for x in (q, k, v)]
    theirs = [x.clone().requires_grad_() for x in (q, *wide)]

    def flashmask() -> None:
        out = attention(*ours, mask)
        assert isinstance(out, Tensor)
        torch.autograd.grad(out, ours, torch.ones_like(out))

    def sdpa() -> None:
        out = F.scaled_dot_product_attention(*theirs, attn_mask=additive)
        torch.autograd.grad(out, theirs, torch.ones_like(out))

    return {"flashmask_both": best(flashmask, most=2), "sdpa_both": best(sdpa, most=2)}


def memory(n: int) -> int:
    """Bytes by which the largest size of this process grows with one forward pass over a document mask."""
    mask, (q, k, v) = twelve(n)["causal document"], tensors(n, (1, 1))
    attention(q[:, :, :256], k[:, :, :256], v[:, :, :256], kinds.causal(256))  # what the first call loads is not counted
    Path("/proc/self/clear_refs").write_text("5")  # the largest size so far is forgotten (Linux)
    before = resident("VmRSS")
    attention(q, k, v, mask)
    return resident("VmHWM") - before


def resident(field: str) -> int:
    """Bytes: this process's size now (VmRSS), or its largest so far (VmHWM). `getrusage` would count the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def memories() -> list[dict[str, int]]:
    rows = []
    for n in MEMORY_AT:
        done = subprocess.run([sys.executable, __file__, "--memory", str(n)], capture_output=True, text=True, check=True)
        rows.append({"length": n, "mask": kinds.causal(n).nbytes, "grown": int(done.stdout), "dense_mask": 4 * n * n})
    return rows


def geomean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    result = {
        "geomean_vs_sdpa": geomean([row["sdpa"] / row["flashmask"] for row in rows]),
        "full_vs_sdpa": min(row["sdpa"] / row["flashmask"] for row in rows if row["type"] == "full"),
    }
    for name, key, other in (
        ("geomean_vs_flex", "flashmask", "flex"),
        ("geomean_backward_vs_sdpa", "flashmask_both", "sdpa_both"),
    ):
        found = [row[other] / row[key] for row in rows if other in row]
        result |= {name: geomean(found)} if found else {}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="*", default=list(LENGTHS))
    parser.add_argument("--skip-flex", action="store_true")
    parser.add_argument("--skip-dynamic", action="store_true")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    if given.memory:
        return print(memory(given.memory))
    started, flex = time.perf_counter(), None if given.skip_flex else flex_runner()
    rows = []
    for n in given.lengths:
        for name, mask in twelve(n).items():
            rows.append({key: round(x, 5) if isinstance(x, float) else x for key, x in one_type(name, mask, n, flex).items()})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    facts = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    result: dict[str, Any] = {"ratios": ratios(rows), "types": rows, "memory": memories(), "facts": facts}
    if not given.skip_dynamic:
        import attention_dynamic

        result["dynamic"] = attention_dynamic.measure()
        result["ratios"] |= attention_dynamic.ratios(result["dynamic"])
    result["ratios"] = {name: round(value, 3) for name, value in result["ratios"].items()}
    result["seconds"] = round(time.perf_counter() - started)
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result["ratios"]))
    if given.out == RESULT:
        import attention_plots

        attention_plots.speed(result)


if __name__ == "__main__":
    main()
