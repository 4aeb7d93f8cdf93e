"""The routed experts' feed-forward product from packed matrices, in four kernels without a word to the host.

    order, ends  <-  choices sorted by expert                                                                  sort_kernel
    hidden[s, i] = silu(g) u w,   g, u = x[token] . gate[e, i], x[token] . up[e, i],   w the choice's weight    gate_up_kernel
    part[choice, d] = hidden[s] . down[e, d]                                                                    down_kernel
    y[t, d] = sum over t's choices k, in their order, of part[t K + k, d]                                       choices_kernel

Choice c = t K + k stands at place s of the sorted ones, `order[s]` = c; those of expert e are `ends[e]` to `ends[e + 1]`.
Layout: x, y [T, D], hidden [T K, I] sorted, part [T K, D] as chosen, all without gaps and of x's dtype; sums are float32.

How many tiles an expert has is known on the device only. The grid has as many as there can be; a program of `gate_up_kernel` or
`down_kernel` finds from `ends` which expert's rows it owns (BLOCK_M of them, times BLOCK_N rows of the matrix, all inputs), or
that there is nothing left to do. An expert that no token chose is not read. Gate and up rows alternate by eights in a tile, so
that a thread holds both. Nothing is added atomically: same input, same bits.

An index that is not an expert's sorts before `ends[0]` or after the last end, and makes its token's y not a number.
"""

from __future__ import annotations

import triton
import triton.language as tl

from omnie.ops.int4_linear.gpu.tile import product


@triton.jit
def sort_kernel(index, order, ends, choices, experts, BLOCK: tl.constexpr, CHUNK: tl.constexpr):
    """A choice's place is the number of choices with a smaller expert, or with the same one and made before it.

    One program owns BLOCK places to be found and reads all choices; after the choices come the experts + 1 ends, which are
    found like choices made before all others. For thousands of choices, not more: work grows with their square.
    """
    own = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    chosen, bound = own < choices, own - choices
    key = tl.where(chosen, _experts_at(index + own, chosen, experts), bound)
    made = tl.where(chosen, own, 0)
    place = tl.zeros([BLOCK], tl.int32)
    for start in range(0, choices, CHUNK):
        other = start + tl.arange(0, CHUNK)
        expert = _experts_at(index + other, other < choices, experts)
        less = expert[None, :] < key[:, None]
        earlier = (expert[None, :] == key[:, None]) & (other[None, :] < made[:, None])
        place += tl.sum((less | earlier).to(tl.int32), 1)
    tl.store(order + place, own, mask=chosen)
    tl.store(ends + bound, place, mask=(own >= choices) & (bound <= experts))


@triton.jit
def _experts_at(index, inside, experts):
    """As int32; whatever lies outside is -1 or `experts`."""
    expert = tl.load(index, mask=inside, other=9223372036854775807)
    return tl.minimum(tl.maximum(expert, -1), experts).to(tl.int32)


@triton.jit
def _own(ends, experts, tile, BLOCK_M: tl.constexpr, EXPERTS: tl.constexpr):
    """Expert, first and last place of a tile; EXPERTS, a power of 2 of at least `experts`, where there is no such tile."""
    e = tl.arange(0, EXPERTS)
    begin, end = tl.load(ends + e, mask=e < experts, other=0), tl.load(ends + e + 1, mask=e < experts, other=0)
    tiles = (end - begin + BLOCK_M - 1) // BLOCK_M
    until = tl.cumsum(tiles, 0)
    expert = tl.sum((until <= tile).to(tl.int32), 0)
    before = tl.sum(tl.where(until <= tile, tiles, 0), 0)
    mine = e == expert
    first = tl.sum(tl.where(mine, begin, 0), 0) + (tile - before) * BLOCK_M
    return expert, first, tl.sum(tl.where(mine, end, 0), 0)


