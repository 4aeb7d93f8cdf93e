"""The optimiser: Muon for the trunk's matrices, AdamW for everything else, on float32 master weights.

Muon is Jordan et al. 2024 ("Muon: an optimizer for hidden layers"); the update is scaled as in Moonlight (arXiv 2502.16982,
section 2.2) so that its RMS is that of AdamW and both share one learning rate. The routers' bias correction is no parameter:
the model's own rule moves it.
"""

import math
import re
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omnie.ops.int4_linear import rounded
from omnie.ops.precision import fast_dtype
from omnie.train.optim.team import Team

NOT_MUON = re.compile(r"embed|head|router|gate\.weight$|patch|stem|conv|following.places|norm|position")
"""Names whose matrices are lookup tables, outputs, decisions or input stems: AdamW's (Jordan et al., 'when to use')."""
PARTS = {
    "encoders": re.compile(r"^model\.(visual|audio|reading\.\w+\.((things|marks)\.)?\w+_head)\."),
    "convolutions": re.compile(r"_convolution\.|\.following\.places\.|\.lookahead\."),
    "circuits": re.compile(r"^model\.(language_model\.layers\.[01]\.self_attn|reading\.\w+\.(recall|before))\."),
}
"""Names of the parameters that have a factor of their own on their rate: of what reads media, of convolutions, and of what
copies (`train/circuits.py`)."""
NS = ((3.4445, -4.7750, 2.0315),) * 5
"""Coefficients of the quintic Newton-Schulz steps."""
UPDATE_RMS = 0.2
"""The RMS that AdamW's updates usually have (Moonlight, section 2.2)."""


@dataclass(frozen=True)
class OptimizerSettings:
    """`muon`, `adamw` and `embedding` are peak learning rates, which `encoders`, `convolutions` and `circuits` multiply for
    these (`PARTS`).

    `decay` is decoupled weight decay, not applied to vectors.
    """

    muon: float = 2e-3
    adamw: float = 2e-3
    embedding: float = 2e-3
    encoders: float = 1.0
    convolutions: float = 1.0
    circuits: float = 1.0
    betas: tuple[float, float] = (0.9, 0.95)
    momentum: float = 0.95
    decay: float = 0.1
    clip: float = 1.0


