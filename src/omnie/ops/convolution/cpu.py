"""The convolution over the last tokens on a CPU: oneDNN's, for all tokens as if each had all others before it; then the few at
the edges of sequences, which have not, by themselves.

Weight by weight, 8 of them read and write the tokens 15 times forward and 40 times backward, and a mask as often again. oneDNN
reads them once, from channels that lie side by side, as they do here; and what goes back to the tokens is such a convolution
too, of the gradients, with the weights in the other order. Its own gradients of weights are slow. These are sums over tokens,
for which blocks stay in the cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from omnie.ops.precision import fast_dtype

BLOCK = 128
"""Tokens at a time in sums over them: BLOCK x K float32 numbers a channel."""


FEW = 512
"""Tokens of which fewer are faster weight by weight, where nothing is set up."""


def fits(seen_BSD: Tensor) -> bool:
    """Whether these are many, and oneDNN has a fast kernel for them: in float32, and in bfloat16 where the processor has
    instructions for it."""
    fast = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX")
    many = seen_BSD.shape[0] * seen_BSD.shape[1] >= FEW
    return fast and many and seen_BSD.device.type == "cpu" and seen_BSD.dtype in (torch.float32, fast_dtype())


def convolve(seen_BSD: Tensor, weight_KD: Tensor, near_BTK: Tensor | None) -> Tensor:
    """See `omnie.ops.convolution.convolve`."""
    if near_BTK is not None:
        near_BTK = near_BTK[..., : len(weight_KD) - 1].expand(len(seen_BSD), -1, -1)
    return _Convolution.apply(seen_BSD.contiguous(), weight_KD, near_BTK)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, seen_BSD: Tensor, weight_KD: Tensor, near_BTK: Tensor | None) -> Tensor:  # type: ignore[override]
        taps_KD = _taps(weight_KD)
        y_BTD = _slide(seen_BSD, taps_KD.flip(0))
        edges = _Edges(seen_BSD, near_BTK)
        ctx.save_for_backward(seen_BSD, weight_KD)
        ctx.edges = edges
        if edges:
            y_BTD.flatten(0, 1)[edges.row_E] = edges.slide(seen_BSD, taps_KD)
        return y_BTD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BTD: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[override]
        seen_BSD, weight_KD = ctx.saved_tensors
        edges, taps_KD, before = ctx.edges, _taps(weight_KD), len(weight_KD) - 1
        around_BRD = F.pad(grad_BTD, (0, 0, before, before))
        inner_BTD = around_BRD[:, before : before + grad_BTD.shape[1]]
        if edges:
            inner_BTD[edges.row_E // grad_BTD.shape[1], edges.row_E % grad_BTD.shape[1]] = 0
        seen_wanted, weight_wanted, _ = ctx.needs_input_grad
        to_seen = _slide(around_BRD, taps_KD) if seen_wanted else None
        to_weight = _sums(inner_BTD, seen_BSD, len(taps_KD)) if weight_wanted else None
        if edges:
            grad_ED = grad_BTD.flatten(0, 1)[edges.row_E]
            for k in range(len(taps_KD)):
                if to_seen is not None:
                    edges.add(to_seen, k, grad_ED * taps_KD[k])
                if to_weight is not None:
                    to_weight[k] += (grad_ED * edges.seen(seen_BSD, k)).sum(0, dtype=torch.float32)
        return to_seen, None if to_weight is None else to_weight.to(weight_KD.dtype), None


class _Edges:
    """The tokens that may not see all those before them.

    Attributes:
        row_E: Their places among all B * T.
    """

    def __init__(self, seen_BSD: Tensor, near_BTK: Tensor | None):
        self.near_EK: Tensor | None = None
        if near_BTK is None:
            return
        tokens, before = near_BTK.shape[1:]
        self.row_E = (near_BTK == 0).any(-1).flatten().nonzero().squeeze(-1)
        self.near_EK = near_BTK.flatten(0, 1)[self.row_E]
        self.place_E = self.row_E // tokens * seen_BSD.shape[1] + self.row_E % tokens + before

    def __bool__(self) -> bool:
        return self.near_EK is not None and len(self.near_EK) > 0

    def seen(self, seen_BSD: Tensor, k: int) -> Tensor:
        """The token `k` before each of them, [E, D]; 0 where it must not be seen."""
        picked_ED = seen_BSD.flatten(0, 1).index_select(0, self.place_E - k)
        return picked_ED * self._near(k) if k else picked_ED

    def slide(self, seen_BSD: Tensor, taps_KD: Tensor) -> Tensor:
        """taps_0 x_t + taps_1 x_(t - 1) + ..., as far as each of them sees: [E, D]."""
        y_ED = self.seen(seen_BSD, 0) * taps_KD[0]
        for k in range(1, len(taps_KD)):
            y_ED.addcmul_(self.seen(seen_BSD, k), taps_KD[k])
        return y_ED

    def add(self, to_BSD: Tensor, k: int, value_ED: Tensor) -> None:
        """Adds to the token `k` before each of them, where it may be seen."""
        to_BSD.flatten(0, 1).index_add_(0, self.place_E - k, value_ED * self._near(k) if k else value_ED)

    def _near(self, k: int) -> Tensor:
        assert self.near_EK is not None
        return self.near_EK[:, k - 1, None]


def _taps(weight_KD: Tensor) -> Tensor:
    """What each token before counts for, the token itself included."""
    return torch.cat([1 + weight_KD[:1], weight_KD[1:]])


def _slide(x_BSD: Tensor, taps_KD: Tensor) -> Tensor:
    """taps_0 x_t + taps_1 x_(t + 1) + ... of the tokens that have K - 1 behind them: [B, S - K + 1, D]."""
    channels_BDS = x_BSD.unsqueeze(1).permute(0, 3, 1, 2)  # channels last, as oneDNN likes them best
    kernel = taps_KD.t().reshape(-1, 1, 1, len(taps_KD))
    with torch.autocast("cpu", enabled=False):
        return F.conv2d(channels_BDS, kernel, groups=len(kernel)).permute(0, 2, 3, 1).squeeze(1).contiguous()


def _sums(grad_BTD: Tensor, seen_BSD: Tensor, count: int) -> Tensor:
    """float32 [K, D]: over all tokens the gradient times the token `k` before."""
    tokens, channels = grad_BTD.shape[1:]
    total_KLD = grad_BTD.new_zeros(count, min(BLOCK, tokens), channels, dtype=torch.float32)
    for grad_TD, seen_SD in zip(grad_BTD, seen_BSD):
        for begin in range(0, tokens, BLOCK):
            grad = grad_TD[begin : begin + BLOCK].float()
            near = seen_SD[begin : begin + len(grad) + count - 1].float().contiguous()
            windows_KLD = near.as_strided((count, len(grad), channels), (channels, channels, 1))
            total_KLD[:, : len(grad)].addcmul_(grad, windows_KLD)
    return total_KLD.sum(1).flip(0)
