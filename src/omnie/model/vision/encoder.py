"""Pictures to tokens: a native-resolution vision transformer between a patch embedding and a merge, which are given to it.

Patches arrive with each 2x2 block contiguous (see `inputs.py`), so merging is a reshape. Attention never leaves one frame: an
item's features do not depend on its neighbours in the batch, and a clip costs no more per frame than a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.inputs import SPATIAL_MERGE, TEMPORAL_MERGE
from omnie.model.config import VisionArchitecture
from omnie.model.layers.rope import Turns, picture_angles, rotate, turns
from omnie.ops.attention.segments import SegmentAttention
from omnie.ops.reorder import reorder

Activation = Callable[[Tensor], Tensor]


class VisionOutput(NamedTuple):
    """`tokens` [T, D]: what the decoder sees; `patches` [P, vision hidden]: before the merge, for auxiliary losses."""

    tokens: Tensor
    patches: Tensor


class VisionEncoder(nn.Module):
    """All pictures of a batch, whatever their sizes, without padding between them."""

    def __init__(self, config: VisionArchitecture, patch_embed: nn.Module, merger: nn.Module, activation: Activation = F.gelu):
        """`patch_embed`: [P, 3 * p * p] -> [P, D], has a `dtype`; `merger`: [P, D] and grids -> tokens [T, decoder D]."""
        super().__init__()
        self.config = config
        self.patch_embed = patch_embed
        self.blocks = nn.ModuleList(Block(config, activation) for _ in range(config.num_hidden_layers))
        self.merger = merger

    def forward(self, pixels_PC: Tensor, grid_thw: Tensor) -> VisionOutput:
        """Encodes patches.

        Args:
            pixels_PC: [P, 3 * p * p], items one after the other.
            grid_thw: int64 [I, 3], frames, patch rows, patch columns of each item.
        """
        grids = grid_thw.tolist()
        frames = [(rows, columns) for time, rows, columns in grids for _ in range(time)]
        angles = turns(self._angles(frames, pixels_PC.device)[:, None], self.patch_embed.dtype)
        segments = SegmentAttention([rows * columns for rows, columns in frames], causal=False, device=pixels_PC.device)
        x = self.patch_embed(pixels_PC.to(self.patch_embed.dtype))
        for block in self.blocks:
            x = block(x, angles, segments)
        return VisionOutput(self.merger(x, grids), x)

    def _angles(self, frames: list[tuple[int, int]], device: torch.device) -> Tensor:
        head = self.config.hidden_size // self.config.num_attention_heads
        places = {size: _block_order(*size) for size in set(frames)}
        rows_columns = torch.cat([places[size] for size in frames]).to(device)
        return picture_angles(rows_columns[:, 0], rows_columns[:, 1], head, self.config.rope_theta)


def _block_order(rows: int, columns: int) -> Tensor:
    """Row and column of each patch in the order of `inputs.py`: 2x2 blocks contiguous. int64 [P, 2]."""
    grid = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"), dim=-1)
    m = SPATIAL_MERGE
    return grid.view(rows // m, m, columns // m, m, 2).transpose(1, 2).reshape(-1, 2)


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: VisionArchitecture, activation: Activation):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.attention = Attention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.mlp = Mlp(config.hidden_size, config.intermediate_size, config.hidden_size, activation)

    def forward(self, x: Tensor, angles: Turns, segments: SegmentAttention) -> Tensor:
        x = x + self.attention(self.norm1(x), angles, segments)
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    def __init__(self, config: VisionArchitecture):
        super().__init__()
        self.heads = config.num_attention_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, angles: Turns, segments: SegmentAttention) -> Tensor:
        # Queries and keys turn together, apart from the values: a strided third of one product is read four times slower.
        turned, weight, bias = 2 * x.shape[-1], self.qkv.weight, self.qkv.bias
        qk = F.linear(x, weight[:turned], bias[:turned]).unflatten(-1, (2 * self.heads, -1))
        q, k = rotate(qk, angles).chunk(2, dim=1)
        v = F.linear(x, weight[turned:], bias[turned:]).view_as(q)
        return self.proj(segments.attend(q, k, v).flatten(1))


class Mlp(nn.Module):
    """Two linear maps with an activation between."""

    def __init__(self, inputs: int, width: int, outputs: int, activation: Activation = F.gelu):
        super().__init__()
        self.activation = activation
        self.fc1 = nn.Linear(inputs, width)
        self.fc2 = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


def frame_pairs(x_TD: Tensor, grids: list[list[int]]) -> Tensor:
    """Tokens of neighbouring frames side by side: [T / 2, 2 D] of clips, [T, 2 D] of pictures (each with itself).

    Args:
        x_TD: Tokens of all items, one item after the other.
        grids: Frames, patch rows and patch columns of each item.
    """
    sizes = [rows * columns // SPATIAL_MERGE**2 for _, rows, columns in grids]
    if all(time == 1 for time, _, _ in grids):
        return torch.cat([x_TD, x_TD], dim=-1)
    order = _pair_order([time for time, _, _ in grids], sizes)
    whole = len(order) == len(x_TD)  # no picture among the clips
    pairs = reorder(x_TD, *_there(x_TD, order, order.argsort())) if whole else x_TD.index_select(0, *_there(x_TD, order))
    return pairs.view(-1, TEMPORAL_MERGE * x_TD.shape[-1])


def _there(x: Tensor, *indices: Tensor) -> tuple[Tensor, ...]:
    return tuple(index.to(x.device) for index in indices)


def _pair_order(times: list[int], sizes: list[int]) -> Tensor:
    """Which token stands at each place of the pairs, one pair after the other."""
    parts, begin = [], 0
    for time, size in zip(times, sizes, strict=True):
        place = torch.arange(begin, begin + time * size)
        pairs = place.view(-1, TEMPORAL_MERGE, size) if time > 1 else place.expand(1, TEMPORAL_MERGE, size)
        parts.append(pairs.transpose(1, 2).reshape(-1))
        begin += time * size
    return torch.cat(parts)
