"""FlashMask on a GPU, for the GPU queue: no network, from the repository's root, torch 2.11 and Triton 3.6, one result file.

`python3 benchmarks/gpu/attention.py` takes about eight minutes and writes `attention_gpu.json` into $OUT (else into
`benchmarks/results/`). `--only tune`, `check`, `types`, `decode`, `dynamic`, `recorded` picks parts; `--small` runs every
line at toy sizes, on a CPU through Triton's interpreter too (`TRITON_INTERPRET=1`).

- check: both passes of all twelve masks against the reference, bfloat16, and each level of dynamic attention against its own
  bound, before anything is timed; a failure is written down.
- tune: TFLOP/s of candidate tile shapes; the fastest ones serve what follows. Put them into `ops/flashmask/gpu/__init__.py`.
- types: TFLOP/s of forward and backward for the twelve masks at 8K, 32K and 128K, head sizes 64 and 128, against FlexAttention
  (compiled) and, on causal and full masks, torch's fused kernels; the limit is the measured rate of a matrix product.
- decode: one query over a long cache, bytes a second.
- dynamic: certified and fast attention of the last 4,096 rows of a prefill, and of a decode step, on synthetic heads at 32K and
  131K keys, against exact attention. recorded: the same on nano's own queries and keys.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

import attention_dynamic  # noqa: E402
import torch  # noqa: E402
from attention import twelve  # noqa: E402
from clock import CUDA, DEVICE, timed  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from omnie.ops.flashmask import ColumnMask, attention, gpu, kinds  # noqa: E402
from omnie.ops.flashmask.gpu.lists import extremes_of, lists_of  # noqa: E402
from omnie.ops.flashmask.pages import PAGE  # noqa: E402

DTYPE = torch.bfloat16 if CUDA else torch.float16  # the interpreter has no bfloat16 product
COPIES = 8 if CUDA else 1
"""Of each synthetic head, which has two query heads."""
CANDIDATES = {
    "FORWARD": [
        (128, 64, 4, 3),
        (128, 128, 8, 2),
        (128, 128, 8, 3),
        (128, 64, 8, 3),
        (128, 64, 8, 4),
        (64, 64, 4, 3),
        (128, 32, 4, 4),
    ],
    "BACKWARD": [
        (64, 64, 4, 2),
        (64, 64, 8, 2),
        (64, 128, 8, 2),
        (32, 128, 8, 2),
        (128, 64, 8, 2),
        (32, 64, 4, 2),
        (64, 64, 4, 3),
    ],
}


def tensors(n: int, heads: int, groups: int, size: int, grad: bool = False) -> list[Tensor]:
    torch.manual_seed(0)
    made = [torch.randn(1, h, n, size, dtype=DTYPE, device=DEVICE) for h in (heads, groups, groups)]
    return [x.requires_grad_() if grad else x for x in made]


def seen(mask: ColumnMask) -> float:
    """Pairs that the mask lets through."""
    total = sum((end - start).clamp_min(0).sum().double() for start, end in ((mask.lts, mask.lte), (mask.uts, mask.ute)))
    return float(mask.queries * mask.keys - total)


def check(n: int = 320) -> dict[str, str]:
    """Relative RMS error of output and gradients of each mask, or what went wrong."""
    found = {}
    for name, mask in twelve(n, DEVICE).items():
        try:
            results = []
            for backend in ("gpu", "reference"):
                leaves = tensors(n, 4, 2, 64, grad=True)
                out = attention(*leaves, mask, backend=backend)
                assert isinstance(out, Tensor)
                results.append([out, *torch.autograd.grad(out.float().square().sum(), leaves)])
            errors = [float((a - b).float().norm() / b.float().norm()) for a, b in zip(*results)]
            found[name] = f"{'ok' if max(errors) < 2e-2 else 'WRONG'} {max(errors):.1e}"
        except Exception as error:  # noqa: BLE001 (one broken mask must not hide the others)
            found[name] = f"FAILED {type(error).__name__}: {error}"[:300]
    return found | {f"dynamic {head}": text for head, text in check_dynamic(max(8 * n, 1024)).items()}


def check_dynamic(keys: int) -> dict[str, str]:
    """Whether each level's error stays within its bound for synthetic heads, and what it kept."""
    found: dict[str, str] = {}
    try:
        for rows in (64, 1):
            for row in attention_dynamic.heads(keys, rows, 64, DTYPE, COPIES):
                right = row["error"] <= 2 * row.get("bound", 0.0) + 2e-2
                verdict = f"{'ok' if right else 'WRONG'} {row['error']:.1e}, kept {row.get('kept', 1.0):.3f}"
                found[f"{row['head']}, {rows} rows, {row['level']}"] = verdict
    except Exception as error:  # noqa: BLE001 (written down)
        found["all"] = f"FAILED {type(error).__name__}: {error}"[:300]
    return found