@triton.jit
def gate_up_kernel(
    x, order, ends, weight, codes, scale, block, hidden, experts, top_k, width, inputs, row_codes, row_scales,
    GROUP: tl.constexpr, PER: tl.constexpr, EXPERTS: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr, WHOLE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid (blocks of BLOCK_N / 2 of the width, tiles)."""
    expert, first, last = _own(ends, experts, tl.program_id(1), BLOCK_M, EXPERTS)
    if expert >= experts:
        return
    half: tl.constexpr = BLOCK_N // 2
    place = first + tl.arange(0, BLOCK_M)
    choice = tl.load(order + tl.minimum(place, last - 1))
    line = tl.arange(0, BLOCK_N)
    i = tl.program_id(0) * half + (line >> 4) * 8 + (line & 7)
    row = tl.minimum(i, width - 1) + (line >> 3 & 1) * width
    at = expert.to(tl.int64) * 2 * width + row
    blocks = (2 * width + PER - 1) // PER
    acc = product(
        x + (choice // top_k).to(tl.int64) * inputs, codes + at * row_codes, scale + at * row_scales,
        block + expert * blocks + row // PER, inputs, 0, inputs,
        GROUP, BLOCK_N, BLOCK_M, BLOCK_K, WHOLE, PRECISION,
    )  # fmt: skip
    both = tl.permute(tl.reshape(acc, [BLOCK_N // 16, 2, 8, BLOCK_M]), (0, 2, 3, 1))
    gate, up = tl.split(tl.reshape(both, [half, BLOCK_M, 2]))
    value = gate / (1.0 + tl.exp(-gate)) * up * tl.load(weight + choice).to(tl.float32)[None, :]
    i = tl.program_id(0) * half + tl.arange(0, half)
    to = hidden + place.to(tl.int64)[None, :] * width + i[:, None]
    tl.store(to, value.to(hidden.dtype.element_ty), mask=(place < last)[None, :] & (i < width)[:, None])


@triton.jit
def down_kernel(
    hidden, order, ends, codes, scale, block, part, experts, outputs, inputs, row_codes, row_scales,
    GROUP: tl.constexpr, PER: tl.constexpr, EXPERTS: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr, WHOLE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid (blocks of outputs, tiles)."""
    expert, first, last = _own(ends, experts, tl.program_id(1), BLOCK_M, EXPERTS)
    if expert >= experts:
        return
    place = first + tl.arange(0, BLOCK_M)
    own = tl.minimum(place, last - 1).to(tl.int64)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    row = tl.minimum(n, outputs - 1)
    at = expert.to(tl.int64) * outputs + row
    blocks = (outputs + PER - 1) // PER
    acc = product(
        hidden + own * inputs, codes + at * row_codes, scale + at * row_scales, block + expert * blocks + row // PER,
        inputs, 0, inputs, GROUP, BLOCK_N, BLOCK_M, BLOCK_K, WHOLE, PRECISION,
    )  # fmt: skip
    to = part + tl.load(order + own).to(tl.int64)[None, :] * outputs + n[:, None]
    tl.store(to, acc.to(part.dtype.element_ty), mask=(place < last)[None, :] & (n < outputs)[:, None])


@triton.jit
def choices_kernel(part, index, y, tokens, experts, top_k, outputs, BLOCK_T: tl.constexpr, BLOCK: tl.constexpr):
    """Grid (blocks of BLOCK_T tokens, blocks of BLOCK outputs)."""
    token = tl.program_id(0).to(tl.int64) * BLOCK_T + tl.arange(0, BLOCK_T)
    d = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (token < tokens)[:, None] & (d < outputs)[None, :]
    acc = tl.zeros([BLOCK_T, BLOCK], tl.float32)
    for k in range(top_k):
        choice = token * top_k + k
        expert = tl.load(index + choice, mask=token < tokens, other=0)
        value = tl.load(part + choice[:, None] * outputs + d[None, :], mask=inside, other=0.0).to(tl.float32)
        acc += tl.where(((expert >= 0) & (expert < experts))[:, None], value, float("nan"))
    tl.store(y + token[:, None] * outputs + d[None, :], acc.to(y.dtype.element_ty), mask=inside)
