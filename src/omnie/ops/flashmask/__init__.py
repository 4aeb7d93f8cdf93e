"""Attention under column masks (FlashMask): one signature, several equal backends; `reference.py` is the meaning.

`attention` here checks its input and picks the backend; the files behind it trust what they get.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from omnie.errors import OptionError
from omnie.ops.flashmask import cpu, reference
from omnie.ops.flashmask.mask import ColumnMask

__all__ = ["BACKENDS", "ColumnMask", "attention"]

Backend = Callable[[Tensor, Tensor, Tensor, ColumnMask | None, float], tuple[Tensor, Tensor]]
LARGEST_HEAD = 256
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def kernels(module: str = "") -> ModuleType:
    """A module of the GPU's kernels.

    Raises:
        OptionError: Triton is not installed.
    """
    try:
        return importlib.import_module(f"omnie.ops.flashmask.gpu{module}")
    except ImportError as error:
        raise OptionError(
            "the GPU's kernels need Triton", value=error, allowed="cpu, reference", hint="pip install triton"
        ) from None


def _gpu(q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask | None, scaling: float) -> tuple[Tensor, Tensor]:
    return kernels().attention(q, k, v, mask, scaling)


BACKENDS: dict[str, Backend] = {"reference": reference.attention, "cpu": cpu.attention, "gpu": _gpu}


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: ColumnMask | None = None,
    *,
    scaling: float | None = None,
    backend: str | None = None,
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """softmax(q k^T scaling) v over the keys that `mask` does not hide; see `reference.attention`.

    Args:
        q: [B, N, T, H], float32, bfloat16, float16 or float64, H at most 256.
        k, v: [B, G, S, H] of the same dtype and device; N is a multiple of G.
        mask: Its rows are the T queries, its columns the S keys; None hides nothing.
        scaling: Factor on the scores; 1 / sqrt(H) when left out.
        backend: "reference", "cpu" or "gpu"; by q's device when left out.
        return_lse: Also the log-sum-exp [B, N, T] of each row's scores (no gradient flows through it).

    Raises:
        OptionError: shapes, dtypes, devices or the backend do not fit.
    """
    check(q, k, v, mask)
    name = backend or ("gpu" if q.device.type == "cuda" else "cpu")
    if name not in BACKENDS:
        raise OptionError("unknown attention backend", value=name, allowed=", ".join(BACKENDS))
    out, lse = BACKENDS[name](q, k, v, mask, q.shape[-1] ** -0.5 if scaling is None else scaling)
    return (out, lse) if return_lse else out


def check(q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask | None) -> None:
    """Raises `OptionError` unless the four fit together."""
    shapes = [tuple(x.shape) for x in (q, k, v)]
    if any(x.ndim != 4 for x in (q, k, v)) or k.shape != v.shape or q.shape[::3] != k.shape[::3] or q.shape[1] % k.shape[1]:
        raise OptionError(
            "shapes of q, k and v do not fit", value=shapes, allowed="[B, N, T, H] and twice [B, G, S, H], N / G whole"
        )
    if len({(x.dtype, x.device) for x in (q, k, v)}) > 1 or q.dtype not in DTYPES:
        given = ", ".join(f"{x.dtype} on {x.device}" for x in (q, k, v))
        raise OptionError("q, k and v differ, or their dtype is not computed", value=given, allowed=", ".join(map(str, DTYPES)))
    if not 1 <= q.shape[3] <= LARGEST_HEAD or not k.shape[2] or not q.shape[2]:
        raise OptionError(
            "head size or length is not computed", value=shapes, allowed=f"heads of 1 to {LARGEST_HEAD}, no length 0"
        )
    if mask is not None:
        _check_mask(mask, q, k)


def _check_mask(mask: ColumnMask, q: Tensor, k: Tensor) -> None:
    sizes = (mask.queries, mask.keys)
    batch, heads = mask.lts.shape[:2]
    if sizes != (q.shape[2], k.shape[2]) or batch not in (1, q.shape[0]) or heads not in (1, k.shape[1]):
        raise OptionError(
            "the mask does not fit q and k",
            value=f"{batch} x {heads} masks of {sizes[0]} queries and {sizes[1]} keys",
            allowed=f"1 or {q.shape[0]} x 1 or {k.shape[1]} masks of {q.shape[2]} and {k.shape[2]}",
        )
    if mask.device != q.device:
        raise OptionError("the mask is elsewhere", value=mask.device, allowed=str(q.device), hint="mask.to(q.device)")