def tune(n: int, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Sets the fastest tile shapes for causal attention; gives TFLOP/s of all."""
    found: dict[str, Any] = {}
    for size in sizes:
        for pass_, table in (("FORWARD", gpu.FORWARD), ("BACKWARD", gpu.BACKWARD)):
            speeds: dict[tuple[int, ...], Any] = {}
            for shape in CANDIDATES[pass_]:
                table[size] = shape
                try:
                    speeds[shape] = round(causal_speed(n, size, pass_ == "BACKWARD"), 2)
                except Exception as error:  # noqa: BLE001 (a shape that does not fit into the chip is an answer too)
                    speeds[shape] = type(error).__name__
            numbers = {shape: x for shape, x in speeds.items() if isinstance(x, float)}
            table[size] = max(numbers, key=lambda shape: numbers[shape], default=CANDIDATES[pass_][0])
            found[f"{pass_} {size}"] = {"best": table[size], "tflops": {str(shape): x for shape, x in speeds.items()}}
    return found


def causal_speed(n: int, size: int, backward: bool) -> float:
    """TFLOP/s of one pass of causal attention with the tile shapes that are set."""
    mask, (q, k, v) = kinds.causal(n, DEVICE), tensors(n, 8, 8, size)
    flops = 4 * seen(mask) * size * 8
    if not backward:
        return flops / timed(lambda: gpu.forward(q, k, v, mask, 0.1)) / 1e12
    out, lse = gpu.forward(q, k, v, mask, 0.1)
    return 2.5 * flops / timed(lambda: gpu.backward(q, k, v, out, lse, out, mask, 0.1)) / 1e12


def matrix_rate(n: int) -> float:
    """TFLOP/s of one large product: the limit."""
    a, b = (torch.randn(n, n, dtype=DTYPE, device=DEVICE) for _ in range(2))
    return 2 * n**3 / timed(lambda: a @ b) / 1e12


def flex(mask: ColumnMask):
    """FlexAttention compiled for this mask, and the milliseconds that its block mask took to build."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    lts, lte, uts, ute = (bound[0, 0] for bound in mask.bounds)

    def see(b, h, q, k):
        return ~(((q >= lts[k]) & (q < lte[k])) | ((q >= uts[k]) & (q < ute[k])))

    build = torch.compile(create_block_mask)
    blocks = build(see, None, None, mask.queries, mask.keys, device=DEVICE)
    start = time.perf_counter()
    blocks = build(see, None, None, mask.queries, mask.keys, device=DEVICE)
    torch.cuda.synchronize()
    built = 1000 * (time.perf_counter() - start)
    kernel = torch.compile(flex_attention)
    return (lambda q, k, v: kernel(q, k, v, block_mask=blocks)), built


def contenders(name: str, mask: ColumnMask, row: dict[str, Any], with_flex: bool) -> dict[str, Callable[..., Tensor]]:
    """Functions of q, k, v; what FlexAttention's block mask took, or why there is none, goes into `row`."""

    def ours(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = attention(q, k, v, mask, backend="gpu")
        assert isinstance(out, Tensor)
        return out

    found: dict[str, Callable[..., Tensor]] = {"flashmask": ours}
    if with_flex and CUDA:
        try:
            found["flex"], row["flex_mask_ms"] = flex(mask)
        except Exception as error:  # noqa: BLE001 (its compiler may fail; ours is measured all the same)
            row["flex"] = f"{type(error).__name__}: {error}"[:200]
    if name in ("full", "causal") and CUDA:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        for label, backend in (("sdpa_flash", SDPBackend.FLASH_ATTENTION), ("sdpa_cudnn", SDPBackend.CUDNN_ATTENTION)):

            def fused(q, k, v, backend=backend):
                with sdpa_kernel(backend):
                    return F.scaled_dot_product_attention(q, k, v, is_causal=name == "causal")

            found[label] = fused
    return found


def one_type(name: str, mask: ColumnMask, n: int, size: int, heads: int, deadline: float) -> dict[str, Any]:
    """TFLOP/s of each contender in both passes, and milliseconds to build the mask and its lists."""
    flops = 4 * seen(mask) * size * heads
    row: dict[str, Any] = {"type": name, "length": n, "head": size, "seen": round(seen(mask) / n / n, 4)}
    rows, width, _ = gpu.launch(gpu.FORWARD, tensors(1, 1, 1, size)[0])
    row["lists_ms"] = round(1000 * timed(lambda: lists_of(mask, extremes_of(mask, width), rows, width), 0.02), 4)
    leaves = tensors(n, heads, heads, size, grad=True)
    values = [x.detach() for x in leaves]
    for label, run in contenders(name, mask, row, with_flex=time.time() < deadline).items():
        try:
            with torch.no_grad():
                row[f"{label}_forward"] = round(flops / timed(lambda run=run: run(*values)) / 1e12, 1)
            out = run(*leaves)
            back = timed(lambda out=out: torch.autograd.grad(out, leaves, torch.ones_like(out), retain_graph=True))
            row[f"{label}_backward"] = round(2.5 * flops / back / 1e12, 1)
        except Exception as error:  # noqa: BLE001 (written down beside the others' figures)
            row[label] = f"{type(error).__name__}: {error}"[:200]
    return row


def types(lengths: tuple[int, ...], sizes: tuple[int, ...], minutes: float) -> list[dict[str, Any]]:
    """As many of the twelve as the time allows, the short ones first; FlexAttention is left out when half of it has passed."""
    found, start = [], time.time()
    for n in lengths:
        for size in sizes:
            for name, mask in twelve(n, DEVICE).items():
                if time.time() - start > 60 * minutes:
                    return found
                heads = max(1, min(16, 2**18 // n))
                found.append(one_type(name, mask, n, size, heads, start + 30 * minutes))
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    return found


def decode(lengths: tuple[int, ...], size: int) -> list[dict[str, Any]]:
    """One query of 16 heads over 4 key-value heads."""
    return [decode_at(n, size) for n in lengths]


def decode_at(n: int, size: int) -> dict[str, Any]:
    q, k, v = torch.randn(1, 16, 1, size, dtype=DTYPE, device=DEVICE), *tensors(n, 4, 4, size)[1:]
    mask = kinds.full(n, DEVICE).rows(0, 1)
    few = torch.arange(max(1, n // PAGE // 10), dtype=torch.int32, device=DEVICE).repeat(4, 1)
    pages = few, torch.full((4,), few.shape[1], dtype=torch.int32, device=DEVICE)
    with torch.no_grad():
        seconds = timed(lambda: gpu.decode(q, k, v, mask, size**-0.5))
        part = timed(lambda: gpu.decode(q, k, v, mask, size**-0.5, pages))
    moved = 2 * k.numel() * k.element_size()
    return {"keys": n, "us": 1e6 * seconds, "gb_s": moved / seconds / 1e9, "tenth_of_pages_us": 1e6 * part}


def dynamic(lengths: tuple[int, ...], size: int, rows: int) -> dict[str, Any]:
    """Each level against exact attention: the last rows of a prefill, and one decode step, of synthetic heads."""
    found: dict[str, Any] = {"heads": {}, "decode": {}}
    for keys in lengths:
        found["heads"][keys] = attention_dynamic.heads(keys, rows, size, DTYPE, COPIES)
        found["decode"][keys] = attention_dynamic.heads(keys, 1, size, DTYPE, COPIES)
    found["speedup"] = {
        f"{part} {keys} {level}": round(geometric_mean(speedups(rows_, level)), 3)
        for part in ("heads", "decode")
        for keys, rows_ in found[part].items()
        for level in attention_dynamic.LEVELS[1:]
    }
    return found


def speedups(found: list[dict[str, Any]], level: str) -> list[float]:
    """Seconds of exact attention over those of a level, for each head."""
    seconds = {(row["head"], row["level"]): row["seconds"] for row in found}
    return [seconds[head, "exact"] / seconds[head, level] for head in {head for head, _ in seconds}]


def recorded(length: int, rows: int) -> dict[str, Any]:
    """Each level against exact attention on nano's own queries and keys, at four lengths of one long prompt."""
    from omnie import checkpoint
    from omnie.ops.levels import EXACT

    model, encoder = checkpoint.load(None)[:2]
    model = model.to(DEVICE, DTYPE if CUDA else torch.float32).eval()
    sampled = attention_dynamic.Sampled(EXACT, rows)
    attention_dynamic.AT = tuple(length * part // 4 for part in (1, 2, 3, 4))
    ids, piece = attention_dynamic.tokens(encoder, length), max(rows, length // 32)
    seconds = attention_dynamic.prefill(model, ids, sampled, piece)
    total = {level: sum(row["seconds"] for row in sampled.rows if row["level"] == level) for level in attention_dynamic.LEVELS}
    speedup = {level: round(total["exact"] / time_, 3) for level, time_ in total.items()}
    return {"prefill_seconds": seconds, "speedup": speedup, "samples": sampled.rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["check", "tune", "types", "decode", "dynamic", "recorded"])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--minutes", type=float, default=5.0, help="for `types`")
    given = parser.parse_args()
    lengths, sizes = ((64,), (16,)) if given.small else ((8192, 32768, 131_072), (128, 64))
    if given.small:
        for pass_ in CANDIDATES:
            CANDIDATES[pass_] = CANDIDATES[pass_][:1]
    parts: dict[str, Callable[[], Any]] = {
        "check": lambda: check(48 if given.small else 320),
        "tune": lambda: tune(64 if given.small else 16384, sizes),
        "types": lambda: types(lengths, sizes, given.minutes),
        "decode": lambda: decode((256,) if given.small else (32768, 131_072), sizes[0]),
        "dynamic": lambda: dynamic((1024,) if given.small else (32768, 131_072), sizes[0], 32 if given.small else 4096),
        "recorded": lambda: recorded(1024 if given.small else 131_072, 32 if given.small else 4096),
    }
    device = torch.cuda.get_device_name() if CUDA else "cpu, Triton's interpreter"
    result: dict[str, Any] = {"device": device, "torch": torch.__version__, "dtype": str(DTYPE)}
    result["matrix_tflops"] = round(matrix_rate(256 if given.small else 8192), 2)
    folder = Path(os.environ.get("OUT", ROOT / "benchmarks" / "results"))
    for name in given.only:
        result[name] = parts[name]()
        if not given.small:
            (folder / "attention_gpu.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
