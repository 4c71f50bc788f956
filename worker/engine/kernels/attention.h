// One token's attention, in vectors of as many numbers as divide a head.

#pragma once

#include "numbers.h"

namespace {

constexpr long LANES = HEAD % 16 ? HEAD & -HEAD : 16, VECTORS = HEAD / LANES;
using Vector = float __attribute__((vector_size(LANES * sizeof(float))));
using Bits = uint32_t __attribute__((vector_size(LANES * sizeof(uint32_t))));
using Halves = uint16_t __attribute__((vector_size(LANES * sizeof(uint16_t))));

inline Vector load(const float* from) {
    Vector found;
    std::memcpy(&found, from, sizeof found);
    return found;
}

inline Vector load(const bfloat16* from) {
    Halves halves;
    std::memcpy(&halves, from, sizeof halves);
    Bits bits = __builtin_convertvector(halves, Bits) << 16;
    Vector found;
    std::memcpy(&found, &bits, sizeof found);
    return found;
}

inline float sum_of(Vector x) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (long i = 0; i < LANES; i++) sum += x[i];
    return sum;
}

// exp(score - largest score) of each, in place; returns their sum.
inline float softmax_unnormalised(float* scores, long count) {
    float top = -INFINITY, total = 0;
    for (long p = 0; p < count; p++) top = scores[p] > top ? scores[p] : top;
#pragma omp simd reduction(+ : total)
    for (long p = 0; p < count; p++) {
        scores[p] = exponential(scores[p] - top);
        total += scores[p];
    }
    return total;
}

// QUERIES side by side [QUERIES, HEAD] over the same `count` keys and values; `weights` has room
// for QUERIES * count.
template <int QUERIES, typename C>
inline void attend_heads(const float* queries, const C* keys, const C* values, long count,
                         float* weights, float* to) {
    for (long p = 0; p < count; p++) {
        Vector sums[QUERIES] = {};
        for (long v = 0; v < VECTORS; v++) {
            __builtin_prefetch(values + p * HEAD + v * LANES);
            const Vector key = load(keys + p * HEAD + v * LANES);
            for (int q = 0; q < QUERIES; q++) sums[q] += load(queries + q * HEAD + v * LANES) * key;
        }
        for (int q = 0; q < QUERIES; q++) weights[q * count + p] = sum_of(sums[q]);
    }
    float shares[QUERIES];
    for (int q = 0; q < QUERIES; q++)
        shares[q] = 1.0f / softmax_unnormalised(weights + q * count, count);
    Vector mixed[QUERIES][VECTORS] = {};
    for (long p = 0; p < count; p++) {
        for (long v = 0; v < VECTORS; v++) {
            const Vector value = load(values + p * HEAD + v * LANES);
            for (int q = 0; q < QUERIES; q++) mixed[q][v] += weights[q * count + p] * value;
        }
    }
    for (int q = 0; q < QUERIES; q++) {
        for (long v = 0; v < VECTORS; v++) {
            const Vector own = mixed[q][v] * shares[q];
            std::memcpy(to + q * HEAD + v * LANES, &own, sizeof own);
        }
    }
}

}  // namespace
