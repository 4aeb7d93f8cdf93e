"""The meaning of the convolution over the last tokens, weight by weight, in plain torch; on a GPU also how it is computed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def convolve(seen_BSD: Tensor, weight_KD: Tensor, near_BTK: Tensor | None) -> Tensor:
    """See `omnie.ops.convolution.convolve`."""
    return _Convolution.apply(seen_BSD, weight_KD, near_BTK)


class _Convolution(torch.autograd.Function):
    """By hand, in place: autograd would keep and add up three products of the tokens' size a weight."""

    @staticmethod
    def forward(ctx: Any, seen_BSD: Tensor, weight_KD: Tensor, near_BTK: Tensor | None) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(seen_BSD, weight_KD, near_BTK)
        first, length = _tail(seen_BSD, weight_KD)
        y = seen_BSD.narrow(1, first, length) * (1 + weight_KD[0])
        for k in range(1, len(weight_KD)):
            y.addcmul_(_seen(seen_BSD.narrow(1, first - k, length), near_BTK, k), weight_KD[k])
        return y

    @staticmethod
    def backward(ctx: Any, grad_BTD: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        seen_BSD, weight_KD, near_BTK = ctx.saved_tensors
        first, length = _tail(seen_BSD, weight_KD)
        to_seen, to_weight = torch.zeros_like(seen_BSD), torch.empty_like(weight_KD)
        for k in range(len(weight_KD)):
            grad = _seen(grad_BTD, near_BTK, k)
            to_seen.narrow(1, first - k, length).addcmul_(grad, weight_KD[k] if k else 1 + weight_KD[0])
            to_weight[k] = (grad * seen_BSD.narrow(1, first - k, length)).sum((0, 1))
        return to_seen, to_weight, None


def _tail(seen_BSD: Tensor, weight_KD: Tensor) -> tuple[int, int]:
    """Where the tokens begin whose neighbours stand before them, and how many these are."""
    before = len(weight_KD) - 1
    return before, seen_BSD.shape[1] - before


def _seen(x_BTD: Tensor, near_BTK: Tensor | None, k: int) -> Tensor:
    """What belongs to the token `k` further on."""
    return x_BTD if near_BTK is None or not k else x_BTD * near_BTK[..., k - 1, None]
