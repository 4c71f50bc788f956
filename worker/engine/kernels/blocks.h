// A matrix product cut into blocks: so many rows of inputs by so many panels of outputs as have
// room for their sums in the registers.

#pragma once

#include <omp.h>

#include <cstring>
#include <utility>

namespace {

// Outputs that lie side by side in the weights.
constexpr long PANEL = 16;

// Weights are prefetched 2 kB ahead: the processor looks for them too late by itself while it is
// busy with many rows.
constexpr long PREFETCH_BYTES = 2048;

// Numbers in one of the processor's vectors: gcc 12 passes longer ones through memory.
#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

// A panel is several vectors.
constexpr int VECTORS = PANEL / LANES;
using Floats = float __attribute__((vector_size(LANES * sizeof(float))));

inline Floats load(const float* from) {
    Floats found;
    std::memcpy(&found, from, sizeof found);
    return found;
}

template <int ROWS, int PANELS>
struct Size {
    static constexpr int rows = ROWS, panels = PANELS;
};

template <int PANELS, typename Do, int... LESS>
inline void do_block(long rows, long panel, long at, const Do& block,
                     std::integer_sequence<int, LESS...>) {
    (void)((rows == LESS + 1 && (block(Size<LESS + 1, PANELS>(), panel, at), true)) || ...);
}

// Calls `block(size, first panel, first row)` for all of panels `from` to `until` and `rows` rows.
// Blocks are of about equal sizes: a small one multiplies slowly.
template <int MAX_ROWS, int MAX_PANELS, typename Do>
inline void for_each_block(long from, long until, long rows, const Do& block) {
    const auto sizes = std::make_integer_sequence<int, MAX_ROWS>();
    const long blocks = (rows + MAX_ROWS - 1) / MAX_ROWS;
    for (long panel = from; panel < until;) {
        const bool is_wide = until - panel >= MAX_PANELS;
        for (long b = 0; b < blocks; b++) {
            const long at = rows * b / blocks, count = rows * (b + 1) / blocks - at;
            if (is_wide) {
                do_block<MAX_PANELS>(count, panel, at, block, sizes);
            } else {
                do_block<1>(count, panel, at, block, sizes);
            }
        }
        panel += is_wide ? MAX_PANELS : 1;
    }
}

// Panels of one task: 1 to 8 blocks. Cores are not always equally fast: the next free one takes
// the next task.
template <int MAX_PANELS>
inline long panels_of_task(long panels, long parts) {
    const long share = panels * parts / (4 * omp_get_max_threads()) / MAX_PANELS;
    return MAX_PANELS * (share < 1 ? 1 : share > 8 ? 8 : share);
}

}  // namespace
