"""`ColumnMask`: which queries each key is hidden from, as two intervals of rows per key column. O(N) memory, never N x N.

Column j is hidden from the rows [UTS_j, UTE_j), as a rule above the diagonal, and [LTS_j, LTE_j), as a rule below it; all
other rows see it (FlashMask, Wang et al. 2024, section 4). Causality is no flag but the interval [0, j). What the named kinds
of masks look like stands in `kinds.py`; what a mask means, number by number, in `reference.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from omnie.errors import OptionError


@dataclass(frozen=True, eq=False)
class ColumnMask:
    """Hidden rows of every key column.

    Attributes:
        lts, lte, uts, ute: int32 [B or 1, M, S]; M is 1, or one mask for each key-value head. 0 <= UTS <= UTE <= LTS <= LTE <=
            T wherever both intervals hold something; an empty interval starts where it ends. Not to be written to: what is
            found out about a mask is kept.
        queries: T, the number of rows.
    """

    lts: Tensor
    lte: Tensor
    uts: Tensor
    ute: Tensor
    queries: int

    @property
    def keys(self) -> int:
        return self.lts.shape[-1]

    @property
    def shape(self) -> torch.Size:
        """Of the dense mask that it stands for: [B, M, T, S]."""
        return torch.Size((*self.lts.shape[:2], self.queries, self.keys))

    @property
    def ndim(self) -> int:
        return 4

    @property
    def device(self) -> torch.device:
        return self.lts.device

    @property
    def nbytes(self) -> int:
        return sum(bound.numel() * bound.element_size() for bound in self.bounds)

    @property
    def bounds(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.lts, self.lte, self.uts, self.ute

    @classmethod
    def of(cls, bounds: Iterable[Tensor], queries: int) -> ColumnMask:
        """From LTS, LTE, UTS, UTE as they are stored, unchecked."""
        lts, lte, uts, ute = bounds
        return cls(lts, lte, uts, ute, queries)

    @classmethod
    def given(cls, lts: Tensor, lte: Tensor, uts: Tensor, ute: Tensor, queries: int) -> ColumnMask:
        """A mask from a caller's own tensors [S], [M, S] or [B, M, S], checked.

        Raises:
            OptionError: shapes disagree, an interval is out of range or ends before it starts, or the two of a column cross.
        """
        bounds = [torch.as_tensor(bound) for bound in (lts, lte, uts, ute)]
        if len({bound.shape for bound in bounds}) > 1 or not 1 <= bounds[0].ndim <= 3:
            shapes = [tuple(bound.shape) for bound in bounds]
            raise OptionError("a mask's bounds disagree", value=shapes, allowed="four tensors [B, M, S] of one shape")
        if any(bound.is_floating_point() for bound in bounds):
            raise OptionError("a mask's bounds are not whole numbers", value=bounds[0].dtype, allowed="int32")
        shape = (1,) * (3 - bounds[0].ndim) + tuple(bounds[0].shape)
        mask = cls.of((bound.to(torch.int32).reshape(shape) for bound in bounds), queries)
        mask._check()
        return mask._tidy()

    def _check(self) -> None:
        for name, start, end in (("LTS, LTE", self.lts, self.lte), ("UTS, UTE", self.uts, self.ute)):
            _refuse(
                (start < 0) | (end > self.queries) | (start > end),
                f"the interval {name} of a column is not usable",
                (start, end),
                f"0 <= start <= end <= {self.queries}",
            )
        both = (self.uts < self.ute) & (self.lts < self.lte)
        _refuse(both & (self.ute > self.lts), "the intervals of a column cross", (self.ute, self.lts), "UTE <= LTS")

    def _tidy(self) -> ColumnMask:
        return _merged([(self.uts, self.ute), (self.lts, self.lte)], self.queries)

    def __and__(self, other: ColumnMask) -> ColumnMask:
        """What both masks let through.

        Raises:
            OptionError: lengths disagree, or a column would need three hidden intervals.
        """
        if (self.queries, self.keys) != (other.queries, other.keys):
            sizes = [f"{m.queries} x {m.keys}" for m in (self, other)]
            raise OptionError("two masks differ in size", value=" and ".join(sizes), allowed="equal sizes")
        pairs = [(m.uts, m.ute) for m in (self, other)] + [(m.lts, m.lte) for m in (self, other)]
        return _merged(pairs, self.queries)

    def with_padding(self, keep: Tensor) -> ColumnMask:
        """The mask with the columns where `keep` [B, S] is 0 hidden from every row: the union with key padding."""
        if keep.ndim != 2 or keep.shape[1] != self.keys:
            raise OptionError("padding and mask differ in length", value=tuple(keep.shape), allowed=f"[B, {self.keys}]")
        hidden = ~keep.bool()[:, None]
        values = (0, self.queries, 0, 0)
        return ColumnMask.of((bound.masked_fill(hidden, value) for bound, value in zip(self.bounds, values)), self.queries)

    def rows(self, start: int, stop: int) -> ColumnMask:
        """The mask of the queries [start, stop) alone, over all keys: a block of a prefill, or a decode step."""
        return ColumnMask.of(((bound - start).clamp(0, stop - start) for bound in self.bounds), stop - start)._tidy()

    def part(self, batch: int, head: int) -> ColumnMask:
        """The mask of one sequence and one mask head, [1, 1, S]."""
        b, m = batch if self.lts.shape[0] > 1 else 0, head if self.lts.shape[1] > 1 else 0
        return ColumnMask.of((bound[b : b + 1, m : m + 1] for bound in self.bounds), self.queries)

    def to(self, device: torch.device | str) -> ColumnMask:
        return ColumnMask.of((bound.to(device) for bound in self.bounds), self.queries)

    def hidden(self, first: int, last: int, start: int, stop: int) -> Tensor:
        """bool [B, M, last - first, stop - start]: the tile of rows [first, last) and columns [start, stop): what it hides."""
        row = torch.arange(first, last, device=self.device, dtype=torch.int32)[:, None]
        lts, lte, uts, ute = (bound[..., None, start:stop] for bound in self.bounds)
        return ((row >= lts) & (row < lte)) | ((row >= uts) & (row < ute))

    def picture(self, batch: int = 0, head: int = 0) -> str:
        """One line a query, one digit a key: 1 attends, 0 is hidden. For masks that fit on a page."""
        seen = ~self.part(batch, head).hidden(0, self.queries, 0, self.keys)[0, 0]
        return "\n".join("".join("1" if x else "0" for x in row) for row in seen.tolist())


def _refuse(wrong: Tensor, what: str, values: tuple[Tensor, Tensor], allowed: str) -> None:
    if bool(wrong.any()):
        batch, head, column = wrong.nonzero()[0].tolist()
        found = ", ".join(str(int(value[batch, head, column])) for value in values)
        raise OptionError(what, value=f"({found}) at key {column}", allowed=allowed)


def _merged(pairs: list[tuple[Tensor, Tensor]], queries: int) -> ColumnMask:
    """The union of hidden intervals, in a form in which neighbours of a tile keep their kind in the same place.

    A lone interval that begins at row 0 and ends before the last is the upper one; any other lone interval is the lower one.
    """
    pairs = [torch.broadcast_tensors(*pair) for pair in pairs]
    starts, ends = (torch.stack(torch.broadcast_tensors(*values), -1) for values in zip(*pairs))
    empty = starts >= ends
    starts, order = starts.masked_fill(empty, queries).sort(dim=-1, stable=True)
    ends = ends.masked_fill(empty, queries).gather(-1, order)
    first, second = (starts[..., 0], ends[..., 0]), (torch.full_like(starts[..., 0], queries),) * 2
    third = torch.zeros_like(starts[..., 0], dtype=torch.bool)
    for start, end in zip(starts[..., 1:].unbind(-1), ends[..., 1:].unbind(-1)):
        real = start < end
        joins = real & (start <= first[1])
        opens = real & ~joins & (second[0] >= queries)
        extends = real & ~joins & ~opens & (start <= second[1])
        third |= real & ~joins & ~opens & ~extends
        first = first[0], torch.where(joins, torch.maximum(first[1], end), first[1])
        longer = torch.where(extends, torch.maximum(second[1], end), second[1])
        second = torch.where(opens, start, second[0]), torch.where(opens, end, longer)
    if len(pairs) > 2 and bool(third.any()):
        raise OptionError(
            "the masks cannot be united", value=f"key {int(third.nonzero()[0, -1])}", allowed="two hidden intervals"
        )
    lone = (second[0] >= queries) & ~((first[0] == 0) & (first[1] < queries))
    lts, lte = (torch.where(lone, *pair) for pair in zip(first, second))
    uts, ute = (value.masked_fill(lone, 0) for value in first)
    return ColumnMask.of((bound.to(torch.int32).contiguous() for bound in (lts, lte, uts, ute)), queries)
