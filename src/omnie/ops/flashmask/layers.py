"""Dynamic attention of one request through all layers: it keeps the pages of each layer's keys, and counts what it left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from omnie.ops.flashmask import dynamic
from omnie.ops.flashmask.dynamic import Stats
from omnie.ops.flashmask.interface import column_mask
from omnie.ops.flashmask.mask import ColumnMask
from omnie.ops.flashmask.pages import KeyPages
from omnie.ops.levels import Level


@dataclass
class Layer:
    """One layer's pages, and its statistics of the prompt and of the answer's tokens."""

    pages: KeyPages = field(default_factory=KeyPages)
    prefill: Stats = field(default_factory=Stats)
    decode: Stats = field(default_factory=Stats)


class DynamicAttention:
    """Called like any function of the attention interface. Good for one growing cache: a new request needs a new one.

    Attributes:
        answering: Whether the prompt is over, so that what comes is the answer's even if several tokens come at once.
    """

    def __init__(self, level: Level):
        self.level, self.answering = level, False
        self.layers: dict[int, Layer] = {}

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: ColumnMask | None,
        *,
        scaling: float,
        is_causal: bool = True,
        **_: object,
    ) -> tuple[Tensor, None]:
        """See `interface.attention`."""
        layer = self.layers.setdefault(int(module.layer_idx), Layer())
        layer.pages.update(key)
        stats = layer.prefill if query.shape[2] > 1 and not self.answering else layer.decode
        mask = column_mask(attention_mask, query, key, is_causal)
        out, _lse = dynamic.attention(query, key, value, mask, scaling, self.level, pages=layer.pages, stats=stats)
        return out.transpose(1, 2), None

    def report(self) -> list[dict[str, Any]]:
        """Of each layer and phase: shares of tiles kept and of FLOPs saved, and the largest bound on a row's dropped mass."""
        rows = []
        for index, layer in sorted(self.layers.items()):
            for phase, stats in (("prefill", layer.prefill), ("decode", layer.decode)):
                if stats.tiles:
                    shares = {"kept_tiles": stats.kept_share, "saved_flops": stats.saved, "dropped_mass_bound": stats.worst}
                    rows.append({"layer": index, "phase": phase} | {name: round(x, 6) for name, x in shares.items()})
        return rows
