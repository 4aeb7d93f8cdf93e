// Panels of 32 outputs for AVX-512; avx512.h tells formula and layout.
//
// A panel's codes are laid out for a few chunks at once, 16 outputs a vector, four inputs of each, in the order of `Quad`;
// then every row of activations runs over them, six at a time, whose sums stay in registers.

#pragma once
#include "avx512.h"

namespace omnie::avx512 {

constexpr int WIDE = 32, DEEP = 8, HIGH = 6;  // a panel's outputs and quads; rows of a tile

using Codes = uint8_t[32][2][64];   // of a quad: 32 steps of 4 inputs for 32 outputs; one of even inputs, then one of odd ones
using Scales = float[4][2][2][16];  // of its chunks: the scales, then -BASE times them

// Rows of dwords become columns: to[d] holds dword d of each of 16.
AVX512_INLINE void transpose(__m512i *x) {
    __m512i y[16];
    UNROLL for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]), y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    UNROLL for (int i = 0; i < 16; i += 4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]), x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]), x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    UNROLL for (int i = 0; i < 4; i++) {  // lane l of x[i + 4 r] holds dword 4 l + i of rows 4 r to 4 r + 3
        const __m512i a = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88), b = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
        const __m512i c = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd), d = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
        y[i] = _mm512_shuffle_i32x4(a, b, 0x88), y[i + 8] = _mm512_shuffle_i32x4(a, b, 0xdd);
        y[i + 4] = _mm512_shuffle_i32x4(c, d, 0x88), y[i + 12] = _mm512_shuffle_i32x4(c, d, 0xdd);
    }
    UNROLL for (int i = 0; i < 16; i++) x[i] = y[i];
}

// A quad's codes of 16 outputs: to[d] holds the d-th four bytes of each.
AVX512_INLINE void gather(const Row *row, int64_t quad, const Shape &shape, __m512i *to) {
    const int64_t bytes = shape.bytes() - 64 * quad;
    UNROLL for (int r = 0; r < 16; r++)
        to[r] = bytes < 64 ? load(row[r].codes + 64 * quad, bytes) : load(row[r].codes + 64 * quad);
    transpose(to);
}

// A quad's scales of 16 outputs, as floats; zeros behind the last group.
AVX512_INLINE void lay_scales(const Row *row, int64_t quad, const Shape &shape, Scales to, int v) {
    const int64_t from = quad * 4 >> shape.kind, left = shape.groups() - from;
    int32_t stored[16] = {};
    for (int r = 0; r < 16; r++)
        if (left >= 4) memcpy(stored + r, row[r].scale + from, 4);
        else for (int64_t g = 0; g < left; g++) ((int8_t *)(stored + r))[g] = row[r].scale[from + g];
    const __m512i all = load(stored);
    for (int c = 0; c < 4; c++) {
        const __m512i upper = _mm512_sllv_epi32(all, _mm512_set1_epi32(24 - 8 * (c >> shape.kind)));
        const __m512 scale = _mm512_cvtepi32_ps(_mm512_srai_epi32(upper, 24));
        _mm512_storeu_ps(to[c][v][0], scale);
        _mm512_storeu_ps(to[c][v][1], _mm512_mul_ps(scale, _mm512_set1_ps(-BASE)));
    }
}

// Asks for the codes of the next panel, as many as one quad of this one has.
AVX512_INLINE void ask(const Row *row, int64_t quad, const Shape &shape) {
    const char *next = (const char *)row[0].codes + WIDE * (shape.bytes() + 64 * quad);
    for (int line = 0; line < WIDE; line++) _mm_prefetch(next + 64 * line, _MM_HINT_T1);
    _mm_prefetch((const char *)row[0].scale + WIDE * (shape.groups() + (4 * quad >> shape.kind)), _MM_HINT_T1);
}

