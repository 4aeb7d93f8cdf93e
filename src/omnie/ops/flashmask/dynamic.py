"""Attention without the tiles whose weight is provably (`certified`) or apparently (`fast`) small; it says what it left out.

**Theorem.** Let a row see the keys A with scores s_j, of which D are left out, and let eps = sum_D e^(s_j) / sum_A e^(s_j) be
the dropped mass. With o the softmax average of the values over A, and o' that over A - D:

    |o - o'|  <=  2 eps max_A |v_j|,     and     eps  <=  B / (B + K)   for every B >= sum_D e^(s_j) and K <= sum_(A-D) e^(s_j).

*Proof.* o = (1 - eps) o' + eps o_D with o_D the average over D, so |o - o'| = eps |o_D - o'|, and averages are no longer than
the longest value. eps = d / (d + k) with the two sums d <= B and k >= K grows with d and falls with k.

K is what was computed, and what is about to be: it only grows while a row is worked on. B adds up, page by page, n e^u with n
keys and u either the bound of `pages.py` (the page's scores are never formed) or the largest score measured (its values are
never read, as in BLASST). `certified(eps)` drops pages, the lightest first, while B <= eps K for *every* row of the
tile, half of eps for either kind; so no row is ever over its budget and none has to be done again. `fast(budget)` keeps the
given share of pages by their apparent weight; its B may be anything, and is reported all the same. What a lone query (a decode
step) looks for may be one key, which summaries do not show: there `fast` forms all scores, keeps the pages that weigh most, and
its B is what the others weigh.

One tile is the ROWS / R queries of one key-value head's R query heads, times one page of keys. Always computed: the first SINKS
keys, the WINDOW keys before each query, and in a prefill everything that the last TAIL queries see (they choose the answer).
No gradient: training attends exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from omnie.ops.flashmask import cpu, kernels
from omnie.ops.flashmask.mask import ColumnMask
from omnie.ops.flashmask.pages import PAGE, KeyPages
from omnie.ops.flashmask.tiles import Run, TileBounds
from omnie.ops.levels import Level

ROWS, SINKS, WINDOW, TAIL = 256, 64, 256, 64
LEAST, FIRST, CHUNK = 64, 16, 64
"""The fewest queries of a tile; pages measured before the bounds are looked at again, at first; most measured at once."""
MARGIN = 1 - 2e-3
"""Of a budget that is used: its sums are rounded too."""


@dataclass
class Stats:
    """What dynamic attention did, added up over calls.

    Attributes:
        tiles: Tiles that the mask does not empty. `kept`: computed whole. `scored`: only their scores were formed.
        flops, exact: Spent (bounds included), and what exact attention would have spent.
        worst: The largest row's bound on its dropped mass.
        bound: [B, N, T] the bound of each row of the last call.
    """

    tiles: int = 0
    kept: int = 0
    scored: int = 0
    flops: int = 0
    exact: int = 0
    worst: float = 0.0
    bound: Tensor | None = field(default=None, repr=False)

    @property
    def kept_share(self) -> float:
        return self.kept / self.tiles if self.tiles else 1.0

    @property
    def saved(self) -> float:
        """Share of exact attention's FLOPs that were not spent."""
        return 1 - self.flops / self.exact if self.exact else 0.0


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: ColumnMask | None,
    scaling: float,
    level: Level,
    *,
    pages: KeyPages | None = None,
    stats: Stats | None = None,
) -> tuple[Tensor, Tensor]:
    """As `reference.attention`, with fewer tiles; without gradients.

    Args:
        pages: Summaries of k, if a caller keeps them from step to step.
        stats: Is added to.

    Returns:
        Output, and the log-sum-exp over the keys that were computed.
    """
    stats = Stats() if stats is None else stats
    pages = KeyPages.of(k) if pages is None else pages
    if q.device.type != "cpu":
        with torch.no_grad():
            out, lse = kernels(".dynamic").attention(q, k, v, mask, scaling, level, pages, stats)
        assert stats.bound is not None
        stats.worst = max(stats.worst, float(stats.bound.max()))
        return out, lse
    wide = torch.promote_types(q.dtype, torch.float32)
    repeat = q.shape[1] // k.shape[1]
    out, lse = torch.empty_like(q), q.new_empty(q.shape[:3], dtype=wide)
    stats.bound = torch.zeros_like(lse)
    with torch.no_grad():
        for b in range(q.shape[0]):
            for g in range(k.shape[1]):
                heads, part = slice(g * repeat, (g + 1) * repeat), None if mask is None else mask.part(b, g)
                keys, values = (x[b : b + 1, g : g + 1] for x in (k, v))
                if q.shape[2] > 1:  # a decode step reads few pages, and converts those alone
                    keys, values = keys.to(wide), values.to(wide)
                for tile in row_tiles(q[b, heads].to(wide), keys, values, part, scaling, stats):
                    tile.run(level, pages, b, g)
                    rows = slice(*tile.rows)
                    out[b, heads, rows] = tile.out.view(repeat, -1, q.shape[3]).to(q.dtype)
                    lse[b, heads, rows] = tile.lse.view(repeat, -1)
                    stats.bound[b, heads, rows] = tile.bound().view(repeat, -1)
    stats.worst = max(stats.worst, float(stats.bound.max()))
    return out, lse


