"""A model in 4 bits from its files. Packed tensors stay where the files are mapped into memory: loading copies none of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from omnie.errors import CheckpointError
from omnie.model.experts import Router
from omnie.model.int4.plan import Stored, check, install, is_tied, parts
from omnie.model.omni import Omni


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
    shared = is_tied(model)
    state = dict(_tensors(model, files, dtype))
    if shared:
        state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]
    model.load_state_dict(state, assign=True)
    if shared:
        model.lm_head.weight = model.model.language_model.embed_tokens.weight  # `assign` makes two parameters of one tensor
    return model.eval()


def _tensors(model: Omni, files: list[Path], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    packed = parts(model)
    routers = {f"{name}." for name, module in model.named_modules() if isinstance(module, Router)}
    for file in files:
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (not a dict)
                tensor = opened.get_tensor(name)
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    raise CheckpointError("a tensor holds values that are not finite", value=f"{name} in {file}")
                in_float32 = any(name.startswith(router) for router in routers)
                wanted = tensor.dtype if name in packed else torch.float32 if in_float32 else dtype
                yield name, tensor.to(wanted)
