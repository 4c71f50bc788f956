// Matrix products and causal convolutions of whole numbers: inputs and weights of 8 bits, sums of
// 32 bits, results in float.
//
// Rows of inputs are rounded as in rows.h. Weights lie in panels of 16 outputs, padded with zeros:
// [outputs / 16][taps][inputs / DOT_INPUTS][16][DOT_INPUTS].
//
// Rows have scales of their own, which is why a convolution's taps are summed up in float.

#include "convolution.h"
#include "int8_dot.h"

namespace {

// `offset` is what inputs being unsigned adds to each tap's padded outputs: [taps, outputs].
struct Weighted {
    const int8_t* weights;
    const int32_t* offset;
    const float *scale, *bias;
};

// COUNT rows from `x` on by WIDTH panels from output `first` on.
template <int COUNT, int WIDTH>
void block(const Shape& shape, const Weighted& by, long first, const uint8_t* x, bool adds,
           float* to) {
    const long inputs = padded(shape.inputs), row = rounded_row_bytes(shape.inputs);
    const long panel = shape.taps * inputs * PANEL;
    constexpr int GROUPS = (COUNT + GROUP_ROWS - 1) / GROUP_ROWS;
    // No loop over these is left to run: they would lie in memory.
    Floats found[COUNT][WIDTH][VECTORS] = {};
    for (long tap = 0; tap < shape.taps; tap++, x += shape.step * row) {
        const int8_t* weights = by.weights + first / PANEL * panel + tap * inputs * PANEL;
        Sums sums[GROUPS][WIDTH];
        for (int p = 0; p < WIDTH; p++) {
            const Sums none = begin(by.offset + tap * shape.panels() * PANEL + first + p * PANEL);
            for (int g = 0; g < GROUPS; g++) sums[g][p] = none;
        }
        for (long at = 0; at < inputs; at += GROUP_INPUTS) {
            Weights own[WIDTH];
#pragma GCC unroll 4
            for (int p = 0; p < WIDTH; p++) {
                __builtin_prefetch(weights + p * panel + at * PANEL + PREFETCH_BYTES);
                own[p] = load_weights(weights + p * panel + at * PANEL);
            }
#pragma GCC unroll 16
            for (int g = 0; g < GROUPS; g++) {
                const int r = g * GROUP_ROWS;
                const auto group =
                    load_inputs(x + r * row + at * INPUT_BYTES, r + 1 < COUNT ? row : 0);
#pragma GCC unroll 4
                for (int p = 0; p < WIDTH; p++) add_products(sums[g][p], group, own[p]);
            }
        }
#pragma GCC unroll 16
        for (int r = 0; r < COUNT; r++) {
            const float scale = scale_of(x + r * row, shape.inputs);
#pragma GCC unroll 4
            for (int p = 0; p < WIDTH; p++) {
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) {
                    const Wholes whole = sums_of(r % GROUP_ROWS, sums[r / GROUP_ROWS][p], v);
                    found[r][p][v] += __builtin_convertvector(whole, Floats) * scale;
                }
            }
        }
    }
#pragma GCC unroll 4
    for (int p = 0; p < WIDTH; p++) {
        const long output = first + p * PANEL;
        Floats scale[VECTORS], bias[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) {
            scale[v] = load(by.scale + output + v * LANES);
            bias[v] = load(by.bias + output + v * LANES);
        }
#pragma GCC unroll 16
        for (int r = 0; r < COUNT; r++) {
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) found[r][p][v] = found[r][p][v] * scale[v] + bias[v];
            store_panel(shape, output, found[r][p], adds, to + r * shape.outputs + output);
        }
    }
}

// Panels `from` to `until` for `rows` rows from `x` on.
void multiply(const Shape& shape, const Weighted& by, long from, long until, long rows,
              const uint8_t* x, bool adds, float* to) {
    const long row = rounded_row_bytes(shape.inputs);
    for_each_block<MAX_ROWS, MAX_PANELS>(from, until, rows, [&](auto size, long panel, long at) {
        block<size.rows, size.panels>(shape, by, panel * PANEL, x + at * row, adds,
                                      to + at * shape.outputs);
    });
}

}  // namespace

// Instructions of faster products that this was not compiled for.
extern "C" const char* missing_instructions() { return MISSING; }

// What weights and rows are laid out by.
extern "C" int dot_inputs() { return DOT_INPUTS; }
extern "C" int input_bytes() { return INPUT_BYTES; }

// Rounds rows [rows, n].
extern "C" void round_rows(long rows, long n, const float* x, uint8_t* to) {
#pragma omp parallel for if (rows > 2)
    for (long r = 0; r < rows; r++) store_row(x + r * n, n, r, to);
}

// Convolves rounded rows; the result is added to what is there if it `adds`.
extern "C" void product(long streams, long time, long inputs, long outputs, long taps, long step,
                        const uint8_t* x, const int8_t* weights, const int32_t* offset,
                        const float* weight_scale, const float* bias, int adds, float* to) {
    const Shape shape = {inputs, outputs, taps, step};
    const Weighted by = {weights, offset, weight_scale, bias};
    for_each_task<MAX_PANELS>(
        shape, streams, time, [&](auto from, auto until, auto rows, auto in, auto out) {
            multiply(shape, by, from, until, rows, x + in * rounded_row_bytes(inputs), adds,
                     to + out * outputs);
        });
}

// As `product`, but what comes out goes through a Snake and is rounded.
extern "C" void product_snake(long streams, long time, long inputs, long outputs, long taps,
                              long step, const uint8_t* x, const int8_t* weights,
                              const int32_t* offset, const float* weight_scale, const float* bias,
                              const float* alpha, const float* snake_weight, uint8_t* to) {
    const Shape shape = {inputs, outputs, taps, step};
    const Weighted by = {weights, offset, weight_scale, bias};
    for_each_tile(shape, streams, time, alpha, snake_weight, to,
                  [&](auto rows, auto in, auto tile) {
                      multiply(shape, by, 0, shape.panels(), rows,
                               x + in * rounded_row_bytes(inputs), false, tile);
                  });
}
