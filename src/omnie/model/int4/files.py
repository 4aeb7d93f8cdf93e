"""A model in 4 bits from its files. Packed tensors stay where the files are mapped into memory: loading copies none of them.

From files in floating point, each matrix is packed as it comes: memory holds one of them beside the packed model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from omnie.errors import CheckpointError
from omnie.model.experts import Router
from omnie.model.int4.plan import HEAD, TYPES, Stored, check, install, is_tied, parts, targets
from omnie.model.omni import Omni
from omnie.ops.int4_linear import PARTS, Rounding, pack


def load(model: Omni, group: int, files: list[Path], stored: Stored, dtype: torch.dtype) -> Omni:
    """Fills a plain model that stands on the meta device; its matrices get replaced by packed ones.

    Args:
        group: Group size, as `plan.read` gives it.
        files: The folder's weight files.
        stored: What their headers hold.
        dtype: Of what is not in 4 bits, except the routers, which keep float32.

    Raises:
        CheckpointError: something that is to be in 4 bits is not, or a tensor is missing, odd or not finite.
    """
    install(model, group)
    check(model, stored, files[0].parent)
    return _filled(model, dict(_tensors(model, files, dtype)))


def load_packing(
    model: Omni, group: int, rounding: Rounding, read: Callable[[str], Tensor], folder: Path, dtype: torch.dtype
) -> Omni:
    """Fills a plain model that stands on the meta device from a folder in floating point; matrices are packed on the way.

    Args:
        group, rounding: As `ops.int4_linear.pack` takes them.
        read: A parameter by its name, finite, as it is stored; asked for one at a time.
        folder: Where they come from, for errors.
        dtype: Of what is not in 4 bits, except the routers, which keep float32.

    Raises:
        CheckpointError: something that is to be in 4 bits is not.
    """
    names, matrices, routers = list(model.state_dict()), targets(model), _routers(model)
    state: dict[str, Tensor] = {}
    for name in names:
        if name in matrices:
            state |= {f"{name}_{part}": tensor for part, tensor in zip(PARTS, pack(read(name), group, rounding))}
        elif name != f"{HEAD}.weight" or not is_tied(model):
            state[name] = read(name).to(torch.float32 if name.startswith(routers) else dtype)
    install(model, group)
    check(model, {name: (list(tensor.shape), TYPES[tensor.dtype]) for name, tensor in state.items()}, folder)
    return _filled(model, state)


def _filled(model: Omni, state: dict[str, Tensor]) -> Omni:
    """The model with these tensors, which are not copied."""
    shared = is_tied(model)
    if shared:
        state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]
    model.load_state_dict(state, assign=True)
    if shared:
        model.lm_head.weight = model.model.language_model.embed_tokens.weight  # `assign` makes two parameters of one tensor
    return model.eval()


def _routers(model: Omni) -> tuple[str, ...]:
    """How the names of routers' tensors begin."""
    return tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, Router))


def _tensors(model: Omni, files: list[Path], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    packed, routers = parts(model), _routers(model)
    for file in files:
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (not a dict)
                tensor = opened.get_tensor(name)
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    raise CheckpointError("a tensor holds values that are not finite", value=f"{name} in {file}")
                wanted = tensor.dtype if name in packed else torch.float32 if name.startswith(routers) else dtype
                yield name, tensor.to(wanted)
