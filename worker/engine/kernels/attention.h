// One token's attention.

#pragma once

#include "head_vectors.h"

namespace {

// Positions whose values stay in the nearest cache while they are mixed block by block.
constexpr long TILE = 32;
// Bytes that the processor reads at once.
constexpr long LINE = 64;

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

// The product of each query of [QUERIES, HEAD] and a key, `count` apart.
template <int QUERIES, typename C>
inline void score(const float* queries, const C* key, long count, float* to) {
    Vector sums[QUERIES][PARTS] = {};
    for (long i = 0; i < HEAD; i += PARTS * LANES) {
#pragma GCC unroll 4
        for (long part = 0; part < PARTS; part++) {
            const long at = i + part * LANES;
            const Vector own = load(key + at);
#pragma GCC unroll 2
            for (int q = 0; q < QUERIES; q++) sums[q][part] += load(queries + q * HEAD + at) * own;
        }
    }
#pragma GCC unroll 2
    for (int q = 0; q < QUERIES; q++) {
#pragma GCC unroll 4
        for (long part = 1; part < PARTS; part++) sums[q][0] += sums[q][part];
        to[q * count] = sum_of(sums[q][0]);
    }
}

// Adds to BLOCK vectors of each query's result those of `rows` values, by weights `count` apart.
template <int QUERIES, typename C>
inline void mix(const float* weights, long count, const C* values, long rows, float* to) {
    Vector sums[QUERIES][BLOCK];
#pragma GCC unroll 2
    for (int q = 0; q < QUERIES; q++) {
#pragma GCC unroll 8
        for (long v = 0; v < BLOCK; v++) sums[q][v] = load(to + q * HEAD + v * LANES);
    }
    for (long p = 0; p < rows; p++) {
#pragma GCC unroll 8
        for (long v = 0; v < BLOCK; v++) {
            const Vector value = load(values + p * HEAD + v * LANES);
#pragma GCC unroll 2
            for (int q = 0; q < QUERIES; q++) sums[q][v] += weights[q * count + p] * value;
        }
    }
#pragma GCC unroll 2
    for (int q = 0; q < QUERIES; q++) {
#pragma GCC unroll 8
        for (long v = 0; v < BLOCK; v++) store(sums[q][v], to + q * HEAD + v * LANES);
    }
}

// QUERIES side by side [QUERIES, HEAD] over the same `count` keys and values; `weights` has room
// for QUERIES * count.
template <int QUERIES, typename C>
inline void attend_heads(const float* queries, const C* keys, const C* values, long count,
                         float* weights, float* to) {
    for (long p = 0; p < count; p++) {
        score<QUERIES>(queries, keys + p * HEAD, count, weights + p);
        for (long i = 0; i < HEAD; i += LINE / long(sizeof(C)))
            __builtin_prefetch(values + p * HEAD + i);
    }
    float shares[QUERIES];
    for (int q = 0; q < QUERIES; q++)
        shares[q] = 1.0f / softmax_unnormalised(weights + q * count, count);
    std::memset(to, 0, QUERIES * HEAD * sizeof(float));
    for (long from = 0; from < count; from += TILE) {
        const long rows = std::min(TILE, count - from);
        for (long i = 0; i < HEAD; i += BLOCK * LANES)
            mix<QUERIES>(weights + from, count, values + from * HEAD + i, rows, to + i);
    }
    for (int q = 0; q < QUERIES; q++) {
#pragma omp simd
        for (long i = 0; i < HEAD; i++) to[q * HEAD + i] *= shares[q];
    }
}

}  // namespace
