"""What dynamic attention saves and what it costs: share of FLOPs saved against needles found and how sure answers are.

`python benchmarks/attention_quality.py [--lengths 2048 8192 32768 131072] [--needles 40] [--cases N]` writes
`benchmarks/results/attention_quality.json` and `docs/attention_curve.svg`. For each length a held-out text of about so many
tokens, in which single sentences tell the value of a key each (`omnie.data.text_needle`), is read once at each level, in pieces
over a cache, and then asked for each of its needles:

- needles: the share of answers that are right (the value, or a quotation that ends with it), with its 95 % interval;
- nats: what a token of the right quotations costs, each given all before it (a model that looks ahead says nothing by the
  perplexity of a prompt);
- skills: with `--cases`, held-out examples of each group, scored as `omnie eval skills` scores them.

Sinks, window and last queries are what the library keeps by default. A level holds for the text and for the answers.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attention_plots import curve
from torch import Tensor

from omnie import checkpoint
from omnie.data import text_needle
from omnie.data.scoring import quoted, wilson
from omnie.evaluation.report import provenance
from omnie.messages import text, user
from omnie.model.cache import KeyValueCache
from omnie.ops.flashmask import dynamic
from omnie.ops.flashmask.layers import DynamicAttention
from omnie.ops.levels import Level
from omnie.processor.tokens import END, ID

RESULT = Path(__file__).resolve().parent / "results" / "attention_quality.json"
LENGTHS = (2048, 8192, 32_768, 131_072)
LEVELS = {
    "short": ("exact", "certified:1e-3", "certified:1e-2", "certified:0.1", "fast:0.5", "fast:0.25", "fast:0.1", "fast:0.05"),
    "long": ("exact", "certified:1e-2", "fast:0.5", "fast:0.25", "fast:0.1"),
}
"""Up to `SHORT` tokens, and beyond."""
SHORT = 8192
PIECE, LIMIT = 4096, 40
"""Tokens of the text that are read at once; most tokens of an answer."""
TRIES = 12
"""Texts that are made for a length, of which the longest that fits is taken: they grow by whole passages."""


class Text:
    """A text with needles: the ids that all its questions have in common, and those of each question."""

    def __init__(self, encoder: Any, length: int, needles: int, seed: int = 0):
        found, longest, characters = None, 0, 3 * length
        for attempt in range(TRIES):
            hay = text_needle.haystack(np.random.default_rng([seed, length, attempt]), "heldout", "en", characters, needles)
            made = len(encoder.tokenizer.encode(hay.text))
            if longest < made <= length:
                found, longest = hay, made
            if 0.97 * length <= made <= length:
                break
            characters = int(characters * 0.985 * length / made)
        if found is None:
            sys.exit(f"no text of {length} tokens holds {needles} needles")
        self.hay = found
        asked = [encoder.encode([user(text(self.hay.text + "\n"), text(n.question))])["input_ids"] for n in self.hay.needles]
        same = min(int(np.argmin(one[: len(two)] == two[: len(one)])) for one, two in zip(asked, asked[1:], strict=False))
        self.shared = torch.from_numpy(asked[0][:same])[None]
        self.questions = [torch.from_numpy(ids[same:])[None] for ids in asked]


def places(first: int, count: int) -> Tensor:
    return torch.arange(first, first + count)[None, :, None].expand(1, -1, 3)


@torch.inference_mode()
def step(model: Any, cache: KeyValueCache, ids: Tensor, attend: DynamicAttention) -> Tensor:
    """The logits [V] behind the last of these tokens; the cache grows by them."""
    past = cache.length
    return model(ids, places(past, ids.shape[1]), cache=cache, past=past, logits_to_keep=1, attend=attend).logits[0, -1]


def read(model: Any, ids: Tensor, attend: DynamicAttention, room: int) -> KeyValueCache:
    """The cache of a text."""
    cache = KeyValueCache(ids.shape[1] + room)
    for part in ids.split(PIECE, dim=1):
        step(model, cache, part, attend)
        print(f"\r{cache.length} tokens", end="", file=sys.stderr, flush=True)
    return cache


def answer(model: Any, cache: KeyValueCache, ids: Tensor, attend: DynamicAttention) -> list[int]:
    """The likeliest tokens after a question, without the end token."""
    said: list[int] = []
    while len(said) < LIMIT:
        token = int(step(model, cache, ids, attend).argmax())
        if token == ID[END]:
            break
        said.append(token)
        ids = torch.tensor([[token]])
    return said


def losses(model: Any, cache: KeyValueCache, ids: Tensor, right: list[int], attend: DynamicAttention) -> list[float]:
    """What each token of the right answer costs after a question, in nats."""
    found = []
    for token in right:
        found.append(-float(step(model, cache, ids, attend).float().log_softmax(-1)[token]))
        ids = torch.tensor([[token]])
    return found


def measure(model: Any, encoder: Any, level: Level, given: Text) -> dict[str, Any]:
    """One point of the curve."""
    attend, began = DynamicAttention(level), time.perf_counter()
    quotes = [[*encoder.tokenizer.encode(needle.quote), ID[END]] for needle in given.hay.needles]
    room = max(LIMIT, *map(len, quotes)) + max(ids.shape[1] for ids in given.questions)
    cache = read(model, given.shared, attend, room)
    seconds = time.perf_counter() - began
    right, lost = [], []
    for needle, quote, ids in zip(given.hay.needles, quotes, given.questions, strict=True):
        said = answer(model, cache.branch(), ids, copy.deepcopy(attend))
        right.append(quoted(needle.answer, encoder.decode(said)))
        lost += losses(model, cache.branch(), ids, quote, copy.deepcopy(attend))
    share, low, high = wilson(int(sum(right)), len(right))
    stats = [layer.prefill for layer in attend.layers.values()]
    row = {
        "level": str(level),
        "saved": 1 - sum(s.flops for s in stats) / sum(s.exact for s in stats),
        "kept_tiles": sum(s.kept for s in stats) / sum(s.tiles for s in stats),
        "dropped_mass_bound": max(s.worst for s in stats),
        "nats": sum(lost) / len(lost),
        "needles": 100 * share,
        "low": 100 * low,
        "high": 100 * high,
        "prefill_seconds": seconds,
    }
    return {name: round(x, 4) if isinstance(x, float) else x for name, x in row.items()}


def skills(model: Any, encoder: Any, level: str, cases: int) -> float:
    """Mean score of all groups, in points; the model's config says how it attends."""
    from omnie.evaluation.skills import SkillsConfig, ask, planned
    from omnie.evaluation.summary import summary

    config = SkillsConfig(cases)
    plan = planned(config)
    model.config.attention = level
    try:
        judged, _ = ask(model, encoder, plan, config, lambda *_: None)
    finally:
        model.config.attention = "exact"
    scores = [summary([case for name in names for case in judged[name]])["score"] for names in plan.values()]
    return round(100 * sum(scores) / len(scores), 3)


