// Panels of 16 outputs for AVX2, and the list of its kernels; avx2.h tells formula and layout.

#pragma once
#include "avx2.h"

namespace omnie::avx2 {

// A chunk of eight rows, from byte `at` on, of which `bytes` are there: to[d] holds the d-th four bytes of each row.
AVX2_INLINE void gather(const Row *row, int64_t at, int64_t bytes, __m256i *to) {
    __m128i x[8];
    for (int r = 0; r < 8; r++) {
        uint8_t rest[16] = {};
        if (bytes < 16) memcpy(rest, row[r].codes + at, size_t(bytes));
        x[r] = _mm_loadu_si128((const __m128i *)(bytes < 16 ? rest : row[r].codes + at));
    }
    __m256i y[4], z[4];
    for (int r = 0; r < 4; r++) y[r] = _mm256_inserti128_si256(_mm256_castsi128_si256(x[r]), x[r + 4], 1);
    z[0] = _mm256_unpacklo_epi32(y[0], y[1]), z[1] = _mm256_unpackhi_epi32(y[0], y[1]);
    z[2] = _mm256_unpacklo_epi32(y[2], y[3]), z[3] = _mm256_unpackhi_epi32(y[2], y[3]);
    to[0] = _mm256_unpacklo_epi64(z[0], z[2]), to[1] = _mm256_unpackhi_epi64(z[0], z[2]);
    to[2] = _mm256_unpacklo_epi64(z[1], z[3]), to[3] = _mm256_unpackhi_epi64(z[1], z[3]);
}

// Scales of 16 outputs from a group on: to[g] holds group g of each output.
AVX2_INLINE void gather_scales(const Row *row, int64_t from, int64_t groups, __m128i *to) {
    __m128i other[16];
    for (int r = 0; r < 16; r++) {
        int8_t rest[16] = {};
        const int64_t left = groups - from;
        if (left < 16) memcpy(rest, row[r].scale + from, size_t(left));
        to[r] = _mm_loadu_si128((const __m128i *)(left < 16 ? rest : row[r].scale + from));
    }
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 8; i++) {
            other[2 * i] = _mm_unpacklo_epi8(to[i], to[i + 8]);
            other[2 * i + 1] = _mm_unpackhi_epi8(to[i], to[i + 8]);
        }
        for (int i = 0; i < 16; i++) to[i] = other[i];
    }
}

// scale[c][o]: the scale of chunk c twice, each as the upper byte of 16 bits.
AVX2_INLINE void lay_scales(const Row *row, const Shape &shape, int64_t first, int64_t chunks, int32_t (*scale)[WIDE]) {
    __m128i stored[16];
    const int64_t start = first >> shape.kind, span = 16 << shape.kind;  // a panel begins with a group
    for (int64_t c = 0; c < chunks; c++) {
        if (c % span == 0) gather_scales(row, start + (c >> shape.kind), shape.groups(), stored);
        const __m128i all = stored[c % span >> shape.kind];
        for (int v = 0; v < 2; v++) {
            __m256i s = _mm256_cvtepu8_epi32(v ? _mm_srli_si128(all, 8) : all);
            s = _mm256_or_si256(_mm256_slli_epi32(s, 8), _mm256_slli_epi32(s, 24));
            _mm256_storeu_si256((__m256i *)(scale[c] + 8 * v), s);
        }
    }
}

AVX2_INLINE void multiply_blocks(const Row *row, int count, float *out, int stride) {
    float block[WIDE];
    for (int o = 0; o < WIDE; o++) block[o] = row[o].block;
    const __m256 low = _mm256_loadu_ps(block), high = _mm256_loadu_ps(block + 8);
    for (int n = 0; n < count; n++, out += stride) {
        _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_loadu_ps(out), low));
        _mm256_storeu_ps(out + 8, _mm256_mul_ps(_mm256_loadu_ps(out + 8), high));
    }
}

using Codes = uint8_t[8][2][32];  // of a chunk: 8 steps of 4 inputs for 16 outputs

