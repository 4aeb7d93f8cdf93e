"""The meaning of `experts`: one expert after the other, in plain torch."""

import torch
from torch import Tensor
from torch.nn import functional as F


def experts(x_TD: Tensor, index_TK: Tensor, weight_TK: Tensor, gate_up_EID: Tensor, down_EDI: Tensor) -> Tensor:
    """Weighted sum of the chosen experts' feed-forward outputs.

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
    for expert in range(gate_up_EID.shape[0]):
        token, choice = torch.where(index_TK == expert)
        gate, up = F.linear(x_TD[token], gate_up_EID[expert]).chunk(2, dim=-1)
        hidden = F.silu(gate) * up * weight_TK[token, choice, None]
        y_TD = y_TD.index_add(0, token, F.linear(hidden, down_EDI[expert]))
    return y_TD
