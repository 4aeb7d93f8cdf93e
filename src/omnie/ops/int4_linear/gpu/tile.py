"""The product of one tile, which every kernel here calls: packed rows of W times rows of x, dequantised in registers.

    acc[n, m] = block[n // R] sum_k ((code[n, k] - 8) scale[n, k // G]) x[m, k],   float32

W is the left factor, because Hopper's matrix instruction takes that one from registers: weights never go through shared memory
as floats. A weight in x's dtype is the whole number (code - 8) scale, at most 1,016: exact in float16 and float32, rounded once
in bfloat16; its block's float is applied to the sum.

Layout: codes are read as words of eight. The instruction wants inputs 2c, 2c + 1, 2c + 8, 2c + 9 of every sixteen in lane c of
four; a lane holds a word. So the order of inputs within 32 is changed, for both factors alike (a sum does not mind): bits 4 to
0 of an input's place in the tile are bits 2, 1, 4, 3, 0 of its place in memory, and a lane's word serves two instructions.
Inputs 2j and 2j + 1 stay neighbours, so x is copied in units of two.

A code becomes a float by its bits: 0x4300 | code is 128 + code in bfloat16, 0x6400 | code is 1,024 + code in float16; both of a
byte are made at once in the halves of 32 bits (byte * 4097 puts the upper code at bit 16). Scales of the next step are read
while this one multiplies: they are too narrow to be copied asynchronously.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def product(
    x, codes, scale, block, inputs, first, last,
    GROUP: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr, WHOLE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """acc [BLOCK_N, BLOCK_M] over inputs `first` to `last`, multiples of BLOCK_K (the last may lie past the end).

    `x` [BLOCK_M] points to rows of inputs; `codes`, `scale`, `block` [BLOCK_N] to rows' first word (byte, unless WHOLE), scale
    and float. WHOLE: inputs are a multiple of BLOCK_K and codes are words, so that nothing needs a bounds check.
    """
    dtype: tl.constexpr = x.dtype.element_ty
    spot = tl.arange(0, BLOCK_K)
    spot = (spot & -32) | ((spot >> 1 & 3) << 3) | ((spot >> 4 & 1) << 2) | ((spot >> 3 & 1) << 1) | (spot & 1)
    spot = tl.max_contiguous(tl.multiple_of(spot, 2), 2)
    acc = tl.zeros([BLOCK_N, BLOCK_M], tl.float32)
    now = _scales(scale, first, inputs, GROUP, BLOCK_K)
    for k in range(first, last, BLOCK_K):
        after = _scales(scale, k + BLOCK_K, inputs, GROUP, BLOCK_K)
        words = _words(codes, k, inputs, BLOCK_K, WHOLE)
        weights = _weights(words, now.to(dtype), BLOCK_N, BLOCK_K)
        at = x[:, None] + (k + spot)[None, :]
        x_tile = tl.load(at) if WHOLE else tl.load(at, mask=(k + spot)[None, :] < inputs, other=0.0)
        acc = tl.dot(weights, tl.trans(x_tile), acc, input_precision=PRECISION)
        now = after
    return acc * tl.load(block)[:, None]


@triton.jit
def _scales(scale, k, inputs, GROUP: tl.constexpr, BLOCK_K: tl.constexpr):
    """Scales of the tile that begins at input k: [BLOCK_N, groups], one group where it is wider than the tile."""
    groups: tl.constexpr = 1 if GROUP > BLOCK_K else BLOCK_K // GROUP
    group = k // GROUP + tl.arange(0, groups)
    return tl.load(scale[:, None] + group[None, :], mask=(group * GROUP < inputs)[None, :], other=0)


@triton.jit
def _words(codes, k, inputs, BLOCK_K: tl.constexpr, WHOLE: tl.constexpr):
    """Codes as int32 [BLOCK_N, BLOCK_K / 8]; those past the end are 8."""
    word = k // 8 + tl.arange(0, BLOCK_K // 8)
    if WHOLE:
        return tl.load(codes[:, None] + word[None, :])
    else:
        words = tl.zeros([codes.shape[0], BLOCK_K // 8], tl.int32)
        for j in tl.static_range(4):
            byte = word * 4 + j
            part = tl.load(codes[:, None] + byte[None, :], mask=(byte * 2 < inputs)[None, :], other=0x88)
            words |= part.to(tl.int32) << (8 * j)
        return words


@triton.jit
def _weights(words, scale, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    """(code - 8) scale in the scale's dtype, [BLOCK_N, BLOCK_K], inputs in the order of the tile."""
    dtype: tl.constexpr = scale.dtype
    groups: tl.constexpr = scale.shape[1]
    magic: tl.constexpr = 0x43004300 if dtype == tl.bfloat16 else (0x64006400 if dtype == tl.float16 else 0)
    eight: tl.constexpr = 136.0 if dtype == tl.bfloat16 else (1032.0 if dtype == tl.float16 else 8.0)
    even = tl.join(_pair(words, magic), _pair(words >> 16, magic))
    odd = tl.join(_pair(words >> 8, magic), _pair(words >> 24, magic))
    # Axes: row, block of 32, lane (bits 4, 3), code of its byte (bit 0), upper byte pair (bit 2), odd byte (bit 1).
    apart = tl.reshape(tl.join(even, odd), [BLOCK_N, BLOCK_K // 32, 4, 2, 2, 2])
    bits = tl.reshape(tl.permute(apart, (0, 1, 4, 5, 2, 3)), [BLOCK_N, BLOCK_K])
    codes = (bits.to(tl.float32) if dtype == tl.float32 else bits.to(dtype, bitcast=True)) - eight
    # A block of 32 lies in one group, so the order within it does not matter here.
    spread = tl.broadcast_to(scale[:, :, None], [BLOCK_N, groups, BLOCK_K // groups])
    return codes * tl.reshape(spread, [BLOCK_N, BLOCK_K])


@triton.jit
def _pair(byte, magic: tl.constexpr):
    """The float's bits of both codes of the lowest byte: int16 [..., 2]."""
    both = ((byte & 255) * 4097 & 0x000F000F) | magic
    return tl.join(both.to(tl.int16), (both >> 16).to(tl.int16))
