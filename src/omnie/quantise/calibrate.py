"""What the matrices of a model see: the sum of x x^T over the inputs of each, for rounding that knows them (`pack_for`).

The model runs as it is, in float32, so it must fit into memory, and the sums with it: this is for models of nano's size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.errors import OptionError
from omnie.model import int4
from omnie.model.experts import Experts
from omnie.model.int4.plan import modules as to_be_packed
from omnie.model.omni import Omni

MOST = 4 << 30
"""Bytes that the sums may take."""

Grams = dict[str, Tensor]
"""Matrix -> H, [in, in], or [E, in, in] of fused experts."""


@torch.inference_mode()
def grams(model: Omni, conversations: Iterable[Mapping[str, np.ndarray]], progress: Callable[[int], None]) -> Grams:
    """H of every matrix that is to be packed and has seen an input.

    Args:
        model: In float32.
        conversations: Arrays as `Encoder.encode` gives them; `labels` are ignored.
        progress: Called with the number of conversations that the model has read.

    Raises:
        OptionError: the sums would not fit into memory.
    """
    needed = sum(4 * math.prod(shape[:-2]) * shape[-1] ** 2 for shape in int4.targets(model).values())
    if needed > MOST:
        raise OptionError("the model is too large to calibrate", value=f"{needed:,} bytes of sums", allowed=f"{MOST:,}")
    sums: Grams = {}
    hooks = [module.register_forward_pre_hook(_watch(name, sums)) for name, module in to_be_packed(model).items()]
    try:
        for number, arrays in enumerate(conversations, 1):
            batch = {name: torch.from_numpy(value) for name, value in arrays.items() if name != "labels"}
            per_token = ("input_ids", "mm_token_type_ids", "position_ids")
            model(**{name: value[None] if name in per_token else value for name, value in batch.items()})
            progress(number)
    finally:
        for hook in hooks:
            hook.remove()
    return sums


def _watch(name: str, sums: Grams) -> Callable[[nn.Module, Any], None]:
    def linear(module: nn.Module, arguments: tuple[Tensor]) -> None:
        _add(sums, f"{name}.weight", arguments[0].flatten(0, -2))

    def experts(module: nn.Module, arguments: tuple[Tensor, Tensor, Tensor]) -> None:
        x_TD, index_TK, weight_TK = arguments
        for tensor in ("gate_up_proj", "down_proj"):
            size = getattr(module, tensor).shape
            sums.setdefault(f"{name}.{tensor}", torch.zeros(size[0], size[-1], size[-1]))
        for expert in index_TK.unique().tolist():
            token, choice = torch.where(index_TK == expert)
            x, weight = x_TD[token], weight_TK[token, choice, None]
            gate, up = F.linear(x, module.gate_up_proj[expert]).chunk(2, dim=-1)
            # Both weighed by the token's share, which is how far an error shows in the layer's output.
            for tensor, rows in (("gate_up_proj", x * weight), ("down_proj", F.silu(gate) * up * weight)):
                sums[f"{name}.{tensor}"][expert].addmm_(rows.T, rows)

    return lambda module, arguments: (experts if isinstance(module, Experts) else linear)(module, arguments)


def _add(sums: Grams, name: str, rows: Tensor) -> None:
    sums[name] = sums.get(name, torch.zeros(rows.shape[-1], rows.shape[-1])).addmm_(rows.T, rows)
