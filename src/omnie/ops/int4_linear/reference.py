"""The meaning of products with 4-bit matrices: make them floating point, one matrix or one expert at a time, and multiply."""

import torch
from torch import Tensor
from torch.nn import functional as F

from omnie.ops.int4_linear.packing import Packed, unpack


def linear(x: Tensor, weight: Packed, bias: Tensor | None = None) -> Tensor:
    """x W^T + b.

    Args:
        x: [..., in], any number of rows.
        weight: [out, in].
        bias: [out], in x's dtype.

    Returns:
        [..., out] in x's dtype.
    """
    return F.linear(x, unpack(weight, x.dtype), bias)


def experts(x_TD: Tensor, index_TK: Tensor, weight_TK: Tensor, gate_up_EID: Packed, down_EDI: Packed) -> Tensor:
    """`omnie.ops.experts.reference` with packed weights; an expert that no token chose is not unpacked.

    Args:
        x_TD: Tokens.
        index_TK: int64, the experts chosen for each token (no expert twice for one token).
        weight_TK: The weight of each choice, in x's dtype.
        gate_up_EID: First matrices; the first half of axis I is the gate, the second half the up projection.
        down_EDI: Second matrices.

    Returns:
        [T, D] in x's dtype.
    """
    y_TD = torch.zeros_like(x_TD)
    for expert in index_TK.unique().tolist():
        token, choice = torch.where(index_TK == expert)
        gate, up = linear(x_TD.index_select(0, token), gate_up_EID.expert(expert)).chunk(2, dim=-1)
        hidden = F.silu(gate) * up * weight_TK[token, choice, None]
        y_TD.index_add_(0, token, linear(hidden, down_EDI.expert(expert)))
    return y_TD
