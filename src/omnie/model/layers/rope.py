"""Rotary positions: three axes for the decoder, two for pictures, one for sound. All rotate neighbouring pairs of channels.

The decoder follows ERNIE 4.5: of a head's channel pairs, the fast ones alternate between height and width and the slow ones
belong to time (technical report, section 2.2). A token with equal positions on all axes gets the ordinary rotary embedding
(Su et al. 2021). Angles are float32: at position 100,000 bfloat16 could not tell neighbours apart.
"""

import functools
import math

import torch
from torch import Tensor


def frequencies(head_dim: int, theta: float, device: torch.device | None = None) -> Tensor:
    """Angle per position of each channel pair: float32 [head_dim / 2], fastest first.

    The reciprocal is taken last, as in the published models: a frequency's last bit is a hundredth of a turn at position 10^5.
    """
    return 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim)


def decoder_angles(positions_BT3: Tensor, head_dim: int, theta: float, sections: list[int], pairs: int | None = None) -> Tensor:
    """Angles of 3-D positions (time, height, width): float32 [B, T, head_dim / 2].

    `pairs`: so many pairs turn, the fastest; the others compare tokens at any distance alike (Barbero et al. 2024, "Round and
    Round We Go", section 5). None: all.
    """
    time, height, width = positions_BT3.float().unsqueeze(-1).unbind(dim=2)
    spatial = sections[0] + sections[1]
    frequency = frequencies(head_dim, theta, positions_BT3.device)
    if pairs is not None:
        frequency[pairs:] = 0.0
    fast = torch.stack([height * frequency[:spatial:2], width * frequency[1:spatial:2]], dim=-1).flatten(-2)
    return torch.cat([fast, time * frequency[spatial:]], dim=-1)


def sharpness(positions_BT3: Tensor, scaling: int | None, dtype: torch.dtype) -> Tensor | None:
    """What the scores of each token are multiplied by: max(1, log n / log `scaling`) at the n-th position, [B, T, 1, 1].

    A score that stands out by so much keeps its share of a softmax over n keys only if it grows with log n (Chiang and Cholak
    2022, "Overcoming a theoretical limitation of self-attention"). None: they are left alone.
    """
    if scaling is None:
        return None
    number_BT = positions_BT3.amax(-1).float() + 1
    return (number_BT.log() / math.log(scaling)).clamp_min(1.0).to(dtype)[..., None, None]


def picture_angles(rows_P: Tensor, columns_P: Tensor, head_dim: int, theta: float) -> Tensor:
    """Angles of patch positions, half of the pairs for the row and half for the column: float32 [P, head_dim / 2]."""
    frequency = frequencies(head_dim // 2, theta, rows_P.device)
    return torch.cat([rows_P.float()[:, None] * frequency, columns_P.float()[:, None] * frequency], dim=-1)


def sequence_angles(positions_T: Tensor, head_dim: int, theta: float) -> Tensor:
    """Angles of ordinary positions: float32 [T, head_dim / 2]."""
    return positions_T.float()[:, None] * frequencies(head_dim, theta, positions_T.device)


Turns = tuple[Tensor, Tensor]
"""Cosine and sine of every channel, in the dtype of what they turn."""


def turns(angles: Tensor, dtype: torch.dtype) -> Turns:
    """Angles [..., H / 2] as cosines and sines of both channels of a pair, [..., H], for `rotate`."""
    return angles.cos().repeat_interleave(2, dim=-1).to(dtype), angles.sin().repeat_interleave(2, dim=-1).to(dtype)


def rotate(x: Tensor, by: Turns) -> Tensor:
    """Rotates neighbouring channel pairs of x [..., H]: (a, b) becomes (a cos - b sin, b cos + a sin).

    The swap (a, b) -> (-b, a) is a product with a fixed matrix of zeros and signs: exact in any dtype, and on CPUs with matrix
    units much cheaper than strided reads. One product of rows, for a batched one would copy the matrix for every batch.
    """
    cos, sin = by
    swapped = (x.reshape(-1, x.shape[-1]) @ _swap(x.shape[-1], x.dtype, x.device)).view(x.shape)
    return torch.addcmul(x * cos, swapped, sin)


@functools.cache
def _swap(head_dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # kept for training too, where a tensor born in inference mode is refused
        matrix = torch.zeros(head_dim, head_dim, dtype=dtype)
        even = torch.arange(0, head_dim, 2)
        matrix[even + 1, even], matrix[even, even + 1] = -1, 1
        return matrix.to(device)
