// The codec's activation.

#pragma once

#include "numbers.h"

namespace {

// sin(x)², whose period is pi: a Taylor series on a quarter turn to either side, good to 2e-7.
inline float sine_squared(float x) {
    float turns = std::floor(x * 0.318309886f + 0.5f);
    x = x - turns * 3.140625f - turns * 9.67653590e-4f;
    // Far out, where a float has no room for the angle, any value that a sine may have will do.
    x = x < -1.6f ? -1.6f : x;
    x = x > 1.6f ? 1.6f : x;
    float square = x * x, sum = -2.5052108e-8f;
    sum = sum * square + 2.7557319e-6f;
    sum = sum * square - 1.9841270e-4f;
    sum = sum * square + 8.3333333e-3f;
    sum = sum * square - 1.6666667e-1f;
    float sine = sum * square * x + x;
    return sine * sine;
}

// x + sin(alpha x)² weight, of n numbers; `to` may be `x`.
template <typename T>
inline void bend(const T* x, long n, const float* alpha, const float* weight, float* to) {
#pragma omp simd simdlen(MAX_LANES)
    for (long i = 0; i < n; i++) {
        float own = read(x[i]);
        to[i] = own + sine_squared(own * alpha[i]) * weight[i];
    }
}

}  // namespace
