"""Pictures to tokens: a native-resolution vision transformer, then a merge of 2x2 patches (and of 2 frames for clips).

Patches arrive with each 2x2 block contiguous (see `inputs.py`), so merging is a reshape. Attention never leaves one frame: an
item's features do not depend on its neighbours in the batch, and a clip costs no more per frame than a picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.inputs import SPATIAL_MERGE, TEMPORAL_MERGE
from omnie.model.config import VisionArchitecture
from omnie.model.norm import MEDIA_GAIN, RmsNorm
from omnie.model.rope import Turns, picture_angles, rotate, turns
from omnie.ops.attention.segments import SegmentAttention


class VisionOutput(NamedTuple):
    """`tokens` [T, D]: what the decoder sees; `patches` [P, vision hidden]: before the merge, for auxiliary losses."""

    tokens: Tensor
    patches: Tensor


class VisionEncoder(nn.Module):
    """All pictures of a batch, whatever their sizes, without padding between them."""

    def __init__(self, config: VisionArchitecture, decoder_hidden: int):
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.merger = Merger(config, decoder_hidden)

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


class PatchEmbed(nn.Module):
    """A patch's pixels to its first features, in three steps of 4, 2 and 2 pixels (hMLP stem; Touvron et al. 2022).

    The steps stay inside the patch, so patches remain independent of each other and of the picture's size. They see the
    patch's contrast; its mean colour comes in beside them. Otherwise the paper, which fills most of a page or chart, would be
    nearly all that a patch's features say.
    """

    def __init__(self, config: VisionArchitecture):
        super().__init__()
        self.side = config.patch_size // 4
        width = config.hidden_size
        self.fine = nn.Linear(3 * 4 * 4, width // 4, bias=False)
        self.middle = nn.Linear(width, width // 2, bias=False)
        self.coarse = nn.Linear(width // 2 * (self.side // 2) ** 2, width, bias=False)
        self.colour = nn.Linear(3, width)
        for layer in (self.fine, self.middle, self.coarse):
            layer.init_std = layer.in_features**-0.5  # three maps in a row: smaller ones would silence the contrast
        self.colour.init_std = 0.05  # or bare paper would outweigh what is drawn on it

    @property
    def dtype(self) -> torch.dtype:
        return self.colour.weight.dtype

    def forward(self, pixels_PC: Tensor) -> Tensor:
        s = self.side
        pixels = pixels_PC.view(-1, s, 4, s, 4, 3)
        mean_P3 = pixels.float().mean(dim=(1, 2, 3, 4)).to(pixels.dtype)
        x = (pixels - mean_P3[:, None, None, None, None]).transpose(2, 3).reshape(-1, s, s, 48)
        x = F.gelu(self.fine(x))
        x = x.view(-1, s // 2, 2, s // 2, 2, x.shape[-1]).transpose(2, 3).reshape(-1, (s // 2) ** 2, 4 * x.shape[-1])
        x = F.gelu(self.middle(x))
        return self.coarse(x.flatten(1)) + self.colour(mean_P3)


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: VisionArchitecture):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.attention = Attention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.mlp = Mlp(config.hidden_size, config.intermediate_size, config.hidden_size)

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
    """Two linear maps with GELU between."""

    def __init__(self, inputs: int, width: int, outputs: int):
        super().__init__()
        self.fc1 = nn.Linear(inputs, width)
        self.fc2 = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Merger(nn.Module):
    """2x2 patches to one token, then two frames to one; a picture counts as two equal frames (as in ERNIE 4.5)."""

    def __init__(self, config: VisionArchitecture, decoder_hidden: int):
        super().__init__()
        merged = config.hidden_size * SPATIAL_MERGE**2
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.spatial = Mlp(merged, merged, decoder_hidden)
        self.temporal = nn.Linear(TEMPORAL_MERGE * decoder_hidden, decoder_hidden)
        self.output_norm = RmsNorm(decoder_hidden, config.norm_eps, MEDIA_GAIN)

    def forward(self, x_PD: Tensor, grids: list[list[int]]) -> Tensor:
        x = self.norm(x_PD)
        x = self.spatial(x.view(len(x) // SPATIAL_MERGE**2, -1))
        sizes = [time * rows * columns // SPATIAL_MERGE**2 for time, rows, columns in grids]
        pairs = [_frame_pairs(item, grid[0]) for item, grid in zip(x.split(sizes), grids, strict=True)]
        return self.output_norm(self.temporal(torch.cat(pairs)))


def _frame_pairs(x_TD: Tensor, frames: int) -> Tensor:
    """Tokens of neighbouring frames side by side: [T / 2, 2 D] (of a picture: with itself, [T, 2 D])."""
    if frames == 1:
        return torch.cat([x_TD, x_TD], dim=-1)
    first, second = x_TD.view(frames // TEMPORAL_MERGE, TEMPORAL_MERGE, -1, x_TD.shape[-1]).unbind(1)
    return torch.cat([first, second], dim=-1).flatten(0, 1)
