"""Packed batches as tensors on the device, and what the trainer must know about them. No worker processes here."""

import queue
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from omnie.model.reading import Seen
from omnie.processor.tokens import COUNT
from omnie.train.objective.losses import AlignmentTensors, MarkedTensors, NamedTensors, Targets, prompt_targets_of, targets_of
from omnie.train.objective.pointing import Places
from omnie.train.stream.packing import Alignment, Batch, Marked, Named

AHEAD = 3
"""Steps that lie ready on a GPU."""
KEPT = 16, 256
"""Of batches that may come again, so many are gathered before the first one does, and no more are kept."""
HOST = ("image_grid_thw", "video_grid_thw", "audio_lengths")
"""Inputs whose values shape the computation: they stay on the host, so that reading them waits for nothing."""


@dataclass(eq=False)
class Known:
    """What a pass finds out about a batch that does not change while the encoders rest: what is seen in its media, by modality,
    and where its answers' words stand."""

    seen: dict[int, Seen] = field(default_factory=dict)
    places: Places | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """One batch on the device: the model's arguments, targets (answers, and the prompt's words), alignments, things, marks, and
    its skills; the labels [B, T] stay on the host.

    `tokens` of its `slots` are real, the others padding. `known` is the same whenever the batch comes again.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    targets: Targets
    prompt: Targets
    alignments: dict[str, AlignmentTensors]
    named: NamedTensors | None
    marked: MarkedTensors | None
    skills: tuple[str, ...]
    tokens: int
    slots: int
    known: Known = field(default_factory=Known)

    def tensors(self) -> Iterator[Tensor]:
        """Those that lie on the device."""
        yield from (tensor for name, tensor in self.inputs.items() if name not in HOST)
        for group in (self.targets, self.prompt, *self.alignments.values(), self.named, self.marked):
            yield from (value for value in vars(group).values() if isinstance(value, Tensor)) if group else ()


class Batches(Protocol):
    """What `Loader` is to a `Feed`."""

    state: dict[str, Any]
    waiting: int
    dropped: int

    def __next__(self) -> Batch: ...

    def progress(self, value: float) -> None: ...


class Feed:
    """Steps on the device, for ever. On a GPU a thread moves the next batches there while the GPU works.

    Args:
        batches: Where they come from.
        device, dtype: Of the steps' tensors.
        reuse: How often a batch may come: again when no new one is ready, the one whose last time is longest ago first. With
            more than 1, which batches come depends on the time that they take.
        looks_ahead: Whether the model does, so that most prompts have nothing to predict.

    Attributes:
        spares: Whether a batch that comes again costs less than a new one. Then each comes `reuse` times, ready or not, with
            `KEPT[0]` others in between.
    """

    def __init__(self, batches: Batches, device: torch.device, dtype: torch.dtype, reuse: int = 1, looks_ahead: bool = False):
        self.looks_ahead = looks_ahead
        self.batches, self.device, self.dtype, self.reuse = batches, device, dtype, reuse
        self.state, self.fresh, self.spares = batches.state, 0, False
        self._kept: deque[tuple[Step, int]] = deque(maxlen=KEPT[1])
        self._ready: queue.Queue | None = None
        if device.type == "cuda":
            self._ready = queue.Queue(AHEAD)
            threading.Thread(target=self._move, args=(self._ready,), daemon=True).start()

    @property
    def waiting(self) -> int:
        """Finished batches that wait for the trainer; 0 for long means that the workers are the bottleneck."""
        return self.batches.waiting + (self._ready.qsize() if self._ready else 0)

    @property
    def dropped(self) -> int:
        """Examples that no row could hold."""
        return self.batches.dropped

    def progress(self, value: float) -> None:
        """Tells the workers how far training is (0 to 1)."""
        self.batches.progress(value)

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        if len(self._kept) > KEPT[0] if self.spares else self._kept and self.fresh >= KEPT[0] and self._idle:
            step, times = self._kept.popleft()
        else:
            step, times = self._next(), 0
            self.fresh += 1
        if times + 1 < self.reuse:
            self._kept.append((step, times + 1))
        return restored(step, self.dtype)

    @property
    def _idle(self) -> bool:
        return not self.batches.waiting if self._ready is None else self._ready.empty()

    def _next(self) -> Step:
        if self._ready is None:
            batch = next(self.batches)
            self.state = self.batches.state
            return moved(batch, self.device, self.looks_ahead)
        got = self._ready.get()
        if isinstance(got, BaseException):
            raise got
        step, self.state, arrived = got
        here = torch.cuda.current_stream()
        here.wait_event(arrived)
        for tensor in step.tensors():
            tensor.record_stream(here)  # or its memory would be given away while this stream still reads it
        return step

    def _move(self, ready: queue.Queue) -> None:
        """What the thread does; the last thing it puts is what stopped it."""
        try:
            stream = torch.cuda.Stream(self.device)
            while True:
                batch, state = next(self.batches), self.batches.state
                with torch.cuda.stream(stream):
                    step = moved(batch, self.device, self.looks_ahead)
                    arrived = stream.record_event()
                ready.put((step, state, arrived))
        except BaseException as error:  # noqa: BLE001 (the trainer raises it)
            ready.put(error)


def to_device(batch: Batch, device: torch.device, dtype: torch.dtype) -> Step:
    """Moves a batch; pixels and sounds get the model's dtype and range there."""
    return restored(moved(batch, device), dtype)


def moved(batch: Batch, device: torch.device, looks_ahead: bool = False) -> Step:
    """A batch on the device, its media as compact as they came; `looks_ahead`: whether the model does."""
    arrays = {name: torch.from_numpy(array) for name, array in batch.inputs.items()}
    labels = arrays.pop("labels")
    found = targets_of(labels, torch.from_numpy(batch.skill_ids))
    prompt = prompt_targets_of(arrays, labels, COUNT, looks_ahead)
    move = lambda tensor: tensor.to(device, non_blocking=True)  # noqa: E731
    return Step(
        inputs={name: array if name in HOST else move(array) for name, array in arrays.items()},
        labels=labels,
        targets=Targets(*map(move, (found.positions, found.labels, found.skills))),
        prompt=Targets(*map(move, (prompt.positions, prompt.labels, prompt.skills))),
        alignments={
            name: AlignmentTensors(**_tensors(value, device), width=value.width) for name, value in batch.alignments.items()
        },
        named=NamedTensors(**_tensors(batch.named, device)) if batch.named else None,
        marked=MarkedTensors(**_tensors(batch.marked, device)) if batch.marked else None,
        skills=batch.skills,
        tokens=batch.tokens,
        slots=batch.inputs["input_ids"].size,
    )


def restored(step: Step, dtype: torch.dtype) -> Step:
    """Undoes `packing.shrink` on the device."""
    inputs = {name: tensor if name in HOST else restore(tensor, dtype) for name, tensor in step.inputs.items()}
    return replace(step, inputs=inputs)


def restore(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Bytes to [-1, 1], half precision to the model's dtype."""
    if tensor.dtype == torch.uint8:
        return (tensor.float() / 127.5 - 1.0).to(dtype)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _tensors(arrays: Alignment | Named | Marked, device: torch.device) -> dict[str, Tensor]:
    """A record's arrays by name."""
    found = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in vars(arrays).items()}
    return {name: tensor.to(device, non_blocking=True) for name, tensor in found.items()}
