// Products with matrices in 4 bits, for C callers:  y = x W^T + b,  and the routed experts' feed-forward product
//   y[t] = sum over k of w[t, k] * down_e (silu(gate_e x[t]) * up_e x[t]),  e = index[t, k].
//
// Layout: the format of omnie.ops.int4_linear, read where it lies; x and y are row-major, float32 or bfloat16, sums float32.
// A call is a list of phases (pool.h): activations are quantised, then outputs are split into tasks. A task owns a range of
// outputs for all its rows, so no two threads write to one place, and a sum has one order, however many threads there are.
// Experts: rows are sorted by expert first; a task of the first product owns a range of one expert's hidden units, a task of
// the second a range of outputs of all experts, one after the other.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "pool.h"
#if defined(__x86_64__)
#include "avx512_float.h"
#else
#include "kernels.h"
#endif

namespace omnie {

constexpr int ROWS = 256, TOKENS = 512;           // rows of a task; tokens of a pass of experts
constexpr int RANGE = 64, SUM = 32;                // outputs of a task, of a task that sums over experts
constexpr int64_t WORTH = 1 << 18;                 // bytes (times rows) from which on a second thread is worth waking

// Best first.
#if defined(__x86_64__)
constexpr const Set *SETS[] = {&avx512::SET, &avx2::SET, nullptr};
#else
constexpr const Set *SETS[] = {nullptr};
#endif

// The set named, or the best one for "", if this processor has it.
const Set *find(const char *name) {
    for (const Set *const *set = SETS; *set; set++)
        if ((!*name || !strcmp((*set)->name, name)) && (*set)->usable()) return *set;
    return nullptr;
}

// The set in use.
std::atomic<const Set *> &current() {
    static std::atomic<const Set *> set{find("")};
    return set;
}

float widen(uint16_t half) {
    const uint32_t bits = uint32_t(half) << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

uint16_t narrow(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t((bits >> 16) | 0x40);
    return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

extern "C" struct Matrix {
    const uint8_t *codes;
    const int8_t *scale;
    const float *block;
    int64_t outputs, inputs, group;
};

struct Stored {
    const Matrix &m;
    Shape shape{m.inputs, m.group == 32 ? 0 : m.group == 64 ? 1 : 2};
    int64_t share = std::max<int64_t>(1, 64 / std::max<int64_t>(1, shape.groups()));  // rows of a block
    int64_t blocks = (m.outputs + share - 1) / share;

    explicit Stored(const Matrix &matrix) : m(matrix) {}

    // Rows of `count` outputs from `output` on; of `room`, those that are left over repeat the last one.
    void rows(int64_t expert, int64_t output, int count, int room, Row *to) const {
        const int64_t first = expert * m.outputs + output, bytes = shape.bytes(), groups = shape.groups();
        const float *block = m.block + expert * blocks + output / share;
        int64_t left = share - output % share;
        for (int r = 0; r < count; r++, left--) {
            if (!left) block++, left = share;
            to[r] = {m.codes + (first + r) * bytes, m.scale + (first + r) * groups, *block};
        }
        for (int r = count; r < room; r++) to[r] = to[count - 1];
    }
};

// out[n * stride + o - begin]: outputs begin to end for `count` rows, at most ROWS.
void product(const Kernels &k, const Stored &w, int64_t expert, int64_t begin, int64_t end, const void *const *rows, int count,
             float *out, int stride) {
    float found[ROWS * WIDEST];
    for (int64_t o = begin; o < end; o += k.width) {
        Row row[WIDEST];
        const int wide = int(std::min<int64_t>(k.width, end - o));
        w.rows(expert, o, wide, k.width, row);
        if (count <= k.few) {
            k.dot(row, wide, rows, count, w.shape, out + o - begin, stride);
            continue;
        }
        if (wide == k.width) {
            k.panel(row, rows, count, w.shape, out + o - begin, stride);
            continue;
        }
        k.panel(row, rows, count, w.shape, found, k.width);
        for (int n = 0; n < count; n++) memcpy(out + n * stride + o - begin, found + n * k.width, size_t(wide) * sizeof(float));
    }
}

// Rows of activations as the kernels want them; `x` where they may stay as they are.
struct Activations {
    struct alignas(64) Line { char bytes[64]; };

    const Kernels &k;
    int64_t inputs, lines = (inputs + 127) / 128 * (ROW_BYTES / 64);
    std::unique_ptr<Line[]> quantised;
    std::unique_ptr<float[]> wide;
    std::vector<void *> row;

    Activations(const Kernels &kernels, int64_t rows, int64_t width, const float *x = nullptr, int64_t stride = 0)
        : k(kernels), inputs(width), row(size_t(rows)) {
        if (k.integer) quantised.reset(new Line[size_t(rows * lines)]);
        else if (!x) wide.reset(new float[size_t(rows * inputs)]);
        for (int64_t r = 0; r < rows; r++)
            if (k.integer) row[size_t(r)] = quantised.get() + r * lines;
            else row[size_t(r)] = x ? (void *)(x + r * stride) : wide.get() + r * inputs;
        // Kernels take 128 inputs at a time: what lies behind the last ones counts as zeros.
        for (int64_t r = 1; k.integer && inputs && r <= rows; r++)
            memset(quantised.get() + r * lines - ROW_BYTES / 64, 0, ROW_BYTES);
    }

    // Inputs `begin` (a multiple of 64) to begin + count of a row.
    void set(int64_t r, int64_t begin, const float *x, int64_t count) {
        if (k.integer) k.quantise(x, begin, count, row[size_t(r)]);
        else if (wide) memcpy(wide.get() + r * inputs + begin, x, size_t(count) * sizeof(float));
    }

    void set(int64_t r, const uint16_t *x) {
        float buffer[64];
        for (int64_t begin = 0; begin < inputs; begin += 64) {
            const int64_t count = std::min<int64_t>(64, inputs - begin);
            for (int64_t i = 0; i < count; i++) buffer[i] = widen(x[begin + i]);
            set(r, begin, buffer, count);
        }
    }
};

// A caller's rows.
struct Rows {
    const void *x;
    bool half;
    int64_t stride;
    const float *floats() const { return half ? nullptr : (const float *)x; }
    void give(Activations &to, int64_t from, int64_t count) const {
        for (int64_t r = from; r < from + count; r++)
            half ? to.set(r, (const uint16_t *)x + r * stride) : to.set(r, 0, (const float *)x + r * stride, to.inputs);
    }
};

void write(void *y, bool half, int64_t at, const float *values, int64_t count) {
    if (half) for (int64_t i = 0; i < count; i++) ((uint16_t *)y)[at + i] = narrow(values[i]);
    else memcpy((float *)y + at, values, size_t(count) * sizeof(float));
}

int tasks(int64_t count, int64_t size) { return int((count + size - 1) / size); }

// Outputs of a task for few rows: some tasks for each thread, but long ones, for what is asked for ahead may be of no use at
// their ends.
int few_range(const Kernels &k, int64_t outputs, int threads) {
    const int64_t share = tasks(outputs, 8 * std::max(1, threads));
    return int(std::min<int64_t>(ROWS * RANGE / k.few, tasks(share, k.width) * k.width));
}

void linear(const Kernels &k, const Rows &x, int64_t rows, const Matrix &matrix, const float *bias, void *y, int threads) {
    const Stored w(matrix);
    Activations in(k, rows, matrix.inputs, x.floats(), x.stride);
    const int range = int(rows > k.few ? matrix.outputs < 16 * RANGE ? k.width : RANGE : few_range(k, matrix.outputs, threads));
    const int ranges = tasks(matrix.outputs, range);
    auto take = [&](int t) { x.give(in, 8 * t, std::min<int64_t>(8, rows - 8 * t)); };
    auto multiply = [&](int t) {
        float found[ROWS * RANGE];
        const int64_t from = int64_t(t / ranges) * ROWS, begin = int64_t(t % ranges) * range;
        const int64_t end = std::min(begin + range, matrix.outputs);
        const int count = int(std::min<int64_t>(ROWS, rows - from));
        product(k, w, 0, begin, end, in.row.data() + from, count, found, range);
        for (int n = 0; n < count; n++) {
            for (int64_t o = begin; bias && o < end; o++) found[n * range + o - begin] += bias[o];
            write(y, x.half, (from + n) * matrix.outputs + begin, found + n * range, end - begin);
        }
    };
    const bool alone = rows * matrix.outputs * w.shape.bytes() < WORTH;
    Pool::here().run(alone ? 1 : threads, {{tasks(rows, 8), take}, {tasks(rows, ROWS) * ranges, multiply}});
}

// Choices sorted by expert: those of expert e are order[begin[e]] to order[begin[e + 1] - 1], each token * chosen + k.
struct Sorted {
    std::vector<int> begin, order;

    Sorted(const int64_t *index, int64_t choices, int64_t experts) : begin(size_t(experts + 1)), order(size_t(choices)) {
        for (int64_t i = 0; i < choices; i++) begin[size_t(index[i]) + 1]++;
        for (size_t e = 0; e < size_t(experts); e++) begin[e + 1] += begin[e];
        std::vector<int> next(begin);
        for (int64_t i = 0; i < choices; i++) order[size_t(next[size_t(index[i])]++)] = int(i);
    }
};

// One pass over at most TOKENS tokens.
void experts(const Kernels &k, const Rows &x, int64_t tokens, int64_t chosen, const int64_t *index, const float *weight,
             int64_t count, const Matrix &gate_up, const Matrix &down, void *y, int threads) {
    const Stored first(gate_up), second(down);
    const Sorted by(index, tokens * chosen, count);
    const int64_t width = down.inputs, parts = tasks(width, RANGE);
    Activations in(k, tokens, gate_up.inputs, x.floats(), x.stride), hidden(k, tokens * chosen, width);
    std::vector<const void *> rows(by.order.size());
    for (size_t i = 0; i < rows.size(); i++) rows[i] = in.row[size_t(by.order[i] / chosen)];
    std::vector<int> busy;
    for (int64_t e = 0; e < count; e++)
        if (by.begin[size_t(e)] < by.begin[size_t(e) + 1]) busy.push_back(int(e));

    auto take = [&](int t) { x.give(in, 8 * t, std::min<int64_t>(8, tokens - 8 * t)); };
    auto open = [&](int t) {
        float gate[ROWS * RANGE], up[ROWS * RANGE];
        const int e = busy[size_t(t / parts)], last = by.begin[size_t(e) + 1];
        const int64_t begin = t % parts * RANGE, wide = std::min<int64_t>(RANGE, width - begin);
        for (int from = by.begin[size_t(e)]; from < last; from += ROWS) {
            const int height = std::min(ROWS, last - from);
            product(k, first, e, begin, begin + wide, &rows[size_t(from)], height, gate, RANGE);
            product(k, first, e, width + begin, width + begin + wide, &rows[size_t(from)], height, up, RANGE);
            for (int n = 0; n < height; n++) {
                k.swiglu(gate + n * RANGE, up + n * RANGE, weight[by.order[size_t(from + n)]], wide);
                hidden.set(from + n, begin, gate + n * RANGE, wide);
            }
        }
    };
    int64_t most = tokens;  // rows of an expert: more than tokens, where one chooses it twice
    for (int e : busy) most = std::max<int64_t>(most, by.begin[size_t(e) + 1] - by.begin[size_t(e)]);
    const int sum = most > k.few ? SUM : std::min(few_range(k, down.outputs, threads), ROWS * SUM / k.few);
    auto close = [&](int t) {
        float found[ROWS * SUM];
        const int64_t begin = int64_t(t) * sum, end = std::min(begin + sum, down.outputs);
        float total[TOKENS * SUM];
        memset(total, 0, size_t(tokens * sum) * sizeof(float));
        for (int e : busy)
            for (int from = by.begin[size_t(e)], last = by.begin[size_t(e) + 1]; from < last; from += ROWS) {
                const int height = std::min(ROWS, last - from);
                product(k, second, e, begin, end, &hidden.row[size_t(from)], height, found, sum);
                for (int n = 0; n < height; n++) {
                    float *to = total + by.order[size_t(from + n)] / chosen * sum;
                    for (int64_t o = 0; o < end - begin; o++) to[o] += found[n * sum + o];
                }
            }
        for (int64_t n = 0; n < tokens; n++) write(y, x.half, n * down.outputs + begin, total + n * sum, end - begin);
    };
    const bool alone = tokens * chosen * gate_up.outputs * first.shape.bytes() < WORTH;
    const Phase phases[] = {{tasks(tokens, 8), take}, {int(busy.size()) * int(parts), open}, {tasks(down.outputs, sum), close}};
    Pool::here().run(alone ? 1 : threads, {phases, phases + 3});
}

}  // namespace omnie

using namespace omnie;

enum Outcome { DONE, NO_KERNELS, NO_SUCH_EXPERT, NO_MEMORY };

extern "C" {

// Goes up when anything below, or the format, changes.
int omnie_int4_version() { return 2; }

// The name of the kernels in use, or null where this processor has none.
const char *omnie_int4_kernels() { return current() ? current().load()->name : nullptr; }

// Takes the kernels named from the next call on, the best ones for ""; 0 where this processor has no such.
int omnie_int4_choose(const char *name) {
    const Set *set = find(name);
    if (set) current() = set;
    return set != nullptr;
}

// x [rows, inputs], `stride` elements apart; bias [outputs], float32, or null; y [rows, outputs] without gaps. `half`: x and y
// are bfloat16. `integer`: activations as int8.
int omnie_int4_linear(const void *x, int half, int64_t rows, int64_t stride, const Matrix *matrix, const float *bias, void *y,
                      int integer, int threads) try {
    const Set *set = current();
    if (!set) return NO_KERNELS;
    linear(set->kernels[integer], {x, bool(half), stride}, rows, *matrix, bias, y, threads);
    return DONE;
} catch (const std::bad_alloc &) {
    return NO_MEMORY;
}

// x and y as above, with `rows` tokens; index and weight [rows, chosen] without gaps; matrices of `count` experts.
int omnie_int4_experts(const void *x, int half, int64_t rows, int64_t stride, int64_t chosen, const int64_t *index,
                       const float *weight, int64_t count, const Matrix *gate_up, const Matrix *down, void *y, int integer,
                       int threads) try {
    const Set *set = current();
    if (!set) return NO_KERNELS;
    for (int64_t i = 0; i < rows * chosen; i++)
        if (index[i] < 0 || index[i] >= count) return NO_SUCH_EXPERT;
    const int64_t size = half ? 2 : 4;
    for (int64_t from = 0; from < rows; from += TOKENS) {
        const Rows part{(const char *)x + from * stride * size, bool(half), stride};
        void *to = (char *)y + from * down->outputs * size;
        experts(set->kernels[integer], part, std::min<int64_t>(TOKENS, rows - from), chosen, index + from * chosen,
                weight + from * chosen, count, *gate_up, *down, to, threads);
    }
    return DONE;
} catch (const std::bad_alloc &) {
    return NO_MEMORY;
}

}  // extern "C"
