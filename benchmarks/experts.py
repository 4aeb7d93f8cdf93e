"""How the experts are used on held-out cases: whether any is dead, and how evenly the others share the work.

`python benchmarks/experts.py [--model MODEL] [--cases 200]` writes `benchmarks/results/experts.json`. For each group of experts
and each layer: the entropy of the choices over that of equal use (1: all alike; 0: always the same), the largest share in units
of an even one, and how many experts got less than a hundredth of an even share ("dead"). Cases are drawn by the training
weights, so the figures are those of the work that the model was made for.
"""

import argparse
import math
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omnie import checkpoint
from omnie.data import skills
from omnie.evaluation.report import provenance, write
from omnie.model.experts import RouterTrace
from omnie.train.stream.source import conversation

RESULT = Path(__file__).resolve().parent / "results" / "experts.json"
DEAD = 0.01


@torch.inference_mode()
def loads(model: Any, encoder: Any, cases: int) -> tuple[dict[str, Tensor], Counter[str]]:
    """Group -> share of each layer's choices [layers, experts], and how many tokens chose."""
    totals: dict[str, Tensor] = {}
    tokens: Counter[str] = Counter()
    for index in range(cases):
        arrays = encoder.encode(conversation(skills.draw("heldout", index)), generation_prompt=False)
        inputs = {name: torch.from_numpy(array) for name, array in arrays.items() if name not in ("labels", "attention_mask")}
        for name in ("input_ids", "mm_token_type_ids", "position_ids"):
            inputs[name] = inputs[name][None]
        trace = RouterTrace()
        model(**inputs, trace=trace, logits_to_keep=1)
        types = Counter(inputs["mm_token_type_ids"].flatten().tolist())
        counts = {"text": types[0], "vision": types[1] + types[2], "audio": types[3]}
        for group, layers in trace.load.items():
            count = counts.get(group, 0)
            if count:
                totals[group] = totals.get(group, 0) + torch.stack(layers) * count
                tokens[group] += count
    return {group: total / tokens[group] for group, total in totals.items()}, tokens


def statistics(share_E: Tensor) -> dict[str, float]:
    """Of one layer."""
    even = 1 / len(share_E)
    entropy = -(share_E * share_E.clamp(min=1e-12).log()).sum() / math.log(len(share_E))
    dead = int((share_E < DEAD * even).sum())
    return {"entropy": round(float(entropy), 4), "largest": round(float(share_E.max()) / even, 2), "dead": dead}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    model, encoder = checkpoint.load(given.model)[:2]
    found, tokens = loads(model.eval(), encoder, given.cases)
    groups = {
        name: {"experts": share.shape[1], "tokens": tokens[name], "layers": [statistics(layer) for layer in share]}
        for name, share in found.items()
    }
    for name, row in groups.items():
        print(f"{name}: {row['experts']} experts, {row['tokens']} tokens", *row["layers"], sep="\n  ")
    write(given.out, provenance(given.model) | {"cases": given.cases, "groups": groups})


if __name__ == "__main__":
    main()
