// The codec's activation, in one walk over its data. ACTIVATION is what it is of, READ what the
// next layer reads.

#include "snake.h"

#include <vector>

#include "rows.h"

// Rows [streams, time, n], with alpha and weight [n], to [streams, past + time, n], whose past is
// left as it is.
extern "C" void snake(long streams, long time, long past, long n, const ACTIVATION* x,
                      const float* alpha, const float* weight, READ* to) {
#pragma omp parallel
    {
        std::vector<float> bent(n);
#pragma omp for
        for (long r = 0; r < streams * time; r++) {
            bend(x + r * n, n, alpha, weight, bent.data());
            store_row(bent.data(), n, r + (r / time + 1) * past, to);
        }
    }
}

namespace {

constexpr long LANES = 16, OUTPUTS = 8;
using Vector = float __attribute__((vector_size(LANES * sizeof(float))));

inline Vector load(const float* from) {
    Vector found;
    std::memcpy(&found, from, sizeof found);
    return found;
}

// COUNT results, each from numbers `step` further on; a result does not depend on its neighbours.
template <int COUNT>
inline void sums(long window, long step, const float* x, const float* weights, float bias,
                 float* to) {
    Vector lanes[COUNT] = {};
    const long whole = window / LANES * LANES;
    for (long i = 0; i < whole; i += LANES) {
        const Vector own = load(weights + i);
#pragma GCC unroll 8
        for (int t = 0; t < COUNT; t++) lanes[t] += load(x + t * step + i) * own;
    }
    for (int t = 0; t < COUNT; t++) {
        float sum = 0;
        for (long i = whole; i < window; i++) sum += x[t * step + i] * weights[i];
        for (long i = 0; i < LANES; i++) sum += lanes[t][i];
        to[t] = sum + bias;
    }
}

}  // namespace

// A convolution with one output, over rows [streams, past + time, n] to [streams, time]: the taps
// are rows that follow each other, so that `window` numbers, `step` further on each time, are
// multiplied by as many weights.
extern "C" void single_output(long streams, long time, long window, long step, const float* x,
                              const float* weights, const float* bias, float* to) {
    const long stream_size = (time - 1) * step + window;
#pragma omp parallel for collapse(2)
    for (long stream = 0; stream < streams; stream++) {
        for (long begin = 0; begin < time; begin += OUTPUTS) {
            const float* own = x + stream * stream_size + begin * step;
            float* result = to + stream * time + begin;
            if (time - begin >= OUTPUTS) {
                sums<OUTPUTS>(window, step, own, weights, *bias, result);
                continue;
            }
            for (long t = begin; t < time; t++, own += step)
                sums<1>(window, step, own, weights, *bias, result++);
        }
    }
}
