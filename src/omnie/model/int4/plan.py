"""Which matrices are in 4 bits, and how a folder says so: one rule for writing, loading and checking, and no list beside it.

In 4 bits: every linear map's matrix and every fused expert tensor. Not: norms, biases, routers (rounding their scores changes
which experts are chosen), maps of fewer than 16 inputs (their scales would cost more than is saved), and the embedding, which
is also the output head: `docs/decisions/0010-int4-weights.md` says why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from omnie.errors import CheckpointError
from omnie.model.experts import Experts
from omnie.model.int4.modules import Int4Experts, Int4Linear, _Int4
from omnie.ops.int4_linear import GROUPS, shapes

METHOD = "omnie_int4"
"""`quant_method` in `quantization_config` of `config.json`."""
LEAST_INPUTS = 16
HEAD = "lm_head"
"""The one linear map that shares its matrix, with the embedding."""
TYPES = {
    torch.uint8: "U8", torch.int8: "I8", torch.float64: "F64", torch.float32: "F32", torch.float16: "F16",
    torch.bfloat16: "BF16",
}  # fmt: skip
"""safetensors' names of the types."""

FLOATS = ("F64", "F32", "F16", "BF16")

Stored = dict[str, tuple[list[int], str]]
"""Tensor -> shape and type, as the files' headers say."""


def modules(model: nn.Module) -> dict[str, nn.Module]:
    """Name -> module, of those whose matrices are to be in 4 bits."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Experts)
        or (isinstance(module, nn.Linear) and module.in_features >= LEAST_INPUTS and name != HEAD)
    }


def targets(model: nn.Module) -> dict[str, list[int]]:
    """Name -> shape, [out, in] or [E, out, in], of the matrices of a plain model that are to be in 4 bits."""
    return {
        f"{name}.{own}": list(parameter.shape)
        for name, module in modules(model).items()
        for own, parameter in module.named_parameters(recurse=False)
        if parameter.dim() > 1
    }


def install(model: nn.Module, group: int) -> None:
    """Puts modules with packed, empty matrices into the places of the plain ones, on the same device."""
    for name, module in modules(model).items():
        new = Int4Experts(module, group) if isinstance(module, Experts) else Int4Linear(module, group)
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, new)


def matrices(model: nn.Module) -> dict[str, tuple[list[int], int]]:
    """Name -> shape and group size, of the matrices that a model holds packed."""
    holders = ((name, module) for name, module in model.named_modules() if isinstance(module, _Int4))
    return {f"{name}.{own}": (size, module.group) for name, module in holders for own, size in module.matrices.items()}


def parts(model: nn.Module) -> dict[str, tuple[str, list[int], str]]:
    """Packed part in a model's state -> the matrix that it belongs to, its shape, its type in safetensors' words."""
    return {
        f"{name}.{own}_{part}": (f"{name}.{own}", shape, TYPES[dtype])
        for name, module in model.named_modules()
        if isinstance(module, _Int4)
        for own, size in module.matrices.items()
        for part, (shape, dtype) in shapes(size, module.group).items()
    }


def is_tied(model: nn.Module) -> bool:
    """Whether the output head is the embedding."""
    return model.config.tie_word_embeddings


def check(model: nn.Module, stored: Stored, folder: Path, prefix: str = "") -> None:
    """Raises `CheckpointError` unless every matrix that is to be in 4 bits is stored so, and all else as floating point.

    Args:
        model: One in which `install` has been at work.
        stored: What the folder's files hold.
        prefix: Of the model's tensors in the files: `model.` for a body that is loaded from a whole model.
    """
    packed, head = {prefix + name: part for name, part in parts(model).items()}, f"{HEAD}.weight" if is_tied(model) else None
    expected = {prefix + name: list(tensor.shape) for name, tensor in model.state_dict().items() if name != head}
    for name, shape in expected.items():
        found = stored.get(name)
        if name in packed:
            _check_packed(name, *packed[name], found, stored, folder)
        elif found is None:
            raise CheckpointError("a tensor is missing", value=f"{name} in {folder}", allowed=f"shape {shape}")
        elif found[0] != shape or found[1] not in FLOATS:
            allowed = f"{'/'.join(FLOATS)} {shape}"
            raise CheckpointError("a tensor does not fit", value=f"{name} {found[1]} {found[0]} in {folder}", allowed=allowed)
    for name in sorted(stored.keys() - expected.keys()):
        if prefix and not name.startswith(prefix):  # the head, when a body is loaded
            continue
        raise CheckpointError("a tensor belongs to no part of the model", value=name, hint="is config.json the right one?")


def _check_packed(
    name: str, matrix: str, shape: list[int], kind: str, found: tuple[list[int], str] | None, stored: Stored, folder: Path
) -> None:
    if found == (shape, kind):
        return
    instead = found or stored.get(matrix)
    what = f"{name if found else matrix} {instead[1]} {instead[0]}" if instead else f"{name} is missing"
    allowed, hint = f"{name} {kind} {shape}", "write the folder again with omnie quantize"
    raise CheckpointError("a matrix is not in 4 bits", value=f"{what} in {folder}", allowed=allowed, hint=hint)


def config(group: int) -> dict[str, Any]:
    """What `quantization_config` says."""
    return {"quant_method": METHOD, "bits": 4, "group_size": group}


def read(path: Path) -> int | None:
    """The group size that a `config.json` states; None when its model is not in 4 bits.

    Raises:
        CheckpointError: the file asks for a quantisation that does not exist here.
    """
    try:
        found = json.loads(path.read_text("utf-8")).get("quantization_config")
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        raise CheckpointError("config.json cannot be read", value=path, hint=str(error)) from error
    if found is None:
        return None
    group = found.get("group_size") if isinstance(found, dict) else None
    if type(group) is not int or group not in GROUPS or found != config(group):
        sizes = ", ".join(map(str, GROUPS))
        allowed = f"{json.dumps(config(GROUPS[0]))}, group_size {sizes}"
        raise CheckpointError("quantization_config is not usable", value=f"{str(found)[:80]} in {path}", allowed=allowed)
    return group
