// One layer's products by llama.cpp's ggml on the CPU, for benchmarks/int4.py: four projections of attention, a shared expert,
// and the routed experts; 4 bits (Q4_0), in the layout that ggml itself chooses for each matrix on this machine. Nothing else
// of a layer is computed. The benchmark builds this against a folder that holds ggml's `include` and `lib`:
//
//     cmake -S llama.cpp -B build -DGGML_NATIVE=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
//     cmake --build build --target ggml && cmake --install build/ggml --prefix FOLDER
//
// Arguments: threads, layers, tokens, hidden, kv, experts, chosen, width, shared width, and a layout that is not to be used
// (version 0.25.3 of ggml ends with an illegal instruction in its AMX layout with 512 tokens). Prints the seconds of a layer,
// the best of several rounds, and the layouts.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

using Tensor = ggml_tensor *;

struct Sizes {
    int threads, layers, tokens, hidden, kv, experts, chosen, width, shared;
};

std::string not_used;

struct Layer {
    Tensor q, k, v, o, gate, up, down, shared_gate, shared_up, shared_down;
    std::vector<Tensor> all() const { return {q, k, v, o, gate, up, down, shared_gate, shared_up, shared_down}; }
};

ggml_context *context(size_t tensors) {
    return ggml_init({ggml_tensor_overhead() * tensors + ggml_graph_overhead_custom(tensors, false), nullptr, true});
}

// The first of ggml's layouts for this device in which it multiplies by this matrix.
ggml_backend_buffer_type_t layout(ggml_backend_dev_t device, Tensor weight) {
    auto extra = (ggml_backend_dev_get_extra_bufts_t)ggml_backend_reg_get_proc_address(
        ggml_backend_dev_backend_reg(device), "ggml_backend_dev_get_extra_bufts");
    for (auto *type = extra ? extra(device) : nullptr; type && *type; type++) {
        if (not_used == ggml_backend_buft_name(*type)) continue;
        ggml_context *scratch = context(8);
        Tensor x = ggml_new_tensor_3d(scratch, GGML_TYPE_F32, weight->ne[0], 1, 4);
        Tensor ids = ggml_new_tensor_2d(scratch, GGML_TYPE_I32, 1, 4);
        Tensor flat = ggml_new_tensor_2d(scratch, GGML_TYPE_F32, weight->ne[0], 4);
        Tensor op = weight->ne[2] > 1 ? ggml_mul_mat_id(scratch, weight, x, ids) : ggml_mul_mat(scratch, weight, flat);
        weight->buffer = ggml_backend_buft_alloc_buffer(*type, 0);
        const bool fits = ggml_backend_dev_supports_op(device, op);
        ggml_backend_buffer_free(weight->buffer);
        weight->buffer = nullptr;
        ggml_free(scratch);
        if (fits) return *type;
    }
    return ggml_backend_dev_buffer_type(device);
}

void fill(Tensor weight, std::minstd_rand &random) {
    std::vector<uint8_t> bytes(ggml_nbytes(weight));
    const ggml_fp16_t scale = ggml_fp32_to_fp16(0.005f);
    for (size_t at = 0; at < bytes.size(); at += 18) {  // a block of 32: its scale, then its codes
        memcpy(&bytes[at], &scale, 2);
        for (int i = 2; i < 18; i++) bytes[at + i] = uint8_t(random());
    }
    ggml_backend_tensor_set(weight, bytes.data(), 0, bytes.size());
}

void add(ggml_context *c, ggml_cgraph *graph, const Layer &w, Tensor x, Tensor ids, Tensor weights, const Sizes &s) {
    for (Tensor matrix : {w.q, w.k, w.v, w.o}) ggml_build_forward_expand(graph, ggml_mul_mat(c, matrix, x));
    Tensor shared = ggml_swiglu_split(c, ggml_mul_mat(c, w.shared_gate, x), ggml_mul_mat(c, w.shared_up, x));
    Tensor rows = ggml_reshape_3d(c, x, s.hidden, 1, s.tokens);
    Tensor hidden = ggml_swiglu_split(c, ggml_mul_mat_id(c, w.gate, rows, ids), ggml_mul_mat_id(c, w.up, rows, ids));
    Tensor out = ggml_mul(c, ggml_mul_mat_id(c, w.down, hidden, ids), weights);
    Tensor sum = ggml_mul_mat(c, w.shared_down, shared);
    for (int k = 0; k < s.chosen; k++)
        sum = ggml_add(c, sum, ggml_view_2d(c, out, s.hidden, s.tokens, out->nb[2], size_t(k) * out->nb[1]));
    ggml_build_forward_expand(graph, sum);
}

