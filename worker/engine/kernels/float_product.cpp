// Matrix products and causal convolutions in float, whose weights are kept as WEIGHT: bfloat16
// where that holds them exactly, which halves what is read.
//
// Weights lie in panels of 16 outputs, padded with zeros: [outputs / 16][taps][inputs][16], in
// bfloat16 with two inputs side by side for each output, [outputs / 16][taps][inputs / 2][16][2],
// the last one padded. Each output is summed up from the first input to the last, tap by tap,
// whatever rows are beside it.

#include "convolution.h"

namespace {

// As many sums as stay in the registers: gcc 12 stores one more after each addition, which takes
// twice as long.
#if defined(__AVX512F__)
constexpr int MAX_ROWS = 8, MAX_PANELS = 3;
#elif defined(__AVX2__)
constexpr int MAX_ROWS = 5, MAX_PANELS = 1;
#elif defined(__aarch64__)
constexpr int MAX_ROWS = 4, MAX_PANELS = 1;
#else
constexpr int MAX_ROWS = 2, MAX_PANELS = 1;
#endif

using Words = uint32_t __attribute__((vector_size(LANES * sizeof(uint32_t))));

inline void prefetch(const void* weights) {
    __builtin_prefetch(static_cast<const char*>(weights) + PREFETCH_BYTES);
}

// The weights of input `at` and the next one, from a panel's first on.
inline void load_pair(const float* panel, long at, long inputs, Floats (&pair)[2][VECTORS]) {
    prefetch(panel + at * PANEL);
    for (int v = 0; v < VECTORS; v++) {
        const float* own = panel + at * PANEL + v * LANES;
        pair[0][v] = load(own);
        pair[1][v] = at + 1 < inputs ? load(own + PANEL) : Floats{};
    }
}

inline void load_pair(const bfloat16* panel, long at, long, Floats (&pair)[2][VECTORS]) {
    prefetch(panel + at * PANEL);
    for (int v = 0; v < VECTORS; v++) {
        Words both;
        std::memcpy(&both, panel + at * PANEL + 2 * v * LANES, sizeof both);
        pair[0][v] = Floats(both << 16);
        pair[1][v] = Floats(both & 0xffff0000u);
    }
}

inline long padded_inputs(const float*, long inputs) { return inputs; }
inline long padded_inputs(const bfloat16*, long inputs) { return (inputs + 1) / 2 * 2; }

// ROWS rows from `x` on by PANELS panels from output `first` on.
template <int ROWS, int PANELS>
inline void block(const Shape& shape, const WEIGHT* weights, const float* bias, long first,
                  const float* x, float* to) {
    const long inputs = shape.inputs, tap_size = padded_inputs(weights, inputs) * PANEL;
    const long panel = shape.taps * tap_size;
    weights += first / PANEL * panel;
    Floats sums[ROWS][PANELS][VECTORS] = {};
    for (long tap = 0; tap < shape.taps; tap++, x += shape.step * inputs, weights += tap_size) {
        for (long at = 0; at < inputs; at += 2) {
            Floats own[PANELS][2][VECTORS];
#pragma GCC unroll 4
            for (int p = 0; p < PANELS; p++) load_pair(weights + p * panel, at, inputs, own[p]);
            const int count = at + 1 < inputs ? 2 : 1;
#pragma GCC unroll 2
            for (int i = 0; i < count; i++) {
#pragma GCC unroll 16
                for (int r = 0; r < ROWS; r++) {
                    const float input = x[r * inputs + at + i];
#pragma GCC unroll 4
                    for (int p = 0; p < PANELS; p++) {
#pragma GCC unroll 4
                        for (int v = 0; v < VECTORS; v++) sums[r][p][v] += own[p][i][v] * input;
                    }
                }
            }
        }
    }
    for (int p = 0; p < PANELS; p++) {
        const long output = first + p * PANEL;
        Floats own_bias[VECTORS];
        for (int v = 0; v < VECTORS; v++)
            own_bias[v] = bias ? load(bias + output + v * LANES) : Floats{};
        for (int r = 0; r < ROWS; r++) {
            for (int v = 0; v < VECTORS; v++) sums[r][p][v] += own_bias[v];
            store_panel(shape, output, sums[r][p], false, to + r * shape.outputs + output);
        }
    }
}

}  // namespace

// Convolves rows. `bias` may be null.
extern "C" void product(long streams, long time, long inputs, long outputs, long taps, long step,
                        const float* x, const WEIGHT* weights, const float* bias, float* to) {
    const Shape shape = {inputs, outputs, taps, step};
    for_each_task<MAX_PANELS>(
        shape, streams, time, [&](auto from, auto until, auto rows, auto in, auto out) {
            for_each_block<MAX_ROWS, MAX_PANELS>(
                from, until, rows, [&](auto size, auto panel, auto at) {
                    block<size.rows, size.panels>(shape, weights, bias, panel * PANEL,
                                                  x + (in + at) * inputs,
                                                  to + (out + at) * outputs);
                });
        });
}
