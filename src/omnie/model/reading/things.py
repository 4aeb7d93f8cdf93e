"""What is seen in a picture, named in letters as if it were written there.

One linear layer says of each token whether it shows a thing, a second one where the middle of that thing lies and how large it
is, so that things that touch are told apart: tokens that mean the same place are one thing (votes; Leibe et al. 2004). A third
layer names it by their mean, and things that look alike together. The name is spelled in German and in English; the decoder
says it as it says what it reads. It sees the name and the place of a thing, not its features: these it would learn by heart
from training's drawings, and mistake in others.

Of two or three different things it is read where each stands ("L Pilz mushroom": left, middle, right), of others how many there
are of each and in all ("Pilz = 2", "mushroom = 2", "n = 3"): answers say that in the same words.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
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
SIDES = {2: "LR", 3: "LMR"}
"""Where things stand of which there are so many, in a letter each: such pictures have hardly more tokens than words."""
ALIKE = 0.6
"""Cosine from which things of one picture have one name, the one that fits all of them."""
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

    def named(self, x_TD: Tensor, tokens_N: Tensor, of_N: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Means of tokens, [count, D], and their names, [count, things]; the n-th of `tokens_N` belongs to the `of_N[n]`-th."""
        total = x_TD.new_zeros(count, x_TD.shape[-1]).index_add(0, of_N, x_TD.index_select(0, tokens_N))
        means = total / torch.bincount(of_N, minlength=count).to(total)[:, None]
        return means, self.name_head(means)

    @torch.no_grad()
    def read(
        self, tokens_TD: Tensor, sizes: Sequence[tuple[int, int, int]], steps: int, speller: Speller
    ) -> tuple[np.ndarray, np.ndarray]:
        """The words of what is read at things (`texts`), the step at which each stands, and whether it is a text's first,
        int64 [W, 3], and the tokens that show things, int64 [N].

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
        middles = [_middle(group, said_T4[:, 2], sizes) for group in seen]
        frame_M = torch.tensor([frame for frame, _ in middles], device=x_TD.device)
        of = torch.arange(len(seen)).repeat_interleave(torch.tensor([len(tokens) for tokens in seen])).to(x_TD.device)
        means_MD, names_MC = self.named(x_TD, torch.from_numpy(np.concatenate(seen)).to(x_TD.device), of, len(seen))
        alike_MD = F.normalize(means_MD.float(), dim=-1)
        alike_MM = (alike_MD @ alike_MD.T > ALIKE) & (frame_M[:, None] == frame_M)
        things = (alike_MM.float() @ names_MC.float().log_softmax(-1)).argmax(-1).cpu()
        rows = self.names[things.to(self.names.device)].float().cpu().numpy().astype(np.uint8)
        names = [row[1 : 1 + row[0]].tobytes().decode(errors="replace") for row in rows]
        found = []
        for _, own in itertools.groupby(range(len(seen)), key=lambda n: middles[n][0]):
            mine = list(own)
            said = texts([names[n] for n in mine], [middles[n][1] for n in mine])
            for n, lines in zip(mine, said, strict=True):
                found += list(_spelled(lines, seen[n], steps, speller))
        return np.array(found, np.int64).reshape(-1, 3), np.concatenate(seen)


def texts(names: Sequence[str], across: Sequence[float]) -> list[list[str]]:
    """What is read at each thing of a picture.

    Args:
        names: In German and, behind the first blank, in English.
        across: How far to the right they stand.
    """
    count, kinds = len(names), Counter(names)
    if count == 1:
        return [[names[0]]]
    found: list[list[str]] = [[] for _ in names]
    if len(kinds) == count and count in SIDES:
        for n, side in zip(np.argsort(across, kind="stable").tolist(), SIDES[count], strict=True):
            found[n].append(f"{side} {names[n]}")
        return found
    found[0].append(f"n = {count}")
    for name, many in kinds.items():
        found[names.index(name)] += [f"{one} = {many}" for one in name.split(" ", 1)]
    return found


def _middle(tokens: np.ndarray, off_T: np.ndarray, sizes: Sequence[tuple[int, int, int]]) -> tuple[int, float]:
    """The number of a thing's frame, and how far to the right in it the thing's middle lies."""
    begin = frame = 0
    for frames, rows, columns in sizes:
        for _ in range(frames):
            if tokens[0] < begin + rows * columns:
                return frame, float(np.mean((tokens - begin) % columns + off_T[tokens]))
            begin, frame = begin + rows * columns, frame + 1
    raise IndexError(f"token {tokens[0]} of {begin}")


def _spelled(lines: Sequence[str], group: np.ndarray, steps: int, speller: Speller) -> Iterator[tuple[int, int, bool]]:
    """The words of a thing's texts, the step at which each stands, and whether a text begins with it."""
    runs = np.split(group, np.flatnonzero(np.diff(group) != 1) + 1)
    tokens = max(runs, key=len)  # in one row of them, or names of neighbours would be read word by word in turn
    last = len(tokens) - 1
    words = [(word, not n) for line in lines for n, (word, _) in enumerate(speller.words(line.encode()))]
    for n, (word, first) in enumerate(words):
        yield word, int(tokens[min(n, last)]) * steps + min(max(n - last, 0), steps - 1), first


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
