"""What an encoder reads, said in the decoder's own words, and where it stands.

An encoder that has learned to spell (CTC; Graves et al. 2006) knows what stands in a picture or is said in a recording, but
the decoder would have to learn anew what each encoder's tokens mean. Here a token of a medium is read as a few of the
vocabulary's words and gets their embeddings added, weighed by their probabilities: to the decoder a spoken question then looks
like a written one. That a prediction is fed back as its expected embedding is self-conditioned CTC (Nozaki and Komatsu 2021,
section 3).

Between two words lie tokens in which nothing new is read, so "the token before" is not the word before. Each word therefore
brings along the two before it, which is what attention needs to find a place again (`train/circuits.py`).

A picture's tokens also get their place within the picture: rotary positions say how far two tokens are apart, not that a title
stands at the top or how high a bar reaches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.inputs import AUDIO, IMAGE, SPATIAL_MERGE, TEMPORAL_MERGE, VIDEO, audio_tokens

Size = tuple[int, int, int]
READ_AS = {IMAGE: "image", VIDEO: "image", AUDIO: "audio"}
"""Modality -> the name of what reads it."""

INNER = 128
"""Width in which a step's word is chosen; the choice itself is the same map in all steps of a token."""
MEMORY = 64
"""Width in which the words before are carried along."""
REACH = 128
"""Steps after which a word is forgotten if nothing else was read: 16 picture tokens or 2.5 s of sound."""
WAVES = 4
"""Cosines of a token's height and width within a picture, half a wave to two."""
BLANK = 8.0
"""Bias of the blank in a fresh model: one that cannot read says nothing."""
CHUNK, BLOCKS = 1024, 64
"""Tokens that are read at once where no gradient is computed, and blocks of `REACH` steps: they bound the memory of long
recordings and clips."""


