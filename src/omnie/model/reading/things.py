"""What is seen in a picture, named in letters as if it were written there.

One linear layer says of each token whether it shows a thing. Neighbours that do are one thing, and a second layer names it by
their mean. The name is spelled in German and in English; the decoder says it as it says what it reads. It sees the name and the
place of a thing, not its features: these it would learn by heart from training's drawings, and mistake in others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.model.reading.spelling import Speller

NOTHING = -4.0
"""Bias of a fresh model: one that knows no things names none."""
LONGEST = 31
"""Bytes of the longest name in both languages."""


class Things(nn.Module):
    """Finds and names things in the tokens of pictures.

    Args:
        hidden: Of the tokens.
        count: Things that have a name.
    """

    names: Tensor
    """float32 [count, 1 + LONGEST]: the length of each name and its bytes; a fresh model's are empty."""

    def __init__(self, hidden: int, count: int):
        super().__init__()
        self.shown_head = nn.Linear(hidden, 1)
        self.name_head = nn.Linear(hidden, count)
        self.shown_head.init_last_bias = NOTHING
        self.name_head.init_std = hidden**-0.5
        self.register_buffer("names", torch.zeros(count, 1 + LONGEST))

    def logits(self, tokens_TD: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of length one, [T, D], and of each whether it shows a thing, [T]; the tokens' length does not matter."""
        x_TD = F.rms_norm(tokens_TD, tokens_TD.shape[-1:]).to(self.name_head.weight.dtype)
        return x_TD, self.shown_head(x_TD).squeeze(-1)

    def named(self, x_TD: Tensor, tokens_N: Tensor, of_N: Tensor, count: int) -> Tensor:
        """[count, things]: names of the means of tokens; the n-th of `tokens_N` belongs to the `of_N[n]`-th mean."""
        total = x_TD.new_zeros(count, x_TD.shape[-1]).index_add(0, of_N, x_TD.index_select(0, tokens_N))
        return self.name_head(total / torch.bincount(of_N, minlength=count).to(total)[:, None])

    @torch.no_grad()
    def read(
        self, tokens_TD: Tensor, sizes: Sequence[tuple[int, int, int]], steps: int, speller: Speller
    ) -> tuple[np.ndarray, np.ndarray]:
        """The words of all names and the step at which each stands, int64 [W, 2], and the tokens that show things, int64 [N].

        Args:
            sizes: Of each picture: frames, rows and columns of its tokens.
            steps: Places within a token. The n-th word stands in the thing's n-th token, or behind others in its last one.
        """
        x_TD, shown_T = self.logits(tokens_TD)
        seen = list(groups((shown_T > 0).cpu().numpy(), sizes))
        if not seen:
            return np.empty((0, 2), np.int64), np.empty(0, np.int64)
        of = torch.arange(len(seen)).repeat_interleave(torch.tensor([len(tokens) for tokens in seen])).to(x_TD.device)
        things = self.named(x_TD, torch.from_numpy(np.concatenate(seen)).to(x_TD.device), of, len(seen)).argmax(-1).cpu()
        rows = self.names[things.to(self.names.device)].float().cpu().numpy().astype(np.uint8)
        found = []
        for tokens, row in zip(seen, rows, strict=True):
            last = len(tokens) - 1
            for n, (word, _) in enumerate(speller.words(row[1 : 1 + row[0]].tobytes())):
                found.append((word, int(tokens[min(n, last)]) * steps + min(max(n - last, 0), steps - 1)))
        return np.array(found, np.int64).reshape(-1, 2), np.concatenate(seen)


def groups(shown: np.ndarray, sizes: Sequence[tuple[int, int, int]]) -> Iterator[np.ndarray]:
    """The tokens of each thing, ascending: those shown side by side or one below the other, in the order of their first."""
    begin = 0
    for frames, rows, columns in sizes:
        for _ in range(frames):
            left = {int(token) for token in np.flatnonzero(shown[begin : begin + rows * columns])}
            while left:
                first = min(left)
                edge, group = [first], {first}
                left.remove(first)
                while edge:
                    token = edge.pop()
                    beside = [token - columns, token + columns]
                    beside += [token - 1] * (token % columns > 0) + [token + 1] * ((token + 1) % columns > 0)
                    new = left.intersection(beside)
                    left -= new
                    group |= new
                    edge += new
                yield begin + np.array(sorted(group), np.int64)
            begin += rows * columns


def table(names: Sequence[str]) -> Tensor:
    """What `Things.names` holds, to be kept among a model's weights.

    Raises:
        ValueError: a name is longer than `LONGEST` bytes.
    """
    found = torch.zeros(len(names), 1 + LONGEST)
    for row, name in zip(found, names, strict=True):
        said = name.encode()
        if len(said) > LONGEST:
            raise ValueError(f"a name of {len(said)} bytes: {name}")
        row[0] = len(said)
        row[1 : 1 + len(said)] = torch.tensor(list(said))
    return found
