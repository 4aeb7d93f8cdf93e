"""Feed-forward layers: dense, and the mixture of expert groups, one group a modality, with shared experts beside them.

Routing is modality-isolated: a token only ever competes for the experts of its own group (ERNIE 4.5 technical report, section
2.1). Routers compute in float32, because rounding scores to bfloat16 changes which experts are chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.errors import InputError
from omnie.inputs import AUDIO, IMAGE, TEXT, VIDEO
from omnie.model.config import Architecture
from omnie.ops.experts import experts as expert_product
from omnie.ops.reorder import reorder

GROUP_OF_MODALITY = {TEXT: "text", IMAGE: "vision", VIDEO: "vision", AUDIO: "audio"}


@dataclass
class RouterTrace:
    """What the routers did in one forward pass, for the training losses and the expert statistics.

    Attributes:
        balance: Per group, the sum over layers of the balance loss (1.0 a layer when the load is even).
        orthogonality: Sum over layers and groups of the router orthogonality loss.
        load: Per group, [layers, experts]: share of choices that fell on each expert.
    """

    balance: dict[str, Tensor] = field(default_factory=dict)
    orthogonality: Tensor | float = 0.0
    load: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, group: str, probabilities_TE: Tensor, index_TK: Tensor, weight_ED: Tensor) -> None:
        experts = probabilities_TE.shape[1]
        chosen = index_TK.reshape(-1)  # `bincount` would wait for a GPU
        count_E = probabilities_TE.new_zeros(experts).scatter_add_(0, chosen, probabilities_TE.new_ones(len(chosen)))
        load_E = count_E / len(chosen)
        # Switch Transformer's balance loss (Fedus et al. 2021, eq. 4): even load gives 1.
        balance = experts * (load_E * probabilities_TE.mean(dim=0)).sum()
        self.balance[group] = self.balance.get(group, 0.0) + balance
        unit_ED = F.normalize(weight_ED.float(), dim=-1)
        overlap = unit_ED @ unit_ED.T - torch.eye(experts, device=unit_ED.device)
        self.orthogonality = self.orthogonality + overlap.square().sum() / experts
        self.load.setdefault(group, []).append(load_E.detach())


@dataclass(frozen=True)
class TokenGroups:
    """Which tokens of a flattened batch belong to which expert group.

    Attributes:
        index: Group -> its tokens, int64; None means all of them.
        order: All of these one after the other; None where one group has all. `back`: the place of each token in it.
    """

    index: dict[str, Tensor | None]
    order: Tensor | None = None
    back: Tensor | None = None

    @classmethod
    def of(cls, types_BT: Tensor | None, groups: list[str]) -> TokenGroups:
        """From `mm_token_type_ids`; None means that every token is text. A modality without experts uses the text group."""
        if types_BT is None or not bool(types_BT.any()):
            return cls({"text": None})
        types = types_BT.reshape(-1)
        masks: dict[str, Tensor] = {}
        for modality, name in GROUP_OF_MODALITY.items():
            group = name if name in groups else "text"
            masks[group] = masks.get(group, torch.zeros_like(types, dtype=torch.bool)) | (types == modality)
        index = {group: mask.nonzero().squeeze(-1) for group, mask in masks.items()}
        order = torch.cat(list(index.values()))
        if len(order) != len(types):
            raise InputError("unknown modality of a token", value=int(types.max()), allowed=str(sorted(GROUP_OF_MODALITY)))
        return cls({group: tokens for group, tokens in index.items() if len(tokens)}, order, order.argsort())


class FeedForward(nn.Module):
    """down(silu(gate x) * up x)."""

    def __init__(self, hidden: int, width: int, bias: bool = False):
        super().__init__()
        self.gate_proj = nn.Linear(hidden, width, bias=bias)
        self.up_proj = nn.Linear(hidden, width, bias=bias)
        self.down_proj = nn.Linear(width, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Router(nn.Module):
    """Softmax scores; the bias only helps to choose (loss-free balancing, Wang et al. 2024), it never weighs an output."""

    def __init__(self, hidden: int, experts: int, top_k: int, norm_min: float = 1e-12):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(experts, hidden, dtype=torch.float32))
        self.register_buffer("bias", torch.zeros(experts, dtype=torch.float32))
        self.top_k, self.norm_min = top_k, norm_min

    def forward(self, x_TD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns probabilities [T, E] (float32), chosen experts [T, K] and their weights [T, K], which sum to 1."""
        # `Trainer(bf16=True)` would round the scores; meta tensors know no autocast.
        with nullcontext() if x_TD.is_meta else torch.autocast(x_TD.device.type, enabled=False):
            probabilities = F.linear(x_TD.float(), self.weight.float()).softmax(dim=-1)
        index_TK = (probabilities.detach() + self.bias).topk(self.top_k, dim=-1).indices
        weight_TK = probabilities.gather(1, index_TK)
        weight_TK = weight_TK / weight_TK.sum(dim=-1, keepdim=True).clamp_min(self.norm_min)
        return probabilities, index_TK, weight_TK.to(x_TD.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Router:
        """What `Module.to`, `bfloat16` and the like call: a router follows to another device but is never rounded."""

        def unrounded(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype.itemsize >= tensor.dtype.itemsize else tensor.to(moved.device)

        return super()._apply(unrounded, recurse)


class Experts(nn.Module):
    """The weights of one group's experts, fused in 3-D tensors."""

    def __init__(self, hidden: int, experts: int, width: int):
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.empty(experts, 2 * width, hidden))
        self.down_proj = nn.Parameter(torch.empty(experts, hidden, width))

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        return expert_product(hidden_states, top_k_index, top_k_weights, self.gate_up_proj, self.down_proj)


class ExpertGroup(nn.Module):
    """One modality's router and experts."""

    def __init__(self, hidden: int, experts: int, width: int, top_k: int, norm_min: float):
        super().__init__()
        self.gate = Router(hidden, experts, top_k, norm_min)
        self.experts = Experts(hidden, experts, width)

    def forward(self, x_TD: Tensor, name: str, trace: RouterTrace | None) -> Tensor:
        probabilities, index, weight = self.gate(x_TD)
        if trace is not None:
            trace.add(name, probabilities, index, self.gate.weight)
        return self.experts(x_TD, index, weight)


class MixtureOfExperts(nn.Module):
    """Every token passes its own group's chosen experts and all shared experts, if there are any."""

    def __init__(self, config: Architecture):
        super().__init__()
        hidden, shared = config.hidden_size, config.shared_expert_width
        self.groups = nn.ModuleDict(
            {
                name: ExpertGroup(hidden, **group, norm_min=config.router_norm_min)
                for name, group in config.expert_groups.items()
            }
        )
        self.shared_experts = FeedForward(hidden, shared, config.use_bias) if shared else None

    def forward(self, x_BTD: Tensor, tokens: TokenGroups, trace: RouterTrace | None = None) -> Tensor:
        x_TD = x_BTD.flatten(0, 1)
        y_TD = self._routed(x_TD, tokens, trace)
        if self.shared_experts is not None:
            y_TD = y_TD + self.shared_experts(x_TD)
        return y_TD.view_as(x_BTD)

    def _routed(self, x_TD: Tensor, tokens: TokenGroups, trace: RouterTrace | None) -> Tensor:
        if tokens.order is None or tokens.back is None:
            (name,) = tokens.index
            return self.groups[name](x_TD, name, trace)
        counts = [len(index) for index in tokens.index.values() if index is not None]
        parts = zip(tokens.index, reorder(x_TD, tokens.order, tokens.back).split(counts), strict=True)
        y_TD = torch.cat([self.groups[name](part, name, trace) for name, part in parts])
        return reorder(y_TD, tokens.back, tokens.order)


class Dense(FeedForward):
    """A dense layer with the call signature of `MixtureOfExperts`."""

    def forward(self, x: Tensor, tokens: TokenGroups | None = None, trace: RouterTrace | None = None) -> Tensor:
        return super().forward(x)
