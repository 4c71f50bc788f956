// Rows of numbers as a matrix product reads them: as they are, or rounded to whole numbers.
//
// A rounded row is its values divided by its scale, plus 128, padded to a multiple of ROW_UNIT
// bytes, and then the scale as a float. The scale is the largest magnitude over 127. Zeros
// throughout are a row of zeros.

#pragma once

#include "numbers.h"

namespace {

constexpr long ROW_UNIT = 8;

inline long padded(long inputs) { return (inputs + ROW_UNIT - 1) / ROW_UNIT * ROW_UNIT; }
inline long rounded_row_bytes(long inputs) { return padded(inputs) + long(sizeof(float)); }

inline float scale_of(const uint8_t* row, long inputs) {
    float scale;
    std::memcpy(&scale, row + padded(inputs), sizeof scale);
    return scale;
}

// Compared as integers, not-a-number is the largest of all, and so is not lost.
inline float largest(const float* x, long n) {
    uint32_t top = 0;
#pragma omp simd reduction(max : top)
    for (long i = 0; i < n; i++) {
        uint32_t bits = bits_of(x[i]) & 0x7fffffff;
        top = bits > top ? bits : top;
    }
    float found = float_of(top);
    return found < 1e-30f ? 1e-30f : found;
}

// Stores row r of [rows, n].
template <typename T>
inline void store_row(const float* x, long n, long r, T* to) {
#pragma omp simd
    for (long i = 0; i < n; i++) write(to[r * n + i], x[i]);
}

// What is not a number becomes any whole number here: it is the scale that carries it on.
inline void store_row(const float* x, long n, long r, uint8_t* to) {
    uint8_t* own = to + r * rounded_row_bytes(n);
    const float scale = largest(x, n) / 127.0f, by = 1.0f / scale;
#pragma omp simd
    for (long i = 0; i < n; i++) own[i] = uint8_t(int32_t(x[i] * by + 128.5f));
    std::memcpy(own + padded(n), &scale, sizeof scale);
}

}  // namespace
