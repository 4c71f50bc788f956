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
