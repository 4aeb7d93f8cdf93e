"""Which tiles of a mask are empty, full or mixed: from the smallest and largest bounds of each block of columns.

A tile is the rows [first, last) and one block of columns. It is empty when one of the two intervals of every column covers all
its rows, and full when no interval of any column touches them. Both are decided from four minima and four maxima a block, so a
row of tiles costs O(S / width); a tile that is wrongly called mixed costs time, never the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnie.ops.flashmask.mask import ColumnMask

Run = tuple[int, int]


@dataclass(frozen=True, eq=False)
class TileBounds:
    """Bounds of one sequence's and one head's mask by blocks of columns.

    Attributes:
        least, most: int32 [4, C], minima and maxima of LTS, LTE, UTS, UTE over each block.
        width: Columns a block; the last one may be shorter.
        queries, keys: T and S.
    """

    least: np.ndarray
    most: np.ndarray
    width: int
    queries: int
    keys: int

    @classmethod
    def of(cls, mask: ColumnMask, width: int) -> TileBounds:
        """Of a mask's first sequence and head."""
        bounds = np.stack([bound[0, 0].cpu().numpy() for bound in mask.bounds])
        starts = np.arange(0, mask.keys, width)
        return cls(
            np.minimum.reduceat(bounds, starts, 1), np.maximum.reduceat(bounds, starts, 1), width, mask.queries, mask.keys
        )

    @classmethod
    def open(cls, queries: int, keys: int, width: int) -> TileBounds:
        """Of a mask that hides nothing."""
        bounds = np.repeat(np.array([[queries], [queries], [0], [0]], np.int32), -(-keys // width), 1)
        return cls(bounds, bounds, width, queries, keys)

    def row(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """bool [C] each: the empty and the full tiles of the rows [first, last)."""
        (lts, lte, uts, ute), (lts_, lte_, uts_, ute_) = self.least, self.most
        empty = ((lts_ <= first) & (lte >= last)) | ((uts_ <= first) & (ute >= last))
        return empty, ((lts >= last) | (lte_ <= first)) & ((uts >= last) | (ute_ <= first)) & ~empty

    def runs(self, chosen: np.ndarray) -> list[Run]:
        """The columns of chosen blocks as stretches [start, stop)."""
        edge = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
        return [(int(a) * self.width, min(int(b) * self.width, self.keys)) for a, b in edge.reshape(-1, 2)]


def length(runs: list[Run]) -> int:
    return sum(stop - start for start, stop in runs)
