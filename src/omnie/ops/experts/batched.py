"""`experts` for many rows: rows are sorted by expert into tiles of equal height, then multiplied in batched products.

Layout: an expert with n rows gets ceil(n / R) tiles of R slots; tile g multiplies with a copy of its expert's weights. However
unevenly the router chooses, at most R - 1 slots an expert are empty; they carry weight zero. Every move between tokens and
slots is a gather, in both directions and in both passes, because a scattered add is several times slower than a gather on a
CPU: each token knows its K slots, so summing over them is an `embedding_bag`.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Tiles(NamedTuple):
    """Where each choice goes: `slot_TK` the slot of each choice; `token_S` the token in each slot (0 in empty ones);
    `expert_G` the expert of each tile; `height` slots per tile."""

    slot_TK: Tensor
    token_S: Tensor
    expert_G: Tensor
    height: int


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


class _WeightsToTiles(torch.autograd.Function):
    """w_EIO -> w_GIO, one copy per tile. Backward: each expert sums its tiles, which lie side by side."""

    @staticmethod
    def forward(ctx, w_EIO: Tensor, expert_G: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(expert_G)
        ctx.experts = len(w_EIO)
        return w_EIO.index_select(0, expert_G)

    @staticmethod
    def backward(ctx, grad_GIO: Tensor):  # type: ignore[override]
        (expert_G,) = ctx.saved_tensors
        begin_E = torch.searchsorted(expert_G, torch.arange(ctx.experts, device=expert_G.device))
        tile_G = torch.arange(len(expert_G), device=expert_G.device)
        sums = F.embedding_bag(tile_G, grad_GIO.reshape(len(expert_G), -1), begin_E, mode="sum")
        return sums.view(-1, *grad_GIO.shape[1:]), None


def tiles(index_TK: Tensor, experts: int) -> Tiles:
    """Sorts choices by expert. The height is about half of the mean load: few empty slots, few copies of weights."""
    tokens, chosen = index_TK.shape
    choice = index_TK.reshape(-1)
    height = min(128, max(16, 1 << max(0, (2 * len(choice) // (3 * experts)).bit_length() - 1)))
    load_E = torch.bincount(choice, minlength=experts)
    tiles_E = (load_E + height - 1) // height
    order = torch.argsort(choice, stable=True)
    # A choice's slot: where its expert's tiles begin, plus its rank among the expert's choices.
    shift_E = (tiles_E.cumsum(0) - tiles_E) * height - (load_E.cumsum(0) - load_E)
    slot_sorted = torch.arange(len(choice), device=choice.device) + shift_E.index_select(0, choice[order])
    expert_G = torch.repeat_interleave(torch.arange(experts, device=choice.device), tiles_E)
    slot = torch.empty_like(choice).scatter_(0, order, slot_sorted)
    token_S = choice.new_zeros(len(expert_G) * height).scatter_(0, slot_sorted, order // chosen)
    return Tiles(slot.view(tokens, chosen), token_S, expert_G, height)


def experts(x_TD: Tensor, index_TK: Tensor, weight_TK: Tensor, gate_up_EID: Tensor, down_EDI: Tensor) -> Tensor:
    """See `reference.experts`."""
    if not len(x_TD):
        return x_TD
    slot_TK, token_S, expert_G, height = tiles(index_TK, gate_up_EID.shape[0])
    weight_S = weight_TK.new_zeros(len(token_S)).index_put((slot_TK.reshape(-1),), weight_TK.reshape(-1))
    x_GRD = _TokensToSlots.apply(x_TD, token_S, slot_TK).view(len(expert_G), height, -1)
    # Two products rather than halves of one: elementwise work on a strided half runs at a fifth of the speed.
    halves = (_WeightsToTiles.apply(half, expert_G) for half in gate_up_EID.chunk(2, dim=1))
    gate, up = (torch.bmm(x_GRD, half.transpose(1, 2)) for half in halves)
    hidden_GRI = F.silu(gate) * (up * weight_S.view(-1, height, 1))
    y_GRD = torch.bmm(hidden_GRI, _WeightsToTiles.apply(down_EDI, expert_G).transpose(1, 2))
    return _SlotsToTokens.apply(y_GRD.flatten(0, 1), token_S, slot_TK)
