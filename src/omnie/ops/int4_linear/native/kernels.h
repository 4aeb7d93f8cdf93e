// What a processor's kernels offer, and the words that they share with the plan in int4.cpp.

#pragma once
#include <cstdint>

#define UNROLL _Pragma("GCC unroll 16")

namespace omnie {

constexpr int WIDEST = 32;      // outputs of a panel, at most
constexpr int ROW_BYTES = 256;  // of 128 activations as int8

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

// Rows of activations are float [inputs], or int8 as `quantise` of the same kernels lays them out, ROW_BYTES for 128.
struct Kernels {
    bool integer;
    int width;  // outputs of a panel
    int few;    // rows up to which `dot` is the faster one
    // out[n * stride + o]: outputs for `count` rows of activations.
    void (*dot)(const Row *row, int outputs, const void *const *rows, int count, const Shape &shape, float *out, int stride);
    // out[n * stride + o]: `width` outputs for `count` rows.
    void (*panel)(const Row *row, const void *const *rows, int count, const Shape &shape, float *out, int stride);
    // Inputs `begin` (a multiple of 64) to begin + count of a row.
    void (*quantise)(const float *x, int64_t begin, int64_t count, void *row);
    // gate[i] = silu(gate[i]) * up[i] * weight
    void (*swiglu)(float *gate, const float *up, float weight, int64_t count);
};

// An instruction set's kernels: with activations in float32, then as int8.
struct Set {
    const char *name;
    bool (*usable)();
    Kernels kernels[2];
};

}  // namespace omnie
