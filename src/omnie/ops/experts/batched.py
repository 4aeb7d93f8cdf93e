"""`experts` for many rows: a row for each choice, sorted by expert, and a grouped product for each matrix.

Every move between tokens and slots (a slot is a place among the sorted rows) is a gather, in both directions and in both
passes, because a scattered add is several times slower than a gather on a CPU: each token knows its K slots, so summing over
them is an `embedding_bag`. Where the CPU's product likes an expert's rows in multiples (`grouped_linear.cpu.multiple`), there
are empty slots behind them; they carry weight zero. On a GPU there are none, so that no shape depends on what the router chose,
and nothing here waits for the device.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from omnie.ops.grouped_linear import cpu, grouped_linear


class Slots(NamedTuple):
    """Where each choice goes: `slot_TK` the slot of each choice; `token_S` the token in each slot (0 in empty ones); `end_E`
    the slot behind each expert's last one."""

    slot_TK: Tensor
    token_S: Tensor
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
    """y_SD -> y_TD, the sum of each token's K slots. Backward: one copy per slot (an unused slot's weight is zero)."""

    @staticmethod
    def forward(ctx, y_SD: Tensor, token_S: Tensor, slot_TK: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(token_S)
        return F.embedding_bag(slot_TK, y_SD, mode="sum")

    @staticmethod
    def backward(ctx, grad_TD: Tensor):  # type: ignore[override]
        (token_S,) = ctx.saved_tensors
        return grad_TD.contiguous().index_select(0, token_S), None, None


class _ChoicesToSlots(torch.autograd.Function):
    """w_TK -> w_S, 0 in empty slots. Backward: a gather."""

    @staticmethod
    def forward(ctx, w_TK: Tensor, slot_TK: Tensor, slots: int) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(slot_TK)
        return w_TK.new_zeros(slots).scatter_(0, slot_TK.flatten(), w_TK.flatten())

    @staticmethod
    def backward(ctx, grad_S: Tensor):  # type: ignore[override]
        (slot_TK,) = ctx.saved_tensors
        return grad_S.index_select(0, slot_TK.flatten()).view_as(slot_TK), None, None


def slots(index_TK: Tensor, experts: int, multiple: int = 1) -> Slots:
    """Sorts choices by expert.

    Args:
        multiple: Each expert gets a multiple of so many slots, the last one more, so that all in all they are a multiple of 16
            times that: oneDNN compiles a kernel for every number that it has not seen.
    """
    device, chosen = index_TK.device, index_TK.shape[1]
    expert_S, choice_S = index_TK.flatten().sort(stable=True)
    # `bincount` would wait for a GPU.
    end_E = torch.searchsorted(expert_S, torch.arange(experts, device=device), right=True)
    slot_S, token_S = torch.arange(len(choice_S), device=device), choice_S // chosen
    if multiple > 1:
        count_E, full_E = end_E.diff(prepend=end_E.new_zeros(1)), end_E
        room_E = (count_E + multiple - 1) // multiple * multiple
        room_E[-1] += -room_E.sum() % (16 * multiple)
        end_E = room_E.cumsum(0)
        slot_S = slot_S + ((end_E - room_E) - (full_E - count_E)).index_select(0, expert_S)
        token_S = choice_S.new_zeros(int(end_E[-1])).scatter_(0, slot_S, token_S)
    slot = torch.empty_like(choice_S).scatter_(0, choice_S, slot_S)
    return Slots(slot.view_as(index_TK), token_S, end_E)


def _multiple(index_TK: Tensor, gate_up_EID: Tensor) -> int:
    experts, outputs, inputs = gate_up_EID.shape
    return cpu.multiple(index_TK.numel(), experts, outputs * inputs, gate_up_EID.dtype) if not gate_up_EID.is_cuda else 1


def experts(x_TD: Tensor, index_TK: Tensor, weight_TK: Tensor, gate_up_EID: Tensor, down_EDI: Tensor) -> Tensor:
    """See `reference.experts`."""
    if not len(x_TD):
        return x_TD
    slot_TK, token_S, end_E = slots(index_TK, len(gate_up_EID), _multiple(index_TK, gate_up_EID))
    weight_S = _ChoicesToSlots.apply(weight_TK, slot_TK, len(token_S))
    x_SD = _TokensToSlots.apply(x_TD, token_S, slot_TK)
    # Halves that lie by themselves: elementwise work on a strided half runs at a fifth of the speed. Two products rather than
    # halves of one would read x twice, and write and add two gradients of it.
    gate_up_SI = grouped_linear(x_SD, end_E, gate_up_EID)
    gate, up = gate_up_SI.unflatten(1, (2, -1)).transpose(0, 1).contiguous().unbind()
    hidden_SI = F.silu(gate) * (up * weight_S[:, None])
    y_SD = grouped_linear(hidden_SI, end_E, down_EDI)
    return _SlotsToTokens.apply(y_SD, token_S, slot_TK)
