"""Rotary positions: three axes for the decoder, two for pictures, one for sound. All rotate neighbouring pairs of channels.

The decoder follows ERNIE 4.5: of a head's channel pairs, the fast ones alternate between height and width and the slow ones
belong to time (technical report, section 2.2). A token with equal positions on all axes gets the ordinary rotary embedding
(Su et al. 2021). Angles are float32: at position 100,000 bfloat16 could not tell neighbours apart.
"""

import torch
from torch import Tensor


def frequencies(head_dim: int, theta: float, device: torch.device | None = None) -> Tensor:
    """Angle per position of each channel pair: float32 [head_dim / 2], fastest first."""
    return theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim)


def decoder_angles(positions_BT3: Tensor, head_dim: int, theta: float, sections: list[int]) -> Tensor:
    """Angles of 3-D positions (time, height, width): float32 [B, T, head_dim / 2]."""
    time, height, width = positions_BT3.float().unsqueeze(-1).unbind(dim=2)
    spatial = sections[0] + sections[1]
    frequency = frequencies(head_dim, theta, positions_BT3.device)
    fast = torch.stack([height * frequency[:spatial:2], width * frequency[1:spatial:2]], dim=-1).flatten(-2)
    return torch.cat([fast, time * frequency[spatial:]], dim=-1)


def picture_angles(rows_P: Tensor, columns_P: Tensor, head_dim: int, theta: float) -> Tensor:
    """Angles of patch positions, half of the pairs for the row and half for the column: float32 [P, head_dim / 2]."""
    frequency = frequencies(head_dim // 2, theta, rows_P.device)
    return torch.cat([rows_P.float()[:, None] * frequency, columns_P.float()[:, None] * frequency], dim=-1)


def sequence_angles(positions_T: Tensor, head_dim: int, theta: float) -> Tensor:
    """Angles of ordinary positions: float32 [T, head_dim / 2]."""
    return positions_T.float()[:, None] * frequencies(head_dim, theta, positions_T.device)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotates neighbouring channel pairs of x [..., H] by angles [..., H / 2] (broadcast); computed in float32."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2).to(x.dtype)
