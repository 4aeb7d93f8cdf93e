"""Greedy answers to many prompts at once: padded on the left, one forward pass a step for all that still speak.

A row's answer is what it would be alone: padding is masked, positions are each row's own, and neither experts nor encoders look
at neighbours. Sampling and streaming live in `omnie.engine`, which this uses for its cache only.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor

from omnie.engine.certainty import SURE, nats
from omnie.engine.guide import Guide
from omnie.engine.sampler import only
from omnie.inputs import TEXT
from omnie.messages import Message
from omnie.model.cache import KeyValueCache
from omnie.model.layers.lookahead import OPEN
from omnie.model.omni import Omni
from omnie.processor import Encoder
from omnie.processor.encode import collate
from omnie.processor.tokens import END, ID

ROWS = 16
"""Most prompts in a batch."""
TOKENS = 6144
"""Most prompt tokens in a batch, padding included, unless a single prompt is longer."""

Arrays = Mapping[str, np.ndarray]


class BatchCache(KeyValueCache):
    """Keys and values of several sequences, of which those that have ended are dropped."""

    def keep(self, rows: Tensor) -> None:
        """Keeps these rows, in this order."""
        self._layers = {layer: (keys[rows], values[rows]) for layer, (keys, values) in self._layers.items()}
        self._recent = {layer: states[rows] for layer, states in self._recent.items()}
        if hasattr(self, OPEN):
            setattr(self, OPEN, getattr(self, OPEN)[rows])


def answers(
    model: Omni,
    encoder: Encoder,
    conversations: Sequence[Sequence[Message]],
    limit: int,
    read: Callable[[list[int]], str] | None = None,
    guides: Sequence[Guide] | None = None,
) -> list[tuple[str, float]]:
    """The model's answers of at most `limit` tokens, in the order of the conversations, and how probable each one was to it:
    the surest one of several looks at its media, as `Engine` takes them.

    Args:
        read: Ids to what is handed out; text unless told.
        guides: What each answer may be, if not anything.

    Raises:
        InputError: a conversation cannot be encoded.
    """
    first = [encoder.encode(messages) for messages in conversations]
    further = [encoder.looks(arrays) for arrays in first]
    best: list[tuple[list[int], float]] = [([], -1.0)] * len(first)
    for number in range(1 + max(map(len, further), default=0)):
        asked = [place for place, looks in enumerate(further) if number <= len(looks) and best[place][1] < SURE]
        for batch in batches([len(first[place]["input_ids"]) for place in asked]):
            places = [asked[n] for n in batch]
            guided = [guides[place].copy() for place in places] if guides else None
            rows = [further[place][number - 1] if number else first[place] for place in places]
            said = greedy(model, rows, limit, guided, encoder.stop)
            for place, answer in zip(places, said):
                best[place] = max(best[place], answer, key=itemgetter(1))  # of equals the earlier one
    return [((read or encoder.decode)(ids), sure) for ids, sure in best]


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of prompts that go through the model together: neighbours in length, so that little is padding."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if batch and (len(batch) == ROWS or (len(batch) + 1) * lengths[place] > TOKENS):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


@torch.inference_mode()
def greedy(
    model: Omni, rows: Sequence[Arrays], limit: int, guides: Sequence[Guide] | None = None, stop: Collection[int] = (ID[END],)
) -> list[tuple[list[int], float]]:
    """Each prompt's most likely tokens, one after the other, up to `limit`, without the end token, and their probability, with
    the end token (`engine.certainty`).

    Args:
        model: In evaluation mode.
        rows: What `Encoder.encode` returned.
        guides: What each prompt's answer may be, if not anything.
        stop: Tokens that end an answer.
    """
    device = model.lm_head.weight.device
    stops = torch.tensor(sorted(stop), device=device)
    inputs = {name: torch.from_numpy(array).to(device) for name, array in collate(rows).items() if name != "labels"}
    mask_BS, position_B = inputs["attention_mask"], inputs["position_ids"].amax((1, 2))
    speaking_B = torch.arange(len(rows), device=device)
    cache, result = BatchCache(mask_BS.shape[1] + limit), [list[int]() for _ in rows]
    cost = torch.zeros(len(rows), device=device)
    for _ in range(limit):
        logits_BV = allowed_BV = model(**inputs, cache=cache, past=cache.length, logits_to_keep=1).logits[:, -1]
        if guides:
            rows_of = zip(logits_BV, speaking_B.tolist(), strict=True)
            allowed_BV = torch.stack([only(logits_V, guides[row].allowed()) for logits_V, row in rows_of])
        token_B = allowed_BV.argmax(-1)
        cost[speaking_B] += nats(logits_BV, token_B)
        going = torch.isin(token_B, stops, invert=True).nonzero().squeeze(-1)
        if len(going) < len(token_B):
            token_B, mask_BS, position_B, speaking_B = (x[going] for x in (token_B, mask_BS, position_B, speaking_B))
            cache.keep(going)
        if not len(going):
            break
        for row, token in zip(speaking_B.tolist(), token_B.tolist()):
            result[row].append(token)
            if guides:
                guides[row].take(token)
        position_B = position_B + 1
        mask_BS = torch.cat([mask_BS, torch.ones_like(mask_BS[:, :1])], dim=1)
        inputs = _step(token_B, position_B, mask_BS)
    return list(zip(result, cost.neg().exp().tolist()))


def _step(token_B: Tensor, position_B: Tensor, mask_BS: Tensor) -> dict[str, Tensor]:
    """One more text token a row; all three axes of a position advance together."""
    return {
        "input_ids": token_B[:, None],
        "mm_token_type_ids": torch.full_like(token_B[:, None], TEXT),
        "position_ids": position_B[:, None, None].expand(-1, 1, 3),
        "attention_mask": mask_BS,
    }
