"""The meaning of the grouped product: one group after the other, in plain torch."""

import torch
from torch import Tensor
from torch.nn import functional as F


def grouped_linear(x_RI: Tensor, end_E: Tensor, weight_EOI: Tensor) -> Tensor:
    """See `omnie.ops.grouped_linear.grouped_linear`."""
    ends = end_E.tolist()
    parts = zip([0, *ends], ends, weight_EOI)
    return torch.cat([F.linear(x_RI[begin:end], weight_OI) for begin, end, weight_OI in parts])
