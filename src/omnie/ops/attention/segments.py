"""Attention inside each of many sequences that lie one after the other: no padding between them, no T x T mask.

Sequences of like length are gathered into one dense call, so the cost is the sum of squared lengths, not the square of the row.
Causal sequences may share a call when they round up to the same multiple of `ROUND`: what follows a sequence's end is never
attended to by what stands before it. Without causality only equal lengths share.

On a GPU FlashAttention's kernels for sequences of any lengths (Dao 2023, arXiv 2307.08691) take all of them in one call, in 16
bits; with 32 the calls are those of a CPU.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.ops.attention import cpu

ROUND = 32


class _Gather(torch.autograd.Function):
    """Tokens to slots. Backward: each token reads its slot, which is a gather too; a scattered add would be far slower."""

    @staticmethod
    def forward(ctx, x: Tensor, token_S: Tensor, slot_T: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(slot_T)
        return x.index_select(0, token_S)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        (slot_T,) = ctx.saved_tensors
        return grad.index_select(0, slot_T), None, None


class _Return(torch.autograd.Function):
    """Slots to tokens. Backward: empty slots get zero, or their queries would send gradient to real keys."""

    @staticmethod
    def forward(ctx, y: Tensor, slot_T: Tensor, token_S: Tensor, empty_S: Tensor | None) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(token_S, empty_S)
        return y.index_select(0, slot_T)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        token_S, empty_S = ctx.saved_tensors
        grad = grad.contiguous().index_select(0, token_S)
        return (grad if empty_S is None else grad.masked_fill_(empty_S[:, None], 0.0)), None, None, None


class _Slots(NamedTuple):
    """`shapes`: rows and width of each dense call; the token in each slot, the slot of each token, and which slots are empty
    (None: none is)."""

    shapes: list[tuple[int, int]]
    token_S: Tensor
    slot_T: Tensor
    empty_S: Tensor | None


class SegmentAttention:
    """Attention over sequences of the given lengths; called like any function of the attention interface."""

    def __init__(self, lengths: list[int], *, causal: bool, device: torch.device):
        self.causal, self.lengths, self.device = causal, lengths, device

    @functools.cached_property
    def _whole(self) -> tuple[Tensor, int]:
        """Where the sequences begin and end, int32 [sequences + 1], and the longest one's length."""
        return torch.tensor([0, *self.lengths]).cumsum(0).int().to(self.device), max(self.lengths, default=0)

    @functools.cached_property
    def _slots(self) -> _Slots:
        lengths, causal, device = self.lengths, self.causal, self.device
        widths = [-(-n // ROUND) * ROUND if causal else n for n in lengths]
        starts = torch.tensor([0, *lengths[:-1]]).cumsum(0)
        shapes: list[tuple[int, int]] = []
        tokens, empties = [], []
        for width in sorted(set(widths)):
            chosen = [i for i, w in enumerate(widths) if w == width]
            place = torch.arange(width)
            empty = place >= torch.tensor([lengths[i] for i in chosen])[:, None]
            tokens.append((starts[chosen][:, None] + place).masked_fill(empty, 0).reshape(-1))
            empties.append(empty.reshape(-1))
            shapes.append((len(chosen), width))
        token_S, empty_S = torch.cat(tokens), torch.cat(empties)
        slot_T = torch.empty(sum(lengths), dtype=torch.long)
        slot_T[token_S[~empty_S]] = (~empty_S).nonzero().squeeze(-1)
        return _Slots(shapes, token_S.to(device), slot_T.to(device), empty_S.to(device) if bool(empty_S.any()) else None)

    @classmethod
    def of(cls, segment_ids_BT: Tensor) -> SegmentAttention:
        """Causal attention of packed rows; padding (0) counts as a sequence of its own."""
        flat = segment_ids_BT + segment_ids_BT.new_tensor(range(len(segment_ids_BT)))[:, None] * (segment_ids_BT.max() + 1)
        lengths = torch.unique_consecutive(flat, return_counts=True)[1].tolist()
        return cls(lengths, causal=True, device=segment_ids_BT.device)

    def __call__(
        self,
        module: nn.Module | None,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *,
        scaling: float,
        **_: object,
    ) -> tuple[Tensor, None]:
        """See `reference.attention`; the mask is the segments, so `attention_mask` must be None."""
        assert attention_mask is None, "segments are the mask"
        batch, _, tokens, _ = query.shape
        q, k, v = (x.transpose(1, 2).flatten(0, 1) for x in (query, key, value))
        return self.attend(q, k, v, scaling).view(batch, tokens, *q.shape[1:]), None

    def attend(self, q_TNH: Tensor, k_TGH: Tensor, v_TGH: Tensor, scaling: float | None = None) -> Tensor:
        """[T, N, H] from [T, N, H] and [T, G, H], all sequences one after the other."""
        if q_TNH.is_cuda and q_TNH.dtype.itemsize == 2:
            return self._attend_whole(q_TNH, k_TGH, v_TGH, scaling)
        repeat = q_TNH.shape[1] // k_TGH.shape[1]
        shapes, token_S, slot_T, empty_S = self._slots
        sizes = [rows * width for rows, width in shapes]
        q, k, v = (_Gather.apply(x.flatten(1), token_S, slot_T).split(sizes) for x in (q_TNH, k_TGH, v_TGH))
        attend = cpu.attention if cpu.suits(q_TNH) else _fused
        outputs = []
        for i, (rows, width) in enumerate(shapes):
            heads = [x[i].view(rows, width, -1, q_TNH.shape[2]).transpose(1, 2) for x in (q, k, v)]
            heads[1:] = [x.repeat_interleave(repeat, dim=1) if repeat > 1 else x for x in heads[1:]]
            y = attend(*heads, causal=self.causal, scaling=scaling)
            outputs.append(y.transpose(1, 2).reshape(rows * width, -1))
        return _Return.apply(torch.cat(outputs), slot_T, token_S, empty_S).view(q_TNH.shape)

    def _attend_whole(self, q_TNH: Tensor, k_TGH: Tensor, v_TGH: Tensor, scaling: float | None) -> Tensor:
        from torch.nn.attention.varlen import varlen_attn

        repeat = q_TNH.shape[1] // k_TGH.shape[1]
        k, v = (x.repeat_interleave(repeat, dim=1) if repeat > 1 else x for x in (k_TGH, v_TGH))
        window = (-1, 0) if self.causal else (-1, -1)
        ends, longest = self._whole
        qkv = (q_TNH.contiguous(), k.contiguous(), v.contiguous())
        found = varlen_attn(*qkv, ends, ends, longest, longest, scale=scaling, window_size=window)
        assert isinstance(found, Tensor)
        return found


def _fused(q: Tensor, k: Tensor, v: Tensor, *, causal: bool, scaling: float | None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scaling)
