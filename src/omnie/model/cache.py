"""The keys and values of one sequence, in memory allocated once, and the last tokens before its convolutions."""

import copy

import torch
from torch import Tensor
from torch.nn import functional as F


class KeyValueCache:
    """One layer after the other as two tensors [B, G, capacity, H], of which the first `length` positions are filled."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self._lengths: dict[int, int] = {}
        self._recent: dict[tuple[int, int], Tensor] = {}

    @property
    def length(self) -> int:
        """Tokens that every layer has seen."""
        return min(self._lengths.values(), default=0)

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int) -> tuple[Tensor, Tensor]:
        """Append [B, G, T, H] to a layer; gives all its keys and values so far, [B, G, S, H], as views."""
        if layer_idx not in self._layers:
            self._layers[layer_idx] = self._room(key_states), self._room(value_states)
        start = self._lengths.get(layer_idx, 0)
        end = self._lengths[layer_idx] = start + key_states.shape[2]
        assert end <= self.capacity, f"{end} tokens in a cache for {self.capacity}"
        keys, values = self._layers[layer_idx]
        keys[:, :, start:end] = key_states
        values[:, :, start:end] = value_states
        return keys[:, :, :end], values[:, :, :end]

    def update_conv_state(self, conv_states: Tensor, layer_idx: int, state_idx: int = 0, *, conv_kernel_size: int) -> Tensor:
        """Keep the last `conv_kernel_size` tokens of a layer's convolution; gives those kept before with the new ones,
        [B, D, S + T]."""
        place = layer_idx, state_idx
        if place in self._recent:
            conv_states = torch.cat([self._recent[place], conv_states], dim=-1)
        missing = max(conv_kernel_size - conv_states.shape[-1], 0)
        self._recent[place] = F.pad(conv_states, (missing, 0))[..., -conv_kernel_size:].clone()
        return conv_states

    def branch(self) -> "KeyValueCache":
        """One that goes on from here in the same memory: of several, each overwrites what those before it appended."""
        result = copy.copy(self)
        result._layers, result._lengths, result._recent = dict(self._layers), dict(self._lengths), dict(self._recent)
        return result

    def _room(self, states: Tensor) -> Tensor:
        batch, heads, _, size = states.shape
        return torch.empty(batch, heads, self.capacity, size, dtype=states.dtype, device=states.device)
