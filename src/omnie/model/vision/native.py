"""The ends of our own encoder of pictures: a patch stem that sees contrast, and a merge of 2x2 patches (and of 2 frames)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.inputs import SPATIAL_MERGE, TEMPORAL_MERGE
from omnie.model.config import VisionArchitecture
from omnie.model.layers.norm import MEDIA_GAIN, RmsNorm
from omnie.model.vision.encoder import Mlp, frame_pairs


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
        return self.output_norm(self.temporal(frame_pairs(x, grids)))
