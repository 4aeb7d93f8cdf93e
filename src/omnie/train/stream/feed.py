"""A packed batch as tensors on the device, and what the trainer must know about it. No worker processes here."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omnie.processor.tokens import COUNT
from omnie.train.objective.losses import AlignmentTensors, Targets, prompt_targets_of, targets_of
from omnie.train.stream.packing import Alignment, Batch

HOST = ("image_grid_thw", "video_grid_thw", "audio_lengths")
"""Inputs whose values shape the computation: they stay on the host, so that reading them waits for nothing."""


@dataclass(frozen=True, eq=False)
class Step:
    """One batch on the device: the model's arguments, targets (answers, and the prompt's words), alignments, and its skills.

    `tokens` of its `slots` are real, the others padding.
    """

    inputs: dict[str, Tensor]
    targets: Targets
    prompt: Targets
    alignments: dict[str, AlignmentTensors]
    skills: tuple[str, ...]
    tokens: int
    slots: int


def to_device(batch: Batch, device: torch.device, dtype: torch.dtype) -> Step:
    """Moves a batch; pixels and sounds get the model's dtype and range there."""
    arrays = {name: torch.from_numpy(array) for name, array in batch.inputs.items()}
    labels = arrays.pop("labels")
    found, prompt = targets_of(labels, torch.from_numpy(batch.skill_ids)), prompt_targets_of(arrays, labels, COUNT)
    move = lambda tensor: tensor.to(device, non_blocking=True)  # noqa: E731
    inputs = {name: array if name in HOST else restore(name, move(array), dtype) for name, array in arrays.items()}
    return Step(
        inputs=inputs,
        targets=Targets(*map(move, (found.positions, found.labels, found.skills))),
        prompt=Targets(*map(move, (prompt.positions, prompt.labels, prompt.skills))),
        alignments={name: _alignment(value, device) for name, value in batch.alignments.items()},
        skills=batch.skills,
        tokens=batch.tokens,
        slots=batch.inputs["input_ids"].size,
    )


def restore(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Undoes `packing.shrink` on the device: bytes to [-1, 1], half precision to the model's dtype."""
    if tensor.dtype == torch.uint8:
        return (tensor.float() / 127.5 - 1.0).to(dtype)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _alignment(value: Alignment, device: torch.device) -> AlignmentTensors:
    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)

    return AlignmentTensors(**{name: tensor(array) for name, array in vars(value).items()}, width=value.width)