class Optimizer:
    """Steps a model's parameters from their `.grad`.

    Parameters of lower precision have a float32 master copy here; float32 parameters are their own master.

    While `rounds` is true, the matrices named in `coarse` are what 4 bits leave of their masters: gradients are those at the
    rounded weights, and move the masters (straight-through; Bengio et al. 2013, arXiv 1308.3432).

    Args:
        named: (name, parameter) pairs, as `model.named_parameters()` gives them (tied ones once).
        settings: Rates.
        team: Shares the work among processes; alone by default.
        coarse: Names of matrices that can be rounded; they have a master copy in any case.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        settings: OptimizerSettings,
        team: Team | None = None,
        coarse: Container[str] = (),
    ):
        pairs = [(name, parameter) for name, parameter in named if parameter.requires_grad]
        self.settings, self.team, self.steps = settings, team or Team(), 0
        self.names, self.parameters = [name for name, _ in pairs], [parameter for _, parameter in pairs]
        self.groups = _groups(pairs)
        self.coarse = {n for n, name in enumerate(self.names) if name in coarse}
        self.rounds = False
        own = [p.dtype == torch.float32 and n not in self.coarse for n, p in enumerate(self.parameters)]
        self._masters = [p.data.new_empty(0) if o else p.data.float().clone() for p, o in zip(self.parameters, own)]
        self.first = [torch.zeros_like(p.data, dtype=torch.float32) for p in self.parameters]
        muon = {n for kind, _, members in self.groups for n in members if kind == "muon"}
        self.second = [x.new_empty(0) if n in muon else torch.zeros_like(x) for n, x in enumerate(self.first)]

    def share(self, buffers: Iterable[Tensor]) -> None:
        """Moves everything that the team's processes have in common into shared memory; before they are forked."""
        self.team.share(self.parameters, [self._masters, self.first, self.second], buffers)

    def master(self, index: int) -> Tensor:
        """The float32 weights of parameter `index`."""
        master = self._masters[index]
        return master if master.numel() else self.parameters[index].data

    @torch.no_grad()
    def show(self, members: Iterable[int]) -> None:
        """Gives parameters the values of their masters, rounded ones where that is due."""
        copied = [n for n in members if self._masters[n].numel()]
        if copied:
            masters = [rounded(self._masters[n]) if self.rounds and n in self.coarse else self._masters[n] for n in copied]
            torch._foreach_copy_([self.parameters[n].data for n in copied], masters)

    @torch.no_grad()
    def step(self, rate: float = 1.0) -> float:
        """One update.

        Args:
            rate: The schedule's share of the peak rates.

        Returns:
            The gradients' global norm before clipping. When it is not finite nothing was changed.
        """
        grads = self.team.average(self.parameters)
        norm = self.team.norm(float(torch.nn.utils.get_total_norm(grads.values())) ** 2 if grads else 0.0)
        if not math.isfinite(norm):
            return norm
        scale = min(1.0, self.settings.clip / (norm + 1e-6))
        self.steps += 1
        for kind, part, members in self.groups:
            present = [n for n in members if n in grads]
            if present:
                share = rate * getattr(self.settings, part, 1.0)
                self._update(kind, present, [grads[n].float() for n in present], scale, share)
        return norm

    def _update(self, kind: str, members: list[int], grads: list[Tensor], scale: float, rate: float) -> None:
        masters, first = [self.master(n) for n in members], [self.first[n] for n in members]
        if scale < 1.0:
            grads = torch._foreach_mul(grads, scale)
        if kind == "muon":
            self._muon(masters, grads, first, rate)
        else:
            peak = self.settings.embedding if kind == "embedding" else self.settings.adamw
            self._adamw(masters, grads, first, [self.second[n] for n in members], peak * rate, kind != "plain")
        self.show(members)

    def _adamw(self, masters: list, grads: list, first: list, second: list, rate: float, decays: bool) -> None:
        s = self.settings
        counts = [torch.full((), float(self.steps), device=m.device) for m in masters]
        torch._fused_adamw_(
            masters,
            grads,
            first,
            second,
            [],
            counts,
            lr=rate,
            beta1=s.betas[0],
            beta2=s.betas[1],
            weight_decay=s.decay if decays else 0.0,
            eps=1e-10,
            amsgrad=False,
            maximize=False,
        )

    def _muon(self, masters: list, grads: list, first: list, rate: float) -> None:
        s = self.settings
        torch._foreach_lerp_(first, grads, 1 - s.momentum)
        grads = torch._foreach_lerp(grads, first, s.momentum)  # Nesterov
        rows, columns = masters[0].shape[-2:]
        stack = torch.stack(grads).view(-1, rows, columns)
        updates = orthogonalize(stack.to(fast_dtype(stack.device.type))).view(len(grads), *masters[0].shape).unbind()
        torch._foreach_mul_(masters, 1 - s.muon * rate * s.decay)
        size = s.muon * rate * UPDATE_RMS * max(rows, columns) ** 0.5
        torch._foreach_add_(masters, [update.float() for update in updates], alpha=-size)

    def adopt(self, parameter: nn.Parameter) -> None:
        """Takes over weights that were set from outside."""
        index = next(n for n, own in enumerate(self.parameters) if own is parameter)
        self.master(index).copy_(parameter.data)

    def zero_grad(self) -> None:
        """Drops the gradients; autograd then writes new ones instead of adding to old ones."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Tensor]:
        """Everything by parameter name: `master/NAME`, `first/NAME`, `second/NAME` (not of Muon's), and `steps`."""
        state = {"steps": torch.tensor(self.steps)}
        for n, name in enumerate(self.names):
            state[f"master/{name}"], state[f"first/{name}"] = self.master(n), self.first[n]
            if self.second[n].numel():
                state[f"second/{name}"] = self.second[n]
        return state

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores what `state_dict` gave, and the parameters from their masters."""
        self.steps = int(state["steps"])
        for key, tensor in self.state_dict().items():
            if key != "steps":
                tensor.copy_(state[key])
        self.show(range(len(self.parameters)))


def _groups(pairs: list[tuple[str, nn.Parameter]]) -> list[tuple[str, str, list[int]]]:
    """(kind, part or "", indices) of parameters that are updated together: Muon's by shape, so that they stack."""
    groups: dict[tuple, list[int]] = defaultdict(list)
    for n, (name, parameter) in enumerate(pairs):
        kind = kind_of(name, parameter)
        part = next((part for part, pattern in PARTS.items() if pattern.search(name)), "")
        groups[(kind, part, *(parameter.shape if kind == "muon" else ()))].append(n)
    return [(key[0], key[1], members) for key, members in groups.items()]


def kind_of(name: str, parameter: Tensor) -> str:
    """`muon`, or AdamW's: `embedding` (what enters the decoder, at its own rate), `adamw`, `plain` (vectors, without decay)."""
    if "embed_tokens" in name or "output_norm" in name:
        return "embedding"
    if parameter.ndim < 2:
        return "plain"
    experts = parameter.ndim == 3 and "experts" in name
    return "muon" if (parameter.ndim == 2 or experts) and not NOT_MUON.search(name) else "adamw"


def orthogonalize(x_EMN: Tensor) -> Tensor:
    """The nearest matrix with equal singular values, roughly (0.7 to 1.2), of each matrix of a stack.

    Newton-Schulz iteration, stable in bfloat16 too (Jordan et al. 2024).

    Args:
        x_EMN: [E, M, N].

    Returns:
        [E, M, N], of the same dtype.
    """
    x = x_EMN
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True).to(x.dtype) * 1.02 + 1e-7)
    x = _by_gram(x) if x.dtype == torch.float32 and x.shape[-1] >= 2 * x.shape[-2] else _by_steps(x)
    return x.mT if tall else x


def _by_steps(x: Tensor) -> Tensor:
    for a, b, c in NS:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _by_gram(x: Tensor) -> Tensor:
    """The same of wide matrices, in products of their rows only: every step multiplies x by a polynomial of its Gram matrix.

    The polynomials commute with each other, so their product is gathered and x is multiplied once. The Gram matrix squares
    what rounding costs, which bfloat16 does not bear.
    """
    gram = x @ x.mT
    one = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device).expand_as(gram)
    product = None
    for step, (a, b, c) in enumerate(NS):
        polynomial = torch.baddbmm(a * one + b * gram, gram, gram, alpha=c)
        product = polynomial if product is None else polynomial @ product
        if step < len(NS) - 1:
            gram = polynomial @ gram @ polynomial
    return product @ x
