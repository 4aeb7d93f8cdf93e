"""What the files of a folder hold, as Transformers' loader wants to see it: tensors that are made when it asks for them.

int8 matrices become floating point here, and floating point becomes 4 bits. One matrix is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from omnie.errors import CheckpointError
from omnie.model.hub.weights.quantizer import Int4Quantizer
from omnie.model.int4 import FLOATS, check, is_tied, matrices, parts
from omnie.model.int4.plan import HEAD
from omnie.ops.int4_linear import PARTS, pack

Weights = Callable[[Tensor, Tensor, torch.dtype], Tensor]
"""(int8 codes, scale, dtype) -> weights"""
Headers = dict[str, tuple[list[int], str]]
"""Tensor -> shape and type, in safetensors' words."""


@dataclass
class Lazy:
    """A tensor that is made at `[...]`, which is how Transformers reads a file's slice."""

    make: Callable[[], Tensor]
    kind: str

    def __getitem__(self, index: Any) -> Tensor:
        return self.make()[index]

    def get_dtype(self) -> str:
        return self.kind


class Checkpoint:
    """The tensors of some files by name.

    Args:
        int8: Suffix of a scale's name, and what makes weights of codes and scale.

    Raises:
        CheckpointError: a file is damaged.
    """

    def __init__(self, files: list[str], int8: tuple[str, Weights] | None):
        self.folder = Path(files[0]).parent
        self.scale, self.weights_of = int8 or ("", None)
        self.headers: Headers = {}
        self.file: dict[str, str] = {}
        self.error: CheckpointError | None = None
        for file in files:
            self._open(file)

    def _open(self, file: str) -> None:
        try:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (not a dict)
                    piece = opened.get_slice(name)
                    self.headers[name], self.file[name] = (piece.get_shape(), piece.get_dtype()), file
        except (SafetensorError, OSError) as error:
            raise CheckpointError("a weight file is damaged", value=file, hint=f"{error}; copy it again") from error

    def holds(self, kind: str) -> bool:
        """Whether a tensor is stored as `kind`: "I8", "U8"."""
        return any(found == kind for _, found in self.headers.values())

    def tensor(self, name: str) -> Tensor:
        with safe_open(self.file[name], "pt") as opened:
            return opened.get_tensor(name)

    def matrix(self, name: str, dtype: torch.dtype) -> Tensor:
        """A tensor in floating point, whether it is stored so or as int8; finite."""
        tensor = self.tensor(name)
        if self.headers[name][1] == "I8":
            tensor = self.weights_of(tensor, self.tensor(name + self.scale), dtype)
        elif self.headers[name][1] == "U8":  # a table of bytes
            tensor = tensor.to(dtype)
        if not bool(torch.isfinite(tensor).all()):
            self.error = CheckpointError("a tensor holds values that are not finite", value=f"{name} in {self.file[name]}")
            raise self.error
        return tensor

    def is_scale(self, name: str) -> bool:
        matrix = self.headers.get(name.removesuffix(self.scale))
        return bool(self.scale) and name.endswith(self.scale) and matrix is not None and matrix[1] == "I8"

    def state(self, model: nn.Module, quantizer: Any, dtype: torch.dtype) -> dict[str, Any] | None:
        """What Transformers is to load instead of the files' slices; None where these will do.

        Raises:
            CheckpointError: what is to be in 4 bits is not, or codes are stored that `config.json` says nothing about.
        """
        to_pack = isinstance(quantizer, Int4Quantizer)
        if to_pack and quantizer.pre_quantized:
            check(model, self.headers, self.folder, self._prefix(model))
            return None
        tables = {self._prefix(model) + name for name, _ in model.named_buffers()}
        if any(kind == "U8" and name not in tables for name, (_, kind) in self.headers.items()):  # else only a warning follows
            hint = "config.json lacks its quantization_config"
            raise CheckpointError("a matrix is in 4 bits", value=self.folder, allowed="floating point or int8", hint=hint)
        if to_pack:
            return self._in_4_bits(model, quantizer.quantization_config.rounding, dtype)
        if not self.holds("I8") and not self.holds("U8"):
            return None
        if self.holds("I8") and self.weights_of is None:
            raise CheckpointError("int8 weights cannot be read yet", value=self.folder, hint="call omnie.register()")
        return self._in_floating_point(dtype)

    def _in_floating_point(self, dtype: torch.dtype) -> dict[str, Lazy]:
        """Every tensor, int8 made floating point."""
        names = [name for name in self.headers if not self.is_scale(name)]
        return {name: Lazy(lambda name=name: self.matrix(name, dtype), "F32") for name in names}  # type: ignore[misc]

    def _in_4_bits(self, model: nn.Module, rounding: str, dtype: torch.dtype) -> dict[str, Any]:
        """Every tensor, those that the model holds packed as their parts."""
        prefix, head = self._prefix(model), f"{HEAD}.weight" if is_tied(model) else None
        state: dict[str, Any] = self._in_floating_point(dtype)
        packed = parts(model)
        for name, tensor in model.state_dict().items():
            if name not in packed and name != head:
                self._check(prefix + name, list(tensor.shape))
        for name, (shape, group) in matrices(model).items():
            stored = prefix + name
            self._check(stored, shape)
            del state[stored]
            last = _Last(lambda stored=stored, group=group: pack(self.matrix(stored, torch.float32), group, rounding))
            for number, part in enumerate(PARTS):
                state[f"{stored}_{part}"] = Lazy(lambda last=last, number=number: last.part(number), "U8")
        return state

    def _check(self, name: str, shape: list[int]) -> None:
        found = self.headers.get(name)
        if found is None or found[0] != shape or found[1] not in (*FLOATS, "I8", "U8"):
            what = f"{found[1]} {found[0]}" if found else "missing"
            raise CheckpointError("a tensor does not fit", value=f"{name} {what} in {self.folder}", allowed=f"{shape}")

    def _prefix(self, model: nn.Module) -> str:
        """What stands before the model's names in the files: the body of a whole model is stored under `model.`."""
        whole = any(name.startswith("model.") for name in self.headers)
        return "model." if whole and not hasattr(model, HEAD) else ""


class _Last:
    """A packed matrix that is made at the first of its parts and forgotten after the last."""

    def __init__(self, make: Callable[[], Any]):
        self.make, self.packed, self.left = make, None, len(PARTS)

    def part(self, number: int) -> Tensor:
        if self.packed is None:
            self.packed, self.left = self.make(), len(PARTS)
        tensor, self.left = self.packed[number], self.left - 1
        if not self.left:
            self.packed = None
        return tensor
