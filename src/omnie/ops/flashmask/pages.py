"""Summaries of pages of keys, and the upper bounds on scores that follow from them.

For the keys k of a page with elementwise minimum `low`, maximum `high`, any centre c and the radius r = max |k - c|:

    q k  =  sum_h q_h k_h    <=  sum_h max(q_h low_h, q_h high_h)  =  q+ high + q- low      (each factor lies between its ends)
    q k  =  q c + q (k - c)  <=  q c + |q| r                                                (Cauchy and Schwarz)

so the smaller of the two bounds every score of the page (the first is that of Quest, Tang et al. 2024). It costs three products
with one vector a page instead of one with each of its keys. Both sides are computed with rounding: `SLACK` units in the last
place of |q| max |k| are added, more than a dot product of that length can lose (Higham 2002, section 3.1).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PAGE = 64
"""Keys a page."""


class KeyPages:
    """The pages of one layer's keys; grows with the cache.

    Attributes:
        length: Keys so far.
    """

    def __init__(self) -> None:
        self.length = 0
        self._vectors: Tensor | None = None
        self._numbers: Tensor | None = None

    @classmethod
    def of(cls, k: Tensor) -> KeyPages:
        pages = cls()
        pages.update(k)
        return pages

    def update(self, k: Tensor) -> None:
        """Takes in all keys so far, [B, G, S, H]; pages that were full already are not read again.

        What came before must be unchanged: fewer keys than before, or another batch, begin anew.
        """
        known = self._vectors
        if known is None or k.shape[2] < self.length or known.shape[1:3] != k.shape[:2] or known.shape[4] != k.shape[3]:
            self.length, self._vectors, self._numbers = 0, None, None
        first = self.length // PAGE
        vectors, numbers = _summary(k[:, :, first * PAGE :])
        self._vectors = _put(self._vectors, vectors, first)
        self._numbers = _put(self._numbers, numbers, first)
        self.length = k.shape[2]

    @property
    def count(self) -> int:
        return -(-self.length // PAGE)

    def sizes(self) -> Tensor:
        """Keys in each page, [P]."""
        starts = torch.arange(0, self.length, PAGE, device=None if self._vectors is None else self._vectors.device)
        return (self.length - starts).clamp_max(PAGE)

    def vectors(self) -> Tensor:
        """The pages' `low`, `high` and centre, [3, B, G, P, H], all of them numbers that the keys' dtype has."""
        assert self._vectors is not None
        return self._vectors[:, :, :, : self.count]

    def numbers(self) -> Tensor:
        """The pages' radius and largest norm, [2, B, G, P]."""
        assert self._numbers is not None
        return self._numbers[:, :, :, : self.count, 0]

    def bounds(self, q: Tensor, batch: int, group: int, scaling: float) -> tuple[Tensor, Tensor]:
        """Upper bounds on the scores of each query and page, and the scores of the pages' centres, [rows, P] each.

        Args:
            q: [rows, H] in the keys' wide dtype.
        """
        return bounds(q, self.vectors()[:, batch, group], self.numbers()[:, batch, group], scaling)


SLACK = 4


def bounds(q: Tensor, vectors: Tensor, numbers: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """See `KeyPages.bounds`: [..., rows, P] each, from q [..., rows, H], vectors [3, ..., P, H] and numbers [2, ..., P]."""
    assert scaling > 0
    (low, high, centre), (radius, largest) = vectors, numbers.unsqueeze(-2)
    length = _at_least(q.norm(dim=-1, keepdim=True), q.shape[-1])
    middle = q @ centre.mT
    box = q.clamp_min(0) @ high.mT
    box += q.clamp_max(0) @ low.mT
    bound = torch.minimum(box, middle + length * radius)  # NaN if either is: infinite keys, which are then never dropped
    return (bound + slack(q.shape[-1], q.dtype) * length * largest) * scaling, middle * scaling


def slack(size: int, dtype: torch.dtype = torch.float32) -> float:
    """What rounding may take from a bound, in units of |q| max |k|, for heads of `size` channels."""
    return SLACK * (size + 8) * torch.finfo(dtype).eps


def _summary(k: Tensor) -> tuple[Tensor, Tensor]:
    """(low, high, centre) [3, B, G, P, H], and (radius, largest norm) [2, B, G, P, 1]."""
    wide = k.to(torch.promote_types(k.dtype, torch.float32))
    missing = -k.shape[2] % PAGE
    last = wide[:, :, -1:].expand(-1, -1, missing, -1)  # repeated: it changes neither end, and no radius
    pages = torch.cat([wide, last], 2).unflatten(2, (-1, PAGE)) if missing else wide.unflatten(2, (-1, PAGE))
    centre = pages.mean(3).to(k.dtype).to(wide.dtype)  # any centre will do: one that the matrix units take as it is
    low, high = torch.aminmax(pages, dim=3)
    spread = (pages - centre[..., None, :]).norm(dim=-1).amax(3)
    numbers = _at_least(torch.stack([spread, torch.maximum(low.abs(), high.abs()).norm(dim=-1)]), k.shape[3])
    return torch.stack([low, high, centre]), numbers[..., None]


def _at_least(norm: Tensor, size: int) -> Tensor:
    """A computed norm of `size` numbers, enlarged by what rounding, and squares too small for the type, may have taken away."""
    facts = torch.finfo(norm.dtype)
    return norm * (1 + 2 * facts.eps * size) + (size * facts.tiny) ** 0.5


def _put(store: Tensor | None, values: Tensor, first: int) -> Tensor:
    """Values from page `first` on, in a store that doubles when it is full."""
    end = first + values.shape[3]
    if store is None:
        store = values.new_empty(*values.shape[:3], end, values.shape[4])
    elif end > store.shape[3]:
        store = F.pad(store, (0, 0, 0, max(end, 2 * store.shape[3]) - store.shape[3]))
    store[:, :, :, first:end] = values
    return store