// out[n * 16 + o] += ... over the pairs of chunks of a panel; sums of N rows by 16 outputs stay in registers.
template <int N>
AVX2 void tile(const Codes *codes, const int32_t (*scale)[WIDE], const Pair *const *x, int64_t pairs, float *out, int stride) {
    __m256 acc[N][2];
    UNROLL for (int n = 0; n < N; n++) UNROLL for (int v = 0; v < 2; v++) acc[n][v] = _mm256_loadu_ps(out + n * stride + 8 * v);
    for (int64_t p = 0; p < pairs; p++)
        UNROLL for (int half = 0; half < 2; half++) {
            __m256i s[N][2];
            UNROLL for (int n = 0; n < N; n++) s[n][0] = s[n][1] = broadcast(x[n][p].less + 8 * half);
            UNROLL for (int step = 0; step < 8; step++) {
                const __m256i w0 = load(codes[2 * p + half][step][0]), w1 = load(codes[2 * p + half][step][1]);
                UNROLL for (int n = 0; n < N; n++) {
                    const __m256i q = broadcast(x[n][p].q + 32 * (step % 2) + 16 * half + 4 * (step / 2));
                    s[n][0] = _mm256_add_epi16(s[n][0], _mm256_maddubs_epi16(w0, q));
                    s[n][1] = _mm256_add_epi16(s[n][1], _mm256_maddubs_epi16(w1, q));
                    asm("" : "+x"(s[n][0]), "+x"(s[n][1]));  // or compilers reorder the sums, and run out of registers
                }
            }
            UNROLL for (int n = 0; n < N; n++) {
                const __m256 by = _mm256_set1_ps(x[n][p].scale[4 * half]);
                UNROLL for (int v = 0; v < 2; v++) {
                    const __m256i whole = _mm256_madd_epi16(s[n][v], load(scale[2 * p + half] + 8 * v));
                    acc[n][v] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole), by, acc[n][v]);
                }
            }
        }
    for (int n = 0; n < N; n++)
        for (int v = 0; v < 2; v++) _mm256_storeu_ps(out + n * stride + 8 * v, acc[n][v]);
}

// Asks for that part of the next panel's codes which is as large as one chunk of this one's.
AVX2_INLINE void ask(const Row *row, int64_t chunk, const Shape &shape) {
    const char *next = (const char *)row[0].codes + WIDE * shape.bytes() + chunk * 16 * WIDE;
    UNROLL for (int line = 0; line < 4; line++) _mm_prefetch(next + 64 * line, _MM_HINT_T0);
    _mm_prefetch((const char *)row[0].scale + WIDE * (shape.groups() + (chunk >> shape.kind)), _MM_HINT_T0);
}

AVX2 inline void panel(const Row *row, const void *const *rows, int count, const Shape &shape, float *out, int stride) {
    alignas(64) Codes codes[DEEP];
    alignas(64) int32_t scale[DEEP][WIDE];
    const __m256i low = _mm256_set1_epi8(15);
    const int64_t all = (shape.inputs + 31) / 32;
    for (int n = 0; n < count; n++) memset(out + n * stride, 0, WIDE * sizeof(float));
    for (int64_t first = 0; first < all; first += DEEP) {
        const int64_t chunks = std::min<int64_t>(DEEP, all - first);
        lay_scales(row, shape, first, chunks, scale);
        for (int64_t c = 0; c < chunks; c++) {
            ask(row, first + c, shape);
            for (int v = 0; v < 2; v++) {
                __m256i z[4];
                gather(row + 8 * v, 16 * (first + c), shape.bytes() - 16 * (first + c), z);
                for (int d = 0; d < 4; d++) {
                    _mm256_store_si256((__m256i *)codes[c][2 * d][v], _mm256_and_si256(z[d], low));
                    _mm256_store_si256((__m256i *)codes[c][2 * d + 1][v], _mm256_and_si256(_mm256_srli_epi16(z[d], 4), low));
                }
            }
        }
        if (chunks % 2) memset(scale[chunks], 0, sizeof(scale[chunks]));
        for (int n = 0, height; n < count; n += height) {
            const Pair *x[4];
            height = std::min(4, count - n);
            for (int r = 0; r < height; r++) x[r] = (const Pair *)rows[n + r] + first / 2;
            const auto run = height == 4 ? tile<4> : height == 3 ? tile<3> : height == 2 ? tile<2> : tile<1>;
            run(codes, scale, x, (chunks + 1) / 2, out + n * stride, stride);
        }
    }
    multiply_blocks(row, count, out, stride);
}

template <int N>
AVX2 void tile_float(const float *weight, const void *const *rows, int64_t first, int64_t inputs, float *out, int stride) {
    __m256 acc[N][2];
    UNROLL
    for (int n = 0; n < N; n++)
        UNROLL
        for (int v = 0; v < 2; v++) acc[n][v] = _mm256_loadu_ps(out + n * stride + 8 * v);
    for (int64_t i = 0; i < inputs; i++) {
        const __m256 w0 = _mm256_load_ps(weight + i * WIDE), w1 = _mm256_load_ps(weight + i * WIDE + 8);
        UNROLL
        for (int n = 0; n < N; n++) {
            const __m256 x = _mm256_broadcast_ss((const float *)rows[n] + first + i);
            acc[n][0] = _mm256_fmadd_ps(w0, x, acc[n][0]);
            acc[n][1] = _mm256_fmadd_ps(w1, x, acc[n][1]);
        }
    }
    UNROLL
    for (int n = 0; n < N; n++)
        UNROLL
        for (int v = 0; v < 2; v++) _mm256_storeu_ps(out + n * stride + 8 * v, acc[n][v]);
}

