"""What an encoder reads, said in the decoder's own words, and where it stands.

An encoder that has learned to spell (CTC; Graves et al. 2006) knows what stands in a picture or is said in a recording, but
the decoder would have to learn anew what each encoder's tokens mean. Here the letters that are read in a medium's tokens are
put together to the vocabulary's words (`spelling.py`), whose embeddings are added: to the decoder a spoken question then looks
like a written one. Where the encoder is unsure of a letter, what is usually written or said counts too (`search.py`). Encoders
spell in letters, because a letter looks and sounds alike wherever it stands; which letters of a word make one token of the
vocabulary is nothing that can be seen (decision 20). That a prediction is fed back is self-conditioned CTC (Nozaki and Komatsu
2021, section 3).

Between two words lie tokens in which nothing new is read, so "the token before" is not the word before. Each word therefore
brings along the two before it, which is what attention needs to find a place again (`train/circuits.py`).

A picture's tokens also get their place within the picture: rotary positions say how far two tokens are apart, not that a title
stands at the top or how high a bar reaches. What stands in it is read as a page is set: a line break before a text in another
row, a bar before a further text of the same row, so that the lines of a letter, the cells of a table and things side by side
are told apart as in a text (decision 27).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.inputs import AUDIO, BAR, IMAGE, SPATIAL_MERGE, TAB, TEMPORAL_MERGE, VIDEO, audio_tokens
from omnie.model.reading.marks import Marks, Spot, Text, captions
from omnie.model.reading.ngrams import LETTERS, ORDER, LetterModel
from omnie.model.reading.search import Transcript, Weights, transcribe
from omnie.model.reading.spelling import LONGEST, Speller
from omnie.model.reading.things import Things

Size = tuple[int, int, int]
READ_AS = {IMAGE: "image", VIDEO: "image", AUDIO: "audio"}
"""Modality -> the name of what reads it."""

THINGS = "things"
"""In a config, beside the media: how many things pictures may show."""
MARKS = "marks"
"""The same: how many series of a chart are told apart."""
NGRAMS = {"image": "written", "audio": "spoken"}
"""The same, by medium: how many n-grams are known of what is usually written in pictures and clips, or said."""
FUSION = {"image": Weights(0.3, 1.2), "audio": Weights(0.4, 0.6)}
"""What they count beside what is seen or heard."""

INNER = 128
"""Width in which a step's letter is chosen; the choice itself is the same map in all steps of a token."""
MEMORY = 64
"""Width in which the words before are carried along."""
REACH = 128
"""Steps after which a word is forgotten if nothing else was read: 16 picture tokens or 2.5 s of sound."""
BREAK, BETWEEN = b"\n", BAR.encode()
"""What is read between the texts of a picture: in another row, and in the same one."""
CROWDED = 1.5
"""Most words a token for which texts are still parted: rows that run together cost more than words that share a token."""
GAP = 12
"""Steps without a letter after which, in a picture, another text begins: one and a half tokens."""
WAVES = 4
"""Cosines of a token's height and width within a picture, half a wave to two."""
BLANK = 10.0
"""Bias of the blank in a fresh model: one that cannot read says nothing."""
SPAN = 50
"""Tokens of sound (4 s) within which words may move to an earlier token."""
CHUNK = 1024
"""Tokens that are read at once: it bounds the memory of long recordings and clips."""


@dataclass(frozen=True, eq=False)
class Told:
    """What a decoder in training is told to be read (teacher forcing; Williams and Zipser 1989).

    Attributes:
        steps: bool [S], at which nothing but `words` is read.
        at: int64 [W], the steps of the words.
        words: int64 [W].
        first: bool [W], whether a text begins with it.
        spots: Of each frame of each picture the marks that are to be found, or None where the encoder finds them itself.
    """

    steps: Tensor
    at: Tensor
    words: Tensor
    first: Tensor
    spots: tuple[Sequence[Spot] | None, ...] = ()


class Words(NamedTuple):
    """What is read in the tokens of several items, in order.

    Attributes:
        words: int64 [W], of the vocabulary.
        tokens: int64 [W], in which each begins; `slots`: to which it is added.
        last, last_but_one: int64 [W], which of these was read before it; -1: none.
    """

    words: np.ndarray
    tokens: np.ndarray
    slots: np.ndarray
    last: np.ndarray
    last_but_one: np.ndarray


