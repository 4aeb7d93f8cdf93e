"""What stands behind a token of the prompt, as far as it is known: a convolution over the next few tokens.

A causal decoder reads "10" without knowing whether "10 April" or "10 euros" follows, and what looks for an amount later finds
the first token of both alike. What a user, a system or a tool says is there as a whole when the model begins to answer, so its
tokens may see what follows in the same turn, before the first layer (lookahead convolution: Amodei et al. 2016, "Deep Speech
2", section 3.7). Tokens that the model writes see nothing ahead, whether they are being written or stand in the prompt later:
what was computed for them holds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.ops.convolution import convolve

GIVEN = (3, 4, 6)
"""Tokens that open a turn which the model is given: of the system, the user, a tool (`processor.tokens`)."""
OTHER = (0, 1, 5)
"""Tokens behind which nothing is given: padding, the beginning, and the assistant's turn."""
OPEN = "omnie_open_turn"
"""Attribute of a cache: bool [B, 1], whether the turn is given that its last token belongs to."""
FADING = 0.85
"""What a token counts for in a fresh model, as a share of the one before it."""


class Lookahead(nn.Module):
    """x_t + P (w_1 x_(t+1) + w_2 x_(t+2) + ...), the weights w of each channel its own; a fresh one changes nothing.

    Args:
        hidden: Channels.
        tokens: How many of those behind a token it sees.
    """

    def __init__(self, hidden: int, tokens: int):
        super().__init__()
        self.convolution = nn.Parameter(torch.zeros(tokens, hidden))
        self.proj = nn.Linear(hidden, hidden, bias=False)

    def initialise(self) -> None:
        """Fresh weights: each channel sees a mixture of its own, and the projection lets nothing of it through yet."""
        for token in range(len(self.convolution)):
            nn.init.normal_(self.convolution[token], std=FADING**token)
        nn.init.zeros_(self.proj.weight)

    def forward(self, x_BTD: Tensor, ahead_BTK: Tensor) -> Tensor:
        """Same shape as `x_BTD`; `ahead_BTK` as `ahead` gives it."""
        backwards = F.pad(x_BTD.flip(1), (0, 0, len(self.convolution), 0))
        itself = -torch.ones_like(self.convolution[:1])  # `convolve` adds each token once
        seen = convolve(backwards, torch.cat([itself, self.convolution]), ahead_BTK.flip(1)).flip(1)
        return x_BTD + self.proj(seen)


def ahead(
    ids_BT: Tensor, count: int, dtype: torch.dtype, cache: Any | None = None, segments_BT: Tensor | None = None
) -> Tensor | None:
    """Which of the `count` tokens behind each one it may see: 1 or 0, [B, T, count]; None: a lone token, which sees none.

    A token sees to the end of its own turn, if this was opened by one of `GIVEN`; of a prompt that comes in pieces to the end
    of its piece. Without a turn's beginning (a plain text) nothing is seen.

    Args:
        cache: Remembers between passes whether the last turn is given.
        segments_BT: The sequence of each token, in packed rows.
    """
    opens, others = (torch.isin(ids_BT, ids_BT.new_tensor(tokens)) for tokens in (GIVEN, OTHER))
    if segments_BT is not None:
        others = others | (F.pad(segments_BT.diff(dim=1), (1, 0)) != 0) & ~opens
    marks = opens | others
    place_BT = torch.where(marks, torch.arange(1, 1 + ids_BT.shape[1], device=ids_BT.device), 0).cummax(1).values
    before_B1 = getattr(cache, OPEN, opens.new_zeros(1, 1))
    if len(before_B1) != len(opens):  # Transformers drops and multiplies rows as it answers, where they are all alike
        before_B1 = before_B1.all(0, keepdim=True)
    given_BT = torch.cat([before_B1.expand_as(opens[:, :1]), opens], dim=1).gather(1, place_BT)
    if cache is not None:
        setattr(cache, OPEN, given_BT[:, -1:])
    if ids_BT.shape[1] == 1:
        return None
    turn_BT = torch.where(given_BT, marks.cumsum(1) + 1, 0)
    seen = [(turn_BT[:, :-k] == turn_BT[:, k:]) & given_BT[:, :-k] for k in range(1, count + 1)]
    return torch.stack([F.pad(one, (0, ids_BT.shape[1] - one.shape[1])) for one in seen], dim=-1).to(dtype)
