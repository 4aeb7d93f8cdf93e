"""Dynamic attention on a GPU: `flashmask/dynamic.py`'s theorem, levels and statistics, with plans that the GPU makes itself.

A prefill's tile is BLOCK_M queries of one head times BLOCK_N keys. `certified(eps)`: (1) the tiles that are always computed;
(2) the bounds of all others as shares of that, and the LEAD heaviest; (3) the bounds again, now that K has grown: the lightest
tiles are dropped as long as their largest shares in any row add up to less than eps / 2; (4) the rest, of which the kernel
drops what its scores show to be light, again within eps / 2. `fast(budget)`: the tiles that look heaviest, all in one pass.
Plans are made by sorting and summing numbers of tiles, never of keys; only the statistics at the end wait for the host.

A decode step reads pages by `decode.py`: those always read, then those that cannot be dropped, or (fast) that weigh most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from omnie.ops.flashmask import cpu, dynamic, gpu
from omnie.ops.flashmask import pages as summaries
from omnie.ops.flashmask.gpu.bounds import weigh_kernel
from omnie.ops.flashmask.gpu.lists import chosen_lists, extremes_of
from omnie.ops.flashmask.gpu.resume import resume_kernel
from omnie.ops.flashmask.mask import ColumnMask
from omnie.ops.flashmask.pages import PAGE, KeyPages
from omnie.ops.levels import Level

INTERPRETED = (16, PAGE, 4, 1)
CHUNK = 32
"""Pages that a program weighs at once: more would not fit beside float32 heads of 256 channels."""
LEAD = 16
"""Tiles of each block of rows that are computed before the bounds are looked at again."""


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: ColumnMask | None,
    scaling: float,
    level: Level,
    pages: KeyPages,
    stats: dynamic.Stats,
) -> tuple[Tensor, Tensor]:
    """See `dynamic.attention`, on the device of q; in Triton's interpreter on a CPU. Not in float64."""
    if gpu.unknown(q):
        out, lse = attention(q.float(), k.float(), v.float(), mask, scaling, level, pages, stats)
        return out.to(q.dtype), lse
    mask = gpu.opened(q, k) if mask is None else mask
    q, k, v = (x.contiguous() for x in (q, k, v))
    if q.shape[2] == 1 and q.shape[1] // k.shape[1] <= gpu.DECODE_ROWS:
        return _decode(q, k, v, mask, scaling, level, pages, stats)
    work = Prefill.begin(q, k, v, mask, scaling, pages)
    decide = {"exact": work.exact, "certified": work.certified, "fast": work.fast}[level.name]
    dropped = decide(level.value)
    work.count(stats)
    stats.bound = bound(dropped, work.lse)
    return work.out.to(q.dtype), work.lse


def bound(dropped: Tensor, lse: Tensor) -> Tensor:
    """B / (B + K) of each row, from the logarithms."""
    share = (dropped - torch.logaddexp(dropped, lse)).exp().nan_to_num(0.0)
    return share.masked_fill(dropped == torch.inf, 1.0)


def drop(weight: Tensor, chosen: Tensor, budget: float) -> Tensor:
    """The lightest chosen tiles whose shares add up to no more than a budget: all below the largest threshold that allows it.

    Args:
        weight: [..., C] logarithms of shares. `chosen`: bool, the same.
    """
    share = weight.exp().masked_fill(~chosen, 0.0)
    low = torch.full_like(weight[..., :1], math.log(budget / weight.shape[-1]))  # so light that all of them may go
    high = torch.full_like(low, math.log(budget))
    for _ in range(STEPS):
        middle = (low + high) / 2
        fits = share.masked_fill(weight > middle, 0.0).sum(-1, keepdim=True) <= budget
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return chosen & (weight <= low)


STEPS = 12
"""Halvings of the interval of thresholds, a few nats wide."""


def heaviest(score: Tensor, chosen: Tensor, count: Tensor | int) -> Tensor:
    """The `count` [..., 1] chosen tiles of the highest score, bool [..., C]."""
    order = score.masked_fill(~chosen, -torch.inf).argsort(dim=-1, descending=True)
    place = torch.arange(score.shape[-1], device=score.device).expand_as(order)
    return torch.zeros_like(chosen).scatter_(-1, order, place < count) & chosen


