"""The norm of the decoder and of what enters it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEDIA_GAIN = 0.05
"""RMS of media tokens in a fresh model: that of text embeddings after a little training. Left alone, a common component of
all media tokens grows without bound and drowns what tells them apart (`docs/lab.md`)."""


class RmsNorm(nn.Module):
    """Root-mean-square norm (Zhang and Sennrich 2019); the mean of squares is float32. `gain`: of a fresh model."""

    def __init__(self, hidden: int, eps: float, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((hidden,), gain))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), (x.shape[-1],), None, self.eps).to(x.dtype) * self.weight
