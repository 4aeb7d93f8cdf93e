"""Products with 4-bit matrices on a processor, by C++ kernels (`native/`): the matrices are read as they are stored.

Activations are made int8, 32 inputs a scale (their largest magnitude / 127), and multiplied with the codes as whole numbers;
sums over such chunks are float32. Bound: an activation is at most 1/254 of its chunk's largest off, so that

    |y_o - exact y_o| <= sqrt(32) / 254 |w_o| |x| = 0.0223 |w_o| |x|

for any inputs; for normally distributed ones the relative RMS error of y is about 0.6 % (`experts`, which quantises twice:
about 1.2 %). With `activations="float"` nothing is quantised, and y is that of `reference` but for the order of its sums. A row
with an activation that is not finite becomes not a number; a chunk whose largest is below 2^-100 counts as zeros.

The processor decides at run time which kernels serve: those for AVX-512 with VNNI, else those for AVX2 (`choose`). float32 and
bfloat16 as they are; other types, devices and inputs that take gradients get `reference`. So does everything where there is no
library (no compiler at installation, or a processor without AVX2 and FMA): a warning says so once.
"""

from __future__ import annotations

import ctypes
import functools
import warnings
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from omnie.ops.int4_linear import reference
from omnie.ops.int4_linear.native import build
from omnie.ops.int4_linear.packing import Packed
from omnie.ops.levels import ACTIVATIONS

Activations = Literal["int8", "float"]
KERNELS = ("avx512-vnni", "avx2")
"""What the library has kernels for, best first."""
BOUND = 32**0.5 / 254
"""Of int8 activations: a product's largest error over |w_o| |x|."""


def linear(x: Tensor, weight: Packed, bias: Tensor | None = None, *, activations: Activations = "int8") -> Tensor:
    """See `reference.linear`.

    Args:
        activations: "int8" or "float"; see above.

    Raises:
        ValueError: sizes do not agree.
    """
    assert activations in ACTIVATIONS, f"activations {activations}"
    if _takes_gradient(x, bias):
        return reference.linear(x, weight, bias)
    run = _linear if _is_plain(x) else _linear_op
    return run(x, *weight, bias, activations == "int8")


def experts(
    x_TD: Tensor,
    index_TK: Tensor,
    weight_TK: Tensor,
    gate_up_EID: Packed,
    down_EDI: Packed,
    *,
    activations: Activations = "int8",
) -> Tensor:
    """See `reference.experts`.

    Args:
        activations: "int8" or "float"; see above.

    Raises:
        IndexError: an index is not that of an expert.
        ValueError: sizes do not agree.
    """
    assert activations in ACTIVATIONS, f"activations {activations}"
    if _takes_gradient(x_TD, weight_TK):
        return reference.experts(x_TD, index_TK, weight_TK, gate_up_EID, down_EDI)
    run = _experts if _is_plain(x_TD) else _experts_op
    return run(x_TD, index_TK, weight_TK, *gate_up_EID, *down_EDI, activations == "int8")


def choose(name: str = "") -> bool:
    """Takes other kernels than the best ones from now on, for tests and comparisons.

    Args:
        name: One of `KERNELS`, or "" for the best that this processor has.

    Returns:
        Whether this processor has them; else nothing has changed.
    """
    assert name in ("", *KERNELS), f"kernels {name}"
    found = library()
    return found is not None and bool(found.omnie_int4_choose(name.encode()))


def kernels() -> str | None:
    """Which kernels serve, or None where plain torch does."""
    found = library()
    return found.omnie_int4_kernels().decode() if found else None


def _takes_gradient(*inputs: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)


def _is_plain(x: Tensor) -> bool:
    """Whether nothing watches the call: then torch's dispatcher, which takes longer than a small product, is left out."""
    return (
        not torch.compiler.is_compiling() and type(x) is Tensor and x.device.type == "cpu" and not is_in_torch_dispatch_mode()
    )


