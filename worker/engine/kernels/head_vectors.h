// The numbers of an attention head in vectors: of the processor's width, if that divides HEAD.
//
// PLAIN leaves the variants for a processor out.

#pragma once

#include <algorithm>
#include <cstring>

#include "numbers.h"

#if defined(PLAIN)
#elif defined(__AVX512F__) && HEAD % 16 == 0
#define HAS_512_BITS
#include <immintrin.h>
#elif defined(__AVX2__) && HEAD % 8 == 0
#define HAS_256_BITS
#include <immintrin.h>
#elif defined(__aarch64__) && HEAD % 4 == 0
#define HAS_NEON
#include <arm_neon.h>
#endif

namespace {

#if defined(HAS_512_BITS)
constexpr long LANES = 16, MAX_BLOCK = 8;
#elif defined(HAS_256_BITS)
constexpr long LANES = 8, MAX_BLOCK = 4;
#else
constexpr long LANES = std::min(4L, long(HEAD & -HEAD)), MAX_BLOCK = 8;
#endif

using Vector = float __attribute__((vector_size(LANES * sizeof(float))));
using Bits = uint32_t __attribute__((vector_size(LANES * sizeof(uint32_t))));
using Halves = uint16_t __attribute__((vector_size(LANES * sizeof(uint16_t))));

// Sums of a product that grow side by side, since each waits for its last addition.
constexpr long VECTORS = HEAD / LANES, PARTS = std::min(16 / LANES, VECTORS & -VECTORS);
// Vectors whose sums for two queries fit the registers.
constexpr long BLOCK = std::min(MAX_BLOCK, VECTORS & -VECTORS);

inline Vector load(const float* from) {
    Vector found;
    std::memcpy(&found, from, sizeof found);
    return found;
}

inline void store(const Vector& vector, float* to) { std::memcpy(to, &vector, sizeof vector); }

#ifdef HAS_512_BITS

// As below, which gcc 12 makes of two halves, in five steps instead of two.
inline Vector load(const bfloat16* from) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return Vector(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

inline float sum_of(Vector x) { return _mm512_reduce_add_ps(__m512(x)); }

#else

inline Vector load(const bfloat16* from) {
    Halves halves;
    std::memcpy(&halves, from, sizeof halves);
    return Vector(__builtin_convertvector(halves, Bits) << 16);
}

#if defined(HAS_256_BITS)

inline float sum_of(Vector x) {
    const __m128 four =
        _mm_add_ps(_mm256_castps256_ps128(__m256(x)), _mm256_extractf128_ps(__m256(x), 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

#elif defined(HAS_NEON)

inline float sum_of(Vector x) { return vaddvq_f32(float32x4_t(x)); }

#else

inline float sum_of(Vector x) {
    float sum = 0;
    for (long i = 0; i < LANES; i++) sum += x[i];
    return sum;
}

#endif
#endif

}  // namespace
