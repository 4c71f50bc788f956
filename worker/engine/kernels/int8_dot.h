// Sums of products of whole numbers, for PANEL outputs side by side, as each processor has them.
//
// Weights are bytes, and inputs are kept as rows.h says. All variants give the same sums, since all
// are exact. PLAIN leaves the variants out, NARROW those of 512 bits. MISSING names the
// instructions of a faster variant.

#pragma once

#include "blocks.h"
#include "rows.h"

#if defined(PLAIN)
#elif defined(__AVX512VNNI__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define HAS_I8MM
#include <arm_neon.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

namespace {

using Wholes = int32_t __attribute__((vector_size(LANES * sizeof(int32_t))));

// Inputs that lie side by side in weights, and the rows and inputs that are multiplied at once.
#if defined(WIDE_INPUTS)
constexpr int GROUP_ROWS = 1;
constexpr long DOT_INPUTS = 2, GROUP_INPUTS = 4;
#elif defined(HAS_I8MM)
constexpr int GROUP_ROWS = 2;
constexpr long DOT_INPUTS = 4, GROUP_INPUTS = 8;
#else
constexpr int GROUP_ROWS = 1;
constexpr long DOT_INPUTS = 4, GROUP_INPUTS = 4;
#endif

// `Four` is the same four inputs in all places of vectors, `Weights` a panel's for these inputs,
// `Sums` what is summed up. MAX_ROWS by MAX_PANELS of sums fit the registers, if loops over parts
// of `Sums` are unrolled early: gcc 12 stores longer ones of ARM after each product otherwise.

#if defined(__AVX2__) && !defined(PLAIN)
// A sum that stays in its register, by no instruction: gcc 12 copies sums after each product
// otherwise, and has no registers left for all of them.
inline __m256i in_place(__m256i sum) {
    asm("" : "+v"(sum));
    return sum;
}
#endif

#if defined(__AVX512VNNI__) && !defined(PLAIN) && !defined(NARROW)

constexpr int MAX_ROWS = 12, MAX_PANELS = 2;
constexpr char MISSING[] = "";
using Four = __m512i;
using Weights = __m512i;
using Sums = __m512i;

inline Four spread(int32_t four) { return _mm512_set1_epi32(four); }
inline Weights load_weights(const int8_t* from) { return _mm512_loadu_si512(from); }
inline void add_products(Sums& sums, Four four, Weights weights) {
    // The intrinsic would do, but gcc 12 copies its sums from register to register, and with more
    // than 6 rows to memory and back: 320 instead of 500 GOP/s.
    asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(four), "v"(weights));
}

#elif defined(WIDE_INPUTS)

constexpr int MAX_ROWS = 5, MAX_PANELS = 1;
constexpr char MISSING[] = "VNNI";
// Two pairs of inputs, each in all places of a vector. Pair by pair, a single row would be
// multiplied at two thirds of the speed: the loop itself would be most of the work.
struct Four {
    __m256i pair[2];
};
struct Weights {
    __m256i half[2][2];
};
struct Sums {
    __m256i half[2];
};

inline __m256i spread_pair(const uint8_t* from) {
    int32_t pair;
    std::memcpy(&pair, from, sizeof pair);
    return _mm256_set1_epi32(pair);
}
inline Four load_inputs(const uint8_t* from, long) {
    return {{spread_pair(from), spread_pair(from + 2 * INPUT_BYTES)}};
}
inline __m256i widen(const int8_t* from) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline Weights load_weights(const int8_t* from) {
    return {{{widen(from), widen(from + 16)}, {widen(from + 32), widen(from + 48)}}};
}
inline void add_products(Sums& sums, const Four& four, const Weights& weights) {
#pragma GCC unroll 2
    for (int p = 0; p < 2; p++) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            const __m256i products = _mm256_madd_epi16(four.pair[p], weights.half[p][i]);
            sums.half[i] = in_place(_mm256_add_epi32(sums.half[i], products));
        }
    }
}
#define IS_SIGNED

#elif defined(__AVX2__) && !defined(PLAIN)

#ifdef __AVXVNNI__
#define DPBUSD _mm256_dpbusd_avx_epi32
#else
#define DPBUSD _mm256_dpbusd_epi32
#endif

constexpr int MAX_ROWS = 5, MAX_PANELS = 1;
constexpr char MISSING[] = "AVX-512";
using Four = __m256i;
struct Weights {
    __m256i half[2];
};
using Sums = Weights;

inline Four spread(int32_t four) { return _mm256_set1_epi32(four); }
inline Weights load_weights(const int8_t* from) {
    const __m256i* halves = reinterpret_cast<const __m256i*>(from);
    return {{_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)}};
}
inline void add_products(Sums& sums, Four four, const Weights& weights) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        sums.half[i] = in_place(DPBUSD(sums.half[i], four, weights.half[i]));
}

#elif defined(HAS_I8MM)