class Reading(nn.Module):
    """Reads tokens in order. In a medium without writing or speech every step is blank and nothing is added.

    Args:
        hidden: Of the tokens and the embeddings.
        vocabulary: Size; the class behind it is the blank.
        steps: Places within a token, from left to right or from first to last, at which a word may be read.
        flat: Whether the tokens lie in a plane.
    """

    def __init__(self, hidden: int, vocabulary: int, steps: int, flat: bool = False):
        super().__init__()
        self.steps = steps
        self.step_head = nn.Linear(hidden, steps * INNER)
        self.word_head = nn.Linear(INNER, vocabulary + 1)
        self.recall = nn.Linear(hidden, MEMORY, bias=False)
        self.before = nn.Linear(2 * MEMORY, hidden, bias=False)
        self.step_head.init_std = hidden**-0.5
        self.word_head.init_std = INNER**-0.5
        self.word_head.init_last_bias = BLANK
        self.place = nn.Linear(2 * WAVES, hidden, bias=False) if flat else None
        if self.place is not None:
            self.place.init_std = 0.25 * hidden**-0.5  # half as long as a token

    def logits(self, tokens: Tensor) -> Tensor:
        """[..., D] to [..., steps, V + 1]; the tokens' length does not matter."""
        x = F.rms_norm(tokens, tokens.shape[-1:])
        return self.word_head(F.gelu(self.step_head(x).unflatten(-1, (self.steps, INNER))))

    def forward(self, tokens_TD: Tensor, sizes: Sequence[Size], words_VD: Tensor) -> Tensor:
        """Tokens with what is read in them.

        Args:
            tokens_TD: The tokens of several items, one item after the other.
            sizes: Of each item: frames, rows and columns of its tokens.
            words_VD: The token embeddings.

        Returns:
            [T, D]
        """
        recalled_VM = self.recall(words_VD)
        chunk = len(tokens_TD) if torch.is_grad_enabled() else CHUNK
        parts = [self._read(tokens, words_VD, recalled_VM) for tokens in tokens_TD.split(max(chunk, 1))]
        said_TD, recalled_SM, silence_S = (torch.cat(kind) for kind in zip(*parts, strict=True))
        lengths = torch.tensor([math.prod(size) * self.steps for size in sizes], device=tokens_TD.device)
        items = torch.arange(len(sizes), device=tokens_TD.device).repeat_interleave(lengths)
        before_TM = words_before(recalled_SM, silence_S, items).unflatten(0, (-1, self.steps)).sum(1)
        x = tokens_TD + said_TD + self.before(before_TM.to(tokens_TD.dtype))
        return x if self.place is None else x + self.place(places(sizes).to(x))

    def _read(self, tokens_TD: Tensor, words_VD: Tensor, recalled_VM: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The expected embedding of each token's words; of each step the word in `recall`'s terms, and how likely none is."""
        p = self.logits(tokens_TD).float().softmax(-1)
        words, silence = p[..., :-1].to(words_VD.dtype), p[..., -1]
        return words.sum(-2) @ words_VD, (words @ recalled_VM).flatten(0, 1).float(), silence.flatten()


def words_before(words_SM: Tensor, silence_S: Tensor, items_S: Tensor) -> Tensor:
    """At each step at which a word is read, the last word and the last but one before it: expected values.

    With q the probability that a step reads a word, the last word before step t is that of step u < t with probability
    q_u (1 - q_u+1) ... (1 - q_t-1); steps more than `REACH` back and other items count nothing.

    Args:
        words_SM: Expected word of each step, so of length q.
        silence_S: 1 - q.
        items_S: int64, which item a step belongs to, ascending.

    Returns:
        float32 [S, 2 M], weighed by q.
    """
    steps, memory = words_SM.shape
    padding = -steps % REACH
    words = F.pad(words_SM.float(), (0, 0, 0, padding)).view(-1, REACH, memory)
    silence = F.pad(silence_S.float(), (0, padding), value=1.0).view(-1, REACH)
    items = F.pad(items_S, (0, padding), value=-1).view(-1, REACH)
    # The block before the first: nothing was read in it, and it belongs to nobody.
    carried = (words.new_zeros(1, REACH, 2 * memory), silence.new_ones(1, REACH), items.new_full((1, REACH), -2))
    found = []
    for word, quiet, item in zip(words.split(BLOCKS), silence.split(BLOCKS), items.split(BLOCKS), strict=True):
        weights = _weights(torch.cat([carried[1], quiet]), torch.cat([carried[2], item]))
        q = 1.0 - quiet[..., None]
        one = q * (weights @ _with_block_before(carried[0][..., :memory], word))
        two = q * (weights @ _with_block_before(carried[0][..., memory:], one))
        found.append(torch.cat([one, two], dim=-1))
        carried = (torch.cat([word, one], dim=-1)[-1:], quiet[-1:], item[-1:])
    return torch.cat(found).flatten(0, 1)[:steps]


def _with_block_before(before_1SM: Tensor, x_BSM: Tensor) -> Tensor:
    """Each block's steps after those of the block before it: [B, 2 REACH, M]."""
    return torch.cat([torch.cat([before_1SM, x_BSM[:-1]]), x_BSM], dim=1)


def _weights(silence_BS: Tensor, items_BS: Tensor) -> Tensor:
    """How likely the last word before each step of a block is that of step u of the block before or its own.

    Args:
        silence_BS, items_BS: [B + 1, REACH], the first block only as the one before.

    Returns:
        float32 [B, REACH, 2 REACH].
    """
    # Sums of logarithms in float64: their differences are exact to what float32 holds, wherever in a batch the item stands.
    log = silence_BS.double().clamp(min=1e-6).log()
    items = torch.cat([items_BS[:-1], items_BS[1:]], dim=1)
    sums = torch.cat([log[:-1], log[1:]], dim=1).cumsum(1)
    before = sums[:, REACH:] - log[1:]  # up to the step before
    t = torch.arange(REACH, device=sums.device)[:, None] + REACH
    u = torch.arange(2 * REACH, device=sums.device)
    seen = (u < t) & (u >= t - REACH) & (items[:, REACH:, None] == items[:, None, :])
    return (before[:, :, None] - sums[:, None, :]).masked_fill(~seen, -torch.inf).exp().float()


def places(sizes: Sequence[Size]) -> Tensor:
    """Cosines of each token's height and width as shares of its picture's, float32 [T, 2 WAVES]."""

    def waves(count: int) -> Tensor:
        share = (torch.arange(count) + 0.5) / count
        return torch.cos(math.pi * share[:, None] * torch.arange(1, WAVES + 1))

    def one(frames: int, rows: int, columns: int) -> Tensor:
        down, across = waves(rows)[:, None].expand(-1, columns, -1), waves(columns).expand(rows, -1, -1)
        return torch.cat([down, across], dim=-1).flatten(0, 1).repeat(frames, 1)

    return torch.cat([one(*size) for size in sizes])


def readings(steps: dict[str, int] | None, hidden: int, vocabulary: int) -> nn.ModuleDict | None:
    """One `Reading` a medium ("image", "audio"), or None for a model whose encoders say nothing."""
    parts = {name: Reading(hidden, vocabulary, count, flat=name == "image") for name, count in (steps or {}).items()}
    return nn.ModuleDict(parts) if parts else None


def read(reading: nn.ModuleDict | None, modality: int, tokens_TD: Tensor, sizes: Tensor, words_VD: Tensor) -> Tensor:
    """Tokens as the decoder sees them: with what is read in them, where the model reads this medium.

    Args:
        modality: Of `inputs.py`.
        sizes: Grids [I, 3] or lengths [A] of the items, as the model's inputs have them.
    """
    name = READ_AS[modality]
    if reading is None or name not in reading:
        return tokens_TD
    return reading[name](tokens_TD, [token_grid(modality, size) for size in sizes.tolist()], words_VD)


def token_grid(modality: int, size: Any) -> Size:
    """Frames, rows and columns of an item's tokens, given its patch grid or its log-mel frames."""
    if modality == AUDIO:
        return 1, 1, audio_tokens(size)
    frames, rows, columns = size
    return max(frames // TEMPORAL_MERGE, 1), rows // SPATIAL_MERGE, columns // SPATIAL_MERGE
