"""What is seen in a picture, named in letters as if it were written there.

One linear layer says of each token whether it shows a thing, a second one where the middle of that thing lies and how large it
is, so that things that touch are told apart: tokens that mean the same place are one thing (votes; Leibe et al. 2004). A third
layer names it by their mean. The name is spelled in German and in English; the decoder says it as it says what it reads. It
sees the name and the place of a thing, not its features: these it would learn by heart from training's drawings, and mistake in
others.
"""

from __future__ import annotations

import math
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
APART = 0.45
"""Things whose middles are closer than this share of a side are one; drawn things hardly overlap."""


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
        self.box_head = nn.Linear(hidden, 3)
        self.name_head = nn.Linear(hidden, count)
        self.shown_head.init_last_bias = NOTHING
        self.name_head.init_std = self.box_head.init_std = hidden**-0.5
        self.register_buffer("names", torch.zeros(count, 1 + LONGEST))

    def logits(self, tokens_TD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens of length one, [T, D], and of each whether it shows a thing, [T], and where: [T, 3], how far down and to the
        right of the token's middle the thing's own lies, and the logarithm of its side, in tokens. The tokens' length does not
        matter."""
        x_TD = F.rms_norm(tokens_TD, tokens_TD.shape[-1:]).to(self.name_head.weight.dtype)
        return x_TD, self.shown_head(x_TD).squeeze(-1), self.box_head(x_TD)

    def named(self, x_TD: Tensor, tokens_N: Tensor, of_N: Tensor, count: int) -> Tensor:
        """[count, things]: names of the means of tokens; the n-th of `tokens_N` belongs to the `of_N[n]`-th mean."""
        total = x_TD.new_zeros(count, x_TD.shape[-1]).index_add(0, of_N, x_TD.index_select(0, tokens_N))
        return self.name_head(total / torch.bincount(of_N, minlength=count).to(total)[:, None])

    @torch.no_grad()
    def read(
        self, tokens_TD: Tensor, sizes: Sequence[tuple[int, int, int]], steps: int, speller: Speller
    ) -> tuple[np.ndarray, np.ndarray]:
        """The words of all names, the step at which each stands, and whether it is a name's first, int64 [W, 3], and the tokens
        that show things, int64 [N].

        Args:
            sizes: Of each picture: frames, rows and columns of its tokens.
            steps: Places within a token. The n-th word stands in the n-th token of the thing's longest row, or behind others in
                the last one.
        """
        x_TD, shown_T, boxes_T3 = self.logits(tokens_TD)
        said_T4 = torch.cat([shown_T[:, None], boxes_T3], dim=1).float().cpu().numpy()  # one wait for a GPU
        seen = list(groups(said_T4[:, 0] > 0, said_T4[:, 1:], sizes))
        if not seen:
            return np.empty((0, 3), np.int64), np.empty(0, np.int64)
        of = torch.arange(len(seen)).repeat_interleave(torch.tensor([len(tokens) for tokens in seen])).to(x_TD.device)
        things = self.named(x_TD, torch.from_numpy(np.concatenate(seen)).to(x_TD.device), of, len(seen)).argmax(-1).cpu()
        rows = self.names[things.to(self.names.device)].float().cpu().numpy().astype(np.uint8)
        found = []
        for group, row in zip(seen, rows, strict=True):
            runs = np.split(group, np.flatnonzero(np.diff(group) != 1) + 1)
            tokens = max(runs, key=len)  # in one row of them, or names of neighbours would be read word by word in turn
            last = len(tokens) - 1
            for n, (word, _) in enumerate(speller.words(row[1 : 1 + row[0]].tobytes())):
                found.append((word, int(tokens[min(n, last)]) * steps + min(max(n - last, 0), steps - 1), not n))
        return np.array(found, np.int64).reshape(-1, 3), np.concatenate(seen)


def groups(shown: np.ndarray, boxes: np.ndarray, sizes: Sequence[tuple[int, int, int]]) -> Iterator[np.ndarray]:
    """The tokens of each thing, ascending: those that mean about the same place, in the order of their first.

    Args:
        shown: bool [T], whether a token shows a thing.
        boxes: float [T, 3], where it lies (`Things.logits`).
        sizes: Of each picture: frames, rows and columns of its tokens.
    """
    begin = 0
    for frames, rows, columns in sizes:
        for _ in range(frames):
            tokens = begin + np.flatnonzero(shown[begin : begin + rows * columns])
            meant = boxes[tokens, :2] + np.stack(np.divmod(tokens - begin, columns), axis=1)
            reach = APART * np.exp(boxes[tokens, 2].clip(max=math.log(rows + columns)))
            near = np.linalg.norm(meant[:, None] - meant, axis=-1) < np.minimum(reach[:, None], reach)
            np.fill_diagonal(near, True)
            found = []
            while near.any():  # the place that most tokens mean comes first
                mine = near[near.sum(1).argmax()].copy()
                found.append(tokens[mine])
                near[mine] = near[:, mine] = False
            yield from sorted(found, key=lambda own: own[0])
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
