"""One request at a time through the model: prefill, then decode with the KV cache. Token ids in and out; no text here."""

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch

from omnie.engine.certainty import SURE, Certainty
from omnie.engine.choice import Attempt, likeliest
from omnie.engine.guide import Guide
from omnie.engine.request import Request
from omnie.engine.sampler import Sampler
from omnie.errors import InputError
from omnie.model.cache import KeyValueCache
from omnie.ops.flashmask.layers import DynamicAttention
from omnie.processor.tokens import CALL_END, CALL_START, ID

_PER_TOKEN = ("input_ids", "mm_token_type_ids", "moe_mm_token_type_ids", "position_ids")
_UNUSED = ("labels", "segment_ids", "attention_mask")  # training's, or all ones for a lone sequence


class Engine:
    """Generates token ids with a model that takes the tensors of `omnie.inputs`."""

    def __init__(self, model: torch.nn.Module, *, context: int):
        """`context`: the most tokens, prompt and answer together, that the model was built for."""
        self.model, self.context = model.eval(), context

    def generate(
        self, request: Request, attend: DynamicAttention | None = None, certainty: Certainty | None = None
    ) -> Iterator[int]:
        """Token ids until a stop token, `max_tokens` or the end of the context.

        The first one costs the prefill, each later one a decode step; a caller that stops iterating stops the work. Where
        decoding is greedy and the guide knows several calls, the first call is the likeliest as a whole (`choice.py`). What a
        guide leaves no choice about costs no step of its own. Where the request has further looks, tokens come when the last
        look has been taken.

        Args:
            attend: This request's own attention in place of the model's; it counts what it leaves out.
            certainty: Counts how sure the model is of what it says.

        Raises:
            InputError: the prompt leaves no room for an answer.
        """
        if request.length >= self.context:
            raise InputError(
                "the prompt is too long for this model",
                value=f"{request.length} tokens",
                allowed=f"fewer than {self.context}",
                hint="give fewer or shorter files",
            )
        certainty = certainty or Certainty()
        return self._surest(request, attend, certainty) if request.looks else self._steps(request, attend, certainty)

    def room(self, request: Request) -> int:
        """The most tokens that `generate` hands out: `max_tokens`, or less where the context ends."""
        return min(request.options.max_tokens, self.context - request.length)

    def _surest(self, request: Request, attend: DynamicAttention | None, certainty: Certainty) -> Iterator[int]:
        """The answer to the look of which the model is surest; after a sure one no other is taken."""
        chosen: list[int] = []
        certainty.nats = math.inf
        for certainty.looks, inputs in enumerate(itertools.chain([request.inputs], request.looks), 1):
            own, guide = Certainty(), request.guide and request.guide.copy()
            ids = list(self._steps(replace(request, inputs=inputs, guide=guide, looks=()), attend, own))
            if own.nats < certainty.nats:
                chosen, certainty.nats = ids, own.nats
            if certainty.confidence >= SURE:
                break
        yield from chosen

    def _steps(self, request: Request, attend: DynamicAttention | None, certainty: Certainty) -> Iterator[int]:
        if attend is not None:
            attend.answering = False
        sample = Sampler(request.options, request.inputs["input_ids"].tolist())
        cache = KeyValueCache(request.length + self.room(request))
        inputs, position = self._prompt(request), int(request.inputs["position_ids"][-1, 1:].max())
        guide, left = request.guide, self.room(request)
        chooses = guide is not None and guide.calls and request.options.greedy and request.options.repetition_penalty == 1
        ids: list[int] = []
        while left:
            logits_TV = self._forward(inputs, cache, attend, max(1, len(ids)))
            token = sample(logits_TV[-1], guide.allowed() if guide else None)
            certainty.note(logits_TV, [*ids[1:], token])
            if attend is not None:
                attend.answering = True
            if token in request.stop:
                return
            ids = [token]
            if chooses and guide and token == ID[CALL_START]:
                attempt = partial(self._attempt, position, cache, attend)
                ids = likeliest(attempt, guide.calls, token, ID[CALL_END], left) or ids
                chooses = False
            if guide:
                ids = self._forced(guide, ids, left)
                sample.note(ids[1:])
            yield from ids
            inputs = self._next(ids, position + 1)
            position, left = position + len(ids), left - len(ids)

    def _forced(self, guide: Guide, ids: list[int], room: int) -> list[int]:
        """Tokens that came, and those that must follow: the model is not asked for these, it reads them all at once."""
        for token in ids:
            guide.take(token)
        more = guide.forced()[: room - len(ids)]
        for token in more:
            guide.take(token)
        return ids + more

    def _forward(
        self, inputs: dict[str, torch.Tensor], cache: KeyValueCache, attend: DynamicAttention | None, count: int = 1
    ) -> torch.Tensor:
        """The logits behind the last `count` tokens, [count, V]; the cache grows by `inputs`."""
        with torch.inference_mode():
            return self.model(**inputs, cache=cache, past=cache.length, logits_to_keep=count, attend=attend).logits[0]

    def _prompt(self, request: Request) -> dict[str, torch.Tensor]:
        device = next(self.model.parameters()).device
        tensors = {name: torch.from_numpy(array).to(device) for name, array in request.inputs.items() if name not in _UNUSED}
        return {name: tensor[None] if name in _PER_TOKEN else tensor for name, tensor in tensors.items()}

    def _attempt(self, position: int, cache: KeyValueCache, attend: DynamicAttention | None) -> Attempt:
        """Goes on behind `position` for a while, and leaves the cache as it is."""
        branch, own = cache.branch(), copy.deepcopy(attend)
        return lambda ids, before: self._forward(self._next(ids, position + 1 + before), branch, own, len(ids))

    def _next(self, ids: Sequence[int], position: int) -> dict[str, torch.Tensor]:
        """A decode step's inputs: text tokens from `position` on, all three axes of a position advancing together."""
        device = next(self.model.parameters()).device
        places = torch.arange(position, position + len(ids), device=device)
        return {
            "input_ids": torch.tensor([ids], device=device),
            "mm_token_type_ids": torch.zeros(1, len(ids), dtype=torch.long, device=device),
            "position_ids": places[None, :, None].expand(-1, -1, 3),
        }
