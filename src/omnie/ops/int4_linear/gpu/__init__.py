"""Products with 4-bit matrices on a GPU, by Triton kernels that read the matrices as they are stored.

`dense.py` and `routed.py` hold the kernels, both on top of `tile.py`; `launch.py` chooses tiles. Written for Hopper (sm_90);
without a GPU they run in Triton's interpreter (`TRITON_INTERPRET=1`). Here are the doors; this file does not import Triton.

float32, bfloat16 and float16; results are those of `reference` but for the order of sums, and rounded once where `reference`
rounds gate, up and each expert's share apart. Same input, same bits: nothing is added atomically. Nothing waits for the device.

Other types, inputs that take gradients, and tensors that are neither on a GPU nor interpreted get `reference`. So does
everything where Triton is not installed: a warning says so once.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from types import ModuleType

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from omnie.ops.int4_linear import reference
from omnie.ops.int4_linear.packing import Packed

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def linear(x: Tensor, weight: Packed, bias: Tensor | None = None) -> Tensor:
    """See `reference.linear`.

    Raises:
        ValueError: sizes do not agree.
    """
    if _takes_gradient(x, bias):
        return reference.linear(x, weight, bias)
    run = _linear if _is_plain(x) else _linear_op
    return run(x, *weight, bias)


def experts(x_TD: Tensor, index_TK: Tensor, weight_TK: Tensor, gate_up_EID: Packed, down_EDI: Packed) -> Tensor:
    """See `reference.experts`. On a GPU a token with an index that is not an expert's becomes not a number.

    Raises:
        IndexError: an index is not that of an expert, where that is known without waiting for a GPU.
        ValueError: sizes do not agree.
    """
    if _takes_gradient(x_TD, weight_TK):
        return reference.experts(x_TD, index_TK, weight_TK, gate_up_EID, down_EDI)
    run = _experts if _is_plain(x_TD) else _experts_op
    return run(x_TD, index_TK, weight_TK, *gate_up_EID, *down_EDI)


def _takes_gradient(*inputs: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)


def _is_plain(x: Tensor) -> bool:
    """Whether nothing watches the call: then torch's dispatcher, which takes longer than a small product, is left out."""
    plain = type(x) is Tensor and x.device.type != "meta"
    return plain and not torch.compiler.is_compiling() and not is_in_torch_dispatch_mode()


def _linear(x: Tensor, codes: Tensor, scale: Tensor, block: Tensor, inputs: int, group: int, bias: Tensor | None) -> Tensor:
    weight, outputs = Packed(codes, scale, block, inputs, group), scale.shape[-2]
    _agree(x.shape[-1] == inputs and (bias is None or bias.shape == (outputs,)), "inputs, matrix and bias")
    launch = _serves(x)
    if launch is None:
        return reference.linear(x, weight, bias)
    rows = x if x.dim() == 2 else x.reshape(-1, inputs)
    return launch.linear(rows, weight, bias).view(*x.shape[:-1], outputs)


def _experts(
    x_TD: Tensor,
    index_TK: Tensor,
    weight_TK: Tensor,
    gate_up_codes: Tensor,
    gate_up_scale: Tensor,
    gate_up_block: Tensor,
    gate_up_inputs: int,
    gate_up_group: int,
    down_codes: Tensor,
    down_scale: Tensor,
    down_block: Tensor,
    down_inputs: int,
    down_group: int,
) -> Tensor:
    gate_up = Packed(gate_up_codes, gate_up_scale, gate_up_block, gate_up_inputs, gate_up_group)
    down = Packed(down_codes, down_scale, down_block, down_inputs, down_group)
    _agree(index_TK.shape == weight_TK.shape and index_TK.shape[0] == len(x_TD), "tokens, choices and their weights")
    _agree(x_TD.shape[1] == gate_up_inputs == down_scale.shape[-2], "tokens and matrices")
    _agree(gate_up_scale.shape[-2] == 2 * down_inputs and len(gate_up_scale) == len(down_scale), "both matrices")
    if index_TK.device.type == "cpu" and bool(((index_TK < 0) | (index_TK >= len(down_scale))).any()):
        raise IndexError(f"no such expert: indices {int(index_TK.min())} to {int(index_TK.max())} of {len(down_scale)} experts")
    launch = _serves(x_TD)
    if launch is None:
        return reference.experts(x_TD, index_TK, weight_TK, gate_up, down)
    return launch.experts(x_TD, index_TK, weight_TK, gate_up, down)


_linear_op = torch.library.custom_op("omnie::int4_linear_gpu", _linear, mutates_args=())
_experts_op = torch.library.custom_op("omnie::int4_experts_gpu", _experts, mutates_args=())


@_linear_op.register_fake
def _(x, codes, scale, block, inputs, group, bias):
    return x.new_empty(*x.shape[:-1], scale.shape[-2])


@_experts_op.register_fake
def _(x_TD, index_TK, weight_TK, *rest):
    return torch.empty_like(x_TD, memory_format=torch.contiguous_format)


def _agree(right: bool, what: str) -> None:
    """The kernels trust what they are given, so sizes are compared before."""
    if not right:
        raise ValueError(f"sizes of {what} do not agree")


def _serves(x: Tensor) -> ModuleType | None:
    """`launch.py`, where its kernels can serve such inputs."""
    if x.dtype not in DTYPES:
        return None
    found = kernels()
    return found if found is not None and (x.device.type == "cuda" or found.INTERPRETED) else None


@functools.cache
def kernels() -> ModuleType | None:
    """`launch.py`; None without Triton, with a warning at the first call."""
    try:
        return importlib.import_module("omnie.ops.int4_linear.gpu.launch")
    except ImportError as error:
        warnings.warn(f"4-bit products run in plain torch, slowly: {error}", RuntimeWarning, stacklevel=2)
        return None