@dataclass(eq=False)
class Prefill:
    """Queries, keys and values of one call, and what has been computed for them so far.

    Attributes:
        extremes: Of the mask, over blocks of `width` keys.
        seen: bool [B x N, blocks, C], tiles that the mask does not empty. `always`: [blocks, C], computed whatever they weigh.
        vectors, numbers: The pages' summaries, as kernels take them.
        out, lse: float32 [B, N, T, H] and [B, N, T] over the tiles computed so far.
        kept, skipped, weighed: int64, tiles computed, tiles whose scores alone were formed, tiles whose pages were weighed.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    mask: ColumnMask
    scaling: float
    extremes: Tensor
    seen: Tensor
    always: Tensor
    vectors: Tensor
    numbers: Tensor
    out: Tensor
    lse: Tensor
    kept: Tensor
    skipped: Tensor
    weighed: Tensor

    @classmethod
    def begin(cls, q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask, scaling: float, pages: KeyPages) -> Prefill:
        rows, width, _ = gpu.launch(gpu.FORWARD, q, INTERPRETED)
        extremes = extremes_of(mask, width)
        first = torch.arange(0, q.shape[2], rows, device=q.device, dtype=torch.int32)[:, None]
        last = (first + rows).clamp_max(q.shape[2])
        batches, heads = mask.lts.shape[:2]
        seen = seen_tiles(extremes, first, last).unflatten(0, (batches, heads)).expand(q.shape[0], k.shape[1], -1, -1)
        seen = seen.repeat_interleave(q.shape[1] // k.shape[1], 1).flatten(0, 1)
        always = always_tiles(first, last, q.shape[2], k.shape[2], width, seen.shape[-1])
        out, lse = torch.zeros_like(q, dtype=torch.float32), q.new_full(q.shape[:3], -torch.inf, dtype=torch.float32)
        none = torch.zeros((), dtype=torch.int64, device=q.device)
        vectors, numbers = pages.vectors().to(q.dtype).contiguous(), pages.numbers().contiguous()
        return cls(q, k, v, mask, scaling, extremes, seen, always, vectors, numbers, out, lse, none, none, none)

    def exact(self, _: float) -> Tensor:
        self.compute(self.seen)
        return torch.full_like(self.lse, -torch.inf)

    def certified(self, eps: float) -> Tensor:
        """Computes what eps asks for; gives the log [B, N, T] of B."""
        self.compute(self.seen & self.always)
        rest = self.seen & ~self.always
        lead = heaviest(self.shares(rest), rest, LEAD)
        self.compute(lead)
        rest &= ~lead
        light = drop(self.shares(rest), rest, eps / 2 * dynamic.MARGIN)
        dropped = self.by_row(light)
        left = self.compute(rest & ~light, limit=eps / 2 * dynamic.MARGIN)
        return torch.logaddexp(dropped, left)

    def fast(self, budget: float) -> Tensor:
        """Computes the tiles that look heaviest; gives the log [B, N, T] of what the others may weigh."""
        always = self.seen & self.always
        rest = self.seen & ~self.always
        count = (budget * self.seen.sum(-1, keepdim=True).double()).ceil().long() - always.sum(-1, keepdim=True)
        chosen = heaviest(self.shares(rest, self.by_row(rest, apparent=True)), rest, count)
        self.compute(always | chosen)
        return self.by_row(rest & ~chosen)

    def compute(self, chosen: Tensor, limit: float | None = None) -> Tensor:
        """Adds tiles to what is computed. With a limit, light ones are left out; gives the log [B, N, T] of what they weigh."""
        rows, width, constants = gpu.launch(gpu.FORWARD, self.q, INTERPRETED)
        heads, steps = (self.q.shape[1], self.k.shape[1]), gpu.strides(self.mask)
        lists = chosen_lists(self.mask, self.extremes, chosen, heads, steps, (rows, width))
        owners, blocks, columns = chosen.shape
        left = torch.full_like(self.lse, -torch.inf)
        skipped = torch.zeros(owners, blocks, dtype=torch.int32, device=chosen.device)
        resume_kernel[(blocks, owners)](
            self.q, self.k, self.v, self.out, self.lse, left, skipped, *self.mask.bounds, *lists, *heads, self.q.shape[2],
            self.k.shape[2], columns, blocks, *steps, self.scaling * gpu.LOG2E, limit or 0.0, SKIP=limit is not None,
            **constants,
        )  # fmt: skip
        self.skipped = self.skipped + skipped.sum()
        self.kept = self.kept + chosen.sum() - skipped.sum()
        return left

    def by_row(self, chosen: Tensor, apparent: bool = False) -> Tensor:
        """The log [B, N, T] of what the chosen tiles weigh at most, or apparently, in each row."""
        result = torch.full_like(self.lse, -torch.inf)
        self._weigh(chosen, self.lse, result, by_row=True, apparent=apparent)
        return result

    def shares(self, chosen: Tensor, apparent_of: Tensor | None = None) -> Tensor:
        """What the chosen tiles weigh in their block of rows, [B x N, blocks, C].

        The log of the largest share of what is computed so far that a row's bound allows; or, given the log of what all
        apparently weigh in each row [B, N, T], the sum of the rows' shares.
        """
        span = self._span
        pages = self.numbers.shape[-1]
        result = self.lse.new_full((*chosen.shape[:2], pages), -torch.inf if apparent_of is None else 0.0)
        reference = self.lse if apparent_of is None else apparent_of
        self._weigh(chosen, reference, result, by_row=False, apparent=apparent_of is not None)
        tiles = F.pad(result, (0, -pages % span), value=-torch.inf if apparent_of is None else 0.0).unflatten(-1, (-1, span))
        return tiles.logsumexp(-1) if apparent_of is None else tiles.sum(-1)

    @property
    def _span(self) -> int:
        return gpu.launch(gpu.FORWARD, self.q, INTERPRETED)[1] // PAGE

    def _weigh(self, chosen: Tensor, reference: Tensor, result: Tensor, *, by_row: bool, apparent: bool) -> None:
        self.weighed = self.weighed + chosen.sum()
        constants = gpu.launch(gpu.FORWARD, self.q, INTERPRETED)[2]
        del constants["BLOCK_N"]
        owners, blocks, columns = chosen.shape
        size, facts = self.q.shape[3], torch.finfo(torch.float32)
        weigh_kernel[(blocks, owners)](
            self.q, *self.vectors, *self.numbers, chosen.to(torch.uint8), reference, result,
            self.q.shape[1], self.k.shape[1], self.q.shape[2], self.numbers.shape[-1], self.k.shape[2], blocks, columns,
            self.scaling, 2 * summaries.slack(size), dynamic.APART, 1 + 2 * facts.eps * size, (size * facts.tiny) ** 0.5,
            PAGES=CHUNK, PAGE=PAGE, SPAN=self._span, BY_ROW=by_row, APPARENT=apparent, **constants,
        )  # fmt: skip

    def count(self, stats: dynamic.Stats) -> None:
        """Adds to the statistics: the only point at which the host waits."""
        rows, width, _ = gpu.launch(gpu.FORWARD, self.q, INTERPRETED)
        tiles, kept, skipped, weighed = torch.stack([self.seen.sum(), self.kept, self.skipped, self.weighed]).tolist()
        product = 2 * rows * width * self.q.shape[3]
        stats.tiles, stats.kept, stats.scored = stats.tiles + tiles, stats.kept + kept, stats.scored + skipped
        stats.exact += 2 * product * tiles
        stats.flops += product * (2 * kept + skipped) + 3 * product // PAGE * weighed


def seen_tiles(extremes: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """bool [masks, blocks, C]: tiles of the rows [first, last) that a mask's extremes do not show to be empty."""
    low, high = extremes[:4, :, None], extremes[4:, :, None]
    return ~(((high[0] <= first) & (low[1] >= last)) | ((high[2] <= first) & (low[3] >= last)))


