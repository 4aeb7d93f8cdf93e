"""What stands in the place of a linear map or of a group's experts: the same call, with packed bytes instead of weights.

C++ kernels (`ops/int4_linear/cpu.py`) or, on a GPU, Triton's (`ops/int4_linear/gpu/`) read the packed bytes. On other devices,
without these kernels, and where inputs take gradients, weights are made floating point for one product and forgotten: a whole
matrix for a linear map, one expert after the other. They take no gradient; gradients pass through to the inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from omnie.ops.int4_linear import BACKENDS, PARTS, Activations, Packed, pack, shapes, unpack


class _Int4(nn.Module):
    """Holds packed matrices: each is three buffers, `N_codes`, `N_scale` and `N_block`."""

    def __init__(self, matrices: dict[str, list[int]], group: int, device: torch.device | str | None):
        super().__init__()
        self.group = group
        self.activations: Activations = "int8"
        """What the processor's kernels multiply with; "float": more exact, slower."""
        self.compute_dtype: torch.dtype | None = None
        """Type of the products; None: that of their inputs."""
        self.matrices = matrices
        for name, shape in matrices.items():
            for part, (size, dtype) in shapes(shape, group).items():
                self.register_buffer(f"{name}_{part}", torch.empty(size, dtype=dtype, device=device))

    def packed(self, name: str) -> Packed:
        codes, scale, block = (getattr(self, f"{name}_{part}") for part in PARTS)
        return Packed(codes, scale, block, self.matrices[name][-1], self.group)

    def product(self, kind: str, x: Tensor) -> Callable[..., Tensor]:
        """The backend's function for such inputs, which sees to gradients: "linear" or "experts"."""
        if x.device.type == "cpu":
            return functools.partial(getattr(BACKENDS["cpu"], kind), activations=self.activations)
        return getattr(BACKENDS["gpu" if x.device.type == "cuda" else "reference"], kind)

    def fill(self, name: str, weight: Tensor, **options: Any) -> None:
        """Packs a matrix; options as `pack` takes them."""
        for part, tensor in zip(PARTS, pack(weight.detach(), self.group, **options)):
            setattr(self, f"{name}_{part}", tensor)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _Int4:
        """What `Module.to`, `bfloat16` and the like call: packed parts follow to another device, but keep their types."""
        packed = {id(getattr(self, f"{name}_{part}")) for name in self.matrices for part in PARTS}

        def same_type(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return tensor.to(moved.device) if id(tensor) in packed and moved.dtype != tensor.dtype else moved

        return super()._apply(same_type, recurse)


def multiply_with(model: nn.Module, activations: Activations) -> bool:
    """Sets what a model's 4-bit matrices are multiplied with on a processor; whether it has such matrices."""
    packed = [module for module in model.modules() if isinstance(module, _Int4)]
    for module in packed:
        module.activations = activations
    return bool(packed)


class Int4Linear(_Int4):
    """`nn.Linear` with its matrix in 4 bits; a bias stays as it is."""

    def __init__(self, linear: nn.Linear, group: int):
        super().__init__({"weight": list(linear.weight.shape)}, group, linear.weight.device)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias

    @property
    def weight(self) -> Tensor:
        """The matrix, unpacked anew each time: [out, in] in the bias's dtype (float32 without one)."""
        return unpack(self.packed("weight"), torch.float32 if self.bias is None else self.bias.dtype)

    def forward(self, x: Tensor) -> Tensor:
        dtype = self.compute_dtype or x.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        return self.product("linear", x)(x.to(dtype), self.packed("weight"), bias).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}, 4 bits in groups of {self.group}, bias={self.bias is not None}"


class Int4Experts(_Int4):
    """`Experts` with both fused tensors in 4 bits."""

    def __init__(self, experts: nn.Module, group: int):
        names = ("gate_up_proj", "down_proj")
        matrices = {name: list(getattr(experts, name).shape) for name in names}
        super().__init__(matrices, group, experts.gate_up_proj.device)

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        gate_up, down = self.packed("gate_up_proj"), self.packed("down_proj")
        dtype = self.compute_dtype or hidden_states.dtype
        x, weights = hidden_states.to(dtype), top_k_weights.to(dtype)
        return self.product("experts", x)(x, top_k_index, weights, gate_up, down).to(hidden_states.dtype)

    def extra_repr(self) -> str:
        return f"{self.matrices}, 4 bits in groups of {self.group}"
