"""The keys and values of one sequence, in memory allocated once. Attention appends to it through `update`."""

import torch
from torch import Tensor


class KeyValueCache:
    """One layer after the other as two tensors [B, G, capacity, H], of which the first `length` positions are filled."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self._lengths: dict[int, int] = {}

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

    def _room(self, states: Tensor) -> Tensor:
        batch, heads, _, size = states.shape
        return torch.empty(batch, heads, self.capacity, size, dtype=states.dtype, device=states.device)
