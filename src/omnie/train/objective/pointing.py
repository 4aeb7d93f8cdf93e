"""What attention is told: where the words of an answer stand in the prompt, and which of them the question asks for.

An answer that quotes says words that stand somewhere before it. That a head should look there, the answer's own loss tells only
through everything that the head writes; so some heads are told directly (Liu et al. 2016, "Neural machine translation with
supervised attention"). Words in media count as they are read.

Who reads a row aloud up to the cell that was asked for has to know which column that is, and the answer's loss shows it in one
token of thirty. So one head of another layer is told to look from a word of the answer to the same word of the question, and to
the beginning where the question does not have it (decision 27).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from omnie.errors import OptionError
from omnie.model.config import Architecture
from omnie.model.reading import Words
from omnie.ops.attention.segments import SegmentAttention
from omnie.processor.tokenizer import Tokenizer
from omnie.processor.tokens import COUNT
from omnie.train.stream.packing import IGNORE

COPIES = 1
"""The layer that copies from the start (`train/circuits.py`)."""
ASKS = 2
"""The layer that looks for the answer's words in the question; those behind it need what it finds."""
SHORTEST = 2
"""Words that a quotation must have, or it would stand in too many places by chance."""

MARKS = 3
"""How far back an answer's question ends: the user's turn ends and the assistant's begins in between."""

Heads = Mapping[str, Mapping[int, Sequence[int]]]