constexpr int MAX_ROWS = 4, MAX_PANELS = 1;
constexpr char MISSING[] = "";
// The instruction multiplies 2 rows by 2 outputs, of 8 inputs each. Those of an output lie in two
// groups of weights, 64 bytes apart.
struct Weights {
    int8x16_t pair[PANEL / 2];
};
struct Sums {
    int32x4_t pair[PANEL / 2];
};

inline uint8x16_t load_inputs(const uint8_t* from, long next_row) {
    return vcombine_u8(vld1_u8(from), vld1_u8(from + next_row));
}
inline Weights load_weights(const int8_t* from) {
    Weights weights;
#pragma GCC unroll 8
    for (int i = 0; i < PANEL / 4; i++) {
        const int32x4_t first = vreinterpretq_s32_s8(vld1q_s8(from + 16 * i));
        const int32x4_t second = vreinterpretq_s32_s8(vld1q_s8(from + PANEL * DOT_INPUTS + 16 * i));
        weights.pair[2 * i] = vreinterpretq_s8_s32(vzip1q_s32(first, second));
        weights.pair[2 * i + 1] = vreinterpretq_s8_s32(vzip2q_s32(first, second));
    }
    return weights;
}
inline void add_products(Sums& sums, uint8x16_t inputs, const Weights& weights) {
#pragma GCC unroll 8
    for (int i = 0; i < PANEL / 2; i++)
        sums.pair[i] = vusmmlaq_s32(sums.pair[i], inputs, weights.pair[i]);
}

#elif defined(__ARM_FEATURE_DOTPROD) && !defined(PLAIN)

constexpr int MAX_ROWS = 5, MAX_PANELS = 1;
constexpr char MISSING[] = "i8mm";
using Four = int8x16_t;
struct Weights {
    int8x16_t quarter[4];
};
struct Sums {
    int32x4_t quarter[4];
};

inline Four spread(int32_t four) {
    return vreinterpretq_s8_s32(vdupq_n_s32(four ^ int32_t(0x80808080)));
}
inline Weights load_weights(const int8_t* from) {
    return {{vld1q_s8(from), vld1q_s8(from + 16), vld1q_s8(from + 32), vld1q_s8(from + 48)}};
}
inline void add_products(Sums& sums, Four four, const Weights& weights) {
#pragma GCC unroll 8
    for (int i = 0; i < 4; i++)
        sums.quarter[i] = vdotq_s32(sums.quarter[i], weights.quarter[i], four);
}
#define IS_SIGNED

#else

constexpr int MAX_ROWS = 4, MAX_PANELS = 1;
constexpr char MISSING[] = "AVX2 or, on ARM, the dot product";
using Four = int32_t;
using Weights = const int8_t*;
struct Sums {
    int32_t each[PANEL];
};

inline Four spread(int32_t four) { return four ^ int32_t(0x80808080); }
inline Weights load_weights(const int8_t* from) { return from; }
inline void add_products(Sums& sums, Four four, Weights weights) {
    int8_t inputs[DOT_INPUTS];
    std::memcpy(inputs, &four, sizeof inputs);
    for (int i = 0; i < PANEL; i++) {
        for (int j = 0; j < DOT_INPUTS; j++)
            sums.each[i] += inputs[j] * weights[DOT_INPUTS * i + j];
    }
}
#define IS_SIGNED

#endif

#if !defined(HAS_I8MM) && !defined(WIDE_INPUTS)
inline Four load_inputs(const uint8_t* from, long) {
    int32_t four;
    std::memcpy(&four, from, sizeof four);
    return spread(four);
}
#endif

// Sums before the first product: where inputs are unsigned, less what that will add, `offset`.
inline Sums begin(const int32_t* offset) {
#if defined(IS_SIGNED)
    Sums sums = {};
#elif defined(HAS_I8MM)
    Sums sums;
    for (int i = 0; i < PANEL / 2; i++) {
        const int32x2_t less = vneg_s32(vld1_s32(offset + 2 * i));
        sums.pair[i] = vcombine_s32(less, less);
    }
#else
    Sums sums;
    int32_t less[PANEL];
    for (int i = 0; i < PANEL; i++) less[i] = -offset[i];
    std::memcpy(&sums, less, sizeof sums);
#endif
    return sums;
}

// A vector of the sums of one of the rows that were multiplied at once.
inline Wholes sums_of([[maybe_unused]] int row, const Sums& sums, int vector) {
#ifdef HAS_I8MM
    const int64x2_t left = vreinterpretq_s64_s32(sums.pair[2 * vector]);
    const int64x2_t right = vreinterpretq_s64_s32(sums.pair[2 * vector + 1]);
    return Wholes(row ? vtrn2q_s64(left, right) : vtrn1q_s64(left, right));
#else
    Wholes wholes;
    std::memcpy(&wholes, reinterpret_cast<const Wholes*>(&sums) + vector, sizeof wholes);
    return wholes;
#endif
}

}  // namespace
