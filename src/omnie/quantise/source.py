"""What is to be converted: a folder of ours or in a published format, checked by its headers, read one tensor at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from omnie import checkpoint, foreign
from omnie.errors import CheckpointError
from omnie.model import int4
from omnie.model.config import Architecture
from omnie.model.omni import Omni
from omnie.quantise.files import DTYPES, pieces, places, read

SHARD = 4 << 30
"""Most bytes of source that go into one file, where the files are not those of the source."""


class Source(Protocol):
    """A model's tensors.

    Attributes:
        plain: The plain model, on the meta device.
        files: File to write -> the tensors in it, in order.
    """

    plain: Omni
    files: dict[str, list[str]]

    @property
    def config(self) -> Architecture: ...

    def dtype(self, name: str) -> torch.dtype:
        """Of a tensor that is not packed."""
        ...

    def nbytes(self, name: str) -> int:
        """Of a tensor as it is stored."""
        ...

    def tensor(self, name: str) -> Tensor:
        """A whole tensor in floating point; raises `CheckpointError` when a value is not finite."""
        ...

    def pieces(self, name: str) -> Iterator[Tensor]:
        """A tensor in its own type, as pieces of any shape."""
        ...


def source_of(folder: Path) -> Source:
    """Raises `CheckpointError` when the folder is incomplete or damaged, or in 4 bits already."""
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, RecursionError, AttributeError):
        kind = None  # `Own` says what is wrong with the file
    return Published(folder) if kind in foreign.READERS else Own(folder)


def shapes(plain: Omni) -> dict[str, list[int]]:
    """Stored tensor -> shape; a head that is the embedding is not stored."""
    head = "lm_head.weight" if int4.is_tied(plain) else None
    return {name: list(tensor.shape) for name, tensor in plain.state_dict().items() if name != head}


WHOLE = ("I8", "U8")
"""Types of whole numbers, which become floating point: int8 matrices, and tables of bytes."""


class Own:
    """A folder in our format, floating point or int8. It is read past memory maps, whose pages would count as ours."""

    def __init__(self, folder: Path):
        self.plain = checkpoint.blueprint(folder)
        if int4.read(folder / "config.json") is not None:
            raise CheckpointError("the model is in 4 bits already", value=folder, allowed="floating point or int8")
        files = [folder / name for name in checkpoint.shard_names(folder)]
        self.stored = {name: place for file in files for name, place in places(file).items()}
        self._check(folder)
        self.files: dict[str, list[str]] = {file.name: [] for file in files}
        for name, place in self.stored.items():
            if not self._is_scale(name):
                self.files[place.file.name].append(name)

    @property
    def config(self) -> Architecture:
        return self.plain.config

    def dtype(self, name: str) -> torch.dtype:
        kind = self.stored[name].kind
        return torch.bfloat16 if kind in WHOLE else DTYPES[kind]

    def nbytes(self, name: str) -> int:
        scale = self.stored.get(name + checkpoint.SCALE) if self.stored[name].kind == "I8" else None
        return sum(place.end - place.begin for place in (self.stored[name], scale) if place)

    def tensor(self, name: str) -> Tensor:
        place = self.stored[name]
        tensor = read(place)
        if place.kind == "I8":
            scale = finite(name, place.file, read(self.stored[name + checkpoint.SCALE]))
            tensor = checkpoint.dequantised(tensor, scale, torch.float32)
        elif place.kind == "U8":
            tensor = tensor.float()
        return finite(name, place.file, tensor)

    def pieces(self, name: str) -> Iterator[Tensor]:
        place = self.stored[name]
        if place.kind in WHOLE:
            yield self.tensor(name).to(torch.bfloat16)
            return
        for piece in pieces(place):
            yield finite(name, place.file, piece)

    def _is_scale(self, name: str) -> bool:
        matrix = self.stored.get(name.removesuffix(checkpoint.SCALE))
        return name.endswith(checkpoint.SCALE) and matrix is not None and matrix.kind == "I8"

    def _check(self, folder: Path) -> None:
        stored, expected = self.stored, shapes(self.plain)
        tables = {name for name, _ in self.plain.named_buffers()}
        for name, shape in expected.items():
            kinds = {*int4.FLOATS, *(WHOLE if name in tables else WHOLE[:1])}
            if name not in stored or stored[name].shape != shape or stored[name].kind not in kinds:
                found = f"{stored[name].kind} {stored[name].shape}" if name in stored else "missing"
                raise CheckpointError("a tensor does not fit", value=f"{name} {found} in {folder}", allowed=f"{shape}")
            if stored[name].kind == "I8" and name + checkpoint.SCALE not in stored:
                raise CheckpointError("an int8 tensor has no scales", value=name, allowed=f"{name}{checkpoint.SCALE}")
        for name in stored:
            if name.removesuffix(checkpoint.SCALE) not in expected:
                hint = "is config.json the right one?"
                raise CheckpointError("a tensor belongs to no part of the model", value=name, hint=hint)


class Published:
    """A folder in ERNIE 4.5's published format; each of our tensors is put together of its pieces when it is read."""

    def __init__(self, folder: Path):
        self.parameters = checkpoint.parameters(folder)
        self.plain = self.parameters.model
        groups: list[list[str]] = [[]]
        filled = 0
        for name in shapes(self.plain):
            if groups[-1] and filled + self.nbytes(name) > SHARD:
                groups, filled = [*groups, []], 0
            groups[-1].append(name)
            filled += self.nbytes(name)
        names = [f"model-{n + 1:05}-of-{len(groups):05}.safetensors" for n in range(len(groups))]
        self.files = dict(zip(names if len(groups) > 1 else [checkpoint.WEIGHTS], groups))

    @property
    def config(self) -> Architecture:
        """Says, as a mark of the published tokenizer, which tokens stand for media, if only that none do."""
        return replace(self.plain.config, placeholders=self.plain.config.placeholders or {})

    def dtype(self, name: str) -> torch.dtype:
        return self.parameters.dtype(name)

    def nbytes(self, name: str) -> int:
        return math.prod(self.parameters.shape(name)) * self.dtype(name).itemsize

    def tensor(self, name: str) -> Tensor:
        return self.parameters.read(name)

    def pieces(self, name: str) -> Iterator[Tensor]:
        yield self.parameters.read(name)


def finite(name: str, file: Path, tensor: Tensor) -> Tensor:
    """The tensor; raises `CheckpointError` when a value is not finite."""
    # One pass without a temporary of the tensor's size; a sum of finite numbers that overflows gets the exact look.
    if not bool(tensor.sum(dtype=torch.float32).isfinite()) and not bool(torch.isfinite(tensor).all()):
        raise CheckpointError("a tensor holds values that are not finite", value=f"{name} in {file}")
    return tensor
