"""Both passes of the grouped product from the two products that a backend offers.

    Y = X W^T,   dX = dY W,   dW = dY^T X,   for each group by itself

The first two are one: rows times matrices of their group, with the matrices' axes exchanged.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Products(Protocol):
    """What a backend offers."""

    def rows(self, x_RI: Tensor, end_E: Tensor, weight_EIO: Tensor) -> Tensor:
        """x W of each group: [R, O]. The weights may be strided."""

    def weights(self, x_RI: Tensor, end_E: Tensor, y_RO: Tensor) -> Tensor:
        """y^T x of each group: [E, O, I]; 0 where a group has no rows."""


class GroupedLinear(torch.autograd.Function):
    """Computes only the gradients that are asked for."""

    @staticmethod
    def forward(ctx: Any, x_RI: Tensor, end_E: Tensor, weight_EOI: Tensor, products: Products) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x_RI, end_E, weight_EOI)
        ctx.products = products
        return products.rows(x_RI.contiguous(), end_E, weight_EOI.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_RO: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x_RI, end_E, weight_EOI = ctx.saved_tensors
        grad_RO = grad_RO.contiguous()
        x_wanted, _, weight_wanted, _ = ctx.needs_input_grad
        d_x = ctx.products.rows(grad_RO, end_E, weight_EOI) if x_wanted else None
        d_weight = ctx.products.weights(x_RI.contiguous(), end_E, grad_RO) if weight_wanted else None
        return d_x, None, d_weight, None