// out[n * 32 + o] += ... over the quads of a panel.
template <int N>
AVX512 void tile(const Codes *codes, const Scales *scale, const Quad *const *x, int64_t quads, float *out, int stride) {
    __m512 acc[N][2];
    UNROLL for (int n = 0; n < N; n++)
        UNROLL for (int v = 0; v < 2; v++) acc[n][v] = _mm512_loadu_ps(out + n * stride + 16 * v);
    for (int64_t p = 0; p < quads; p++)
        UNROLL for (int chunk = 0; chunk < 4; chunk++) {
            __m512i s[N][2];
            UNROLL for (int n = 0; n < N; n++) s[n][0] = s[n][1] = _mm512_set1_epi32(x[n][p].less[4 * chunk]);
            UNROLL for (int step = 0; step < 8; step++) {
                const __m512i w0 = load(codes[p][8 * chunk + step][0]), w1 = load(codes[p][8 * chunk + step][1]);
                UNROLL for (int n = 0; n < N; n++) {
                    int32_t four;
                    memcpy(&four, (step % 2 ? x[n][p].odd : x[n][p].even) + 16 * chunk + 4 * (step / 2), 4);
                    const __m512i q = _mm512_set1_epi32(four);
                    s[n][0] = _mm512_dpbusd_epi32(s[n][0], w0, q);
                    s[n][1] = _mm512_dpbusd_epi32(s[n][1], w1, q);
                }
            }
            UNROLL for (int n = 0; n < N; n++) {
                const __m512 by = _mm512_set1_ps(x[n][p].scale[4 * chunk]);
                UNROLL for (int v = 0; v < 2; v++) {
                    const float(*to)[16] = scale[p][chunk][v];
                    const __m512 found = _mm512_castsi512_ps(s[n][v]);
                    const __m512 part = _mm512_fmadd_ps(found, _mm512_load_ps(to[0]), _mm512_load_ps(to[1]));
                    acc[n][v] = _mm512_fmadd_ps(part, by, acc[n][v]);
                }
            }
        }
    for (int n = 0; n < N; n++)
        for (int v = 0; v < 2; v++) _mm512_storeu_ps(out + n * stride + 16 * v, acc[n][v]);
}

AVX512_INLINE void multiply_blocks(const Row *row, int count, float *out, int stride) {
    float block[WIDE];
    for (int o = 0; o < WIDE; o++) block[o] = row[o].block;
    const __m512 low = _mm512_loadu_ps(block), high = _mm512_loadu_ps(block + 16);
    for (int n = 0; n < count; n++, out += stride) {
        _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_loadu_ps(out), low));
        _mm512_storeu_ps(out + 16, _mm512_mul_ps(_mm512_loadu_ps(out + 16), high));
    }
}

AVX512 inline void panel(const Row *row, const void *const *rows, int count, const Shape &shape, float *out, int stride) {
    alignas(64) Codes codes[DEEP];
    alignas(64) Scales scale[DEEP];
    constexpr decltype(&tile<1>) TILES[HIGH + 1] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};
    const __m512i low = _mm512_set1_epi8(15);
    const int64_t all = (shape.inputs + 127) / 128;
    for (int n = 0; n < count; n++) memset(out + n * stride, 0, WIDE * sizeof(float));
    for (int64_t first = 0; first < all; first += DEEP) {
        const int64_t quads = std::min<int64_t>(DEEP, all - first);
        for (int64_t p = 0; p < quads; p++) {
            ask(row, first + p, shape);
            for (int v = 0; v < 2; v++) {
                __m512i dwords[16];
                gather(row + 16 * v, first + p, shape, dwords);
                UNROLL for (int d = 0; d < 16; d++) {
                    _mm512_store_si512(codes[p][2 * d][v], _mm512_and_si512(dwords[d], low));
                    _mm512_store_si512(codes[p][2 * d + 1][v], _mm512_and_si512(_mm512_srli_epi16(dwords[d], 4), low));
                }
                lay_scales(row + 16 * v, first + p, shape, scale[p], v);
            }
        }
        for (int n = 0, height; n < count; n += height) {
            const Quad *x[HIGH];
            height = std::min(HIGH, count - n);
            for (int r = 0; r < height; r++) x[r] = (const Quad *)rows[n + r] + first;
            TILES[height](codes, scale, x, quads, out + n * stride, stride);
        }
    }
    multiply_blocks(row, count, out, stride);
}

// One output after the other, so that one place in memory is read at a time; four rows of activations at once.
template <int KIND>
void dot_some(const Row *row, int outputs, const void *const *x, int count, const Shape &shape, float *out, int stride) {
    constexpr decltype(&dot_row<KIND, 1>) RUN[4] = {dot_row<KIND, 1>, dot_row<KIND, 2>, dot_row<KIND, 3>, dot_row<KIND, 4>};
    for (int r = 0; r < outputs; r++)
        for (int n = 0; n < count; n += 4) RUN[std::min(4, count - n) - 1](row[r], x + n, shape, out + n * stride + r, stride);
}

inline void dot(const Row *row, int outputs, const void *const *x, int count, const Shape &shape, float *out, int stride) {
    const auto run = shape.kind == 0 ? dot_some<0> : shape.kind == 1 ? dot_some<1> : dot_some<2>;
    run(row, outputs, x, count, shape, out, stride);
}

}  // namespace omnie::avx512
