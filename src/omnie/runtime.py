"""Messages in, text deltas out: the one door upstairs. It joins checkpoint, processor and engine and keeps the clock.

Decoding of media happens before (`omnie.media`), sampling below (`omnie.engine`), printing above.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from omnie import checkpoint
from omnie.engine.certainty import Certainty
from omnie.engine.engine import Engine
from omnie.engine.guide import Guide, Guides
from omnie.engine.request import GREEDY, Request, SamplingOptions
from omnie.errors import OptionError
from omnie.inputs import MODALITIES
from omnie.messages import Message, Tool, ToolCall
from omnie.ops.flashmask.layers import DynamicAttention
from omnie.ops.levels import EXACT, Level, check_activations
from omnie.processor.encode import Encoder
from omnie.processor.tokens import CALL_END, CALL_START, ID

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Usage:
    """Tokens: `prompt` in all, `media` of these by modality (image, video, audio), `completion` generated."""

    prompt: int
    completion: int
    media: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Timings:
    """Seconds. `load` weights, `encode` messages to tensors, `prefill` prompt to first token, `decode` the other tokens, which
    `tokens_per_second` counts. Where media may be looked at again, `prefill` is all of it, and all tokens are counted."""

    load: float
    encode: float
    prefill: float
    decode: float
    tokens_per_second: float


@dataclass(frozen=True)
class Delta:
    """A piece of the answer. Only the last one, whose text may be empty, carries the reason, the usage, the timings, what
    attention left out (`DynamicAttention.report`), the calls of tools, whose JSON is no part of the text, and the confidence:
    the probability that the model gave the whole answer, after so many `looks` at the media."""

    text: str
    finish: FinishReason | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    attention: dict[str, Any] | None = None
    calls: tuple[ToolCall, ...] = ()
    confidence: float | None = None
    looks: int = 1


@dataclass(frozen=True)
class Answer:
    """A whole answer. `calls`: the tools that it calls, in place of a text. `confidence`: its probability, 0 to 1, after so
    many `looks` at the media."""

    text: str
    finish: FinishReason
    usage: Usage
    timings: Timings
    calls: tuple[ToolCall, ...] = ()
    confidence: float = 1.0
    looks: int = 1


class Runtime:
    """A loaded model that answers conversations.

    Args:
        reference: A built-in model's name or a model folder; None is the embedded default, `nano`.
        dtype: Weights' torch dtype; None lets the checkpoint choose.
        attention: `exact`, `certified:EPS` or `fast:BUDGET` (`ops/levels.py`); None leaves it to the checkpoint.
        activations: `int8` or `float`: what a processor multiplies 4-bit matrices with; None is `int8`.
        thinking: Whether a model that can think before it answers does so; None leaves it to its chat template.
        looks: How often pictures and sounds, but not clips, are looked at or heard, at most, 1 to 4, while the model is not
            sure of its answer; the surest one is given, once the last look has been taken. None leaves it to the checkpoint.

    Raises:
        CheckpointError: the model cannot be loaded.
        OptionError: `thinking` is set, and the model has no such switch; `activations` is set, and it has no 4-bit matrices;
            `looks` is out of range, or more than 1 for a published model.
    """

    def __init__(
        self,
        reference: str | Path | None = None,
        *,
        dtype: Any = None,
        thinking: bool | None = None,
        attention: str | None = None,
        activations: str | None = None,
        looks: int | None = None,
    ):
        clock = Clock()
        self.model, encoder = checkpoint.load(reference, dtype=dtype)
        self.processor = encoder.with_thinking(thinking).with_looks(looks)
        self.name = str(reference or checkpoint.DEFAULT)
        if activations is not None:
            self._multiply_with(activations)
        self.engine = Engine(self.model, context=self.model.config.max_position_embeddings)
        stored = Level.parse(self.model.config.attention)
        self.attention = stored if attention is None else Level.parse(attention)
        self.dynamic = {self.attention, stored} != {EXACT}
        self._guides: Guides | None = None
        self._load = clock.lap()

    def _multiply_with(self, activations: str) -> None:
        from omnie.model.int4 import multiply_with  # most models have no such matrices

        check_activations(activations)
        if not multiply_with(self.model, cast(Literal["int8", "float"], activations)):
            hint = "omnie quantize writes a model with 4-bit matrices"
            raise OptionError("activations are for 4-bit matrices", value=activations, allowed="none", hint=hint)

    def answer(self, messages: Sequence[Message], options: SamplingOptions = GREEDY, **how: Any) -> Answer:
        """The whole answer at once; arguments and errors as in `stream`."""
        deltas = list(self.stream(messages, options, **how))
        last = deltas[-1]
        assert last.finish and last.usage and last.timings and last.confidence is not None
        text = "".join(delta.text for delta in deltas)
        return Answer(text, last.finish, last.usage, last.timings, last.calls, last.confidence, last.looks)

    def stream(
        self,
        messages: Sequence[Message],
        options: SamplingOptions = GREEDY,
        *,
        tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None,
    ) -> Iterator[Delta]:
        """The answer as it is generated. Media parts must hold decoded objects of `omnie.media.types`.

        Args:
            tools: What the model may call instead of answering; a call always fits the tool's parameters.
            schema: A JSON schema; the answer is JSON that fits it, unless `max_tokens` cuts it off.

        Raises:
            InputError: a message cannot be encoded, or the prompt leaves no room for an answer.
            OptionError: the schema or a tool's parameters cannot be obeyed; the model knows no tools; both are given.
        """
        clock = Clock()
        offer, guide = self.processor.offer(tools), self._guide(tools, schema)
        inputs = self.processor.encode([*offer, *messages])
        request = Request(inputs, options, self.processor.stop, guide, self.processor.looks(inputs))
        attend = DynamicAttention(self.attention) if self.dynamic else None
        certainty = Certainty()
        encode, counted = clock.lap(), Counted(self.engine.generate(request, attend, certainty))
        prefill = None
        for text in self._texts(counted, hide_calls=bool(tools)):
            prefill = clock.lap() if prefill is None else prefill
            if text:
                yield Delta(text)
        rest = clock.lap()
        prefill, decode = (rest, 0.0) if prefill is None else (prefill, rest)
        speed = (len(counted.ids) - 1) / decode if len(counted.ids) > 1 else 0.0
        if request.looks:
            prefill, decode, speed = prefill + decode, 0.0, len(counted.ids) / (prefill + decode)
        yield Delta(
            "",
            "stop" if len(counted.ids) < self.engine.room(request) else "length",
            Usage(request.length, len(counted.ids), media_tokens(inputs)),
            Timings(self._load, encode, prefill, decode, speed),
            {"level": str(self.attention), "layers": attend.report() if attend else []},
            self._calls(counted.ids) if tools else (),
            certainty.confidence,
            certainty.looks,
        )

    def _guide(self, tools: Sequence[Tool], schema: Mapping[str, Any] | None) -> Guide | None:
        if tools and schema is not None:
            raise OptionError("tools and a schema exclude each other", allowed="one of them")
        if not tools and schema is None:
            return None
        if self._guides is None:
            self._guides = Guides(self.processor.tokenizer.backend, min(self.processor.stop))
        return self._guides.calls(tools) if schema is None else self._guides.json(schema)

    def _texts(self, counted: "Counted", hide_calls: bool) -> Iterator[str]:
        """Text of ids as they come, without the calls; of a call that was cut off the JSON so far."""
        calling, held = False, ""
        for text in self.processor.tokenizer.stream(counted):
            last = counted.ids[-1]
            calling = hide_calls and (calling or last == ID[CALL_START])
            held = held + text if calling else ""
            yield "" if calling else text
            calling = calling and last != ID[CALL_END]
        if calling:
            yield held

    def _calls(self, ids: Sequence[int]) -> tuple[ToolCall, ...]:
        return tuple(call for message in cast(Encoder, self.processor).parse(ids) for call in message.tool_calls)


class Clock:
    """Seconds between calls of `lap`."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        passed, self._last = now - self._last, now
        return passed


class Counted:
    """Passes ids through and keeps them."""

    def __init__(self, source: Iterable[int]):
        self._source, self.ids = source, list[int]()

    def __iter__(self) -> Iterator[int]:
        for token in self._source:
            self.ids.append(token)
            yield token


def media_tokens(inputs: Mapping[str, np.ndarray]) -> dict[str, int]:
    """How many prompt tokens each non-text modality takes; only those that occur."""
    counts = np.bincount(inputs["mm_token_type_ids"], minlength=len(MODALITIES))
    return {name: int(count) for name, count in zip(MODALITIES[1:], counts[1:]) if count}
