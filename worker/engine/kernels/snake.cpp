// The codec's activation, in one walk over its data. ACTIVATION is what it is of, READ what the
// next layer reads.

#include "snake.h"

#include <vector>

#include "rows.h"

// Rows [rows, n], with alpha and weight [n].
extern "C" void snake(long rows, long n, const ACTIVATION* x, const float* alpha,
                      const float* weight, READ* to) {
#pragma omp parallel
    {
        std::vector<float> bent(n);
#pragma omp for
        for (long r = 0; r < rows; r++) {
            bend(x + r * n, n, alpha, weight, bent.data());
            store_row(bent.data(), n, r, to);
        }
    }
}

// A convolution with one output, over rows [streams, past + time, n] to [streams, time]: the taps
// are rows that follow each other, so that `window` numbers, `step` further on each time, are
// multiplied by as many weights.
extern "C" void single_output(long streams, long time, long window, long step, const float* x,
                              const float* weights, const float* bias, float* to) {
    const long stream_size = (time - 1) * step + window;
#pragma omp parallel for collapse(2)
    for (long stream = 0; stream < streams; stream++) {
        for (long t = 0; t < time; t++) {
            const float* own = x + stream * stream_size + t * step;
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (long i = 0; i < window; i++) sum += own[i] * weights[i];
            to[stream * time + t] = sum + *bias;
        }
    }
}
