// Rows of numbers as a matrix product reads them: as they are, or rounded to whole numbers.
//
// A rounded row is its values divided by its scale, as whole numbers from -127 to 127, padded to a
// multiple of ROW_UNIT inputs, and then the scale as a float. The scale is the largest magnitude
// over 127. Bytes of zero throughout are a row of zeros: its scale is zero.
//
// An input is a byte, with 128 added, since VNNI wants unsigned numbers on one side. So does AVX2,
// but adds pairs of products of bytes in 16 bits, which do not hold 2 * 255 * 127. It adds products
// of 16 bits in 32: without VNNI, inputs are wide: 2 bytes with nothing added.

#pragma once

#include "numbers.h"

#if defined(__AVX2__) && !defined(__AVXVNNI__) && !defined(__AVX512VNNI__) && !defined(PLAIN)
#define WIDE_INPUTS
#endif

namespace {

#ifdef WIDE_INPUTS
using Rounded = int16_t;
constexpr int32_t ZERO_POINT = 0;
#else
using Rounded = uint8_t;
constexpr int32_t ZERO_POINT = 128;
#endif

constexpr long ROW_UNIT = 8, INPUT_BYTES = sizeof(Rounded);

inline long padded(long inputs) { return (inputs + ROW_UNIT - 1) / ROW_UNIT * ROW_UNIT; }
inline long scale_place(long inputs) { return padded(inputs) * INPUT_BYTES; }
inline long rounded_row_bytes(long inputs) { return scale_place(inputs) + long(sizeof(float)); }

inline float scale_of(const uint8_t* row, long inputs) {
    float scale;
    std::memcpy(&scale, row + scale_place(inputs), sizeof scale);
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
    uint8_t* row = to + r * rounded_row_bytes(n);
    Rounded* own = reinterpret_cast<Rounded*>(row);
    const float scale = largest(x, n) / 127.0f, by = 1.0f / scale;
#pragma omp simd
    for (long i = 0; i < n; i++) own[i] = Rounded(int32_t(x[i] * by + 128.5f) + (ZERO_POINT - 128));
    std::memcpy(row + scale_place(n), &scale, sizeof scale);
}

}  // namespace
