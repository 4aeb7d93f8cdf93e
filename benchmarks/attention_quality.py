"""What dynamic attention saves and what it costs: share of attention's FLOPs saved against perplexity, retrieval and skills.

`python benchmarks/attention_quality.py [--model MODEL] [--length 8192] [--cases N]` writes
`benchmarks/results/attention_quality.json` and `docs/attention_curve.svg`. Every level reads the same texts, with the model's
own weights:

- perplexity of passages one after the other, on the last half of `--length` tokens;
- retrieval: a sentence of twelve tokens stands early, in the middle and late in such a text; its first six tokens come again at
  the end, and the share of the other six that the model ranks first is counted;
- skills: `--cases` held-out examples of each group, scored as `omnie eval skills` scores them (0: left out).

Sinks, window and last queries are what the library keeps by default, unless `--window` says otherwise: short prompts lie inside
the window, and nothing can be saved on them.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from attention_dynamic import tokens
from attention_plots import curve
from torch import Tensor

from omnie import checkpoint
from omnie.ops.flashmask import dynamic
from omnie.ops.flashmask.layers import DynamicAttention
from omnie.ops.levels import Level

RESULT = Path(__file__).resolve().parent / "results" / "attention_quality.json"
LEVELS = (
    "exact", "certified:1e-4", "certified:1e-3", "certified:1e-2", "certified:0.05", "certified:0.2",
    "fast:0.7", "fast:0.5", "fast:0.35", "fast:0.25", "fast:0.15",
)  # fmt: skip
NEEDLE, CUE = 12, 6
DEPTHS = (0.1, 0.3, 0.5, 0.7, 0.9)


@torch.inference_mode()
def logits(model: Any, ids: Tensor, attend: DynamicAttention, last: int) -> Tensor:
    """[last, V] of one text."""
    places = torch.arange(ids.shape[1])[None, :, None].expand(1, -1, 3)
    return model(ids, places, attend=attend, logits_to_keep=last).logits[0].float()


def perplexity(model: Any, ids: Tensor, attend: DynamicAttention) -> float:
    """Of the last half, given all before."""
    half = ids.shape[1] // 2
    scores = logits(model, ids, attend, half + 1)[:-1].log_softmax(-1)
    return float(scores.gather(1, ids[0, -half:, None]).mean().neg().exp())


def retrieval(model: Any, ids: Tensor, attend: DynamicAttention, seed: int) -> float:
    """Share of a needle's last tokens that are the likeliest ones when it is read again; mean over depths."""
    found = []
    for depth in DEPTHS:
        random = torch.Generator().manual_seed(seed * 100 + int(10 * depth))
        needle = ids[0, torch.randint(ids.shape[1], (NEEDLE,), generator=random)]
        text = ids.clone()
        start = int(depth * (ids.shape[1] - 3 * NEEDLE))
        text[0, start : start + NEEDLE] = needle
        text[0, -NEEDLE:] = needle
        guesses = logits(model, text, attend, NEEDLE)[CUE - 1 : -1].argmax(-1)
        found.append(float((guesses == needle[CUE:]).float().mean()))
    return sum(found) / len(found)


def skills(model: Any, encoder: Any, level: Level, cases: int) -> float | None:
    """Mean score of all groups, in points; the model's config says how it attends."""
    if not cases:
        return None
    from omnie.evaluation.skills import SkillsConfig, ask, planned
    from omnie.evaluation.summary import summary

    config = SkillsConfig(cases)
    plan = planned(config)
    model.config.attention = str(level)
    try:
        judged, _ = ask(model, encoder, plan, config, lambda *_: None)
    finally:
        model.config.attention = "exact"
    scores = [summary([case for name in names for case in judged[name]])["score"] for names in plan.values()]
    return round(100 * sum(scores) / len(scores), 3)


def measure(model: Any, encoder: Any, level: Level, length: int, texts: int, cases: int) -> dict[str, Any]:
    """One point of the curve."""
    attend = DynamicAttention(level)
    whole = tokens(encoder, length * texts).view(texts, length)
    scores = {"perplexity": 0.0, "retrieval": 0.0}
    for i in range(texts):
        scores["perplexity"] += perplexity(model, whole[i : i + 1], attend) / texts
        scores["retrieval"] += 100 * retrieval(model, whole[i : i + 1], attend, i) / texts
    stats = [layer.prefill for layer in attend.layers.values()]
    saved = 1 - sum(s.flops for s in stats) / sum(s.exact for s in stats)
    kept = sum(s.kept for s in stats) / sum(s.tiles for s in stats)
    bound = max(s.worst for s in stats)
    row = {"level": str(level), "saved": saved, "kept_tiles": kept, "dropped_mass_bound": bound} | scores
    rounded: dict[str, Any] = {name: round(x, 5) if isinstance(x, float) else x for name, x in row.items()}
    return rounded | {"skills": skills(model, encoder, level, cases)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--length", type=int, default=8192)
    parser.add_argument("--texts", type=int, default=1)
    parser.add_argument("--cases", type=int, default=0)
    parser.add_argument("--window", type=int, default=dynamic.WINDOW)
    parser.add_argument("--levels", nargs="*", default=list(LEVELS))
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    dynamic.WINDOW = given.window
    model, encoder = checkpoint.load(given.model)
    rows = []
    for text in given.levels:
        rows.append(measure(model.eval(), encoder, Level.parse(text), given.length, given.texts, given.cases))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    kept = {name: getattr(dynamic, name) for name in ("SINKS", "WINDOW", "TAIL")}
    result = {"length": given.length, "texts": given.texts, "cases": given.cases, "always_kept": kept, "levels": rows}
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if given.out == RESULT:
        curve(result)


if __name__ == "__main__":
    main()