AVX2 inline void panel_float(const Row *row, const void *const *rows, int count, const Shape &shape, float *out, int stride) {
    alignas(64) float weight[DEEP_FLOAT * 32 * WIDE];
    alignas(64) int32_t scale[DEEP_FLOAT][WIDE];
    const int64_t all = (shape.inputs + 31) / 32;
    for (int n = 0; n < count; n++) memset(out + n * stride, 0, WIDE * sizeof(float));
    for (int64_t first = 0; first < all; first += DEEP_FLOAT) {
        const int64_t chunks = std::min<int64_t>(DEEP_FLOAT, all - first);
        const int64_t inputs = std::min(32 * chunks, shape.inputs - 32 * first);
        lay_scales(row, shape, first, chunks, scale);
        for (int64_t c = 0; c < chunks; c++) {
            ask(row, first + c, shape);
            for (int v = 0; v < 2; v++) {
                __m256i z[4];
                gather(row + 8 * v, 16 * (first + c), shape.bytes() - 16 * (first + c), z);
                const __m256 by = _mm256_cvtepi32_ps(_mm256_srai_epi32(load(scale[c] + 8 * v), 24));
                const __m256 less = _mm256_mul_ps(by, _mm256_set1_ps(-8));
                for (int i = 0; i < 32; i++) {
                    const __m256i code = _mm256_and_si256(_mm256_srli_epi32(z[i / 8], 4 * (i % 8)), _mm256_set1_epi32(15));
                    _mm256_store_ps(weight + (32 * c + i) * WIDE + 8 * v, _mm256_fmadd_ps(_mm256_cvtepi32_ps(code), by, less));
                }
            }
        }
        int n = 0;
        for (; n + 6 <= count; n += 6) tile_float<6>(weight, rows + n, 32 * first, inputs, out + n * stride, stride);
        for (; n + 2 <= count; n += 2) tile_float<2>(weight, rows + n, 32 * first, inputs, out + n * stride, stride);
        if (n < count) tile_float<1>(weight, rows + n, 32 * first, inputs, out + n * stride, stride);
    }
    multiply_blocks(row, count, out, stride);
}

// Outputs in fours where rows are short, in twos where memory would not keep up with four places at once.
template <int N>
void dot_some(const Row *row, int outputs, const void *const *rows, const Shape &shape, float *out, int stride) {
    const int together = shape.inputs <= 1024 ? 4 : 2;
    const auto run = together == 4 ? dot_rows<4, N> : dot_rows<2, N>;
    int r = 0;
    for (; r + together <= outputs; r += together) run(row + r, rows, shape, out + r, stride);
    for (; r < outputs; r++) dot_rows<1, N>(row + r, rows, shape, out + r, stride);
}

inline void dot(const Row *row, int outputs, const void *const *x, int count, const Shape &shape, float *out, int stride) {
    for (int n = 0; n < count; n += 2)
        (count - n > 1 ? dot_some<2> : dot_some<1>)(row, outputs, x + n, shape, out + n * stride, stride);
}

inline void dot_float(const Row *row, int outputs, const void *const *x, int count, const Shape &shape, float *out,
                      int stride) {
    for (int n = 0; n < count; n += 2)
        for (int r = 0; r < outputs; r++)
            (count - n > 1 ? dot_rows_float<2> : dot_rows_float<1>)(row[r], x + n, shape, out + n * stride + r, stride);
}

// e^x by halves of ln 2 and a polynomial; relative error below 2e-7.
AVX2_INLINE __m256 exponential(__m256 x) {
    x = _mm256_max_ps(_mm256_set1_ps(-87), _mm256_min_ps(_mm256_set1_ps(88), x));
    const __m256 halves = _mm256_mul_ps(x, _mm256_set1_ps(1.44269504f));
    const __m256 n = _mm256_round_ps(halves, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 f = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x));
    __m256 p = _mm256_set1_ps(1 / 720.f);
    for (float c : {1 / 120.f, 1 / 24.f, 1 / 6.f, 1 / 2.f, 1.f, 1.f}) p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(c));
    const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}

AVX2_INLINE void swiglu_8(float *gate, const float *up, __m256 weight) {
    const __m256 x = _mm256_loadu_ps(gate), e = exponential(_mm256_sub_ps(_mm256_setzero_ps(), x));
    const __m256 silu = _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1), e));
    _mm256_storeu_ps(gate, _mm256_mul_ps(silu, _mm256_mul_ps(_mm256_loadu_ps(up), weight)));
}

AVX2 inline void swiglu(float *gate, const float *up, float weight, int64_t count) {
    const __m256 by = _mm256_set1_ps(weight);
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) swiglu_8(gate + i, up + i, by);
    if (i == count) return;
    float g[8] = {}, u[8] = {};
    memcpy(g, gate + i, size_t(count - i) * sizeof(float)), memcpy(u, up + i, size_t(count - i) * sizeof(float));
    swiglu_8(g, u, by);
    memcpy(gate + i, g, size_t(count - i) * sizeof(float));
}

inline bool usable() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

constexpr Set SET = {
    "avx2",
    usable,
    {{false, WIDE, 2, dot_float, panel_float, quantise, swiglu}, {true, WIDE, 2, dot, panel, quantise, swiglu}},
};

}  // namespace omnie::avx2
