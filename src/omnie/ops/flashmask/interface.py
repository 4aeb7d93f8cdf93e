"""FlashMask with the call signature of Transformers' attention interface, and column masks from its mask functions.

Nothing of Transformers is imported here; `model/hub/attention.py` registers these two under the name "flashmask".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from omnie.errors import OptionError
from omnie.ops.attention import sdpa
from omnie.ops.flashmask import ColumnMask, dynamic, kinds
from omnie.ops.flashmask import attention as flashmask
from omnie.ops.levels import EXACT, Level

SMALL = 2**18
"""Scores of a batch whose sequences have masks of their own: up to so many, one dense call is faster than one a sequence."""
PROBES = 8
MaskFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(sequence, head, query, key), index tensors that broadcast -> bool, True where the query sees the key."""


def attention(
    module: nn.Module | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: ColumnMask | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    cu_seq_lens_q: Tensor | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """[B, T, N, H] from q [B, N, T, H] and k, v [B, G, S, H]; the weights are not formed.

    Args:
        attention_mask: None: causal (or nothing hidden, as `is_causal` or else the module says).
        cu_seq_lens_q: Without a mask: where sequences packed into one row end, after a leading 0.

    Raises:
        OptionError: the mask is a dense tensor, or dropout is asked for.
    """
    if dropout:
        raise OptionError("flashmask has no dropout", value=dropout, allowed="0", hint="set attention_dropout to 0")
    if attention_mask is not None and not isinstance(attention_mask, ColumnMask):
        raise OptionError(
            "flashmask takes no dense mask",
            value=f"{type(attention_mask).__name__}{tuple(getattr(attention_mask, 'shape', ()))}",
            allowed="an omnie.ops.flashmask.ColumnMask, or padding [B, S] given to the model",
        )
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if attention_mask is None and cu_seq_lens_q is not None:
        lengths = cu_seq_lens_q.diff().tolist()
        attention_mask = (kinds.causal_document if causal else kinds.document)(lengths, query.device)
    level = level_of(module, query)
    if level.name != "exact":
        mask = column_mask(attention_mask, query, key, causal)
        return dynamic.attention(query, key, value, mask, _scale(query, scaling), level)[0].transpose(1, 2), None
    if attention_mask is None and (not causal or query.shape[2] in (1, key.shape[2])):
        return sdpa(module, query, key, value, None, scaling=_scale(query, scaling), is_causal=causal)
    mask = column_mask(attention_mask, query, key, causal)
    assert mask is not None
    if query.device.type == "cpu" and mask.lts.shape[0] > 1 and query.shape[0] * query.shape[2] * key.shape[2] <= SMALL:
        seen = ~mask.hidden(0, mask.queries, 0, mask.keys)
        seen = seen if seen.shape[1] == 1 else seen.repeat_interleave(query.shape[1] // seen.shape[1], 1)
        return sdpa(module, query, key, value, seen, scaling=_scale(query, scaling))
    out = flashmask(query, key, value, mask, scaling=scaling)
    assert isinstance(out, Tensor)
    return out.transpose(1, 2), None


def column_mask(mask: ColumnMask | None, query: Tensor, key: Tensor, causal: bool) -> ColumnMask | None:
    """The mask that a call means: the one given, or that of new tokens after cached ones; None hides nothing."""
    queries, keys = query.shape[2], key.shape[2]
    if mask is not None or not causal or queries == 1:
        return mask
    return kinds.causal(keys, query.device).rows(keys - queries, keys)


def level_of(module: nn.Module | None, query: Tensor) -> Level:
    """What the module's config says; exact where there is a gradient to be computed."""
    if query.requires_grad:
        return EXACT
    return Level.parse(getattr(getattr(module, "config", None), "attention", EXACT.name))


def _scale(query: Tensor, scaling: float | None) -> float:
    return query.shape[-1] ** -0.5 if scaling is None else scaling


def mask_of(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: MaskFunction | None = None,
    attention_mask: Tensor | None = None,
    allow_is_causal_skip: bool = True,
    device: torch.device | str = "cpu",
    **_: Any,
) -> ColumnMask | None:
    """A column mask from Transformers' mask arguments (those of its `sdpa_mask`); None: plain causal.

    Each key's queries are found by bisection, O(N log N): in every mask that Transformers builds they are one unbroken stretch.

    Raises:
        OptionError: a probe shows that they are not.
    """
    padding = None
    if attention_mask is not None:
        padding = nn.functional.pad(attention_mask, (0, max(0, kv_length + kv_offset - attention_mask.shape[-1])))
        padding = padding[:, kv_offset : kv_offset + kv_length].bool()
        padding = None if bool(padding.all()) else padding
    plain = getattr(mask_function, "__name__", "") == "causal_mask_function" or mask_function is None
    aligned = int(q_offset) + q_length == kv_offset + kv_length
    if plain and aligned:
        skip = padding is None and allow_is_causal_skip
        mask = None if skip else kinds.causal(kv_length, device).rows(kv_length - q_length, kv_length)
    else:
        index = torch.arange(batch_size, device=device)[:, None], int(q_offset), q_length, kv_offset, kv_length
        mask = _bisected(mask_function or _causal, *index)
    return mask if padding is None or mask is None else mask.with_padding(padding.to(device))


def _causal(_: Tensor, __: Tensor, query: Tensor, key: Tensor) -> Tensor:
    return key <= query


def _bisected(see: MaskFunction, batch: Tensor, q_offset: int, rows: int, kv_offset: int, columns: int) -> ColumnMask:
    """Both ends of each key's stretch, searched from the key's own row, or from the first or last row where that is outside."""
    column = torch.arange(columns, device=batch.device)[None].expand(len(batch), -1)
    head = batch.new_zeros(())

    def seen(row: Tensor) -> Tensor:
        return see(batch, head, row + q_offset, column + kv_offset).expand(column.shape)

    own = (column + kv_offset - q_offset).clamp(0, rows - 1)
    blind = ~seen(own)
    start = _edge(seen, own, torch.full_like(own, -1))
    stop = _edge(seen, own, torch.full_like(own, rows)) + 1
    start, stop = start.masked_fill(blind, rows), stop.masked_fill(blind, rows)
    for probe in range(PROBES):
        row = (column * 7919 + probe * rows // PROBES) % rows
        if bool((seen(row) != ((row >= start) & (row < stop))).any()):
            raise OptionError("the mask is not made of intervals", allowed="one unbroken stretch of queries for each key")
    alike = batch.device.type == "cpu" and bool((start == start[:1]).all()) and bool((stop == stop[:1]).all())
    start, stop = ((x[:1] if alike else x)[:, None].int() for x in (start, stop))
    return ColumnMask(stop, torch.full_like(stop, rows), torch.zeros_like(start), start, rows)._tidy()


def _edge(seen: Callable[[Tensor], Tensor], inside: Tensor, outside: Tensor) -> Tensor:
    """The last row on the way from `inside`, which is seen, to `outside`, which is not."""
    for _ in range(int((inside - outside).abs().max()).bit_length()):
        middle = (inside + outside).div(2, rounding_mode="floor")
        middle = torch.where((inside - outside).abs() <= 1, inside, middle)
        good = seen(middle)
        inside, outside = torch.where(good, middle, inside), torch.where(good, outside, middle)
    return inside
