// Numbers that are kept in float or bfloat16, and computed with in float.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

struct bfloat16 {
    uint16_t bits;
};

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

}  // namespace
