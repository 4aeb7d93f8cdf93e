"""Tiles and launches of the kernels. What is given has been checked; rows, tokens and outputs may be none."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from omnie.ops.int4_linear.gpu.dense import linear_kernel, sum_kernel
from omnie.ops.int4_linear.gpu.routed import choices_kernel, down_kernel, gate_up_kernel, sort_kernel
from omnie.ops.int4_linear.packing import Packed, rows_per_block


class Tile(NamedTuple):
    """What a program owns and steps over, and how it is launched; `inputs` is a multiple of 32, `outputs` of 16."""

    outputs: int
    rows: int
    inputs: int
    warps: int
    stages: int


Table = dict[int, Tile]
LARGEST = 2**62
LINEAR: Table = {
    16: Tile(128, 16, 128, 4, 4),
    32: Tile(128, 32, 128, 4, 3),
    64: Tile(128, 64, 64, 4, 4),
    LARGEST: Tile(128, 128, 64, 8, 3),
}
"""Largest number of rows -> tile."""
EXPERTS: Table = {
    8: Tile(64, 16, 128, 4, 4),
    24: Tile(128, 32, 128, 4, 3),
    64: Tile(128, 64, 64, 4, 4),
    LARGEST: Tile(128, 128, 64, 8, 3),
}
"""Largest mean number of choices an expert -> tile of both products."""
FLOAT32 = Tile(64, 32, 32, 4, 2)
"""Multiplied without tensor cores, which would round."""
SMALL = Tile(64, 64, 128, 4, 1)
"""In the interpreter, whose time goes by programs rather than by what they own."""
PROGRAMS = 264
"""Two for each of a Hopper's processors; with less than half of that the inputs of a product are split."""
SORTED = 4096
"""Choices that `sort_kernel` sorts; more of them go through torch's sort."""
INTERPRETED = not isinstance(linear_kernel, triton.JITFunction)
SUM = 1024


def tile_of(table: Table, rows: int, x: Tensor) -> Tile:
    if INTERPRETED:
        return SMALL
    return FLOAT32 if x.dtype == torch.float32 else next(tile for largest, tile in table.items() if rows <= largest)


class Matrix(NamedTuple):
    """A packed matrix as kernels take it."""

    parts: tuple[Tensor, Tensor, Tensor]
    rows: tuple[int, int]
    """Words (or bytes) of codes, and scales, from one row to the next."""
    constants: dict[str, Any]


def matrix(weight: Packed, tile: Tile, x: Tensor) -> Matrix:
    """Codes as words of eight where they can be read so, and steps that end with the inputs where there are such."""
    codes, scale, block, inputs, group = weight
    assert codes.is_contiguous() and scale.is_contiguous() and block.is_contiguous(), "packed matrices have no gaps"
    step = tile.inputs
    while step > 32 and inputs % step:
        step //= 2
    whole = inputs % step == 0 and codes.data_ptr() % 4 == 0 and codes.storage_offset() % 4 == 0
    codes = codes.view(torch.int32) if whole else codes
    constants = {
        "GROUP": group,
        "PER": rows_per_block(inputs, group),
        "BLOCK_N": tile.outputs,
        "BLOCK_M": tile.rows,
        "BLOCK_K": step if whole else tile.inputs,
        "WHOLE": whole,
        "PRECISION": "ieee" if x.dtype == torch.float32 else "tf32",
        "num_warps": tile.warps,
        "num_stages": tile.stages,
    }
    return Matrix((codes, scale, block), (codes.shape[-1], scale.shape[-1]), constants)


