"""The ends of ERNIE 4.5's encoder of pictures (technical report, section 2.2): a linear patch stem, and a resampler."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.inputs import SPATIAL_MERGE, TEMPORAL_MERGE
from omnie.model.config import ErnieVisionArchitecture
from omnie.model.layers.norm import RmsNorm
from omnie.model.vision.encoder import frame_pairs


def quick_gelu(x: Tensor) -> Tensor:
    """GELU by a logistic function (Hendrycks and Gimpel 2016, section 2)."""
    return x * torch.sigmoid(1.702 * x)


class PatchEmbed(nn.Module):
    """One linear map of a patch's pixels, which arrive channel by channel."""

    def __init__(self, config: ErnieVisionArchitecture):
        super().__init__()
        self.proj = nn.Linear(3 * config.patch_size**2, config.hidden_size, bias=False)

    @property
    def dtype(self) -> torch.dtype:
        return self.proj.weight.dtype

    def forward(self, pixels_PC: Tensor) -> Tensor:
        return self.proj(pixels_PC)


class Resampler(nn.Module):
    """2x2 patches to one token, then two frames to one (of a picture: itself twice), then to the decoder's width."""

    def __init__(self, config: ErnieVisionArchitecture, decoder_hidden: int):
        super().__init__()
        merged = config.hidden_size * SPATIAL_MERGE**2
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.spatial = Merge(merged, merged, config.norm_eps)
        self.temporal = Merge(TEMPORAL_MERGE * merged, merged, config.norm_eps)
        self.mlp = nn.Linear(merged, decoder_hidden)
        self.output_norm = RmsNorm(decoder_hidden, config.output_norm_eps)

    def forward(self, x_PD: Tensor, grids: list[list[int]]) -> Tensor:
        x = self.norm(x_PD)
        x = self.spatial(x.view(len(x) // SPATIAL_MERGE**2, -1))
        return self.output_norm(self.mlp(self.temporal(frame_pairs(x, grids))))


class Merge(nn.Module):
    """Features that stand side by side to one vector, normalised."""

    def __init__(self, inputs: int, outputs: int, eps: float):
        super().__init__()
        self.fc1 = nn.Linear(inputs, outputs)
        self.fc2 = nn.Linear(outputs, outputs)
        self.norm = nn.LayerNorm(outputs, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.fc2(F.gelu(self.fc1(x))))
