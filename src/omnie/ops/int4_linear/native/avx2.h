// Kernels for AVX2 and FMA. One call owns the outputs that it writes, and what it works in.
//
//   y[o] = block[o / R] * sum over chunks c of  scale[o, c] * a[c] * sum over i in c of (code[o, i] - 8) * q[i]
//
// A chunk is 32 inputs; q are activations as int8 and a their scale. Codes (0 to 15) times q (-127 to 127) is a product of
// unsigned and signed bytes; "- 8" is taken off in 16 bits as a sum of q, where the result fits: 16 products of at most
// 8 * 127. The weights' int8 scale is multiplied in while 16 bits are widened to 32. With activations in float32, codes are
// made floats in registers.
//
// Layout: `dot` reads rows of the matrix as they are stored, for few rows of activations; `panel` puts 16 outputs side by side
// first, for many: 8 outputs a vector, 4 inputs of each (0, 2, 4, 6, then 1, 3, 5, 7, then 8, 10, ...). Nothing is read past
// a row.

#pragma once
#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels.h"

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX2_INLINE inline __attribute__((target("avx2,fma"), always_inline))

namespace omnie::avx2 {

// 64 activations of a row. q: inputs 0, 2, ... 30, then 32, 34, ... 62, then the odd ones alike. less: of each chunk -8 times
// the sum of its bytes 0 and 1 (mod 4), then of its bytes 2 and 3, then six zeros. scale: a / 256, four times a chunk.
struct alignas(64) Pair {
    int8_t q[64];
    int16_t less[16];
    float scale[8];
};
static_assert(2 * sizeof(Pair) == ROW_BYTES);

constexpr int WIDE = 16, DEEP = 32, DEEP_FLOAT = 8, AHEAD = 2048;  // a panel's outputs and chunks; bytes to prefetch ahead

// Which of 16 scales belong to pair p of chunks: as the upper byte of 16 bits; for groups of 32, 64 and 128 inputs.
struct Choice {
    alignas(32) uint8_t at[3][32][32];
    Choice() {
        for (int kind = 0; kind < 3; kind++)
            for (int pair = 0; pair < 32; pair++)
                for (int i = 0; i < 32; i++) at[kind][pair][i] = i % 2 ? uint8_t(((2 * pair + i / 16) >> kind) % 16) : 0x80;
    }
};
inline const Choice choice;

AVX2_INLINE __m256i load(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }

AVX2_INLINE __m256i broadcast(const void *from) {
    int32_t four;
    memcpy(&four, from, 4);
    return _mm256_set1_epi32(four);
}

AVX2_INLINE float sum(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// 32 activations into their half of a pair. One that is not finite makes the chunk not a number.
AVX2_INLINE void quantise_chunk(const float *x, Pair &pair, int half) {
    __m256i largest = _mm256_setzero_si256(), whole[4];
    for (int i = 0; i < 4; i++)
        largest = _mm256_max_epi32(largest, _mm256_and_si256(load(x + 8 * i), _mm256_set1_epi32(0x7fffffff)));
    __m128i most = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0x4e));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0xb1));
    const float peak = _mm_cvtss_f32(_mm_castsi128_ps(most));
    const bool finite = _mm_cvtsi128_si32(most) < 0x7f800000, tiny = peak < 0x1p-100f;
    const __m256 turn = _mm256_set1_ps(finite && !tiny ? 127 / peak : 0);
    for (int i = 0; i < 4; i++) whole[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), turn));
    __m256i q = _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]), _mm256_packs_epi32(whole[2], whole[3]));
    q = _mm256_permutevar8x32_epi32(q, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    const __m128i sort = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    q = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(q, _mm256_broadcastsi128_si256(sort)), 0xd8);
    _mm_storeu_si128((__m128i *)(pair.q + 16 * half), _mm256_castsi256_si128(q));
    _mm_storeu_si128((__m128i *)(pair.q + 32 + 16 * half), _mm256_extracti128_si256(q, 1));
    const __m256i sums = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
    __m128i s = _mm_add_epi16(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 0xb1));
    s = _mm_and_si128(_mm_mullo_epi16(s, _mm_set1_epi16(-8)), _mm_setr_epi32(-1, 0, 0, 0));
    _mm_storeu_si128((__m128i *)(pair.less + 8 * half), s);
    _mm_storeu_ps(pair.scale + 4 * half, _mm_set1_ps(!finite ? __builtin_nanf("") : tiny ? 0 : peak / (127 * 256)));
}

AVX2 inline void quantise(const float *x, int64_t begin, int64_t count, void *row) {
    for (int64_t i = 0; i < count; i += 32) {
        float rest[32] = {};
        if (count - i < 32) memcpy(rest, x + i, size_t(count - i) * sizeof(float));
        quantise_chunk(count - i < 32 ? rest : x + i, ((Pair *)row)[(begin + i) / 64], int((begin + i) / 32 % 2));
    }
}

