// What a processor's kernels offer, and the words that they share with the plan in int4.cpp.

#pragma once
#include <cstdint>

namespace omnie {

// 64 activations of a row. q: inputs 0, 2, ... 30, then 32, 34, ... 62, then the odd ones alike. less: of each chunk -8 times
// the sum of its bytes 0 and 1 (mod 4), then of its bytes 2 and 3, then six zeros. scale: a / 256, four times a chunk.
struct alignas(64) Pair {
    int8_t q[64];
    int16_t less[16];
    float scale[8];
};

// One output's row of the matrix, as it is stored.
struct Row {
    const uint8_t *codes;
    const int8_t *scale;
    float block;
};

// What the rows of a matrix have in common; groups of 32 << kind inputs.
struct Shape {
    int64_t inputs;
    int kind;
    int64_t bytes() const { return (inputs + 1) / 2; }
    int64_t groups() const { return (inputs + (32 << kind) - 1) >> (5 + kind); }
};

// Rows of activations are `Pair` [ceil(inputs / 64)] or float [inputs], as the kernel wants them.
struct Kernels {
    bool integer;
    // out[n * stride + o]: outputs for `count` rows of activations.
    void (*dot)(const Row *row, int outputs, const void *const *rows, int count, const Shape &shape, float *out, int stride);
    // out[n * 16 + o]: 16 outputs for `count` rows.
    void (*panel)(const Row *row, const void *const *rows, int count, const Shape &shape, float *out);
    void (*quantise)(const float *x, int64_t inputs, Pair *to);
    // gate[i] = silu(gate[i]) * up[i] * weight
    void (*swiglu)(float *gate, const float *up, float weight, int64_t count);
};

}  // namespace omnie
