"""The routers' part of training: their two losses' weights, and the bias correction that evens the experts' load."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omnie.model.experts import ExpertGroup, MixtureOfExperts, RouterTrace


@dataclass(frozen=True)
class RouterSettings:
    """`balance`: factor on a group's mean balance loss (ERNIE 4.5 weighs it per modality); `orthogonality`: factor on the
    mean router orthogonality loss; `speed`: step of the bias correction (Wang et al. 2024, loss-free balancing)."""

    balance: float = 1e-2
    orthogonality: float = 1e-2
    speed: float = 1e-3


def router_loss(trace: RouterTrace, settings: RouterSettings) -> Tensor | float:
    """The weighted sum of both losses, each a mean over layers, so that depth does not change their weight."""
    layers = max((len(loads) for loads in trace.load.values()), default=0)
    if not layers:
        return 0.0
    balance = sum(trace.balance.values()) / layers
    return settings.balance * balance + settings.orthogonality * trace.orthogonality / (layers * len(trace.load))


@torch.no_grad()
def correct_biases(model: nn.Module, trace: RouterTrace, settings: RouterSettings) -> None:
    """Moves every router's bias one step: up for experts with less than the mean load, down for those with more."""
    layer = 0
    for module in model.modules():
        if isinstance(module, MixtureOfExperts):
            for name, group in module.groups.items():
                if name in trace.load:
                    _correct(group, trace.load[name][layer], settings.speed)
            layer += 1


def _correct(group: ExpertGroup, load_E: Tensor, speed: float) -> None:
    group.gate.bias.add_((load_E.mean() - load_E).sign(), alpha=speed)


def imbalance(trace: RouterTrace) -> dict[str, float]:
    """Per group, the largest load of an expert over the mean load, averaged over layers (1: even)."""
    return {
        name: float(torch.stack([load.max() * load.numel() for load in loads]).mean()) for name, loads in trace.load.items()
    }
