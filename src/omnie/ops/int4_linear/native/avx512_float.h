// AVX-512 with activations in float32, and the list of its kernels. A code picks one of 16 floats; a chunk's scale follows.

#pragma once
#include "avx2_panel.h"
#include "avx512_panel.h"

namespace omnie::avx512 {

// Floats of the lowest four bits of each of 16 dwords: -8 to 7.
AVX512_INLINE __m512 levels(__m512i codes) {
    return _mm512_permutexvar_ps(codes, _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7));
}

// out[n * stride]: one output for N rows.
template <int N>
AVX512 void dot_row_float(const Row &row, const void *const *rows, const Shape &shape, float *out, int stride) {
    const __m512i shift = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
    const __m512i first = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    __m512 acc[N];
    UNROLL for (int n = 0; n < N; n++) acc[n] = _mm512_setzero_ps();
    for (int64_t begin = 0; begin < shape.inputs; begin += 32) {
        const char *at = (const char *)row.codes + begin / 2;
        _mm_prefetch(at + NEAR, _MM_HINT_T0);
        _mm_prefetch(at + FAR, _MM_HINT_T1);
        const __m512i codes = load(at, std::min<int64_t>(16, shape.bytes() - begin / 2));
        const __m512 scale = _mm512_set1_ps(row.scale[begin >> (5 + shape.kind)]);
        __m512 w[2];
        UNROLL for (int i = 0; i < 2; i++) {
            const __m512i dwords = _mm512_permutexvar_epi32(_mm512_add_epi32(first, _mm512_set1_epi32(2 * i)), codes);
            w[i] = _mm512_mul_ps(levels(_mm512_srlv_epi32(dwords, shift)), scale);
        }
        UNROLL for (int n = 0; n < N; n++)
            UNROLL for (int i = 0; i < 2; i++) {
                const int64_t from = begin + 16 * i;
                const __m512 x = load_floats((const float *)rows[n] + from, std::max<int64_t>(0, shape.inputs - from));
                acc[n] = _mm512_fmadd_ps(w[i], x, acc[n]);
            }
    }
    for (int n = 0; n < N; n++) out[n * stride] = _mm512_reduce_add_ps(acc[n]) * row.block;
}

inline void dot_float(const Row *row, int outputs, const void *const *x, int count, const Shape &shape, float *out,
                      int stride) {
    for (int r = 0; r < outputs; r++)
        for (int n = 0; n < count; n += 2)
            (count - n > 1 ? dot_row_float<2> : dot_row_float<1>)(row[r], x + n, shape, out + n * stride + r, stride);
}

// out[n * stride + o] += ... over the inputs of a quad; sums of N rows by 32 outputs stay in registers.
template <int N>
AVX512 void tile_float(const float *weight, const float *const *x, int64_t inputs, float *out, int stride) {
    __m512 acc[N][2];
    UNROLL for (int n = 0; n < N; n++)
        UNROLL for (int v = 0; v < 2; v++) acc[n][v] = _mm512_loadu_ps(out + n * stride + 16 * v);
    for (int64_t i = 0; i < inputs; i++) {
        const __m512 w0 = _mm512_load_ps(weight + i * WIDE), w1 = _mm512_load_ps(weight + i * WIDE + 16);
        UNROLL for (int n = 0; n < N; n++) {
            const __m512 one = _mm512_set1_ps(x[n][i]);
            acc[n][0] = _mm512_fmadd_ps(w0, one, acc[n][0]);
            acc[n][1] = _mm512_fmadd_ps(w1, one, acc[n][1]);
        }
    }
    UNROLL for (int n = 0; n < N; n++)
        UNROLL for (int v = 0; v < 2; v++) _mm512_storeu_ps(out + n * stride + 16 * v, acc[n][v]);
}

AVX512 inline void panel_float(const Row *row, const void *const *rows, int count, const Shape &shape, float *out, int stride) {
    alignas(64) float weight[128 * WIDE];
    alignas(64) Scales scale;
    constexpr decltype(&tile_float<1>) TILES[HIGH] = {tile_float<1>, tile_float<2>, tile_float<3>,
                                                      tile_float<4>, tile_float<5>, tile_float<6>};
    for (int n = 0; n < count; n++) memset(out + n * stride, 0, WIDE * sizeof(float));
    for (int64_t quad = 0; quad < (shape.inputs + 127) / 128; quad++) {
        ask(row, quad, shape);
        for (int v = 0; v < 2; v++) {
            __m512i dwords[16];
            gather(row + 16 * v, quad, shape, dwords);
            lay_scales(row + 16 * v, quad, shape, scale, v);
            for (int d = 0; d < 16; d++)
                UNROLL for (int i = 0; i < 8; i++) {
                    const __m512 w = _mm512_mul_ps(levels(dwords[d]), _mm512_load_ps(scale[d / 4][v][0]));
                    _mm512_store_ps(weight + (8 * d + i) * WIDE + 16 * v, w);
                    dwords[d] = _mm512_srli_epi32(dwords[d], 4);
                }
        }
        const int64_t inputs = std::min<int64_t>(128, shape.inputs - 128 * quad);
        for (int n = 0, height; n < count; n += height) {
            const float *x[HIGH];
            height = std::min(HIGH, count - n);
            for (int r = 0; r < height; r++) x[r] = (const float *)rows[n + r] + 128 * quad;
            TILES[height - 1](weight, x, inputs, out + n * stride, stride);
        }
    }
    multiply_blocks(row, count, out, stride);
}

inline bool usable() {
    return avx2::usable() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

constexpr Set SET = {
    "avx512-vnni",
    usable,
    {{false, WIDE, 4, dot_float, panel_float, quantise, avx2::swiglu}, {true, WIDE, 8, dot, panel, quantise, avx2::swiglu}},
};

}  // namespace omnie::avx512
