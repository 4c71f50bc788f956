// Matrix products and causal convolutions of whole numbers: inputs and weights of 8 bits, sums of
// 32 bits, results in float.
//
// Rows of inputs are rounded as in rows.h. Weights lie in panels of 16 outputs, padded with zeros:
// [outputs / 16][taps][inputs / 4][16][4].
//
// A convolution is the sum of its taps' products: out[t] = sum over k of x[t + k * step] W[k]. So
// it reads rows that are `step` apart and copies none. Rows have scales of their own, which is why
// taps are summed up in float.

#include <vector>

#include "blocks.h"
#include "int8_dot.h"
#include "snake.h"

namespace {

// A task's rows: so few that they stay in the nearest cache while weights go by.
constexpr long TASK_ROWS = 48, SNAKE_ROWS = 24;

struct Shape {
    long inputs, outputs, taps, step;

    long padded_outputs() const { return (outputs + PANEL - 1) / PANEL * PANEL; }
    long panel_bytes() const { return taps * padded(inputs) * PANEL; }
};

// `offset` is what inputs being unsigned adds to each tap's padded outputs: [taps, outputs].
struct Weighted {
    const int8_t* weights;
    const int32_t* offset;
    const float *scale, *bias;
};

using Wholes = int32_t __attribute__((vector_size(PANEL * sizeof(int32_t))));

inline Floats as_floats(const Sums& sums) {
    Wholes wholes;
    std::memcpy(&wholes, &sums, sizeof wholes);
    return __builtin_convertvector(wholes, Floats);
}

// Stores, or adds, `found` [COUNT, WIDTH] panels from output `first` on, row by row from `to` on.
template <int COUNT, int WIDTH>
inline void store(const Shape& shape, const Weighted& by, long first,
                  const Floats (&found)[COUNT][WIDTH], bool adds, float* to) {
    for (int p = 0; p < WIDTH; p++) {
        const long output = first + p * PANEL, left = shape.outputs - output;
        const Floats scale = load(by.scale + output), bias = load(by.bias + output);
        for (int r = 0; r < COUNT; r++) {
            float* own = to + r * shape.outputs + output;
            Floats sum = found[r][p] * scale + bias;
            if (left >= PANEL) {
                if (adds) sum += load(own);
                std::memcpy(own, &sum, sizeof sum);
            } else {
                for (long i = 0; i < left; i++) own[i] = adds ? own[i] + sum[i] : sum[i];
            }
        }
    }
}

// COUNT rows from `x` on by WIDTH panels from output `first` on.
template <int COUNT, int WIDTH>
void block(const Shape& shape, const Weighted& by, long first, const uint8_t* x, bool adds,
           float* to) {
    const long inputs = padded(shape.inputs), row = rounded_row_bytes(shape.inputs);
    const long panel = shape.panel_bytes();
    Floats found[COUNT][WIDTH] = {};
    for (long tap = 0; tap < shape.taps; tap++, x += shape.step * row) {
        const int8_t* weights = by.weights + first / PANEL * panel + tap * inputs * PANEL;
        Sums sums[COUNT][WIDTH];
        for (int p = 0; p < WIDTH; p++) {
            const Sums none = begin(by.offset + tap * shape.padded_outputs() + first + p * PANEL);
            for (int r = 0; r < COUNT; r++) sums[r][p] = none;
        }
        for (long at = 0; at < inputs; at += DOT_INPUTS) {
            Weights own[WIDTH];
#pragma GCC unroll 4
            for (int p = 0; p < WIDTH; p++) {
                __builtin_prefetch(weights + p * panel + at * PANEL + PREFETCH_BYTES);
                own[p] = load_weights(weights + p * panel + at * PANEL);
            }
#pragma GCC unroll 16
            for (int r = 0; r < COUNT; r++) {
                int32_t four;
                std::memcpy(&four, x + r * row + at, sizeof four);
                const Four spread_four = spread(four);
#pragma GCC unroll 4
                for (int p = 0; p < WIDTH; p++) add_products(sums[r][p], spread_four, own[p]);
            }
        }
        for (int r = 0; r < COUNT; r++) {
            const float scale = scale_of(x + r * row, shape.inputs);
            for (int p = 0; p < WIDTH; p++) found[r][p] += as_floats(sums[r][p]) * scale;
        }
    }
    store<COUNT, WIDTH>(shape, by, first, found, adds, to);
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

// Rounds rows [rows, n].
extern "C" void round_rows(long rows, long n, const float* x, uint8_t* to) {
#pragma omp parallel for if (rows > 2)
    for (long r = 0; r < rows; r++) store_row(x + r * n, n, r, to);
}

// Streams of rows [streams, past + time, inputs] to [streams, time, outputs], where the past is
// (taps - 1) * step rows; added to what is there if it `adds`. A product has one tap.
extern "C" void product(long streams, long time, long inputs, long outputs, long taps, long step,
                        const uint8_t* x, const int8_t* weights, const int32_t* offset,
                        const float* weight_scale, const float* bias, int adds, float* to) {
    const Shape shape = {inputs, outputs, taps, step};
    const Weighted by = {weights, offset, weight_scale, bias};
    const long parts = (time + TASK_ROWS - 1) / TASK_ROWS, panels = shape.padded_outputs() / PANEL;
    const long width = panels_of_task<MAX_PANELS>(panels, streams * parts);
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (long part = 0; part < streams * parts; part++) {
        for (long from = 0; from < panels; from += width) {
            const long stream = part / parts, begin = part % parts * TASK_ROWS;
            const long rows = time - begin < TASK_ROWS ? time - begin : TASK_ROWS;
            const long until = from + width < panels ? from + width : panels;
            const long input = stream * (time + (taps - 1) * step) + begin;
            const long output = (stream * time + begin) * outputs;
            multiply(shape, by, from, until, rows, x + input * rounded_row_bytes(inputs), adds,
                     to + output);
        }
    }
}

// As `product`, but what comes out goes through a Snake and is rounded: [streams, time, outputs].
extern "C" void product_snake(long streams, long time, long inputs, long outputs, long taps,
                              long step, const uint8_t* x, const int8_t* weights,
                              const int32_t* offset, const float* weight_scale, const float* bias,
                              const float* alpha, const float* snake_weight, uint8_t* to) {
    const Shape shape = {inputs, outputs, taps, step};
    const Weighted by = {weights, offset, weight_scale, bias};
    const long parts = (time + SNAKE_ROWS - 1) / SNAKE_ROWS;
#pragma omp parallel
    {
        std::vector<float> tile(SNAKE_ROWS * outputs);
#pragma omp for collapse(2) schedule(dynamic)
        for (long stream = 0; stream < streams; stream++) {
            for (long part = 0; part < parts; part++) {
                const long begin = part * SNAKE_ROWS;
                const long rows = time - begin < SNAKE_ROWS ? time - begin : SNAKE_ROWS;
                const long input = stream * (time + (taps - 1) * step) + begin;
                multiply(shape, by, 0, shape.padded_outputs() / PANEL, rows,
                         x + input * rounded_row_bytes(inputs), false, tile.data());
                for (long r = 0; r < rows; r++) {
                    float* own = tile.data() + r * outputs;
                    bend(own, outputs, alpha, snake_weight, own);
                    store_row(own, outputs, stream * time + begin + r, to);
                }
            }
        }
    }
}
