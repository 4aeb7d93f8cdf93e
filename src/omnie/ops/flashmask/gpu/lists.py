"""Which tiles a program visits: for each block of rows the blocks of columns that are full, then those that are mixed.

    empty(rows, columns)  =  max LTS <= first and min LTE >= last,  or  max UTS <= first and min UTE >= last
    full(rows, columns)   =  (min LTS >= last or max LTE <= first)  and  (min UTS >= last or max UTE <= first)

Layout: `extremes` [8, masks, C] int32, minima then maxima of LTS, LTE, UTS, UTE over each block of columns. A list is a row of
C int32 entries: full tiles from the front, mixed tiles from the back. One program of `_list_kernel` owns one list: it reads all
extremes, a chunk at a time, and writes its tiles in order. No length is a compile-time constant, so nothing is compiled again
when lengths change. Lists of columns (`by_columns`), for the backward pass, are the same with rows and columns exchanged.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
import triton
import triton.language as tl
from torch import Tensor

from omnie.ops.flashmask.mask import ColumnMask


class Lists(NamedTuple):
    """Tiles to visit.

    Attributes:
        tiles: int32 [lists, blocks, C]; a list a mask, or a head.
        full, mixed: int32 [lists, blocks], how many stand at the front and at the back.
    """

    tiles: Tensor
    full: Tensor
    mixed: Tensor


@triton.jit
def _list_kernel(
    extremes, chosen, tiles, full_count, mixed_count, masks, blocks, columns, queries, keys,
    heads, groups, mask_batch, mask_head,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, CHUNK: tl.constexpr, BY_COLUMNS: tl.constexpr, CHOSEN: tl.constexpr,
):  # fmt: skip
    """Grid (lists' blocks, lists): a list a mask, or with CHOSEN a list a head, of which only chosen tiles stay."""
    own, owner = tl.program_id(0), tl.program_id(1)
    mask = owner // heads * mask_batch + owner % heads // (heads // groups) * mask_head if CHOSEN else owner
    entries = tl.cdiv(queries, ROWS) if BY_COLUMNS else columns
    start_of = (owner * blocks + own).to(tl.int64) * entries
    tiles += start_of
    stride = masks * columns
    n_full, n_mixed = 0, 0
    for start in range(0, entries, CHUNK):
        other = start + tl.arange(0, CHUNK)
        valid = other < entries
        if BY_COLUMNS:
            at, first, column = extremes + mask * columns + own, other * ROWS, own
            inside = True
        else:
            at, first, column = extremes + mask * columns + other, own * ROWS, other
            inside = valid
        last = tl.minimum(first + ROWS, queries)
        least_lts, least_lte = tl.load(at, mask=inside), tl.load(at + stride, mask=inside)
        least_uts, least_ute = tl.load(at + 2 * stride, mask=inside), tl.load(at + 3 * stride, mask=inside)
        most_lts, most_lte = tl.load(at + 4 * stride, mask=inside), tl.load(at + 5 * stride, mask=inside)
        most_uts, most_ute = tl.load(at + 6 * stride, mask=inside), tl.load(at + 7 * stride, mask=inside)
        empty = ((most_lts <= first) & (least_lte >= last)) | ((most_uts <= first) & (least_ute >= last))
        full = ((least_lts >= last) | (most_lte <= first)) & ((least_uts >= last) | (most_ute <= first))
        if CHOSEN:
            empty = empty | (tl.load(chosen + start_of + other, mask=valid, other=0) == 0)
        whole = (column * WIDTH + WIDTH <= keys) & (
            first + ROWS <= queries
        )  # a tile over the edge needs the kernel's bounds check
        is_full = (full & whole & valid & (empty == 0)).to(tl.int32)
        is_mixed = ((empty == 0) & valid).to(tl.int32) - is_full
        to_full = n_full + tl.cumsum(is_full, 0) - is_full
        to_mixed = entries - 1 - (n_mixed + tl.cumsum(is_mixed, 0) - is_mixed)
        tl.store(tiles + to_full, other, mask=is_full != 0)
        tl.store(tiles + to_mixed, other, mask=is_mixed != 0)
        n_full += tl.sum(is_full, 0)
        n_mixed += tl.sum(is_mixed, 0)
    tl.store(full_count + owner * blocks + own, n_full)
    tl.store(mixed_count + owner * blocks + own, n_mixed)


def extremes_of(mask: ColumnMask, width: int) -> Tensor:
    """[8, masks, C] int32."""
    bounds = torch.stack(mask.bounds).flatten(1, 2)
    missing = -mask.keys % width
    if missing:
        bounds = torch.cat([bounds, bounds[..., -1:].expand(-1, -1, missing)], -1)
    blocks = bounds.unflatten(-1, (-1, width))
    return torch.cat([blocks.amin(-1), blocks.amax(-1)])


_KEPT: WeakKeyDictionary[ColumnMask, dict[tuple[int, int, bool], Lists]] = WeakKeyDictionary()


def kept_lists(mask: ColumnMask, rows: int, width: int, *, by_columns: bool = False) -> Lists:
    """`lists_of`, made once for a mask, which all layers share: at 8K making them takes as long as sparse attention."""
    own = _KEPT.setdefault(mask, {})
    if (rows, width, by_columns) not in own:
        own[rows, width, by_columns] = lists_of(mask, extremes_of(mask, width), rows, width, by_columns=by_columns)
    return own[rows, width, by_columns]


def lists_of(mask: ColumnMask, extremes: Tensor, rows: int, width: int, *, by_columns: bool = False) -> Lists:
    """Lists for blocks of `rows` queries, or, by columns, for blocks of `width` keys."""
    masks, columns = extremes.shape[1:]
    row_blocks = triton.cdiv(mask.queries, rows)
    blocks, entries = (columns, row_blocks) if by_columns else (row_blocks, columns)
    result = _room(masks, blocks, entries, extremes.device)
    _list_kernel[(blocks, masks)](
        extremes, extremes, *result, masks, blocks, columns, mask.queries, mask.keys, 1, 1, 0, 0,
        ROWS=rows, WIDTH=width, CHUNK=128, BY_COLUMNS=by_columns, CHOSEN=False,
    )  # fmt: skip
    return result


def chosen_lists(
    mask: ColumnMask, extremes: Tensor, chosen: Tensor, heads: tuple[int, int], steps: tuple[int, int], tile: tuple[int, int]
) -> Lists:
    """Lists of the chosen tiles, bool [B x N, blocks, C], that the mask does not empty.

    Args:
        heads: Query heads and key-value heads.
        steps: Masks from one sequence and from one key-value head to the next; 0 where one serves all.
        tile: Queries and keys a tile.
    """
    owners, blocks, columns = chosen.shape
    result = _room(owners, blocks, columns, chosen.device)
    _list_kernel[(blocks, owners)](
        extremes, chosen.to(torch.uint8), *result, extremes.shape[1], blocks, columns, mask.queries, mask.keys, *heads, *steps,
        ROWS=tile[0], WIDTH=tile[1], CHUNK=128, BY_COLUMNS=False, CHOSEN=True,
    )  # fmt: skip
    return result


def _room(lists: int, blocks: int, entries: int, device: torch.device) -> Lists:
    sizes = (lists, blocks, entries), (lists, blocks), (lists, blocks)
    return Lists(*(torch.empty(size, dtype=torch.int32, device=device) for size in sizes))
