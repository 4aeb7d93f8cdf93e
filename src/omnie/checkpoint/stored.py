"""What a folder's weight files hold, checked against a model by their headers alone, and read one tensor at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from omnie import foreign
from omnie.checkpoint.int8 import GROUP, SCALE, dequantised
from omnie.errors import CheckpointError
from omnie.foreign import Part
from omnie.model.config import Architecture

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from omnie.model.omni import Omni

TIED = {"lm_head.weight": "model.language_model.embed_tokens.weight"}
"""Parameter -> the stored tensor that it shares."""
_FLOATS = ("F64", "F32", "F16", "BF16")


def tied(model: Omni) -> dict[str, str]:
    """Parameter -> the stored tensor that it shares, for this model."""
    return TIED if model.config.tie_word_embeddings else {}


class Stored(NamedTuple):
    """A tensor in a weight file, from the file's header alone; `name` is what the file calls it, `begin` its first byte."""

    shape: list[int]
    kind: str
    file: Path
    name: str
    begin: int


def header_of(file: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """A safetensors file's header (tensor -> dtype, shape, data_offsets), and the byte from which offsets count.

    Raises:
        CheckpointError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt"):  # the library checks that the header is sound and that the data are all there
            pass
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError("a weight file is damaged", value=file, hint=f"{error}; copy it again") from error
    header.pop("__metadata__", None)
    return header, 8 + length


def headers(files: list[Path], rename: Callable[[str], str] = str) -> dict[str, Stored]:
    """Every stored tensor, by its renamed name."""
    result = {}
    for file in files:
        header, start = header_of(file)
        for name, entry in header.items():
            begin = start + entry["data_offsets"][0]
            result[rename(name)] = Stored(entry["shape"], entry["dtype"], file, name, begin)
    return result


def read(entry: Stored) -> Tensor:
    """A tensor, copied out of its file: a map of the file would count as ours for as long as one tensor of it is in use."""
    import torch

    floats = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    dtypes = {**floats, "I8": torch.int8, "U8": torch.uint8}
    tensor = torch.empty(entry.shape, dtype=dtypes[entry.kind])
    view = memoryview(tensor.view(-1).view(torch.uint8).numpy()) if tensor.numel() else memoryview(b"")
    with entry.file.open("rb", buffering=0) as opened:
        opened.seek(entry.begin)
        while len(view):  # one read gives at most 2 GiB
            if not (count := opened.readinto(view)):
                raise CheckpointError("a weight file ends early", value=entry.file, hint="copy it again")
            view = view[count:]
    return tensor


def finite(tensor: Tensor) -> bool:
    """Whether all values are. A sum needs no room of the tensor's size; one that overflows gets the exact look."""
    import torch

    return bool(tensor.sum(dtype=torch.float32).isfinite()) or bool(torch.isfinite(tensor).all())


Places = dict[str, list[tuple[str, Part]]]
"""Stored tensor -> the parameters that it belongs to, and where in them."""


def own_parts(name: str, shape: list[int], config: Architecture) -> Iterable[Part]:
    return (Part(name, shape),)


def places_of(
    model: Omni,
    stored: dict[str, Stored],
    folder: Path,
    parts: Callable[[str, list[int], Architecture], Iterable[Part]],
    ignored: tuple[str, ...],
) -> Places:
    """Where every stored tensor goes; raises at the first that is missing, of another shape or type, or too many."""
    places: Places = {}
    shared, tables = tied(model), {name for name, _ in model.named_buffers()}
    for name, tensor in model.state_dict().items():
        for part in parts(name, list(tensor.shape), model.config):
            if name not in shared or part.name in stored:  # stored twice is fine: `weights` holds both to be the same
                _check_part(part, stored, folder, name in tables)
                places.setdefault(part.name, []).append((shared.get(name, name), part))
    known = {*places, *(name + SCALE for name in places)}
    unknown = [name for name in stored if name not in known and not name.startswith(ignored)]
    if unknown:
        raise CheckpointError(
            "a tensor belongs to no part of the model",
            value=f"{stored[unknown[0]].name} in {stored[unknown[0]].file}",
            hint="is config.json the right one?",
        )
    return places


def _check_part(part: Part, stored: dict[str, Stored], folder: Path, table: bool) -> None:
    name, shape = part.name, part.shape
    if name not in stored:
        raise CheckpointError("a tensor is missing", value=f"{name} in {folder}", allowed=f"shape {shape}")
    found = stored[name]
    where = f"{found.name} {found.kind} {found.shape} in {found.file}"
    if found.shape != shape:
        raise CheckpointError("a tensor has the wrong shape", value=where, allowed=f"{shape} by config.json")
    scales = stored.get(name + SCALE)
    if found.kind == "I8" and (scales is None or scales.shape != [*shape[:-1], shape[-1] // GROUP]):
        raise CheckpointError("an int8 tensor has no fitting scales", value=where, allowed=f"{name}{SCALE}, float16")
    if found.kind not in ("I8", *_FLOATS) and not (table and found.kind == "U8"):
        raise CheckpointError("a tensor has an unknown type", value=where, allowed=f"I8, {', '.join(_FLOATS)}")


def weights(stored: dict[str, Stored], model: Omni, dtype: torch.dtype, places: Places) -> dict[str, Tensor]:
    """Every parameter, filled one stored tensor at a time; routers keep float32."""
    import torch

    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    routers = {
        f"{name}.{part}" for name, module in model.named_modules() if hasattr(module, "top_k") for part in ("weight", "bias")
    }
    found: dict[str, Tensor] = {}
    for source, whole in _tensors(stored, places):
        for name, part in places[source]:
            tensor = whole[part.taken] if part.taken else whole
            tensor = tensor.t() if part.turned else tensor
            wanted = torch.float32 if name in routers else dtype
            if part.index:
                if name not in found:
                    found[name] = torch.empty(shapes[name], dtype=wanted)
                found[name][part.index] = tensor.to(wanted)
                continue
            tensor = tensor.to(wanted).contiguous().view(shapes[name])
            if name in found and not torch.equal(found[name], tensor):
                raise CheckpointError(
                    "two tensors differ that should be one", value=f"{source} and {name}", hint="is tie_word_embeddings right?"
                )
            found[name] = tensor
    return found


def _tensors(stored: dict[str, Stored], places: Places) -> Iterator[tuple[str, Tensor]]:
    """Every stored tensor that has a place, one at a time, finite and in floating point."""
    import torch

    for name in sorted((name for name in stored if name in places), key=lambda name: (stored[name].file, stored[name].begin)):
        entry = stored[name]
        tensor = read(entry)
        if entry.kind == "I8":
            tensor = dequantised(tensor, read(stored[name + SCALE]), torch.float32)
        if not finite(tensor):
            raise CheckpointError("a tensor holds values that are not finite", value=f"{entry.name} in {entry.file}")
        yield name, tensor


class Parameters:
    """The parameters of a folder's model, one at a time, as stored: for what is too large to be held whole.

    Attributes:
        model: The plain model, on the meta device.
    """

    def __init__(self, model: Omni, stored: dict[str, Stored], folder: Path, published: bool):
        self.model, self._stored = model, stored
        self._shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
        self._parts = foreign.parts if published else own_parts
        places_of(model, stored, folder, self._parts, foreign.EXTRA if published else ())

    def dtype(self, name: str) -> torch.dtype:
        """Of a parameter; int8 and bytes become bfloat16, and routers are float32."""
        import torch

        names = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16}  # I8 and U8 fit bfloat16
        first = next(iter(self._parts(name, self.shape(name), self.model.config)))
        return torch.float32 if ".gate." in name else names.get(self._stored[first.name].kind, torch.bfloat16)

    def shape(self, name: str) -> list[int]:
        return self._shapes[name]

    def read(self, name: str) -> Tensor:
        """A parameter, put together of the tensors that it is stored in.

        Raises:
            CheckpointError: a value is not finite.
        """
        pieces = {part.name: [(name, part)] for part in self._parts(name, self.shape(name), self.model.config)}
        used = {key: self._stored[key] for piece in pieces for key in (piece, piece + SCALE) if key in self._stored}
        return weights(used, self.model, self.dtype(name), pieces)[name]
