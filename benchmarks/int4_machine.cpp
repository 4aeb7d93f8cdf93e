// What this machine can do at most, for benchmarks/int4.py: bytes read in a row, and products of bytes a second (vpdpbusd on
// vectors of 512 bits where the processor has it, else vpmaddubsw on 256).
// One thread a call; the caller starts as many as it measures.

#include <immintrin.h>

#include <cstdint>

#define AVX2 __attribute__((target("avx2,fma")))

extern "C" {

// Reads `bytes` (a multiple of 128) once, four vectors at a time.
AVX2 int64_t read_all(const uint8_t *from, int64_t bytes) {
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (int64_t i = 0; i < bytes; i += 128) {
        _mm_prefetch((const char *)from + i + 2048, _MM_HINT_T0);
        _mm_prefetch((const char *)from + i + 2112, _MM_HINT_T0);
        a = _mm256_add_epi8(a, _mm256_loadu_si256((const __m256i *)(from + i)));
        b = _mm256_add_epi8(b, _mm256_loadu_si256((const __m256i *)(from + i + 32)));
        c = _mm256_add_epi8(c, _mm256_loadu_si256((const __m256i *)(from + i + 64)));
        d = _mm256_add_epi8(d, _mm256_loadu_si256((const __m256i *)(from + i + 96)));
    }
    return _mm256_extract_epi64(_mm256_add_epi8(_mm256_add_epi8(a, b), _mm256_add_epi8(c, d)), 0);
}

// Whether there is vpdpbusd for 512 bits.
int has_vnni() { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni"); }

// 8 * 32 products a turn, with nothing between them: their sums would share the ports.
AVX2 int64_t multiply_bytes_avx2(int64_t turns) {
    __m256i out[8], codes = _mm256_set1_epi8(3), q = _mm256_set1_epi8(5);
    for (int64_t turn = 0; turn < turns; turn++) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) asm volatile("vpmaddubsw %1, %2, %0" : "=x"(out[i]) : "x"(q), "x"(codes));
    }
    return _mm256_extract_epi64(out[0], 0);
}

// 16 * 64 products a turn, added up: 16 sums, so that none waits for itself.
__attribute__((target("avx512f,avx512vnni"))) int64_t multiply_bytes_vnni(int64_t turns) {
#define MULTIPLY(n) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #n "\n\t"
    for (int64_t turn = 0; turn < turns; turn++)
        asm volatile(MULTIPLY(0) MULTIPLY(1) MULTIPLY(2) MULTIPLY(3) MULTIPLY(4) MULTIPLY(5) MULTIPLY(6) MULTIPLY(7)
                     MULTIPLY(16) MULTIPLY(17) MULTIPLY(18) MULTIPLY(19) MULTIPLY(20) MULTIPLY(21) MULTIPLY(22) MULTIPLY(23)
                     ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm16", "xmm17", "xmm18", "xmm19",
                     "xmm20", "xmm21", "xmm22", "xmm23");
    return 0;
}

// Products of `turns` turns.
int64_t multiply_bytes(int64_t turns) {
    has_vnni() ? multiply_bytes_vnni(turns) : multiply_bytes_avx2(turns);
    return turns * (has_vnni() ? 16 * 64 : 8 * 32);
}

}  // extern "C"