class Seen(NamedTuple):
    """What a reading makes of an encoder's tokens: all that it takes to show the same media again while the encoders rest.

    Attributes:
        tokens: [T, D], zero where a thing is named.
        words: What is read.
    """

    tokens: Tensor
    words: Words


class Reading(nn.Module):
    """Reads tokens in order. In a medium without writing or speech every step is blank and nothing is added.

    Args:
        hidden: Of the tokens and the embeddings.
        steps: Places within a token, from left to right or from first to last, at which a letter may be read.
        flat: Whether the tokens lie in a plane.
        things: How many things are known by name, where pictures show any.
        marks: How many series of a chart are told apart, where pictures show any.
        ngrams: How many are known of what is usually read; `fusion`: what they count.
    """

    ngrams: Tensor | None
    """`ngrams.table`; a fresh model's holds none."""

    def __init__(
        self,
        hidden: int,
        steps: int,
        flat: bool = False,
        things: int = 0,
        marks: int = 0,
        ngrams: int = 0,
        fusion: Weights = FUSION["image"],
    ):
        super().__init__()
        self.steps, self.fusion = steps, fusion
        self.step_head = nn.Linear(hidden, steps * INNER)
        self.letter_head = nn.Linear(INNER, LETTERS + 1)
        self.recall = nn.Linear(hidden, MEMORY, bias=False)
        self.before = nn.Linear(2 * MEMORY, hidden, bias=False)
        self.step_head.init_std = hidden**-0.5
        self.letter_head.init_std = INNER**-0.5
        self.letter_head.init_last_bias = BLANK
        self.place = nn.Linear(2 * WAVES, hidden, bias=False) if flat else None
        self.source = nn.Linear(2 * WAVES, hidden, bias=False) if flat else None
        for layer in (self.place, self.source):
            if layer is not None:
                layer.init_std = 0.25 * hidden**-0.5  # half as long as a token
        self.things = Things(hidden, things) if things else None
        self.marks = Marks(hidden, marks) if marks else None
        self.register_buffer("ngrams", torch.zeros(ngrams, ORDER + 1) if ngrams else None)

    def logits(self, tokens: Tensor) -> Tensor:
        """[..., D] to [..., steps, LETTERS + 1]; the tokens' length does not matter."""
        x = F.rms_norm(tokens, tokens.shape[-1:])
        return self.letter_head(F.gelu(self.step_head(x).unflatten(-1, (self.steps, INNER))))

    def forward(
        self,
        tokens_TD: Tensor,
        sizes: Sequence[Size],
        words_VD: Tensor,
        speller: Speller,
        told: Told | None = None,
        still: bool = False,
    ) -> Tensor:
        """Tokens with the words that are read in them: what is `seen`, as it is `shown`. [T, D]."""
        return self.shown(self.seen(tokens_TD, sizes, speller, told, still), sizes, words_VD)

    def seen(
        self, tokens_TD: Tensor, sizes: Sequence[Size], speller: Speller, told: Told | None = None, still: bool = False
    ) -> Seen:
        """What is read in tokens; no gradient flows through the choice.

        Args:
            tokens_TD: The tokens of several items, one item after the other.
            sizes: Of each item: frames, rows and columns of its tokens.
            speller: The vocabulary.
            told: What is to be read at some steps whatever the tokens say.
            still: Whether these are pictures, in which things are named and charts read, not clips.
        """
        x, named = tokens_TD, None
        if self.things is not None and still:
            named, hidden = self.things.read(tokens_TD, sizes, self.steps, speller)
            x = x.index_fill(0, torch.from_numpy(hidden).to(x.device), 0.0)
        spots = self.marks.read(tokens_TD, sizes) if self.marks is not None and still else None
        if spots is not None and told is not None and told.spots:
            spots = [list(own if known is None else known) for own, known in zip(spots, told.spots, strict=True)]
        return Seen(x, self.read(tokens_TD, sizes, speller, told, named, spots))

    def shown(self, seen: Seen, sizes: Sequence[Size], words_VD: Tensor) -> Tensor:
        """Tokens with their places and the words that are read in them.

        Args:
            seen: What `seen` returned.
            sizes: As there.
            words_VD: The token embeddings.

        Returns:
            [T, D]
        """
        x, read = seen
        if self.place is not None:
            places_TW = places(sizes).to(x)
            x = x + self.place(places_TW)
        if not len(read.words):
            return x
        words_W, tokens_W, slots_W, *before = (torch.from_numpy(values).to(x.device) for values in read)
        said_WD = words_VD.index_select(0, words_W)
        recalled_WM = F.pad(self.recall(said_WD), (0, 0, 0, 1))  # the last row stands for no word, which -1 finds
        said_WD = said_WD + self.before(torch.cat([recalled_WM[index] for index in before], dim=-1))
        if self.source is not None:
            said_WD = said_WD + self.source(places_TW.index_select(0, tokens_W))
        return x.index_add(0, slots_W, said_WD.to(x.dtype))

    @torch.no_grad()
    def read(
        self,
        tokens_TD: Tensor,
        sizes: Sequence[Size],
        speller: Speller,
        told: Told | None = None,
        seen: np.ndarray | None = None,
        spots: Sequence[Sequence[Spot]] | None = None,
    ) -> Words:
        """Which words are read where; `seen`: words that are not spelled in letters, as `Things.read` gives them; `spots`: the
        marks of each frame, as `Marks.read` gives them."""
        parts = [self._words(*self._letters(tokens_TD, sizes, told), sizes, speller)]
        if told is not None:
            parts.append(torch.stack([told.words, told.at, told.first, told.at], dim=1).cpu().numpy())
        if seen is not None:
            parts.append(np.concatenate([seen, seen[:, 1:2]], axis=1))
        found = np.concatenate(parts)
        found = found[found[:, 1].argsort(kind="stable")]
        if spots is not None:
            found = self._captioned(found, spots, sizes, speller)
        words_W, steps_W, first_W, _ = found.T
        if self.place is not None:
            words_W, steps_W = self._parted(words_W, steps_W, first_W.astype(bool), sizes, speller)
        counts = np.array([math.prod(size) for size in sizes], np.int64)
        items_W = np.searchsorted(counts.cumsum() * self.steps, steps_W, side="right")
        last_W = _before(items_W, steps_W)
        last_but_one_W = np.where(last_W >= 0, last_W[last_W], -1) if len(last_W) else last_W
        slots_W = word_slots(steps_W // self.steps, self._spans(sizes))
        return Words(np.ascontiguousarray(words_W), steps_W // self.steps, slots_W, last_W, last_but_one_W)

    def _letters(self, tokens_TD: Tensor, sizes: Sequence[Size], told: Told | None) -> Transcript:
        """What is spelled at the steps at which nothing is told."""
        model = None if self.ngrams is None else LetterModel.of(self.ngrams)
        quiet_S = None if told is None else told.steps.cpu().numpy()
        lines = np.array(self._lines(sizes), np.int64) * self.steps
        scores = (self.logits(tokens).float().log_softmax(-1).flatten(0, 1) for tokens in tokens_TD.split(CHUNK))
        line_S = np.repeat(np.arange(len(lines)), lines)
        return transcribe(scores, line_S, quiet_S, GAP, model, self.fusion, self.place is not None)

    def _words(self, letters: bytes, steps_L: np.ndarray, sizes: Sequence[Size], speller: Speller) -> np.ndarray:
        """int64 [W, 4]: the words that letters make, the step at which each begins, whether a text does, and the step of its
        last letter."""
        ends_N = np.cumsum(self._lines(sizes)) * self.steps
        parts_L = np.cumsum(np.frombuffer(letters, np.uint8) == ord(TAB))
        letters, said_L = letters.replace(TAB.encode(), b""), np.diff(parts_L, prepend=0) == 0
        parts_L, steps_L = parts_L[said_L], steps_L[said_L]
        line_L = np.searchsorted(ends_N, steps_L, side="right")
        apart = (line_L[1:] != line_L[:-1]) | (parts_L[1:] != parts_L[:-1])
        if self.place is not None:
            apart |= np.diff(steps_L) > GAP
        ends = [*(np.flatnonzero(apart) + 1).tolist(), len(letters)]
        found: list[tuple[int, int, bool, int]] = []
        begin = 0
        for end in ends:
            words = speller.words(letters[begin:end])
            for n, (word, place) in enumerate(words):
                last = begin + place + len(speller.letters[word]) - 1
                found.append((word, steps_L[begin + place], not n, steps_L[last]))
            begin = end
        return np.array(found, np.int64).reshape(-1, 4)

    def _captioned(
        self, found_W4: np.ndarray, spots: Sequence[Sequence[Spot]], sizes: Sequence[Size], speller: Speller
    ) -> np.ndarray:
        """Words, steps and beginnings of texts, with those that the marks of charts say in their places."""
        found_W4 = found_W4.copy()
        shapes = [(rows, columns) for frames, rows, columns in sizes for _ in range(frames)]
        added: list[tuple[int, list[tuple[int, int, bool, int]]]] = []

        def add(letters: str, place: int, step: int, first: bool) -> None:
            words = [word for word, _ in speller.words(letters.encode())]
            added.append((place, [(word, step, first and not n, step) for n, word in enumerate(words)]))

        first_step = 0
        for (rows, columns), own in zip(shapes, spots, strict=True):
            last_step = first_step + rows * columns * self.steps
            begin, end = np.searchsorted(found_W4[:, 1], (first_step, last_step))
            words_W, steps_W, first_W, last_W = found_W4[begin:end].T
            row_W, right_W = np.divmod((steps_W - first_step) / self.steps, columns)
            end_W = right_W + (last_W + 1 - steps_W) / self.steps
            letters = [speller.letters.get(word, b"") for word in words_W.tolist()]
            columns_W = row_W.astype(int).tolist(), right_W.tolist(), end_W.tolist(), letters, first_W.astype(bool).tolist()
            texts = [Text(*word) for word in zip(*columns_W, strict=True)]
            for said, word, row, right in captions(own, texts):
                if word is None:
                    step = first_step + (row * columns + min(int(right), columns - 1)) * self.steps
                    place = _between_texts(found_W4, step, first_step + (row + 1) * columns * self.steps)
                    add(said, place, max(step, int(found_W4[place - 1, 1])) if place else step, True)
                else:
                    add(said, begin + word + 1, int(found_W4[begin + word, 1]), False)
            first_step = last_step
        added = sorted((it for it in added if it[1]), key=lambda it: (it[0], it[1][0][1]))
        at = [place for place, words in added for _ in words]
        return np.insert(found_W4, at, [word for _, words in added for word in words], axis=0) if added else found_W4

    def _parted(
        self, words_W: np.ndarray, steps_W: np.ndarray, first_W: np.ndarray, sizes: Sequence[Size], speller: Speller
    ) -> tuple[np.ndarray, np.ndarray]:
        """Words and steps with a break or a bar at each text's beginning. A frame with `CROWDED` times as many words as tokens
        does without bars, then without breaks."""
        marks = [speller.words(mark) for mark in (BREAK, BETWEEN)]
        if not len(words_W) or any(len(mark) != 1 for mark in marks):  # a vocabulary that does not have them
            return words_W, steps_W
        length_N = np.array(self._spans(sizes), np.int64)
        frame_W = np.searchsorted(length_N.cumsum(), steps_W // self.steps, side="right")
        row_W = np.searchsorted(np.cumsum(self._lines(sizes)), steps_W // self.steps, side="right")
        between_W = first_W & (np.diff(frame_W, prepend=-1) == 0)
        room_N = CROWDED * length_N - np.bincount(frame_W, minlength=len(length_N))
        chosen_W = np.zeros(len(words_W), bool)
        for mine_W in (between_W & (np.diff(row_W, prepend=-1) != 0), between_W & (np.diff(row_W, prepend=-1) == 0)):
            count_N = np.bincount(frame_W[mine_W], minlength=len(length_N))
            room_N = room_N - count_N
            chosen_W |= mine_W & (room_N >= 0)[frame_W]
        at = np.flatnonzero(chosen_W)
        mark_W = np.where(np.diff(row_W, prepend=-1) != 0, marks[0][0][0], marks[1][0][0])
        return np.insert(words_W, at, mark_W[at]), np.insert(steps_W, at, steps_W[at])

    def _lines(self, sizes: Sequence[Size]) -> list[int]:
        """Tokens of each stretch in which letters follow each other: a row of a picture, or a whole recording."""
        if self.place is not None:
            return [columns for frames, rows, columns in sizes for _ in range(frames * rows)]
        return [math.prod(size) for size in sizes]

    def _spans(self, sizes: Sequence[Size]) -> list[int]:
        """Tokens of each stretch within which words move to its beginning: a frame, or a few seconds of sound."""
        if self.place is not None:
            return [rows * columns for frames, rows, columns in sizes for _ in range(frames)]
        counts = [math.prod(size) for size in sizes]
        return [min(SPAN, count - begin) for count in counts for begin in range(0, count, SPAN)]


def _between_texts(found_W4: np.ndarray, step: int, end: int) -> int:
    """The first place from a step on, up to the end of its row, that is within no text."""
    place, last = np.searchsorted(found_W4[:, 1], (step, end)).tolist()
    return place + int(np.argmax(np.append(found_W4[place:last, 2] != 0, True)))


def _before(items_W: np.ndarray, steps_W: np.ndarray) -> np.ndarray:
    """Which word was read before each: the one before it in its item, unless that is more than `REACH` steps back; -1: none."""
    last_W = np.arange(len(items_W)) - 1
    far = (np.diff(items_W) != 0) | (np.diff(steps_W) > REACH)
    last_W[1:][far] = -1
    return last_W


def word_slots(tokens_W: np.ndarray, spans: Sequence[int]) -> np.ndarray:
    """To which token each word is added: the n-th word of a span goes to its n-th token.

    Several words stand in one token of a small picture, and none in most of a large one; attention finds a word, and the one
    that follows it, only where a token carries no other. Of a span with more words than tokens as few as can be carry one more
    than the others.

    Args:
        tokens_W: int64, ascending: the tokens in which words begin.
        spans: Tokens of each span, in order.
    """
    length_N = np.array(spans, np.int64)
    end_N = length_N.cumsum()
    span_W = np.searchsorted(end_N, tokens_W, side="right")
    words_N = np.bincount(span_W, minlength=len(spans))
    order_W = np.arange(len(tokens_W)) - (words_N.cumsum() - words_N)[span_W]
    order_W = order_W * length_N[span_W] // np.maximum(words_N, length_N)[span_W]
    return (end_N - length_N)[span_W] + order_W


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


class Readings(nn.ModuleDict):
    """One `Reading` a medium ("image", "audio"), and the vocabulary that they share."""

    spelling: Tensor
    """`spelling.table`; a fresh model's is empty, so that no words are formed."""

    def __init__(self, steps: dict[str, int], hidden: int, vocabulary: int):
        made: dict[str, dict[str, Any]] = {name: {"ngrams": steps.get(known, 0)} for name, known in NGRAMS.items()}
        made["image"] |= {"flat": True, **{name: steps.get(name, 0) for name in (THINGS, MARKS)}}
        own = {name: Reading(hidden, steps[name], fusion=FUSION[name], **made[name]) for name in made if name in steps}
        super().__init__(own)
        self.register_buffer("spelling", torch.zeros(vocabulary, 1 + LONGEST))


def readings(steps: dict[str, int] | None, hidden: int, vocabulary: int) -> Readings | None:
    """What a model reads, or None for one whose encoders say nothing."""
    return Readings(steps, hidden, vocabulary) if steps else None


def read(
    reading: Readings | None,
    modality: int,
    tokens_TD: Tensor | None,
    sizes: Tensor,
    words_VD: Tensor,
    told: Told | None = None,
    said: dict[int, Words] | None = None,
    kept: dict[int, Seen] | None = None,
) -> Tensor:
    """Tokens as the decoder sees them: with what is read in them, where the model reads this medium.

    Args:
        modality: Of `inputs.py`.
        tokens_TD: What the encoder says; not needed where `kept` has the modality.
        sizes: Grids [I, 3] or lengths [A] of the items, as the model's inputs have them.
        said: Takes what is read, by modality, when given.
        kept: What was seen in the same media before, by modality: taken from there if it is there, else put there.
    """
    name = READ_AS[modality]
    kept = {} if kept is None else kept
    items = [token_grid(modality, size) for size in sizes.tolist()]
    if modality not in kept:
        assert tokens_TD is not None, "there is nothing to read"
        if reading is None or name not in reading:
            return tokens_TD
        kept[modality] = reading[name].seen(tokens_TD, items, Speller.of(reading.spelling), told, modality == IMAGE)
    assert reading is not None, "what was kept was read"
    if said is not None:
        said[modality] = kept[modality].words
    return reading[name].shown(kept[modality], items, words_VD)


def token_grid(modality: int, size: Any) -> Size:
    """Frames, rows and columns of an item's tokens, given its patch grid or its log-mel frames."""
    if modality == AUDIO:
        return 1, 1, audio_tokens(size)
    frames, rows, columns = size
    return max(frames // TEMPORAL_MERGE, 1), rows // SPATIAL_MERGE, columns // SPATIAL_MERGE
