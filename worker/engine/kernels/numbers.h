// Numbers that are kept in float or bfloat16, and computed with in float.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

struct bfloat16 {
    uint16_t bits;
};

// Numbers that loops with much to compute take at once: a vector of the widest processors. Short
// loops are faster in narrower ones, which the compiler takes for itself.
constexpr int MAX_LANES = 16;

inline uint32_t bits_of(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float float_of(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

inline float read(float x) { return x; }
inline float read(bfloat16 x) { return float_of(uint32_t(x.bits) << 16); }

inline void write(float& to, float x) { to = x; }
inline void write(bfloat16& to, float x) {
    uint32_t bits = bits_of(x);
    uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    to.bits = uint16_t(x == x ? nearest : 0x7fc0);
}

// Cephes' polynomial, to 2 units in the last place; it vectorises, which the library's does not.
inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float whole = std::floor(x * 1.44269504f + 0.5f);
    x = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    float sum = 1.9875691e-4f;
    sum = sum * x + 1.3981999e-3f;
    sum = sum * x + 8.3334519e-3f;
    sum = sum * x + 4.1665796e-2f;
    sum = sum * x + 1.6666666e-1f;
    sum = sum * x + 0.5f;
    sum = sum * x * x + x + 1.0f;
    return sum * float_of(uint32_t(int32_t(whole) + 127) << 23);
}

}  // namespace
