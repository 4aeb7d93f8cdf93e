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

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
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
BLANK = 10.0
"""Bias of the blank in a fresh model: one that cannot read says nothing."""
UNLIKELY = 0.2
"""Probability of a word below which a step is passed over."""
SPAN = 50
"""Tokens of sound (4 s) within which words may move to an earlier token."""
CHUNK, BLOCKS = 1024, 64
"""Tokens that are read at once where no gradient is computed, and blocks of `REACH` steps: they bound the memory of long
recordings and clips."""


@dataclass(frozen=True, eq=False)
class Told:
    """What a decoder in training is told to be read (teacher forcing; Williams and Zipser 1989).

    Attributes:
        steps: bool [S], at which nothing but `words` is read.
        at: int64 [W], the steps of the words.
        words: int64 [W].
    """

    steps: Tensor
    at: Tensor
    words: Tensor

    def instead_of(self, p_SV: Tensor) -> Tensor:
        """The probabilities with certainty at the told steps; the last class is the blank."""
        steps = self.steps.nonzero().squeeze(-1)
        words_S = torch.full((len(p_SV),), p_SV.shape[1] - 1, device=p_SV.device).index_copy(0, self.at, self.words)
        sure = p_SV.new_zeros(len(steps), p_SV.shape[1]).scatter(1, words_S[steps, None], 1.0)
        return p_SV.index_copy(0, steps, sure)


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
        self.source = nn.Linear(2 * WAVES, hidden, bias=False) if flat else None
        for layer in (self.place, self.source):
            if layer is not None:
                layer.init_std = 0.25 * hidden**-0.5  # half as long as a token

    def logits(self, tokens: Tensor) -> Tensor:
        """[..., D] to [..., steps, V + 1]; the tokens' length does not matter."""
        x = F.rms_norm(tokens, tokens.shape[-1:])
        return self.word_head(F.gelu(self.step_head(x).unflatten(-1, (self.steps, INNER))))

    def forward(self, tokens_TD: Tensor, sizes: Sequence[Size], words_VD: Tensor, told: Told | None = None) -> Tensor:
        """Tokens with the words that are read in them.

        Args:
            tokens_TD: The tokens of several items, one item after the other.
            sizes: Of each item: frames, rows and columns of its tokens.
            words_VD: The token embeddings.
            told: What is to be read at some steps whatever the tokens say; needs gradients to be on.

        Returns:
            [T, D]
        """
        x = tokens_TD
        if self.place is not None and self.source is not None:
            places_TW = places(sizes).to(x)
            x, from_TD = x + self.place(places_TW), self.source(places_TW)
        recalled_VM = self.recall(words_VD)
        chunk = len(tokens_TD) if torch.is_grad_enabled() else CHUNK
        parts = [self._read(tokens, words_VD, recalled_VM, told) for tokens in tokens_TD.split(max(chunk, 1))]
        likeliest_S, silence_S, said_WD, recalled_WM = (torch.cat(kind) for kind in zip(*parts, strict=True))
        steps_W = (silence_S < 1.0 - UNLIKELY).nonzero().squeeze(-1)
        lengths = torch.tensor([math.prod(size) for size in sizes], device=x.device) * self.steps
        items_S = torch.arange(len(sizes), device=x.device).repeat_interleave(lengths)
        recalled_SM = recalled_WM.new_zeros(len(silence_S), MEMORY).index_copy(0, steps_W, recalled_WM)
        before_WM = words_before(recalled_SM, silence_S, items_S).index_select(0, steps_W)
        said_WD = said_WD + self.before(before_WM.to(x.dtype))
        if self.source is not None:
            read_W = 1.0 - silence_S.index_select(0, steps_W)
            said_WD = said_WD + from_TD.index_select(0, steps_W // self.steps) * read_W[:, None].to(x.dtype)
        slots_S = word_slots(likeliest_S, self.word_head.out_features - 1, self._spans(sizes), self.steps)
        return x.index_add(0, slots_S.index_select(0, steps_W), said_WD)

    def _read(
        self, tokens_TD: Tensor, words_VD: Tensor, recalled_VM: Tensor, told: Told | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each step the likeliest class and the probability that no word is read; and where that leaves room for one, the
        expected embedding of the word, as it is and in `recall`'s terms."""
        p_SV = self.logits(tokens_TD).float().softmax(-1).flatten(0, -2)
        if told is not None:
            p_SV = told.instead_of(p_SV)
        words_WV = p_SV[p_SV[:, -1] < 1.0 - UNLIKELY, :-1].to(words_VD.dtype)
        return p_SV.argmax(-1), p_SV[:, -1], words_WV @ words_VD, (words_WV @ recalled_VM).float()

    def _spans(self, sizes: Sequence[Size]) -> list[int]:
        """Tokens of each stretch within which words move to its beginning: a frame, or a few seconds of sound."""
        if self.place is not None:
            return [rows * columns for frames, rows, columns in sizes for _ in range(frames)]
        counts = [math.prod(size) for size in sizes]
        return [min(SPAN, count - begin) for count in counts for begin in range(0, count, SPAN)]


def word_slots(likeliest_S: Tensor, blank: int, spans: Sequence[int], steps: int) -> Tensor:
    """Which token carries what is read at each step: the n-th word of a span goes to its n-th token.

    Several words stand in one token of a small picture, and none in most of a large one; attention finds a word, and the one
    that follows it, only where a token carries no other. Of a span with more words than tokens each carries equally many
    neighbours.

    Args:
        likeliest_S: int64, the likeliest class of each step; equal ones side by side are one word.
        spans: Tokens of each span, in order.

    Returns:
        int64 [S]; of a step at which nothing is read, the token of the next word.
    """
    device = likeliest_S.device
    tokens_N = torch.tensor(spans, device=device)
    first_N = tokens_N.cumsum(0) - tokens_N
    span_S = torch.arange(len(spans), device=device).repeat_interleave(tokens_N * steps)
    spoken_S = likeliest_S != blank
    repeats_S = F.pad(likeliest_S[1:] == likeliest_S[:-1], (1, 0)) & F.pad(span_S[1:] == span_S[:-1], (1, 0))
    count_S = (spoken_S & ~repeats_S).cumsum(0)
    before_N = F.pad(count_S, (1, 0))[first_N * steps]
    words_N = count_S[(first_N + tokens_N) * steps - 1] - before_N
    each_N = (-(-words_N // tokens_N)).clamp(min=1)
    order_S = count_S - before_N[span_S] - spoken_S.long()
    return first_N[span_S] + (order_S // each_N[span_S]).minimum(tokens_N[span_S] - 1)


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
    return torch.cat([_places(*size) for size in sizes])


@functools.lru_cache(4096)
def _places(frames: int, rows: int, columns: int) -> Tensor:
    def waves(count: int) -> Tensor:
        share = (torch.arange(count) + 0.5) / count
        return torch.cos(math.pi * share[:, None] * torch.arange(1, WAVES + 1))

    with torch.inference_mode(False):  # kept for training too, where a tensor born in inference mode is refused
        down, across = waves(rows)[:, None].expand(-1, columns, -1), waves(columns).expand(rows, -1, -1)
        return torch.cat([down, across], dim=-1).flatten(0, 1).repeat(frames, 1)


def readings(steps: dict[str, int] | None, hidden: int, vocabulary: int) -> nn.ModuleDict | None:
    """One `Reading` a medium ("image", "audio"), or None for a model whose encoders say nothing."""
    parts = {name: Reading(hidden, vocabulary, count, flat=name == "image") for name, count in (steps or {}).items()}
    return nn.ModuleDict(parts) if parts else None


def read(
    reading: nn.ModuleDict | None,
    modality: int,
    tokens_TD: Tensor,
    sizes: Tensor,
    words_VD: Tensor,
    told: Told | None = None,
) -> Tensor:
    """Tokens as the decoder sees them: with what is read in them, where the model reads this medium.

    Args:
        modality: Of `inputs.py`.
        sizes: Grids [I, 3] or lengths [A] of the items, as the model's inputs have them.
    """
    name = READ_AS[modality]
    if reading is None or name not in reading:
        return tokens_TD
    return reading[name](tokens_TD, [token_grid(modality, size) for size in sizes.tolist()], words_VD, told)


def token_grid(modality: int, size: Any) -> Size:
    """Frames, rows and columns of an item's tokens, given its patch grid or its log-mel frames."""
    if modality == AUDIO:
        return 1, 1, audio_tokens(size)
    frames, rows, columns = size
    return max(frames // TEMPORAL_MERGE, 1), rows // SPATIAL_MERGE, columns // SPATIAL_MERGE
