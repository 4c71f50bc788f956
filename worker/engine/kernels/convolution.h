// Causal convolutions over rows, cut into tasks: each takes a few rows of a stream by a few panels
// of outputs. A matrix product is a convolution with one tap.
//
// out[t] = sum over k of x[t + k * step] W[k], so rows that are `step` apart are read, and none is
// copied. Streams come in as [streams, past + time, inputs], where the past is (taps - 1) * step
// rows, and go out as [streams, time, outputs].

#pragma once

#include <algorithm>
#include <vector>

#include "blocks.h"
#include "rows.h"
#include "snake.h"

namespace {

// A task's rows: so few that they stay in the nearest cache while weights go by.
constexpr long TASK_ROWS = 48, SNAKE_ROWS = 24;

struct Shape {
    long inputs, outputs, taps, step;

    long panels() const { return (outputs + PANEL - 1) / PANEL; }
    long past() const { return (taps - 1) * step; }
};

// Stores the first `count` numbers, as store_panel does. A call of its own: it takes an address,
// for which the compiler would keep all sums in memory.
[[gnu::noinline]] inline void store_part(const Floats* sum, long count, bool adds, float* to) {
    for (long i = 0; i < count; i++) {
        const float own = sum[i / LANES][i % LANES];
        to[i] = adds ? to[i] + own : own;
    }
}

// Stores `sum` of a panel from output `first` on, or adds it to what is there.
inline void store_panel(const Shape& shape, long first, const Floats (&sum)[VECTORS], bool adds,
                        float* to) {
    const long left = shape.outputs - first;
    if (left < PANEL) {
        Floats part[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) part[v] = sum[v];
        store_part(part, left, adds, to);
        return;
    }
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
        const Floats own = adds ? sum[v] + load(to + v * LANES) : sum[v];
        std::memcpy(to + v * LANES, &own, sizeof own);
    }
}

// Calls `multiply(from, until, rows, input row, output row)` for panels `from` to `until`.
template <int MAX_PANELS, typename Do>
inline void for_each_task(const Shape& shape, long streams, long time, const Do& multiply) {
    const long parts = (time + TASK_ROWS - 1) / TASK_ROWS, panels = shape.panels();
    const long width = panels_of_task<MAX_PANELS>(panels, streams * parts);
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (long part = 0; part < streams * parts; part++) {
        for (long from = 0; from < panels; from += width) {
            const long stream = part / parts, begin = part % parts * TASK_ROWS;
            multiply(from, std::min(from + width, panels), std::min(time - begin, TASK_ROWS),
                     stream * (time + shape.past()) + begin, stream * time + begin);
        }
    }
}

// Calls `multiply(rows, input row, tile)` for all panels, and stores what a Snake makes of the
// tile.
template <typename T, typename Do>
inline void for_each_tile(const Shape& shape, long streams, long time, const float* alpha,
                          const float* weight, T* to, const Do& multiply) {
    const long parts = (time + SNAKE_ROWS - 1) / SNAKE_ROWS;
#pragma omp parallel
    {
        std::vector<float> tile(SNAKE_ROWS * shape.outputs);
#pragma omp for schedule(dynamic)
        for (long part = 0; part < streams * parts; part++) {
            const long stream = part / parts, begin = part % parts * SNAKE_ROWS;
            const long rows = std::min(time - begin, SNAKE_ROWS);
            multiply(rows, stream * (time + shape.past()) + begin, tile.data());
            for (long r = 0; r < rows; r++) {
                float* own = tile.data() + r * shape.outputs;
                bend(own, shape.outputs, alpha, weight, own);
                store_row(own, shape.outputs, stream * time + begin + r, to);
            }
        }
    }
}

}  // namespace
