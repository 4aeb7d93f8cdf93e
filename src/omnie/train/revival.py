"""Experts that no token goes to start anew as copies of those that have the work.

A router whose tokens have most in common sends them all to the same few experts; the balance correction comes too late once
their scores are near 0 and 1. What a layer computes stays as it was as far as that can be: copies (sparse upcycling;
Komatsuzaki et al. 2023) in proportion to what each expert contributes, and a router that no longer sees what all tokens share.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from omnie.data import skills
from omnie.model.experts import ExpertGroup, MixtureOfExperts, Router
from omnie.model.omni import Omni
from omnie.train.stream.feed import to_device
from omnie.train.stream.packing import Sample, collate, shrink
from omnie.train.stream.source import Encoding

EXAMPLES = 4
"""Of each skill: by what passes then it is decided who has work."""
IDLE = 0.01
"""An expert whose outputs weigh less than this share of an even one has no work, though it may be chosen beside others."""
COLLAPSED = 0.25
"""Share of a group's experts without work from which its router is to blame."""


def revive(model: Omni, processor: Path | None) -> dict[str, int]:
    """Gives every expert of a model work; what passes while examples of all skills are read decides who has none.

    Returns:
        Group -> how many experts started anew, over all layers.
    """
    encode, head = Encoding(processor), model.lm_head.weight
    seen: dict[Router, list[Tensor]] = {}
    hooks = [module.register_forward_pre_hook(partial(_keep, seen)) for module in model.modules() if isinstance(module, Router)]
    for name in skills.generators():
        samples = [_sample(encode, name, index) for index in range(EXAMPLES)]
        step = to_device(collate([samples], sum(map(len, samples))), head.device, head.dtype)
        with torch.no_grad():
            model(**step.inputs, logits_to_keep=1)
    for hook in hooks:
        hook.remove()
    found: dict[str, int] = {}
    for module in model.modules():
        for name, group in module.groups.items() if isinstance(module, MixtureOfExperts) else ():
            if group.gate in seen:
                found[name] = found.get(name, 0) + renew(group, torch.cat(seen[group.gate]))
    return found


def _sample(encode: Encoding, skill: str, index: int) -> Sample:
    made = encode(replace(skills.example(skill, "train", index), more=()))
    return Sample(skill, shrink(made.tensors))


def _keep(seen: dict[Router, list[Tensor]], router: nn.Module, args: tuple[Tensor, ...]) -> None:
    assert isinstance(router, Router)
    seen.setdefault(router, []).append(args[0].detach().float())


@torch.no_grad()
def renew(group: ExpertGroup, x_TD: Tensor) -> int:
    """Gives a group's idle experts work, given what comes to its router.

    Where few are idle, each becomes the twin of one of the busiest. Where many are, the router loses what all tokens have in
    common and its scores their sharpness, and idle experts become copies in proportion to the others' weights.

    Returns:
        How many were idle.
    """
    gate, experts = group.gate, group.experts
    _, index_TK, weight_TK = gate(x_TD)
    count = gate.weight.shape[0]
    mass_E = x_TD.new_zeros(count).index_add(0, index_TK.flatten(), weight_TK.flatten().float()) / len(x_TD)
    order = mass_E.argsort(descending=True).tolist()
    busy = [expert for expert in order if mass_E[expert] >= IDLE / count]
    idle = order[len(busy) :]
    if not idle:
        return 0
    if len(idle) < COLLAPSED * count:
        for n, expert in enumerate(idle):
            _copy(experts, expert, busy[n % len(busy)])
            gate.weight[expert] = gate.weight[busy[n % len(busy)]]
            gate.bias[expert] = gate.bias[busy[n % len(busy)]]
            gate.weight[expert] += 0.01 * gate.weight[expert].std() * _noise(gate.weight[expert], n)
        return len(idle)
    for expert, model_of in zip(idle, _shared_out(mass_E[busy].tolist(), busy, len(idle)), strict=True):
        _copy(experts, expert, model_of)
    common_D = x_TD.mean(0)
    common_D = common_D / common_D.norm()
    gate.weight[idle] = gate.weight.std() * torch.stack([_noise(gate.weight[0], n) for n in range(len(idle))])
    gate.weight -= (gate.weight @ common_D)[:, None] * common_D
    spread_E = (x_TD @ gate.weight.T).std(dim=0)
    gate.weight.div_(spread_E.clamp_min(1e-6)[:, None])
    gate.bias.zero_()
    return len(idle)


def _copy(experts: nn.Module, to: int, origin: int) -> None:
    for weight in experts.parameters():
        weight[to] = weight[origin]


def _noise(like: Tensor, seed: int) -> Tensor:
    """Equal in all processes of a run."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like)


def _shared_out(mass: Iterable[float], busy: list[int], count: int) -> list[int]:
    """`count` of the busy experts, each about as often as its mass says (largest remainders)."""
    share = np.array(list(mass)) / max(sum(mass), 1e-9) * count
    each = np.floor(share).astype(int)
    for n in np.argsort(each - share, kind="stable")[: count - each.sum()]:
        each[n] += 1
    return np.repeat(busy, each).tolist()