def always_tiles(first: Tensor, last: Tensor, queries: int, keys: int, width: int, columns: int) -> Tensor:
    """bool [blocks, C]: sinks, window, and all that the last queries see (see `dynamic.RowTile._always`)."""
    tile = torch.arange(columns, device=first.device)
    near = ((tile + 1) * width > first + keys - queries - dynamic.WINDOW) & (tile * width < last + keys - queries)
    return near | (tile * width < dynamic.SINKS) | (last > queries - dynamic.TAIL)


def _decode(
    q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask, scaling: float, level: Level, pages: KeyPages, stats: dynamic.Stats
) -> tuple[Tensor, Tensor]:
    """One query of each head: pages instead of tiles, the plan in a few products."""
    owners, repeat = q.shape[0] * k.shape[1], q.shape[1] // k.shape[1]
    first = torch.zeros(1, 1, dtype=torch.int32, device=q.device)
    seen = seen_tiles(extremes_of(mask, PAGE), first, first + 1).view(*mask.lts.shape[:2], -1)
    seen = seen.expand(q.shape[0], k.shape[1], -1).flatten(0, 1)
    tile = torch.arange(seen.shape[-1], device=q.device)
    always = seen & ((tile * PAGE < dynamic.SINKS) | ((tile + 1) * PAGE > k.shape[2] - 1 - dynamic.WINDOW))
    rows = q.to(torch.float32).view(*k.shape[:2], repeat, -1)
    product = 2 * repeat * PAGE * q.shape[3]
    kept, weight, looked = seen, None, 0
    if level.name == "certified":
        limit, _ = summaries.bounds(rows, pages.vectors(), pages.numbers(), scaling)
        weight = (limit.flatten(0, 1) + pages.sizes().to(limit).log()).nan_to_num(torch.inf, torch.inf, -torch.inf)
        out, lse = _read(q, k, v, mask, scaling, always)
        share = (weight - lse.view(owners, repeat, 1)).nan_to_num(torch.inf, torch.inf, -torch.inf).amax(1)
        rest = seen & ~always
        rest &= ~drop(share, rest, level.value * dynamic.MARGIN)
        out, lse = cpu.join(out.float(), lse, *_read(q, k, v, mask, scaling, rest))
        kept, looked = always | rest, 3 * product // PAGE * pages.count * owners
    else:
        if level.name == "fast":
            weight = _page_weights(rows, k, mask, scaling).flatten(0, 1)
            share = weight.softmax(-1).nan_to_num(1.0).mean(1).masked_fill(always, torch.inf)
            count = (level.value * seen.sum(-1, keepdim=True).double()).ceil().long()
            kept = heaviest(share, seen, torch.maximum(count, always.sum(-1, keepdim=True)))
        out, lse = _read(q, k, v, mask, scaling, kept)
    gone = torch.full_like(lse, -torch.inf)
    if weight is not None:
        left = (seen & ~kept)[:, None].expand_as(weight)
        gone = weight.masked_fill(~left, -torch.inf).logsumexp(-1).view_as(lse)
    tiles, whole = torch.stack([seen.sum(), kept.sum()]).tolist()
    stats.tiles, stats.kept, stats.exact = stats.tiles + tiles, stats.kept + whole, stats.exact + 2 * product * tiles
    stats.scored += tiles - whole if level.name == "fast" else 0
    stats.flops += (product * (tiles + whole) if level.name == "fast" else 2 * product * whole) + looked
    stats.bound = bound(gone, lse)
    return out.to(q.dtype), lse