// out[n * stride + r]: R outputs for N rows.
template <int R, int N>
AVX2 void dot_rows(const Row *row, const void *const *rows, const Shape &shape, float *out, int stride) {
    const __m256i low = _mm256_set1_epi8(15);
    const int64_t pairs = (shape.inputs + 63) / 64, whole = shape.inputs / 64, span = 8 << shape.kind;
    const int64_t groups = shape.groups(), full = groups / 16 * 16;
    uint8_t rest[R][32] = {};
    int8_t last[R][16] = {};
    for (int r = 0; r < R; r++) {
        if (pairs > whole) memcpy(rest[r], row[r].codes + 32 * whole, size_t(shape.bytes() - 32 * whole));
        if (groups > full) memcpy(last[r], row[r].scale + full, size_t(groups - full));
    }
    __m256 acc[R][N];
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int n = 0; n < N; n++) acc[r][n] = _mm256_setzero_ps();
    for (int64_t begin = 0, at = 0; begin < pairs; begin += span, at += 16) {
        __m256i scales[R];
        UNROLL for (int r = 0; r < R; r++) {
            const int8_t *from = at < full ? row[r].scale + at : last[r];
            _mm_prefetch((const char *)row[r].scale + at + AHEAD / 2, _MM_HINT_T0);
            scales[r] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)from));
        }
        for (int64_t p = begin, end = std::min(begin + span, pairs); p < end; p++) {
            const __m256i pick = load(choice.at[shape.kind][p - begin]);
            UNROLL for (int r = 0; r < R; r++) {
                _mm_prefetch((const char *)row[r].codes + 32 * p + AHEAD, _MM_HINT_T0);
                const __m256i scale = _mm256_shuffle_epi8(scales[r], pick);
                const __m256i codes = load(p < whole ? row[r].codes + 32 * p : rest[r]);
                const __m256i even = _mm256_and_si256(codes, low), odd = _mm256_and_si256(_mm256_srli_epi16(codes, 4), low);
                UNROLL for (int n = 0; n < N; n++) {
                    const Pair &x = ((const Pair *)rows[n])[p];
                    __m256i s = _mm256_add_epi16(load(x.less), _mm256_maddubs_epi16(even, load(x.q)));
                    s = _mm256_madd_epi16(_mm256_add_epi16(s, _mm256_maddubs_epi16(odd, load(x.q + 32))), scale);
                    acc[r][n] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s), _mm256_loadu_ps(x.scale), acc[r][n]);
                }
            }
        }
    }
    for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) out[n * stride + r] = sum(acc[r][n]) * row[r].block;
}

// Eight floats of a dword's eight codes, times the scale.
AVX2_INLINE __m256 floats(const void *codes, __m256 scale, __m256 less) {
    const __m256i shift = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    const __m256i code = _mm256_and_si256(_mm256_srlv_epi32(broadcast(codes), shift), _mm256_set1_epi32(15));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(code), scale, less);
}

template <int N>
AVX2 void dot_rows_float(const Row &row, const void *const *rows, const Shape &shape, float *out, int stride) {
    const int64_t whole = shape.inputs / 8 * 8, left = shape.inputs - whole;
    uint8_t codes[4] = {};
    float rest[N][8] = {};
    memcpy(codes, row.codes + whole / 2, size_t(left + 1) / 2);
    for (int n = 0; n < N; n++) memcpy(rest[n], (const float *)rows[n] + whole, size_t(left) * sizeof(float));
    __m256 acc[N][2];
    UNROLL for (int n = 0; n < N; n++) acc[n][0] = acc[n][1] = _mm256_setzero_ps();
    for (int64_t begin = 0; begin < shape.inputs; begin += 32) {
        const float scale = row.scale[begin >> (5 + shape.kind)];
        const __m256 by = _mm256_set1_ps(scale), less = _mm256_set1_ps(-8 * scale);
        _mm_prefetch((const char *)row.codes + begin / 2 + AHEAD, _MM_HINT_T0);
        UNROLL for (int i = 0; i < 4; i++) {
            const int64_t at = begin + 8 * i;
            if (at >= shape.inputs) break;
            const __m256 w = floats(at < whole ? row.codes + at / 2 : codes, by, less);
            UNROLL for (int n = 0; n < N; n++) {
                const __m256 x = _mm256_loadu_ps(at < whole ? (const float *)rows[n] + at : rest[n]);
                acc[n][i % 2] = _mm256_fmadd_ps(w, x, acc[n][i % 2]);
            }
        }
    }
    UNROLL for (int n = 0; n < N; n++) out[n * stride] = sum(_mm256_add_ps(acc[n][0], acc[n][1])) * row.block;
}

}  // namespace omnie::avx2
