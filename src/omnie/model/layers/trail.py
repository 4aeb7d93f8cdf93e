"""Copying goes on where it was: the heads of one layer leave a trail, and those of the next layer follow it.

Who copies a passage word by word has to find each word's place anew, by the words before it; where these are the same in many
rows ("| Total: "), the place is lost. But it lies one further than that of the word before: as far back as before. So in one
layer half of each head's values say *where* they stand, in cosines and sines of their number. What a head gathers of them,
turned back by its own number, says how far back it looked, however far that was. In the next layer this, and the same of the
sixteen tokens before, becomes the query, and the keys say where they stand: there the places on which many tokens of a passage
agree are found again (attention by location: Graves et al. 2014, "Neural Turing Machines", section 3.3). What is copied from
there is the word itself, as it entered the decoder: of what a token is, the layers between leave three quarters at best to be
read (decision 24).

Tokens are numbered as they stand in the sequence, pictures' too, whose words stand in their tokens one after the other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.model.config import TRAIL_REACH
from omnie.model.layers.convolution import ShortConvolution
from omnie.model.layers.rope import rotate, turns

FASTEST, RANGE = 3.0, 10_000.0
"""Radians that the first channel pair turns by with each token, and how much slower the last one turns."""
FADING = 0.85
"""What a token's place counts for in a fresh model, as a share of that of the token behind it."""


class Trail:
    """Where tokens stand and where heads looked, in one pass over new tokens; half of a head's channels say it.

    Args:
        past: Tokens before the new ones.
        x_BTD: What enters the decoder.
        head_dim: Channels of a head.
        shared: Query heads that share keys; the first of them leaves the trail, and follows it.
    """

    def __init__(self, past: int, x_BTD: Tensor, head_dim: int, shared: int):
        self.words_BTD = F.rms_norm(x_BTD, x_BTD.shape[-1:], eps=1e-6)
        self.width, self.gain, self.shared = head_dim // 2, head_dim**0.5, shared
        pair = torch.arange(self.width // 2, device=x_BTD.device) / max(self.width // 2 - 1, 1)
        number_T = torch.arange(past, past + x_BTD.shape[1], device=x_BTD.device)
        self.cos, self.sin = (t.unsqueeze(1) for t in turns(number_T[:, None] * (FASTEST * RANGE**-pair), x_BTD.dtype))
        even = torch.arange(self.width, device=x_BTD.device) % 2 == 0
        self.marks_T1W = torch.where(even, self.cos, self.sin)
        self.found_BTC: Tensor | None = None

    def mark(self, x_BTGH: Tensor) -> Tensor:
        """Values or keys whose first half says where they stand."""
        marks = self.marks_T1W.expand(*x_BTGH.shape[:3], self.width)
        return torch.cat([marks, x_BTGH[..., self.width :]], dim=-1)

    def leave(self, y_BTNH: Tensor) -> Tensor:
        """What heads gathered of marked values, its first half saying how far back that was."""
        found = rotate(y_BTNH[..., : self.width], (self.cos, -self.sin))
        self.found_BTC = found[:, :, :: self.shared].flatten(2)
        return torch.cat([found, y_BTNH[..., self.width :]], dim=-1)

    def seek(self, q_BTNH: Tensor, places_BTC: Tensor) -> Tensor:
        """Queries whose first half looks for the marks at `places_BTC`, given as `leave` found them; in the heads that do not
        follow it looks for nothing."""
        places = places_BTC.unflatten(-1, (-1, self.width)) * self.gain
        sought = rotate(places, (self.cos, self.sin)).unsqueeze(3)
        others = sought.new_zeros(1, 1, 1, 1, 1).expand(*sought.shape[:3], self.shared - 1, self.width)
        return torch.cat([torch.cat([sought, others], dim=3).flatten(2, 3), q_BTNH[..., self.width :]], dim=-1)


class Following(nn.Module):
    """What the layer has that follows: how much each of the last tokens' places counts, and what is copied from there.

    Args:
        hidden: Channels of what enters the decoder.
        keys: Heads of keys and values, each of `head_dim` channels.
        place: Where a cache keeps the last tokens' places: layer, and number of the state.
    """

    def __init__(self, hidden: int, keys: int, head_dim: int, place: tuple[int, int]):
        super().__init__()
        self.places = ShortConvolution(keys * (head_dim // 2), TRAIL_REACH + 1, place)
        self.words = nn.Linear(hidden, keys * head_dim, bias=False)

    def initialise(self) -> None:
        """The weights of places in a fresh model: 1, 1, `FADING`, `FADING` squared, ..."""
        nn.init.zeros_(self.places.weight)
        for token in range(1, TRAIL_REACH + 1):  # a convolution adds 1 to the present token's
            nn.init.constant_(self.places.weight[token], FADING ** (token - 1))

    def forward(self, heads: tuple[Tensor, Tensor, Tensor], trail: Trail, *near: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, T, N, H], keys and values [B, T, G, H] that follow the trail; `near`: as a convolution has it."""
        q, k, v = heads
        words = self.words(trail.words_BTD).unflatten(-1, v.shape[2:])
        return trail.seek(q, self.places(trail.found_BTC, *near)), trail.mark(k), v + words
