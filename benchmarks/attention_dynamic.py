"""Dynamic attention over a long prefill with nano: seconds, kept tiles and bounds of each level against exact attention.

The prompt is prefilled in pieces with `fast` attention, cheaply; at some positions ROWS queries of every layer are attended
anew at each level, over all keys so far, and timed. nano was trained on up to 8,192 positions, so beyond them its heads are
what they are: the figures are about work, not about answers. `heads()` does the same with synthetic heads whose structure is
known. Everything runs on a GPU as well (`gpu/attention.py`).
"""

import sys
import time
from pathlib import Path
from typing import Any

import torch
from clock import CUDA, DEVICE, timed
from torch import Tensor

from omnie import checkpoint
from omnie.model.cache import KeyValueCache
from omnie.ops.flashmask import ColumnMask, attention, dynamic, kinds
from omnie.ops.flashmask.layers import DynamicAttention
from omnie.ops.flashmask.pages import KeyPages
from omnie.ops.levels import Level

PASSAGES = Path(__file__).resolve().parents[1] / "src" / "omnie" / "data" / "writing" / "passages"
LENGTH, PIECE, ROWS = 131_072, 4096, 512
AT = (32_768, 65_536, 98_304, 131_072)
"""Keys at which levels are compared; causal attention over LENGTH tokens costs about what these four average to."""
SKIM = Level("fast", 0.02)
LEVELS = ("exact", "certified:1e-3", "certified:1e-2", "certified:0.1", "fast:0.25", "fast:0.1")


class Sampled(DynamicAttention):
    """Attends with a small budget, and at chosen lengths compares the levels on the last ROWS queries."""

    def __init__(self, level: Level = SKIM, rows: int = ROWS) -> None:
        super().__init__(level)
        self.last = rows
        self.rows: list[dict[str, Any]] = []

    def __call__(self, module, query, key, value, attention_mask, **options):
        result = super().__call__(module, query, key, value, attention_mask, **options)
        if key.shape[2] in AT:
            pages = self.layers[module.layer_idx].pages
            found = compare(query[:, :, -self.last :], key, value, pages, options["scaling"])
            self.rows += [{"layer": module.layer_idx, "keys": key.shape[2]} | row for row in found]
        return result


def compare(q: Tensor, k: Tensor, v: Tensor, pages: KeyPages, scaling: float, levels=LEVELS) -> list[dict[str, Any]]:
    """One row a level: seconds, shares, and the error that the bound bounds."""
    mask = kinds.causal(k.shape[2], k.device).rows(k.shape[2] - q.shape[2], k.shape[2])
    longest = v.norm(dim=-1).max()
    rows, exact = [], None
    for text in levels:
        stats = dynamic.Stats()
        level = Level.parse(text)
        if CUDA:
            seconds = timed(lambda level=level: attend(q, k, v, mask, scaling, level, pages, dynamic.Stats()))
        start = time.perf_counter()
        out = attend(q, k, v, mask, scaling, level, pages, stats)
        seconds = seconds if CUDA else time.perf_counter() - start
        exact = out if exact is None else exact
        error = float((out - exact).norm(dim=-1).max() / longest)
        shares = {"kept": stats.kept_share, "saved": stats.saved, "bound": stats.worst} if text != "exact" else {}
        rows.append(
            {"level": text, "seconds": round(seconds, 6), "error": round(error, 6)}
            | {n: round(x, 5) for n, x in shares.items()}
        )
    return rows


def attend(q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask, scaling: float, level: Level, pages: KeyPages, stats) -> Tensor:
    """These are inner rows of a longer prompt: it is not their last queries that must be exact."""
    if level.name == "exact":
        out = attention(q, k, v, mask, scaling=scaling)
        assert isinstance(out, Tensor)
        return out
    tail, dynamic.TAIL = dynamic.TAIL, 0
    try:
        return dynamic.attention(q, k, v, mask, scaling, level, pages=pages, stats=stats)[0]
    finally:
        dynamic.TAIL = tail


