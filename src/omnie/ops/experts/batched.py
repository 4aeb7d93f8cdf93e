"""`experts` for many rows: a row for each choice, sorted by expert, and a grouped product for each matrix.

Every move between tokens and slots (a slot is a place among the sorted rows) is a gather, in both directions and in both
passes, because a scattered add is several times slower than a gather on a CPU: each token knows its K slots, so summing over
them is an `embedding_bag`. Nothing here waits for a GPU: no shape depends on what the router chose.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from omnie.ops.grouped_linear import grouped_linear


class Slots(NamedTuple):
    """Where each choice goes: `slot_TK` the slot of each choice; `choice_S` the choice in each slot, an index into the flattened
    [T, K]; `end_E` the slot behind each expert's last one."""

    slot_TK: Tensor
    choice_S: Tensor
    end_E: Tensor


class _TokensToSlots(torch.autograd.Function):
    """x_TD -> x_SD, one copy per slot. Backward: each token sums its K slots."""

    @staticmethod
    def forward(ctx, x_TD: Tensor, token_S: Tensor, slot_TK: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(slot_TK)
        return x_TD.index_select(0, token_S)

    @staticmethod
    def backward(ctx, grad_SD: Tensor):  # type: ignore[override]
        (slot_TK,) = ctx.saved_tensors
        return F.embedding_bag(slot_TK, grad_SD, mode="sum"), None, None


class _SlotsToTokens(torch.autograd.Function):
    """y_SD -> y_TD, the sum of each token's K slots. Backward: one copy per slot."""

    @staticmethod
    def forward(ctx, y_SD: Tensor, token_S: Tensor, slot_TK: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(token_S)
        return F.embedding_bag(slot_TK, y_SD, mode="sum")

    @staticmethod
    def backward(ctx, grad_TD: Tensor):  # type: ignore[override]
        (token_S,) = ctx.saved_tensors
        return grad_TD.contiguous().index_select(0, token_S), None, None


class _ChoicesToSlots(torch.autograd.Function):
    """w_TK -> w_S, the same numbers in the slots' order. Backward: back into the tokens' order."""

    @staticmethod
    def forward(ctx, w_TK: Tensor, choice_S: Tensor, slot_TK: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(slot_TK)
        return w_TK.reshape(-1).index_select(0, choice_S)

    @staticmethod
    def backward(ctx, grad_S: Tensor):  # type: ignore[override]
        (slot_TK,) = ctx.saved_tensors
        return grad_S.index_select(0, slot_TK.reshape(-1)).view_as(slot_TK), None, None


def slots(index_TK: Tensor, experts: int) -> Slots:
    """Sorts choices by expert."""
    expert_S, choice_S = index_TK.reshape(-1).sort(stable=True)
    # `bincount` would wait for a GPU.
    end_E = torch.searchsorted(expert_S, torch.arange(experts, device=expert_S.device), right=True)
    slot = torch.empty_like(choice_S).scatter_(0, choice_S, torch.arange(len(choice_S), device=choice_S.device))
    return Slots(slot.view_as(index_TK), choice_S, end_E)


def experts(x_TD: Tensor, index_TK: Tensor, weight_TK: Tensor, gate_up_EID: Tensor, down_EDI: Tensor) -> Tensor:
    """See `reference.experts`."""
    if not len(x_TD):
        return x_TD
    slot_TK, choice_S, end_E = slots(index_TK, gate_up_EID.shape[0])
    token_S = choice_S // index_TK.shape[1]
    weight_S = _ChoicesToSlots.apply(weight_TK, choice_S, slot_TK)
    x_SD = _TokensToSlots.apply(x_TD, token_S, slot_TK)
    # Halves that lie by themselves: elementwise work on a strided half runs at a fifth of the speed. Two products rather than
    # halves of one would read x twice, and write and add two gradients of it.
    gate_up_SI = grouped_linear(x_SD, end_E, gate_up_EID)
    gate, up = gate_up_SI.unflatten(1, (2, -1)).transpose(0, 1).contiguous().unbind()
    hidden_SI = F.silu(gate) * (up * weight_S[:, None])
    y_SD = grouped_linear(hidden_SI, end_E, down_EDI)
    return _SlotsToTokens.apply(y_SD, token_S, slot_TK)
