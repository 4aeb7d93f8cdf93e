"""The grouped product: rows sorted by group, each group with a matrix of its own; y_r = W_e x_r, e the group of row r.

One signature, several equal backends, both passes; `reference.py` is the meaning. What sorts rows by expert is not here but in
`ops/experts/`. `grouped_linear` checks its input and picks the backend; the files behind it trust what they get.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from omnie.errors import OptionError
from omnie.ops.grouped_linear import cpu, library, reference

__all__ = ["BACKENDS", "DTYPES", "grouped_linear"]

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def _gpu(x_RI: Tensor, end_E: Tensor, weight_EOI: Tensor) -> Tensor:
    try:
        from omnie.ops.grouped_linear import gpu  # Triton is there where a GPU is
    except ImportError as error:
        raise OptionError(
            "the GPU's kernels need Triton", value=error, allowed="cpu, reference", hint="pip install triton"
        ) from None
    return gpu.grouped_linear(x_RI, end_E, weight_EOI)


BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "reference": reference.grouped_linear,
    "cpu": cpu.grouped_linear,
    "gpu": _gpu,
    "torch": library.grouped_linear,
}


def grouped_linear(x_RI: Tensor, end_E: Tensor, weight_EOI: Tensor, *, backend: str | None = None) -> Tensor:
    """The product of each group's rows with the group's matrix; differentiable once, in x and weight.

    Args:
        x_RI: Rows sorted by group; float32, bfloat16, float16 or float64 (the last on a CPU alone).
        end_E: int32 or int64, the row behind each group's last one; an empty group ends where the one before does. The last end
            is the number of rows. The values are checked on a CPU; on a GPU that would mean to wait for it.
        weight_EOI: One matrix a group, of x's dtype.
        backend: "reference", "cpu", "gpu" or "torch"; the fastest that takes these when left out.

    Returns:
        [R, O] in x's dtype. Under autocast, as with torch's own products, x and weight are cast and so is the result.

    Raises:
        OptionError: shapes, dtypes, devices, ends or the backend do not fit.
    """
    device = x_RI.device.type
    if torch.is_autocast_enabled(device):
        x_RI, weight_EOI = (tensor.to(torch.get_autocast_dtype(device)) for tensor in (x_RI, weight_EOI))
    check(x_RI, end_E, weight_EOI)
    fits = library.fits(x_RI, weight_EOI)
    name = backend or ("cpu" if device != "cuda" else "torch" if fits else "gpu")
    if name not in BACKENDS:
        raise OptionError("unknown backend of the grouped product", value=name, allowed=", ".join(BACKENDS))
    if name == "torch" and not fits:
        value = f"{x_RI.dtype}, {tuple(weight_EOI.shape)}"
        raise OptionError("torch's grouped product does not take these", value=value, allowed="bfloat16, multiples of 8")
    return BACKENDS[name](x_RI, end_E, weight_EOI)


def check(x_RI: Tensor, end_E: Tensor, weight_EOI: Tensor) -> None:
    """Raises `OptionError` unless the three fit together."""
    shapes = [tuple(tensor.shape) for tensor in (x_RI, end_E, weight_EOI)]
    groups = weight_EOI.shape[:1]
    if (x_RI.ndim, weight_EOI.ndim) != (2, 3) or x_RI.shape[1] != weight_EOI.shape[2] or end_E.shape != groups or not groups[0]:
        raise OptionError(
            "shapes of rows, ends and weights do not fit", value=shapes, allowed="[R, I], [E] and [E, O, I], E > 0"
        )
    if x_RI.dtype != weight_EOI.dtype or x_RI.dtype not in DTYPES or end_E.dtype not in (torch.int32, torch.int64):
        raise OptionError(
            "dtypes of rows, ends and weights do not fit",
            value=f"{x_RI.dtype}, {end_E.dtype}, {weight_EOI.dtype}",
            allowed=f"rows and weights alike in {', '.join(map(str, DTYPES))}; ends in int32 or int64",
        )
    if len({tensor.device for tensor in (x_RI, end_E, weight_EOI)}) > 1:
        value = ", ".join(str(tensor.device) for tensor in (x_RI, end_E, weight_EOI))
        raise OptionError("rows, ends and weights are in different places", value=value, allowed="one device")
    if end_E.device.type == "cpu":
        ends = [0, *end_E.tolist()]
        if ends != sorted(ends) or ends[-1] != len(x_RI):
            raise OptionError("the groups' ends are not those of the rows", value=ends[1:], allowed=f"ascending to {len(x_RI)}")