def tokens(encoder: Any, count: int) -> Tensor:
    """The passages that training's questions are asked about, over and over, each time in another order: int64 [1, count]."""
    lines = [line for path in sorted(PASSAGES.glob("*.txt")) for line in path.read_text("utf-8").splitlines() if line.strip()]
    random, ids = torch.Generator().manual_seed(0), []
    while len(ids) < count:
        for place in torch.randperm(len(lines), generator=random).tolist():
            ids += encoder.tokenizer.encode(lines[place] + "\n")
    return torch.tensor([ids[:count]])


@torch.inference_mode()
def prefill(model: Any, ids: Tensor, attend: Any, piece: int = PIECE) -> float:
    """Seconds of the prefill of `ids`, in pieces over a cache."""
    cache, start = KeyValueCache(ids.shape[1]), time.perf_counter()
    for first in range(0, ids.shape[1], piece):
        part = ids[:, first : first + piece].to(DEVICE)
        places = torch.arange(first, first + part.shape[1], device=DEVICE)[None, :, None].expand(1, -1, 3)
        model(part, places, cache=cache, past=first, logits_to_keep=1, attend=attend)
        print(f"\r{first + part.shape[1]} tokens", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return time.perf_counter() - start


def heads(
    keys: int = LENGTH, rows: int = 256, size: int = 64, dtype: torch.dtype = torch.float32, copies: int = 1
) -> list[dict[str, Any]]:
    """Synthetic heads: what each level can leave out where the structure is known. `copies` of each fill a GPU."""
    found = []
    for name, made in structures(keys, rows, size).items():
        q, k, v = (x.to(DEVICE, dtype).repeat(1, copies, 1, 1) for x in (*made, torch.randn(1, 1, keys, size)))
        found += [{"head": name} | row for row in compare(q, k, v, KeyPages.of(k), size**-0.5)]
    return found


def structures(keys: int, rows: int, size: int) -> dict[str, tuple[Tensor, Tensor]]:
    """q [1, 2, rows, H] and k [1, 1, keys, H] of heads that look at sinks and near keys, one place, a topic, all alike."""
    torch.manual_seed(0)
    noise_q, noise_k = torch.randn(1, 2, rows, size), torch.randn(1, 1, keys, size)
    axis = torch.nn.functional.normalize(torch.randn(size), dim=0)
    sink = 0.3 * noise_k
    sink[:, :, :4] += 60 * axis
    near = torch.arange(keys) >= keys - rows - 128
    sink[:, :, near] += 50 * axis
    needle = 0.3 * noise_k
    needle[:, :, keys // 3] += 80 * axis
    topics = torch.randn(keys // 512, size).repeat_interleave(512, 0) * 2.5
    return {
        "sinks and neighbours": (0.3 * noise_q + 3 * axis, sink),
        "one needle": (0.3 * noise_q + 3 * axis, needle),
        "topics": (0.5 * noise_q + 3 * topics[keys // 2], topics + 0.5 * noise_k),
        "flat": (0.1 * noise_q, noise_k),
    }


def measure(length: int = LENGTH) -> dict[str, Any]:
    """Samples of the long prefill, whole prefills of a quarter of it, and synthetic heads."""
    model, encoder = checkpoint.load(None)
    model.eval()
    ids, sampled = tokens(encoder, length), Sampled()
    seconds = {"fast:0.02": prefill(model, ids, sampled)}
    quarter = {
        level: prefill(model, ids[:, : length // 4], DynamicAttention(Level.parse(level))) for level in ("exact", "fast:0.1")
    }
    return {"samples": sampled.rows, "heads": heads(length), "prefill_131k": seconds, "prefill_32k": quarter}


def ratios(result: dict[str, Any]) -> dict[str, float]:
    """Seconds of exact attention over those of a level, all samples of nano together."""

    def total(level: str) -> float:
        return sum(row["seconds"] for row in result["samples"] if row["level"] == level)

    found = {f"{level.replace(':', '_')}_131k_vs_exact": total("exact") / total(level) for level in LEVELS[1:]}
    quarter = result["prefill_32k"]
    return (
        {"dynamic_131k_vs_exact": found["fast_0.1_131k_vs_exact"]}
        | found
        | {"prefill_32k_vs_exact": quarter["exact"] / quarter["fast:0.1"]}
    )