def linear(x: Tensor, weight: Packed, bias: Tensor | None) -> Tensor:
    """[rows, out] from x [rows, in]."""
    if x.device.type == "cpu" and x.dtype == torch.bfloat16:  # Triton's interpreter has no product of this type
        return linear(x.float(), weight, bias).to(x.dtype)
    if x.stride(1) != 1 and x.shape[1] != 1:
        x = x.contiguous()
    outputs, inputs, (rows, _) = weight.scale.shape[-2], weight.inputs, x.shape
    y = x.new_empty(rows, outputs)
    if not y.numel():
        return y
    tile = tile_of(LINEAR, rows, x)
    parts, strides, constants = matrix(weight, tile, x)
    grid = triton.cdiv(rows, tile.rows), triton.cdiv(outputs, tile.outputs)
    splits, share = split(grid[0] * grid[1], inputs, constants["BLOCK_K"])
    to = y if splits == 1 else x.new_empty(splits, rows, outputs, dtype=torch.float32)
    given = x if bias is None else bias.contiguous()  # any address stands for none
    with torch.cuda.device_of(x):
        linear_kernel[*grid, splits](
            x, *parts, given, to, rows, outputs, inputs, x.stride(0), *strides, share,
            BIAS=bias is not None and splits == 1, **constants,
        )  # fmt: skip
        if splits > 1:
            blocks = triton.cdiv(y.numel(), SUM)
            sum_kernel[(blocks,)](to, given, y, y.numel(), outputs, splits, BIAS=bias is not None, BLOCK=SUM)
    return y


def split(programs: int, inputs: int, step: int) -> tuple[int, int]:
    """Into how many parts the inputs go, and how many of them are a part: at least two steps each."""
    steps = triton.cdiv(inputs, step)
    wanted = PROGRAMS // programs if 2 * programs <= PROGRAMS else 1
    share = triton.cdiv(steps, max(1, min(wanted, steps // 2)))
    return triton.cdiv(steps, share), share * step


def experts(x: Tensor, index: Tensor, weight: Tensor, gate_up: Packed, down: Packed) -> Tensor:
    """[T, D]; see `routed.py`."""
    if x.device.type == "cpu" and x.dtype == torch.bfloat16:
        return experts(x.float(), index, weight, gate_up, down).to(x.dtype)
    x, index, weight = x.contiguous(), index.long().contiguous(), weight.contiguous()
    (tokens, hidden), top_k, count, width = x.shape, index.shape[1], len(down.scale), down.inputs
    if not index.numel():
        return torch.zeros_like(x)
    choices = tokens * top_k
    tile = tile_of(EXPERTS, choices // count, x)
    most = min(choices, count)
    tiles = most + (choices - most) // tile.rows
    middle, part, y = x.new_empty(choices, width), x.new_empty(choices, hidden), torch.empty_like(x)
    room = triton.next_power_of_2(count)
    with torch.cuda.device_of(x):
        order, ends = by_expert(index, count)
        parts, strides, constants = matrix(gate_up, tile, x)
        gate_up_kernel[triton.cdiv(width, tile.outputs // 2), tiles](
            x, order, ends, weight, *parts, middle, count, top_k, width, hidden, *strides, EXPERTS=room, **constants
        )
        parts, strides, constants = matrix(down, tile, x)
        down_kernel[triton.cdiv(hidden, tile.outputs), tiles](
            middle, order, ends, *parts, part, count, hidden, width, *strides, EXPERTS=room, **constants
        )
        together = 64 if INTERPRETED else 1
        choices_kernel[triton.cdiv(tokens, together), triton.cdiv(hidden, SUM)](
            part, index, y, tokens, count, top_k, hidden, BLOCK_T=together, BLOCK=SUM
        )
    return y


def by_expert(index: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`order` and `ends`, int32, of choices [T, K]."""
    choices = index.numel()
    if choices > SORTED:
        expert, order = index.flatten().sort(stable=True)
        bounds = torch.arange(count + 1, device=index.device)
        return order.int(), torch.searchsorted(expert, bounds).int()
    order, ends = (torch.empty(n, dtype=torch.int32, device=index.device) for n in (choices, count + 1))
    block = 256 if INTERPRETED else 32
    sort_kernel[(triton.cdiv(choices + count + 1, block),)](index, order, ends, choices, count, BLOCK=block, CHUNK=128)
    return order, ends
