"""Builders of `ColumnMask`: the twelve kinds of the FlashMask paper (Wang et al. 2024, figure 1) and those of this model.

All are made from a few vectors of length N on the device that they are for; nothing depends on the lengths at compile time.
`lengths` are whole numbers that add up to N.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from omnie.errors import OptionError
from omnie.ops.flashmask.mask import ColumnMask

Device: TypeAlias = torch.device | str


def _build(n: int, device: Device, *, lts=None, lte=None, uts=0, ute=0) -> ColumnMask:
    """A square mask from numbers or vectors [N] or [B, N]; no lower interval when `lts` is left out."""
    given = [n if lts is None else lts, n if lte is None else lte, uts, ute]
    tensors = [torch.as_tensor(x, device=device, dtype=torch.int32).clamp(0, n) for x in given]
    shape = torch.broadcast_shapes((1, n), *(x.shape for x in tensors))
    lts, lte, uts, ute = (x.expand(shape)[:, None].contiguous() for x in tensors)
    return ColumnMask(lts, lte, uts, ute, n)


def _columns(n: int, device: Device) -> Tensor:
    if n < 1:
        raise OptionError("a mask without columns", value=n, allowed="1 or more")
    return torch.arange(n, device=device, dtype=torch.int32)


def _documents(lengths: Sequence[int], device: Device) -> tuple[Tensor, Tensor]:
    """First row and end of the document of each column."""
    if not lengths or min(lengths) < 1:
        raise OptionError("lengths of documents are not usable", value=list(lengths)[:8], allowed="whole numbers above 0")
    sizes = torch.tensor(lengths, device=device)
    ends = sizes.cumsum(0)
    total = sum(lengths)  # known here, so that repeating does not wait for the device
    start, end = (torch.repeat_interleave(x, sizes, output_size=total).int() for x in (ends - sizes, ends))
    return start, end


def runs(ids: Tensor) -> tuple[Tensor, Tensor]:
    """First column and end of the run of equal ids that each column of `ids` [B, N] belongs to, int32 [B, N]."""
    n = ids.shape[1]
    column = torch.arange(n, device=ids.device, dtype=torch.int32)
    change = ids[:, 1:] != ids[:, :-1]
    first = torch.cat([change.new_ones(len(ids), 1), change], 1)
    last = torch.cat([change, change.new_ones(len(ids), 1)], 1)
    start = torch.where(first, column, 0).cummax(1).values
    end = torch.where(last, column + 1, n).flip(1).cummin(1).values.flip(1)
    return start.int(), end.int()


# --- the twelve kinds ---


def full(n: int, device: Device = "cpu") -> ColumnMask:
    """Every query sees every key."""
    _columns(n, device)
    return _build(n, device)


def causal(n: int, device: Device = "cpu") -> ColumnMask:
    """A query sees itself and what stands before it."""
    return _build(n, device, ute=_columns(n, device))


def sliding_window(n: int, window: int, device: Device = "cpu") -> ColumnMask:
    """Causal, at most `window` keys a query, its own included."""
    column = _columns(n, device)
    return _build(n, device, lts=column + _positive("window", window), ute=column)


def causal_document(lengths: Sequence[int], device: Device = "cpu") -> ColumnMask:
    """Causal inside each document."""
    _, end = _documents(lengths, device)
    return _build(sum(lengths), device, lts=end, ute=_columns(sum(lengths), device))


def document(lengths: Sequence[int], device: Device = "cpu") -> ColumnMask:
    """Every query sees all of its own document."""
    start, end = _documents(lengths, device)
    return _build(sum(lengths), device, lts=end, ute=start)


def share_question(documents: Sequence[Sequence[int]], device: Device = "cpu") -> ColumnMask:
    """Causal documents of a question and answers to it: [question, answer, answer, ...]; answers do not see each other."""
    ends, lengths, row = [], [], 0
    for question, *answers in documents:
        lengths += [question, *answers]
        total, row = row + question + sum(answers), row + question
        ends.append(total)
        for answer in answers:
            row += answer
            ends.append(row)
    _documents(lengths, device)
    return _nested(lengths, ends, device)


def global_sliding(n: int, width: int, window: int, device: Device = "cpu") -> ColumnMask:
    """The first `width` tokens see and are seen by all; the others see `window` tokens to either side."""
    column, everywhere = _columns(n, device), _positive("width", width)
    lower = (column + _positive("window", window) + 1).masked_fill(column < everywhere, n)
    upper = (column - window).clamp_min(0)
    seen = (column < everywhere) | (upper <= everywhere)
    return _build(n, device, lts=lower, uts=torch.where(seen, 0, everywhere), ute=upper.masked_fill(seen, 0))


def causal_blockwise(lengths: Sequence[int], device: Device = "cpu") -> ColumnMask:
    """Causal inside each block, but the last block sees them all: demonstrations and a test case."""
    _, end = _documents(lengths, device)
    n = sum(lengths)
    return _build(n, device, lts=end, lte=(end * 0 + n - lengths[-1]).maximum(end), ute=_columns(n, device))


def prefix_document(documents: Sequence[tuple[int, int]], device: Device = "cpu") -> ColumnMask:
    """Documents of (prefix, rest): the prefix sees itself in both directions, the rest is causal."""
    start, end = _documents([prefix + rest for prefix, rest in documents], device)
    column = _columns(len(start), device)
    prefix = torch.tensor([prefix for prefix, _ in documents], device=device)
    sizes = torch.tensor([sum(pair) for pair in documents], device=device)
    inside = column - start < torch.repeat_interleave(prefix, sizes, output_size=len(start))
    return _build(len(start), device, lts=end, ute=torch.where(inside, start, column))


def prefix_causal(n: int, prefix: int, device: Device = "cpu") -> ColumnMask:
    """Causal, but the first `prefix` keys are seen by all."""
    column = _columns(n, device)
    return _build(n, device, ute=column.masked_fill(column < prefix, 0))


def qk_sparse(n: int, dropped: Sequence[tuple[int, int]], device: Device = "cpu") -> ColumnMask:
    """Causal, without the attention of the spans (start, length) to themselves: their rows see only what stands before."""
    column = _columns(n, device)
    lts, lte = torch.full_like(column, n), torch.full_like(column, n)
    for start, length in dropped:
        inside = (column >= start) & (column < start + length)
        lts, lte = torch.where(inside, column, lts), lte.masked_fill(inside, start + length)
    return _build(n, device, lts=lts, lte=lte, ute=column)._tidy()


def eviction(rows: Tensor) -> ColumnMask:
    """Causal; key j leaves the cache before row `rows[..., j]` ([N] or [B, N], each above its own column)."""
    n = rows.shape[-1]
    column = _columns(n, rows.device)
    if bool((rows <= column).any()):
        raise OptionError("a key is evicted before its own query", allowed="rows[j] > j")
    return _build(n, rows.device, lts=rows, ute=column)


# --- this model's own ---


def packed(segment_ids: Tensor) -> ColumnMask:
    """Packed training rows: causal inside each run of `segment_ids` [B, N]; id 0 is padding, unseen and blind."""
    n = segment_ids.shape[1]
    mask = _build(n, segment_ids.device, lts=runs(segment_ids)[1], ute=_columns(n, segment_ids.device))
    return mask.with_padding(segment_ids != 0)


def bidirectional(mask: ColumnMask, groups: Tensor) -> ColumnMask:
    """A causal mask in which runs of equal `groups` [B, N] >= 0 (the tokens of one picture) also see each other forwards."""
    start, end = (x[:, None] for x in runs(groups))
    inside = (groups >= 0)[:, None] & ~((mask.lts == 0) & (mask.lte == mask.queries))  # padding stays hidden
    ute = torch.where(inside & (mask.uts == 0), torch.minimum(mask.ute, start), mask.ute)
    lts = torch.where(inside, torch.maximum(mask.lts, end), mask.lts)
    bounds = torch.broadcast_tensors(lts, torch.maximum(mask.lte, lts), mask.uts, ute)
    return ColumnMask.of((bound.int().contiguous() for bound in bounds), mask.queries)


def video(n: int, frames: Tensor, window: int, keys: Tensor, device: Device = "cpu") -> ColumnMask:
    """Causal text around a clip. A frame sees itself in both directions, the `window` frames before it and all key frames.

    Args:
        frames: [N] number of each token's frame, counted from 0 over one unbroken clip; -1 elsewhere. Tokens after the clip see
            all of it.
        keys: bool [number of frames].
    """
    frames = frames.to(device)
    column = _columns(n, device)
    start, end = (x[0] for x in runs(frames[None]))
    inside, last = frames >= 0, torch.where(frames >= 0, column + 1, 0).amax()
    ends = torch.zeros(len(keys) + window + 1, dtype=torch.int32, device=device) + last
    ends[frames[inside].long()] = end[inside]
    far = torch.where(inside & ~keys.to(device)[frames.clamp_min(0).long()], ends[(frames.clamp_min(0) + window).long()], n)
    lte = torch.where(far < n, torch.maximum(last, far), n)
    return _build(n, device, lts=far, lte=lte, ute=torch.where(inside, start, column))


def tree(lengths: Sequence[int], parents: Sequence[int], device: Device = "cpu") -> ColumnMask:
    """Continuations that share prefixes: causal, and a segment sees its ancestors alone.

    Args:
        lengths: Tokens of each segment, in depth-first order.
        parents: Index of each segment's parent; -1 for a root.
    """
    if len(lengths) != len(parents) or any(not -1 <= parent < i for i, parent in enumerate(parents)):
        raise OptionError(
            "parents of segments are not usable", value=list(parents)[:8], allowed="-1, or an earlier segment's index"
        )
    ends = torch.tensor(lengths).cumsum(0).tolist()
    path: list[int] = []
    for i, parent in enumerate(parents):
        while path and path[-1] != parent:
            path.pop()
        if parent >= 0 and not path:
            raise OptionError(
                "segments are not in depth-first order", value=list(parents)[:8], allowed="children after their parent"
            )
        path.append(i)
    for i in reversed(range(len(parents))):
        if parents[i] >= 0:
            ends[parents[i]] = max(ends[parents[i]], ends[i])
    return _nested(lengths, ends, device)


def _nested(lengths: Sequence[int], ends: Sequence[int], device: Device) -> ColumnMask:
    """Causal segments, each seen until its own end row."""
    n, sizes = sum(lengths), torch.tensor(lengths, device=device)
    lower = torch.repeat_interleave(torch.tensor(ends, device=device), sizes, output_size=n)
    return _build(n, device, lts=lower, ute=_columns(n, device))


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise OptionError(f"{name} is not usable", value=value, allowed="1 or more")
    return value