def told_heads(config: Architecture) -> Heads:
    """What is told (a field of `Places`) -> layer -> the heads that are: of each that shares keys with others the first, in the
    layers that copy; one in the layer that asks, where there is such a layer between them.

    Raises:
        OptionError: the model has a sliding window, outside of which an answer's words may stand.
    """
    if config.sliding_window is not None:
        hint = "train without --pointing"
        raise OptionError("heads cannot be told to look out of a sliding window", value=config.sliding_window, hint=hint)
    trail = () if config.trail_layer is None else (config.trail_layer, config.trail_layer + 1)
    heads = range(0, config.num_attention_heads, config.num_attention_heads // config.num_key_value_heads)
    copying = {layer: heads for layer in {min(COPIES, config.num_hidden_layers - 1), *trail}}
    asking = {ASKS: heads[:1]} if config.num_hidden_layers > ASKS and ASKS not in copying else {}
    return {"sources": copying, "asked": asking, "unasked": asking}


def breaks(tokenizer: Tokenizer) -> frozenset[int]:
    """Tokens that a question does not reach across: special ones, and line breaks."""
    return frozenset(range(COUNT)) | {token for token, text in enumerate(tokenizer.texts) if b"\n" in text}


class Places(NamedTuple):
    """Where heads should look from each token: places in its row, int64 [B, T], or `IGNORE`.

    Attributes:
        sources: From the token before an answer's word: where the word stands (`quoted`).
        asked: From an answer's word: the same word of the question; `unasked`: the beginning, where there is none (`asked`).
    """

    sources: Tensor
    asked: Tensor
    unasked: Tensor


class Pointers:
    """The attention of one pass over packed rows, which keeps the queries and keys of the layers in `heads`.

    Args:
        segments_BT: The sequence of each token, 0 for padding; attention stays inside.
        heads: `told_heads`.
    """

    def __init__(self, segments_BT: Tensor, heads: Heads):
        self.segments, self.heads = segments_BT, heads
        self.attend = SegmentAttention.of(segments_BT)
        self.seen: dict[int, tuple[Tensor, Tensor, float]] = {}

    def __call__(self, module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any) -> Any:
        if any(module.layer_idx in layers for layers in self.heads.values()):
            self.seen[module.layer_idx] = query, key, kwargs["scaling"]
        return self.attend(module, query, key, value, None, **kwargs)

    def losses(self, places: Places) -> dict[str, Tensor]:
        """What is told and in which layer ("sources/1") -> mean cross-entropy of its heads' attention with the places; 0 where
        there are none."""
        found = {}
        for name, layers in self.heads.items():
            sought = getattr(places, name)
            spans = list(_spans(sought, self.segments))
            for layer, heads in layers.items():
                query, key, scaling = self.seen[layer]
                shared = [head * key.shape[1] // query.shape[1] for head in heads]
                losses = [query.new_zeros(0, dtype=torch.float32)]
                for q_NKH, k_SKH, span in zip(*_parts(query, key, spans), spans, strict=True):
                    scores_KNS = q_NKH[:, list(heads)].transpose(0, 1) @ k_SKH[:, shared].permute(1, 2, 0)
                    hidden_NS = span.at_N[:, None] < torch.arange(span.begin, span.end, device=sought.device)
                    scores = (scores_KNS.float() * scaling).masked_fill(hidden_NS, -torch.inf).flatten(0, 1)
                    sought_KN = (span.sought_N - span.begin).expand(len(shared), -1)
                    losses.append(F.cross_entropy(scores, sought_KN.flatten(), reduction="none"))
                found[f"{name}/{layer}"] = torch.cat(losses).sum() / max(1, sum(map(len, losses)))
        return found


class _Span(NamedTuple):
    """A sequence in which something is sought: from which tokens, where, its begin and end; counted over all rows."""

    at_N: Tensor
    sought_N: Tensor
    begin: int
    end: int


def _spans(sought_BT: Tensor, segments_BT: Tensor) -> Iterator[_Span]:
    """The sequences that have tokens from which heads should look somewhere, in their order."""
    for row, (sought_T, segments_T) in enumerate(zip(sought_BT.cpu(), segments_BT.cpu(), strict=True)):
        at_N, before = (sought_T != IGNORE).nonzero().flatten(), row * len(sought_T)
        ends = segments_T.unique_consecutive(return_counts=True)[1].cumsum(0)
        of_N = torch.searchsorted(ends, at_N, right=True)
        for place in of_N.unique().tolist():
            mine_N, begin = at_N[of_N == place], int(ends[place - 1]) if place else 0
            at, sought = ((before + tokens).to(sought_BT.device) for tokens in (mine_N, sought_T[mine_N]))
            yield _Span(at, sought, before + begin, before + int(ends[place]))


def _parts(query: Tensor, key: Tensor, spans: Sequence[_Span]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """The spans' queries [N, heads, H] and keys [S, heads, H], parted at once: parting each alone would write zeros for all
    other tokens in backward."""
    if not spans:
        return (), ()
    query, key = (x_BKTH.transpose(1, 2).flatten(0, 1) for x_BKTH in (query, key))
    edges = [0, *(edge for span in spans for edge in (span.begin, span.end)), len(key)]
    at = torch.cat([span.at_N for span in spans])
    keys = key.split([end - begin for begin, end in pairwise(edges)])
    return query.index_select(0, at).split([len(span.at_N) for span in spans]), keys[1::2]


def told_places(inputs: Mapping[str, Tensor], labels_BT: Tensor, said: Mapping[int, Words], ends: frozenset[int]) -> Places:
    """Where the words of a batch's answers stand before them, on the device of the ids.

    Args:
        inputs: Of the model: packed rows.
        labels_BT: Their labels.
        said: What is read in their media, by modality.
        ends: `breaks`.
    """
    ids, types, segments = (inputs[name].cpu().numpy() for name in ("input_ids", "mm_token_type_ids", "segment_ids"))
    words, labels = ids.copy(), labels_BT.cpu().numpy()
    apart = (types != 0) | np.isin(ids, list(ends))
    for modality, read in said.items():
        words.ravel()[np.flatnonzero(types.ravel() == modality)[read.slots]] = read.words
    found = np.full((len(Places._fields), *ids.shape), IGNORE, np.int64)
    for row, segment in enumerate(segments):
        edges = np.flatnonzero(np.diff(segment, prepend=-1, append=-1))
        for begin, end in zip(edges, edges[1:], strict=False):
            if segment[begin]:
                mine = words[row, begin:end], labels[row, begin:end]
                places = np.stack([quoted(*mine), *asked(*mine, apart[row, begin:end])])
                found[:, row, begin:end] = np.where(places == IGNORE, IGNORE, places + begin)
    return Places(*torch.from_numpy(found).to(inputs["input_ids"].device))


def quoted(words_T: np.ndarray, labels_T: np.ndarray) -> np.ndarray:
    """Where the words of a conversation's answers stand in its prompts.

    Args:
        words_T: int64, what each token says. `labels_T`: the same for tokens of answers, else `IGNORE`.

    Returns:
        int64 [T]: at each token before an answer's word the place of that word in the longest passage that the answer quotes
        there. `IGNORE` where the word is in none of `SHORTEST` words, or in several equally long ones.
    """
    found = np.full(len(words_T), IGNORE, np.int64)
    said = labels_T != IGNORE
    for begin, end in _answers(said):
        if begin:
            length = _passages(words_T[begin:end, None] == np.where(said, -1, words_T)[:begin])
            longest = length.max(1)
            sure = (longest >= SHORTEST) & ((length == longest[:, None]).sum(1) == 1)
            found[np.flatnonzero(sure) + begin - 1] = length.argmax(1)[sure]
    return found


def asked(words_T: np.ndarray, labels_T: np.ndarray, apart_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which words of a conversation's answers stand in their questions: the last words of the user, up to a break.

    Args:
        words_T, labels_T: As in `quoted`.
        apart_T: bool, tokens that no question has.

    Returns:
        int64 [T], twice: at each word of an answer its place in the longest passage of `SHORTEST` words or more that it shares
        with the question; and the conversation's first place, if the question does not have the word at all. Else `IGNORE`.
    """
    found, missing = (np.full(len(words_T), IGNORE, np.int64) for _ in range(2))
    for begin, end in _answers(labels_T != IGNORE):
        ends = np.flatnonzero(~apart_T[:begin])
        if not len(ends) or begin - ends[-1] > MARKS:  # a spoken question
            continue
        last = int(ends[-1]) + 1
        first = int(np.flatnonzero(apart_T[:last])[-1]) + 1 if apart_T[:last].any() else 0
        length = _passages(words_T[begin:end, None] == words_T[first:last])
        longest, at = length.max(1), np.arange(begin, end)
        found[at[longest >= SHORTEST]] = first + length.argmax(1)[longest >= SHORTEST]
        missing[at[longest == 0]] = 0
    return found, missing


def _answers(said_T: np.ndarray) -> list[list[int]]:
    """Begin and end of each answer."""
    return np.flatnonzero(np.diff(said_T.astype(np.int8), prepend=0, append=0)).reshape(-1, 2).tolist()


def _passages(equal: np.ndarray) -> np.ndarray:
    """How long the passage is to which each pair of equal words belongs, int64, from bool [words of one text, of another]."""
    words, others = equal.shape
    length = np.zeros((words + 1, others + 1), np.int64)
    for n in range(words - 1, -1, -1):  # of the passage from here on
        length[n, :-1] = np.where(equal[n], length[n + 1, 1:] + 1, 0)
    length = length[:-1, :-1]
    for n in range(1, words):  # of the whole passage
        length[n, 1:] = np.where(equal[n, 1:] & equal[n - 1, :-1], length[n - 1, :-1], length[n, 1:])
    return length