def row_tiles(q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask | None, scaling: float, stats: Stats) -> Iterator[RowTile]:
    """The tiles of one key-value head's query heads [R, T, H], which share its mask."""
    queries, keys = q.shape[1], k.shape[2]
    tiles = TileBounds.open(queries, keys, PAGE) if mask is None else TileBounds.of(mask, PAGE)
    height = max(ROWS // len(q), LEAST)
    for first in range(0, queries, height):
        rows = first, min(first + height, queries)
        yield RowTile(q[:, slice(*rows)], k, v, mask, tiles, rows, scaling, stats)


class RowTile:
    """The queries of one tile and what has been computed for them so far.

    Attributes:
        out, lse: [rows, H] and [rows] over the pages computed so far.
        dropped: [rows] log of B.
    """

    def __init__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: ColumnMask | None,
        tiles: TileBounds,
        rows: tuple[int, int],
        scaling: float,
        stats: Stats,
    ):
        self.q, self.k, self.v = q.flatten(0, 1), k, v
        self.mask, self.tiles, self.rows, self.scaling, self.stats = mask, tiles, rows, scaling, stats
        self.lse = self.q.new_full(self.q.shape[:1], -torch.inf)
        self.out, self.dropped = torch.zeros_like(self.q), self.lse
        empty, self.full = tiles.row(*rows)
        self.seen = ~empty
        self.cost = 2 * self.q.numel() * PAGE
        stats.tiles += int(self.seen.sum())
        stats.exact += 2 * self.cost * int(self.seen.sum())

    def run(self, level: Level, pages: KeyPages, batch: int, group: int) -> None:
        """Computes what the level asks for."""
        always = self._always()
        if level.name == "fast" and self.tiles.queries == 1:
            return self._fast_step(always, level.value)
        rest = np.flatnonzero(self.seen & ~always)
        if level.name == "exact" or not len(rest):
            return self.add(self.seen)
        bound, centre = pages.bounds(self.q, batch, group, self.scaling)
        sizes = pages.sizes().to(bound).log()
        weight = (bound + sizes)[:, rest].nan_to_num(torch.inf, torch.inf, -torch.inf)
        self.stats.flops += 6 * self.q.numel() * pages.count
        if level.name == "certified":
            self.add(self.seen & always)
            self._certified(rest, weight, level.value)
        else:
            apparent = torch.maximum((centre + sizes)[:, rest], weight - APART)
            self._fast(always, rest, weight, apparent, level.value)

    def _always(self) -> np.ndarray:
        """Pages that are computed whatever they weigh, bool [P]."""
        page = np.arange(len(self.seen))
        offset = self.tiles.keys - self.tiles.queries  # a query's own key, when the last query belongs to the last key
        first, last = self.rows[0] + offset - WINDOW, self.rows[1] + offset
        near = ((page + 1) * PAGE > first) & (page * PAGE < last)
        tail = self.tiles.queries > 1 and self.rows[1] > self.tiles.queries - TAIL
        return near | (page * PAGE < SINKS) | tail

    def add(self, chosen: np.ndarray) -> None:
        """Computes the chosen pages with the fused kernel."""
        if chosen.any():
            step = cpu.step_of(self.mask, self.tiles, self.rows, chosen, self.full)
            y, lse = cpu.attend(self.q[None, None], self.k, self.v, step, self.scaling)
            self._join(y[0, 0], lse[0, 0])
            self.stats.kept += int(chosen.sum())
            self.stats.flops += 2 * self.cost * int(chosen.sum())

    def _join(self, y: Tensor, lse: Tensor) -> None:
        self.out, self.lse = cpu.join(self.out, self.lse, y, lse)

    def _certified(self, rest: np.ndarray, weight: Tensor, eps: float) -> None:
        """Heaviest pages first, twice as many every time; in between the bounds are looked at again, because K has grown."""
        take = FIRST
        while len(rest):
            left = torch.from_numpy(self._drop(weight, eps / 2))
            rest, weight = rest[left.numpy()], weight[:, left]
            order = (weight - self.lse[:, None]).amax(0).argsort(descending=True)
            for chunk in order[:take].split(CHUNK):
                self._measured(np.sort(rest[chunk.numpy()]), eps)
            rest, weight, take = rest[order[take:].numpy()], weight[:, order[take:]], 2 * take

    def _drop(self, weight: Tensor, eps: float, least: Tensor | None = None) -> np.ndarray:
        """Drops the lightest columns of log weights [rows, n] while every row's B stays within eps K; gives the rest's indices.

        `least` [rows, n]: what a column adds to K if it is kept, at least, as a logarithm (its largest score).
        """
        base = torch.maximum(self.lse, (weight if least is None else least).amax(1))[:, None]  # nothing below overflows
        share = (weight - base).exp().nan_to_num(torch.inf, torch.inf)
        order = share.amax(0).argsort()
        kept = (self.lse[:, None] - base).exp().expand_as(share)
        if least is not None:  # those that stay add to K: each column's allowance counts the columns after it
            adds = (least[:, order] - base).exp().flip(1).cumsum(1).flip(1)
            kept = kept + torch.nn.functional.pad(adds[:, 1:], (0, 1))
        spent = share[:, order].cumsum(1) + (self.dropped[:, None] - base).exp()
        within = ((spent <= eps * MARGIN * kept) & (kept > 0)).all(0)
        count = int(within.long().cumprod(0).sum())
        if count:
            self.dropped = torch.logaddexp(self.dropped, weight[:, order[:count]].logsumexp(1))
        return order[count:].sort().values.numpy()

    def _measured(self, pages: np.ndarray, eps: float) -> None:
        """Forms the scores of some pages; reads the values only of those whose largest score cannot be dropped."""
        if not len(pages):
            return
        by_page, values = self._scores(pages), self._values(pages)
        top = by_page.amax(2)
        left = self._drop(top + float(np.log(PAGE)), eps, top)
        self.stats.kept, self.stats.scored = self.stats.kept + len(left), self.stats.scored + len(pages) - len(left)
        self.stats.flops += self.cost * (len(pages) + len(left))
        if len(left):
            if len(left) < len(pages):
                index = torch.from_numpy(left)
                by_page, values = by_page[:, index], values.unflatten(0, (-1, PAGE))[index].flatten(0, 1)
            self._join(*_softmax(by_page.flatten(1), values))

    def _scores(self, pages: np.ndarray) -> Tensor:
        """[rows, n, PAGE], -inf where the mask hides a key or the last page has none."""
        runs = self._runs(pages)
        keys = cpu.gather(self.k, runs)[0, 0].to(self.q.dtype)
        scores = (self.q @ keys.T).mul_(self.scaling)
        if self.mask is not None and not self.full[pages].all():
            hidden = torch.cat([self.mask.hidden(*self.rows, *run)[0, 0] for run in runs], 1)
            scores.masked_fill_(hidden.repeat(len(self.q) // len(hidden), 1), -torch.inf)
        return torch.nn.functional.pad(scores, (0, -len(keys) % PAGE), value=-torch.inf).unflatten(1, (-1, PAGE))

    def _values(self, pages: np.ndarray) -> Tensor:
        """[n x PAGE, H], zero where the last page has no key."""
        values = cpu.gather(self.v, self._runs(pages))[0, 0].to(self.q.dtype)
        return torch.nn.functional.pad(values, (0, 0, 0, -len(values) % PAGE))

    def _runs(self, pages: np.ndarray) -> list[Run]:
        return self.tiles.runs(np.isin(np.arange(len(self.seen)), pages))

    def _fast(self, always: np.ndarray, rest: np.ndarray, weight: Tensor, apparent: Tensor, budget: float) -> None:
        """The pages that look heaviest, as many as the budget has left."""
        count = max(0, int(np.ceil(budget * self.seen.sum())) - int((self.seen & always).sum()))
        score = apparent.nan_to_num(torch.inf, torch.inf, -torch.inf).softmax(1).nan_to_num(1.0).mean(0)
        order = score.argsort(descending=True)
        chosen = self.seen & always
        chosen[rest[order[:count].numpy()]] = True
        self.add(chosen)
        if count < len(rest):
            self.dropped = weight[:, order[count:]].logsumexp(1)

    def _fast_step(self, always: np.ndarray, budget: float) -> None:
        """Scores of all pages, values of those that weigh most."""
        pages = np.flatnonzero(self.seen)
        if not len(pages):
            return
        scores = self._scores(pages)
        weight = scores.logsumexp(2).nan_to_num(torch.inf, torch.inf, -torch.inf)
        share = weight.softmax(1).nan_to_num(1.0).mean(0)
        share[torch.from_numpy(always[pages])] = torch.inf
        count = max(int(np.ceil(budget * len(pages))), int(always[pages].sum()))
        chosen, left = share.argsort(descending=True).tensor_split((count,))
        chosen = chosen.sort().values
        self._join(*_softmax(scores[:, chosen].flatten(1), self._values(pages[chosen.numpy()])))
        if len(left):
            self.dropped = weight[:, left].logsumexp(1)
        self.stats.kept, self.stats.scored = self.stats.kept + len(chosen), self.stats.scored + len(left)
        self.stats.flops += self.cost * (len(pages) + len(chosen))

    def bound(self) -> Tensor:
        """B / (B + K) of each row."""
        return (
            (self.dropped - torch.logaddexp(self.dropped, self.lse))
            .exp()
            .nan_to_num(0.0)
            .masked_fill(self.dropped == torch.inf, 1.0)
        )


APART = 4.0
"""A page's largest score may lie far above its centre's (a needle): its bound, less so many nats, counts too."""


def _softmax(scores: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp of formed scores; they are overwritten."""
    top = scores.amax(1, keepdim=True)
    weights = scores.sub_(top.masked_fill(top == -torch.inf, 0.0)).exp_()
    total = weights.sum(1, keepdim=True)
    return (weights @ values) / total.masked_fill(total == 0, 1.0), (total.log() + top.masked_fill(top == -torch.inf, 0.0))[
        :, 0
    ]