def curves(
    model: Any, encoder: Any, lengths: Sequence[int], needles: int, levels: Sequence[str] | None
) -> list[dict[str, Any]]:
    found = []
    for length in lengths:
        given, rows = Text(encoder, length, needles), []
        for level in levels or LEVELS["short" if length <= SHORT else "long"]:
            rows.append(measure(model, encoder, Level.parse(level), given))
            print("\r" + json.dumps({"length": length} | rows[-1]), file=sys.stderr, flush=True)
        found.append({"tokens": given.shared.shape[1], "needles": needles, "levels": rows})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--lengths", type=int, nargs="*", default=list(LENGTHS))
    parser.add_argument("--needles", type=int, default=40)
    parser.add_argument("--cases", type=int, default=0)
    parser.add_argument("--levels", nargs="*")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    model, encoder = checkpoint.load(given.model)[:2]
    model, encoder = model.float().eval(), encoder.with_context(sys.maxsize)
    kept = {name: getattr(dynamic, name) for name in ("SINKS", "WINDOW", "TAIL")}
    result = provenance(given.model) | {"always_kept": kept}
    result["texts"] = curves(model, encoder, given.lengths, given.needles, given.levels)
    if given.cases:
        levels = given.levels or LEVELS["short"]
        result["skills"] = {"cases": given.cases} | {level: skills(model, encoder, level, given.cases) for level in levels}
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if given.out == RESULT:
        curve(result)


if __name__ == "__main__":
    main()