def _page_weights(rows: Tensor, k: Tensor, mask: ColumnMask, scaling: float) -> Tensor:
    """The log [B, G, R, P] of what each page weighs for one query of R heads, from all scores."""
    if k.is_cuda and k.dtype.itemsize == 2:  # the sums stay float32
        product = torch.bmm(rows.to(k.dtype).flatten(0, 1), k.flatten(0, 1).mT, out_dtype=torch.float32)
        scores = product.unflatten(0, k.shape[:2]) * scaling
    else:
        scores = (rows @ k.float().mT) * scaling
    scores = scores.masked_fill(mask.hidden(0, 1, 0, k.shape[2]), -torch.inf)
    scores = F.pad(scores, (0, -k.shape[2] % PAGE), value=-torch.inf)
    return scores.unflatten(-1, (-1, PAGE)).logsumexp(-1).nan_to_num(torch.inf, torch.inf, -torch.inf)


def _read(q: Tensor, k: Tensor, v: Tensor, mask: ColumnMask, scaling: float, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over the chosen pages, bool [B x G, P]."""
    order = chosen.int().argsort(dim=-1, descending=True, stable=True).int()
    return gpu.decode(q, k, v, mask, scaling, (order, chosen.sum(-1).int()))


assert gpu.DECODE_KEYS == PAGE
