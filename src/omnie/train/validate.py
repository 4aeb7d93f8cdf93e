"""The small validation during a run: a few fresh cases a skill group, decoded greedily. The real one is `omnie eval skills`."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from omnie.data import skills
from omnie.data.example import Example
from omnie.data.scoring import score
from omnie.inputs import TEXT
from omnie.messages import user
from omnie.model.cache import KeyValueCache
from omnie.model.omni import Omni
from omnie.processor import Encoder
from omnie.processor.tokens import END, ID
from omnie.processor.tools import offered
from omnie.train.stream.source import BUILT_IN


def validate(model: Omni, processor: Path | None, cases: int, seed: int = 0) -> dict[str, float]:
    """Mean score by skill group on `cases` validation examples each; the model is left in training mode."""
    encoder = Encoder.load(processor or BUILT_IN)
    model.eval()
    scores = defaultdict(list)
    for example in examples(cases, seed):
        text = encoder.decode(greedy(model, encoder, example))
        scores[skills.group_of(example.skill)].append(score(example, text))
    model.train()
    return {group: float(np.mean(values)) for group, values in sorted(scores.items())}


def examples(cases: int, seed: int) -> Iterable[Example]:
    """The first `cases` validation examples of each group, its skills in turn."""
    for group in sorted({skills.group_of(skill) for skill in skills.generators()}):
        names = skills.skills(group)
        for case in range(cases):
            yield skills.example(names[case % len(names)], "validation", case // len(names), seed)


@torch.no_grad()
def greedy(model: Omni, encoder: Encoder, example: Example, limit: int = 64) -> list[int]:
    """The answer's token ids, the most likely one each time, without the end token."""
    arrays = encoder.encode([*offered(example.tools), user(*example.parts)])
    weights = model.lm_head.weight
    inputs = {name: torch.from_numpy(array) for name, array in arrays.items() if name != "labels"}
    for name in ("input_ids", "position_ids", "mm_token_type_ids"):
        inputs[name] = inputs[name][None].to(weights.device)
    for name in ("pixel_values", "pixel_values_videos", "input_features"):
        if name in inputs:
            inputs[name] = inputs[name].to(weights.device, weights.dtype)
    cache, ids, past = KeyValueCache(len(arrays["input_ids"]) + limit), [], 0
    while len(ids) < limit:
        output = model(**inputs, cache=cache, past=past, logits_to_keep=1)
        past += inputs["input_ids"].shape[1]
        token = int(output.logits[0, -1].argmax())
        if token == ID[END]:
            break
        ids.append(token)
        following = inputs["position_ids"].max().item() + 1
        inputs = {
            "input_ids": torch.full((1, 1), token, device=weights.device),
            "position_ids": torch.full((1, 1, 3), following, device=weights.device),
            "mm_token_type_ids": torch.full((1, 1), TEXT, device=weights.device),
        }
    return ids
