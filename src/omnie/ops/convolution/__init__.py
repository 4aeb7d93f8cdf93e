"""The convolution over the last few tokens, channel by channel, across which borders of sequences it does not reach.

Backends share one signature: `reference` (weight by weight; any device) and `cpu` (oneDNN).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from omnie.ops.convolution import cpu, reference

__all__ = ["BACKENDS", "convolve"]

BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "reference": reference.convolve,
    "cpu": cpu.convolve,
}


def convolve(seen_BSD: Tensor, weight_KD: Tensor, near_BTK: Tensor | None) -> Tensor:
    """(1 + w_0) x_t + w_1 x_(t-1) + ... of the last T tokens seen, before which K - 1 others stand; differentiable once.

    Args:
        seen_BSD: Tokens, S = T + K - 1 of them in each row.
        weight_KD: The weights of each channel.
        near_BTK: Which of the K - 1 tokens before each one it may see, the last one first: 1 or 0, [B or 1, T, K - 1 or
            more]; None: all.

    Returns:
        [B, T, D] in the dtype of `seen_BSD`.
    """
    backend = cpu if cpu.fits(seen_BSD) else reference
    return backend.convolve(seen_BSD, weight_KD.to(seen_BSD.dtype), near_BTK)
