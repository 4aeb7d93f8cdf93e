// Kernels for AVX-512 with VNNI. The formula is that of avx2.h; one call owns the outputs that it writes.
//
// `vpdpbusd` adds four products of codes (0 to 15) and q (-127 to 127) to 32 bits, so "- 8" starts a chunk's sum as -8 times
// the sum of its q, and the scales follow in float32. Sums start at the bits of 1.5 * 2^23 besides: read as a float they are
// that number plus the sum, exactly, and need no conversion. `dot` takes 128 inputs a turn: one vector of codes, the even
// inputs in the low halves of its bytes, the odd ones in the high halves.
//
// Layout: activations are `Quad`; rows of the matrix are read as they are stored, and nothing past a row.

#pragma once
#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels.h"

#define AVX512_TARGET target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")
#define AVX512 __attribute__((AVX512_TARGET))
#define AVX512_INLINE inline __attribute__((AVX512_TARGET, always_inline))

namespace omnie::avx512 {

constexpr int32_t BASE_BITS = 0x4b400000;
constexpr float BASE = 0x1.8p23f;
constexpr int NEAR = 1024, FAR = 4096;  // bytes ahead that are asked for, into the first and the second cache

// 128 activations of a row: four chunks of 32, of 16 bytes in each part. less: -8 times the sum of a chunk's q, then three
// zeros, all plus BASE_BITS. scale: a, four times.
struct alignas(64) Quad {
    int8_t even[64], odd[64];
    int32_t less[16];
    float scale[16];
};
static_assert(sizeof(Quad) == ROW_BYTES);

AVX512_INLINE __m512i load(const void *from) { return _mm512_loadu_si512(from); }

// The first `bytes` (at most 64) of a vector, zeros after them.
AVX512_INLINE __m512i load(const void *from, int64_t bytes) {
    return _mm512_maskz_loadu_epi8(bytes < 64 ? (1ull << bytes) - 1 : ~0ull, from);
}

// The first `count` (at most 16) floats, zeros after them.
AVX512_INLINE __m512 load_floats(const float *from, int64_t count) {
    return _mm512_maskz_loadu_ps(__mmask16(count < 16 ? (1u << count) - 1 : 0xffff), from);
}

// 32 activations into their chunk of a quad. One that is not finite makes the chunk not a number.
AVX512_INLINE void quantise_chunk(__m512 low, __m512 high, Quad &quad, int chunk) {
    const __m512i whole = _mm512_set1_epi32(0x7fffffff);
    const __m512i bits = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(low), whole),
                                          _mm512_and_si512(_mm512_castps_si512(high), whole));
    const int32_t most = _mm512_reduce_max_epi32(bits);
    float peak;
    memcpy(&peak, &most, 4);
    const bool finite = most < 0x7f800000, tiny = peak < 0x1p-100f;
    const __m512 turn = _mm512_set1_ps(finite && !tiny ? 127 / peak : 0);
    const __m128i q0 = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(low, turn)));
    const __m128i q1 = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(high, turn)));
    const __m128i sort = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const __m128i s0 = _mm_shuffle_epi8(q0, sort), s1 = _mm_shuffle_epi8(q1, sort);
    _mm_storeu_si128((__m128i *)quad.even + chunk, _mm_unpacklo_epi64(s0, s1));
    _mm_storeu_si128((__m128i *)quad.odd + chunk, _mm_unpackhi_epi64(s0, s1));
    const __m128i ones = _mm_set1_epi8(1);
    __m128i s = _mm_dpbusd_epi32(_mm_dpbusd_epi32(_mm_setzero_si128(), ones, q0), ones, q1);
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    s = _mm_and_si128(_mm_slli_epi32(_mm_sub_epi32(_mm_setzero_si128(), s), 3), _mm_setr_epi32(-1, 0, 0, 0));
    _mm_storeu_si128((__m128i *)quad.less + chunk, _mm_add_epi32(s, _mm_set1_epi32(BASE_BITS)));
    const float scale = !finite ? __builtin_nanf("") : tiny ? 0 : peak / 127;
    _mm_storeu_ps(quad.scale + 4 * chunk, _mm_set1_ps(scale));
}

AVX512 inline void quantise(const float *x, int64_t begin, int64_t count, void *row) {
    for (int64_t i = 0; i < count; i += 32) {
        const int64_t at = begin + i;
        const __m512 low = load_floats(x + i, count - i), high = load_floats(x + i + 16, std::max<int64_t>(0, count - i - 16));
        quantise_chunk(low, high, ((Quad *)row)[at / 128], int(at / 32 % 4));
    }
}

// The scales of a quad's four chunks, four times each, from `bytes` bytes; groups of 32 << KIND inputs.
template <int KIND>
AVX512_INLINE __m512 scales(const int8_t *from, int bytes) {
    int32_t four = 0;
    memcpy(&four, from, size_t(bytes));
    const auto at = [](int chunk) { return 0x01010101 * (chunk >> KIND); };
    const __m128i each = _mm_shuffle_epi8(_mm_set1_epi32(four), _mm_setr_epi32(at(0), at(1), at(2), at(3)));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(each));
}

// out[n * stride]: one output for N rows.
template <int KIND, int N>
AVX512 void dot_row(const Row &row, const void *const *rows, const Shape &shape, float *out, int stride) {
    const __m512i low = _mm512_set1_epi8(15);
    const int64_t whole = shape.inputs / 128, quads = (shape.inputs + 127) / 128;
    constexpr int GROUPS = 4 >> KIND;
    __m512 acc[N];
    UNROLL for (int n = 0; n < N; n++) acc[n] = _mm512_setzero_ps();
    for (int64_t p = 0; p < quads; p++) {
        const uint8_t *at = row.codes + 64 * p;
        _mm_prefetch((const char *)at + NEAR, _MM_HINT_T0);
        _mm_prefetch((const char *)at + FAR, _MM_HINT_T1);
        const __m512i codes = p < whole ? load(at) : load(at, shape.bytes() - 64 * p);
        const __m512i even = _mm512_and_si512(codes, low), odd = _mm512_and_si512(_mm512_srli_epi16(codes, 4), low);
        const int8_t *from = row.scale + GROUPS * p;
        const __m512 scale = p < whole ? scales<KIND>(from, GROUPS) : scales<KIND>(from, int(shape.groups() - GROUPS * p));
        UNROLL for (int n = 0; n < N; n++) {
            const Quad &x = ((const Quad *)rows[n])[p];
            const __m512i s = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(load(x.less), even, load(x.even)), odd, load(x.odd));
            const __m512 found = _mm512_sub_ps(_mm512_castsi512_ps(s), _mm512_set1_ps(BASE));
            acc[n] = _mm512_fmadd_ps(found, _mm512_mul_ps(scale, _mm512_load_ps(x.scale)), acc[n]);
        }
    }
    for (int n = 0; n < N; n++) out[n * stride] = _mm512_reduce_add_ps(acc[n]) * row.block;
}

}  // namespace omnie::avx512
