"""What attention is told: where the words of an answer stand in the prompt.

An answer that quotes says words that stand somewhere before it. That a head should look there, the answer's own loss tells only
through everything that the head writes; so some heads are told directly (Liu et al. 2016, "Neural machine translation with
supervised attention"). Words in media count as they are read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from omnie.errors import OptionError
from omnie.model.config import Architecture
from omnie.model.reading import Words
from omnie.ops.attention.segments import SegmentAttention
from omnie.train.stream.packing import IGNORE

COPIES = 1
"""The layer that copies from the start (`train/circuits.py`)."""
SHORTEST = 2
"""Words that a quotation must have, or it would stand in too many places by chance."""

Heads = Mapping[int, Sequence[int]]


def told_heads(config: Architecture) -> Heads:
    """Layer -> the heads that are told: of each that shares keys with others the first, in the layers that copy.

    Raises:
        OptionError: the model has a sliding window, outside of which an answer's words may stand.
    """
    if config.sliding_window is not None:
        hint = "train without --pointing"
        raise OptionError("heads cannot be told to look out of a sliding window", value=config.sliding_window, hint=hint)
    trail = () if config.trail_layer is None else (config.trail_layer, config.trail_layer + 1)
    heads = range(0, config.num_attention_heads, config.num_attention_heads // config.num_key_value_heads)
    return {layer: heads for layer in {min(COPIES, config.num_hidden_layers - 1), *trail}}


class Pointers:
    """The attention of one pass over packed rows, which keeps the queries and keys of the layers in `heads`.

    Args:
        segments_BT: The sequence of each token, 0 for padding; attention stays inside.
        heads: Layer -> heads.
    """

    def __init__(self, segments_BT: Tensor, heads: Heads):
        self.segments, self.heads = segments_BT, heads
        self.attend = SegmentAttention.of(segments_BT)
        self.seen: dict[int, tuple[Tensor, Tensor, float]] = {}

    def __call__(self, module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any) -> Any:
        if module.layer_idx in self.heads:
            self.seen[module.layer_idx] = query, key, kwargs["scaling"]
        return self.attend(module, query, key, value, None, **kwargs)

    def losses(self, sources_BT: Tensor) -> dict[int, Tensor]:
        """Layer -> mean cross-entropy of its heads' attention with the places in `sources_BT` (`sources`); 0 without any."""
        found = {layer: [query.new_zeros(0, dtype=torch.float32)] for layer, (query, _, _) in self.seen.items()}
        for row, (sources, segments) in enumerate(zip(sources_BT, self.segments, strict=True)):
            at = (sources != IGNORE).nonzero().flatten()
            hidden = (segments[at, None] != segments) | (at[:, None] < torch.arange(len(segments), device=at.device))
            for layer, (query, key, scaling) in self.seen.items():
                shared = query.shape[1] // key.shape[1]
                for head in self.heads[layer]:
                    scores = (query[row, head, at] @ key[row, head // shared].T).float() * scaling
                    loss = F.cross_entropy(scores.masked_fill(hidden, -torch.inf), sources[at], reduction="none")
                    found[layer].append(loss)
        return {layer: torch.cat(losses).sum() / max(1, sum(map(len, losses))) for layer, losses in found.items()}


def sources(inputs: Mapping[str, Tensor], labels_BT: Tensor, said: Mapping[int, Words]) -> Tensor:
    """Where the words of a batch's answers stand before them.

    Args:
        inputs: Of the model: packed rows.
        labels_BT: Their labels.
        said: What is read in their media, by modality.

    Returns:
        int64 [B, T] on the device of the ids: for each token before an answer's word the place in its row where the word
        stands (`quoted`), or `IGNORE`.
    """
    ids, types, segments = (inputs[name].cpu().numpy() for name in ("input_ids", "mm_token_type_ids", "segment_ids"))
    words, labels = ids.copy(), labels_BT.cpu().numpy()
    for modality, read in said.items():
        words.ravel()[np.flatnonzero(types.ravel() == modality)[read.slots]] = read.words
    found = np.full(ids.shape, IGNORE, np.int64)
    for row, segment in enumerate(segments):
        edges = np.flatnonzero(np.diff(segment, prepend=-1, append=-1))
        for begin, end in zip(edges, edges[1:], strict=False):
            if segment[begin]:
                places = quoted(words[row, begin:end], labels[row, begin:end])
                found[row, begin:end] = np.where(places == IGNORE, IGNORE, places + begin)
    return torch.from_numpy(found).to(inputs["input_ids"].device)


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
    edges = np.flatnonzero(np.diff(said.astype(np.int8), prepend=0, append=0))
    for begin, end in edges.reshape(-1, 2).tolist():
        equal = words_T[begin:end, None] == np.where(said, -1, words_T)[:begin]
        if not begin:
            continue
        length = np.zeros((end - begin + 1, begin + 1), np.int64)
        for n in range(end - begin - 1, -1, -1):  # of the passage from here on
            length[n, :-1] = np.where(equal[n], length[n + 1, 1:] + 1, 0)
        length = length[:-1, :-1]
        for n in range(1, end - begin):  # of the whole passage
            length[n, 1:] = np.where(equal[n, 1:] & equal[n - 1, :-1], length[n - 1, :-1], length[n, 1:])
        longest = length.max(1)
        sure = (longest >= SHORTEST) & ((length == longest[:, None]).sum(1) == 1)
        found[np.flatnonzero(sure) + begin - 1] = length.argmax(1)[sure]
    return found