def _linear(
    x: Tensor, codes: Tensor, scale: Tensor, block: Tensor, inputs: int, group: int, bias: Tensor | None, integer: bool
) -> Tensor:
    serving = _serves(x)
    if serving is None:
        return reference.linear(x, Packed(codes, scale, block, inputs, group), bias)
    *lead, width = x.shape
    outputs = scale.shape[-2]
    if width != inputs or (bias is not None and bias.shape != (outputs,)):
        raise _disagreement("inputs, matrix and bias")
    rows = x if len(lead) == 1 else x.reshape(-1, inputs)
    stride, step = rows.stride()
    if step != 1:
        rows, stride = rows.contiguous(), inputs
    y = torch.empty((*lead, outputs), dtype=x.dtype)
    bias = None if bias is None else bias.float().contiguous()
    outcome = serving.omnie_int4_linear(
        rows.data_ptr(),
        x.dtype == torch.bfloat16,
        rows.shape[0],
        stride,
        ctypes.byref(_matrix(codes, scale, block, inputs, group)),
        None if bias is None else bias.data_ptr(),
        y.data_ptr(),
        integer,
        torch.get_num_threads(),
    )
    if outcome:
        raise _error(outcome)
    return y


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
    integer: bool,
) -> Tensor:
    gate_up = Packed(gate_up_codes, gate_up_scale, gate_up_block, gate_up_inputs, gate_up_group)
    down = Packed(down_codes, down_scale, down_block, down_inputs, down_group)
    serving = _serves(x_TD)
    if serving is None:
        return reference.experts(x_TD, index_TK, weight_TK, gate_up, down)
    if index_TK.shape != weight_TK.shape or index_TK.shape[0] != len(x_TD):
        raise _disagreement("tokens, choices and their weights")
    if not x_TD.shape[1] == gate_up_inputs == down_scale.shape[-2]:
        raise _disagreement("tokens and matrices")
    if gate_up_scale.shape[-2] != 2 * down_inputs or len(gate_up_scale) != len(down_scale):
        raise _disagreement("both matrices")
    x, index, weight = x_TD.contiguous(), index_TK.long().contiguous(), weight_TK.float().contiguous()
    y_TD = torch.empty_like(x)
    outcome = serving.omnie_int4_experts(
        x.data_ptr(),
        x.dtype == torch.bfloat16,
        len(x),
        x.shape[1],
        index.shape[1],
        index.data_ptr(),
        weight.data_ptr(),
        len(gate_up_scale),
        ctypes.byref(_matrix(*gate_up)),
        ctypes.byref(_matrix(*down)),
        y_TD.data_ptr(),
        integer,
        torch.get_num_threads(),
    )
    if outcome:
        raise _error(outcome)
    return y_TD


_linear_op = torch.library.custom_op("omnie::int4_linear", _linear, mutates_args=())
_experts_op = torch.library.custom_op("omnie::int4_experts", _experts, mutates_args=())


@_linear_op.register_fake
def _(x, codes, scale, block, inputs, group, bias, integer):
    return x.new_empty(*x.shape[:-1], scale.shape[-2])


@_experts_op.register_fake
def _(x_TD, index_TK, weight_TK, *rest):
    return torch.empty_like(x_TD, memory_format=torch.contiguous_format)


class _Matrix(ctypes.Structure):
    """`Matrix` of `int4.cpp`. It holds addresses only: the tensors must outlive it."""

    _fields_ = [
        ("codes", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
        ("block", ctypes.c_void_p),
        ("outputs", ctypes.c_int64),
        ("inputs", ctypes.c_int64),
        ("group", ctypes.c_int64),
    ]


def _matrix(codes: Tensor, scale: Tensor, block: Tensor, inputs: int, group: int) -> _Matrix:
    assert codes.is_contiguous() and scale.is_contiguous() and block.is_contiguous(), "packed matrices have no gaps"
    return _Matrix(codes.data_ptr(), scale.data_ptr(), block.data_ptr(), scale.shape[-2], inputs, group)


def _disagreement(what: str) -> ValueError:
    """The kernels trust what they are given, so sizes are compared before."""
    return ValueError(f"sizes of {what} do not agree")


def _error(outcome: int) -> Exception:
    """What a function of the library returned when it could not do its work."""
    kinds = {1: (RuntimeError, "no kernels for this processor"), 2: (IndexError, "no such expert"), 3: (MemoryError, "")}
    kind, why = kinds[outcome]
    return kind(why)


def _serves(x: Tensor) -> ctypes.CDLL | None:
    """The library, where it can serve such inputs."""
    return library() if x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) else None


@functools.cache
def library() -> ctypes.CDLL | None:
    """The kernels; None where there are none, with a warning at the first call."""
    try:
        return _load()
    except OSError as error:
        warnings.warn(f"4-bit products run in plain torch, slowly: {error}", RuntimeWarning, stacklevel=2)
        return None


def _load() -> ctypes.CDLL:
    """Raises `OSError` where the library is missing, of another version, or not for this processor."""
    hint = f"with a C++ compiler, run: python {build.__file__}"
    if not build.LIBRARY.exists():
        raise OSError(f"they have not been compiled; {hint}")
    found = ctypes.CDLL(str(build.LIBRARY))
    version = found.omnie_int4_version() if hasattr(found, "omnie_int4_version") else None
    if version != build.VERSION:
        raise OSError(f"the compiled library is of version {version}, not {build.VERSION}; {hint}")
    found.omnie_int4_kernels.restype = ctypes.c_char_p
    found.omnie_int4_choose.argtypes = [ctypes.c_char_p]
    if found.omnie_int4_kernels() is None:
        raise OSError("this processor has no AVX2 and FMA")
    pointer, size, flag = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    rows: list[Any] = [pointer, flag, size, size]
    found.omnie_int4_linear.argtypes = [*rows, pointer, pointer, pointer, flag, flag]
    found.omnie_int4_experts.argtypes = [*rows, size, pointer, pointer, size, pointer, pointer, pointer, flag, flag]
    return found
