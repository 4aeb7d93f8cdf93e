"""`experts` for few rows: reads only the chosen experts' weights. Memory grows with rows, so it serves decode, not training."""

import torch
from torch import Tensor
from torch.nn import functional as F


def experts(x_TD: Tensor, index_TK: Tensor, weight_TK: Tensor, gate_up_EID: Tensor, down_EDI: Tensor) -> Tensor:
    """See `reference.experts`."""
    tokens, chosen = index_TK.shape
    index = index_TK.reshape(-1)
    x_RD1 = x_TD.repeat_interleave(chosen, dim=0).unsqueeze(-1)
    gate, up = torch.bmm(gate_up_EID.index_select(0, index), x_RD1).chunk(2, dim=1)
    hidden_RI1 = F.silu(gate) * up * weight_TK.reshape(-1, 1, 1)
    y_RD1 = torch.bmm(down_EDI.index_select(0, index), hidden_RI1)
    return y_RD1.view(tokens, chosen, x_TD.shape[1]).sum(dim=1)
