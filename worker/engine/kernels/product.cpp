// A matrix product of whole numbers: rows of 8 bits, weights of 8 bits, sums of 32 bits.
//
// Weights lie in panels of 16 outputs: [outputs / 16][inputs / 4][16][4]. A row is its values
// divided by its scale, plus 128, since the instruction wants unsigned numbers on one side; what
// that adds to each output, `offset`, is subtracted at the end.

#include <omp.h>

#include "numbers.h"

#if defined(__AVX512VNNI__) && !defined(PLAIN)
#define VNNI
#include <immintrin.h>
#endif

namespace {

// A panel by 16 rows is what fits the registers. Weights are prefetched 2 kB ahead: the
// processor looks for them too late by itself while it is busy with many rows.
const long PANEL = 16, MAX_ROWS = 16, PREFETCH_BYTES = 2048;

#ifdef VNNI
using Sums = __m512i;

inline void add(Sums& sums, const uint8_t* four, const int8_t* weights) {
    int32_t same;
    std::memcpy(&same, four, sizeof same);
    sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi32(same), _mm512_loadu_si512(weights));
}
#else
struct Sums {
    int32_t each[PANEL];
};

inline void add(Sums& sums, const uint8_t* four, const int8_t* weights) {
    for (int i = 0; i < PANEL; i++) {
        for (int j = 0; j < 4; j++) sums.each[i] += four[j] * weights[4 * i + j];
    }
}
#endif

template <int COUNT>
void block(long n, long k, const uint8_t* x, const float* scale, const int8_t* weights,
           const float* weight_scale, const int32_t* offset, float* to) {
    Sums sums[COUNT] = {};
    for (long at = 0; at < k; at += 4) {
        __builtin_prefetch(weights + at * PANEL + PREFETCH_BYTES);
#pragma GCC unroll 16
        for (int r = 0; r < COUNT; r++) add(sums[r], x + r * k + at, weights + at * PANEL);
    }
    for (int r = 0; r < COUNT; r++) {
        int32_t whole[PANEL];
        std::memcpy(whole, &sums[r], sizeof whole);
        for (long i = 0; i < PANEL; i++) {
            to[r * n + i] = float(whole[i] - offset[i]) * (weight_scale[i] * scale[r]);
        }
    }
}

using Block = decltype(&block<1>);
const Block BLOCKS[MAX_ROWS] = {block<1>,  block<2>,  block<3>,  block<4>,  block<5>,  block<6>,
                                block<7>,  block<8>,  block<9>,  block<10>, block<11>, block<12>,
                                block<13>, block<14>, block<15>, block<16>};

}  // namespace

// [rows, k] by [n, k]: [rows, n].
extern "C" void product(long rows, long n, long k, const uint8_t* x, const float* scale,
                        const int8_t* weights, const float* weight_scale, const int32_t* offset,
                        float* to) {
    // 1 to 8 panels a task, taken by the next free core: cores are not always equally fast.
    const long panels = n / PANEL, share = panels / (4 * omp_get_max_threads());
    const long panels_per_task = share < 1 ? 1 : share > 8 ? 8 : share;
#pragma omp parallel for schedule(dynamic, panels_per_task)
    for (long at = 0; at < n; at += PANEL) {
        for (long r = 0; r < rows; r += MAX_ROWS) {
            const Block multiply = BLOCKS[(rows - r < MAX_ROWS ? rows - r : MAX_ROWS) - 1];
            multiply(n, k, x + r * k, scale + r, weights + at * k, weight_scale + at, offset + at,
                     to + r * n + at);
        }
    }
}