int main(int count, char **argument) {
    Sizes s;
    int *const values[] = {&s.threads, &s.layers, &s.tokens, &s.hidden, &s.kv, &s.experts, &s.chosen, &s.width, &s.shared};
    for (int i = 0; i < 9; i++) *values[i] = atoi(argument[i + 1]);
    if (count > 10) not_used = argument[10];
    ggml_backend_t cpu = ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr);
    ggml_backend_cpu_set_n_threads(cpu, s.threads);
    ggml_backend_dev_t device = ggml_backend_get_device(cpu);
    std::minstd_rand random(1);

    std::map<ggml_backend_buffer_type_t, ggml_context *> contexts;
    auto matrix = [&](int outputs, int inputs, int experts) {
        ggml_context *scratch = context(2);
        Tensor probe = ggml_new_tensor_3d(scratch, GGML_TYPE_Q4_0, inputs, outputs, experts);
        ggml_context *&home = contexts[layout(device, probe)];
        if (!home) home = context(size_t(16 * s.layers));
        ggml_free(scratch);
        return ggml_new_tensor_3d(home, GGML_TYPE_Q4_0, inputs, outputs, experts);
    };
    std::vector<Layer> layers;
    for (int l = 0; l < s.layers; l++) {
        Layer w;
        w.q = matrix(s.hidden, s.hidden, 1), w.o = matrix(s.hidden, s.hidden, 1);
        w.k = matrix(s.kv, s.hidden, 1), w.v = matrix(s.kv, s.hidden, 1);
        w.gate = matrix(s.width, s.hidden, s.experts), w.up = matrix(s.width, s.hidden, s.experts);
        w.down = matrix(s.hidden, s.width, s.experts);
        w.shared_gate = matrix(s.shared, s.hidden, 1), w.shared_up = matrix(s.shared, s.hidden, 1);
        w.shared_down = matrix(s.hidden, s.shared, 1);
        layers.push_back(w);
    }
    for (auto &[type, home] : contexts) {
        ggml_backend_alloc_ctx_tensors_from_buft(home, type);
    }
    for (const Layer &layer : layers)
        for (Tensor weight : layer.all()) fill(weight, random);

    ggml_context *inputs = context(size_t(4 * s.layers + 4)), *c = context(size_t(64 * s.layers + 64));
    Tensor x = ggml_new_tensor_2d(inputs, GGML_TYPE_F32, s.hidden, s.tokens);
    Tensor weights = ggml_new_tensor_3d(inputs, GGML_TYPE_F32, 1, s.chosen, s.tokens);
    std::vector<Tensor> ids;
    for (int l = 0; l < s.layers; l++) ids.push_back(ggml_new_tensor_2d(inputs, GGML_TYPE_I32, s.chosen, s.tokens));
    ggml_backend_alloc_ctx_tensors(inputs, cpu);
    std::normal_distribution<float> normal;
    for (Tensor given : {x, weights}) {
        std::vector<float> numbers(size_t(ggml_nelements(given)));
        for (float &number : numbers) number = normal(random);
        ggml_backend_tensor_set(given, numbers.data(), 0, ggml_nbytes(given));
    }
    for (Tensor chosen : ids) {
        std::vector<int32_t> numbers, all(size_t(s.experts));
        for (int e = 0; e < s.experts; e++) all[size_t(e)] = e;
        for (int t = 0; t < s.tokens; t++) {
            std::shuffle(all.begin(), all.end(), random);
            numbers.insert(numbers.end(), all.begin(), all.begin() + s.chosen);
        }
        ggml_backend_tensor_set(chosen, numbers.data(), 0, ggml_nbytes(chosen));
    }
    ggml_cgraph *graph = ggml_new_graph_custom(c, size_t(64 * s.layers + 64), false);
    for (int l = 0; l < s.layers; l++) add(c, graph, layers[size_t(l)], x, ids[size_t(l)], weights, s);
    ggml_gallocr_t room = ggml_gallocr_new(ggml_backend_get_default_buffer_type(cpu));
    ggml_gallocr_alloc_graph(room, graph);

    double best = 1e9, total = 0;
    for (int round = 0; round < 3 || (total < 3 && round < 200); round++) {
        const auto start = std::chrono::steady_clock::now();
        if (ggml_backend_graph_compute(cpu, graph) != GGML_STATUS_SUCCESS) return 1;
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        best = std::min(best, seconds), total += seconds;
    }
    printf("%.9f", best / s.layers);
    for (auto &[type, home] : contexts) printf(" %s", ggml_backend_buft_name(type));
}
