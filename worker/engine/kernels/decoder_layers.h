// A decoder's layers as decoder_pass.py hands them over, and their products.

#pragma once

#include <memory>

#include "rows.h"

namespace {

struct Norm {
    const ACTIVATION* weight;
    float eps;
};

// `multiply` is the `product` of int8_product.cpp if READ is rounded rows, else of
// float_product.cpp, for which `offset` and `scale` are null.
struct Product {
    void* multiply;
    long inputs, outputs;
    const void* weights;
    const int32_t* offset;
    const float *scale, *bias;
};

struct Layer {
    Norm input_norm, query_norm, key_norm, post_attention_norm;
    Product qkv, out, gate_up, down;
    CACHE *keys, *values;
    long room;
};

// Places that a row takes.
template <typename T>
inline long row_size(long inputs) {
    return sizeof(T) == 1 ? rounded_row_bytes(inputs) : inputs;
}

inline void multiply(const Product& by, long rows, const uint8_t* x, float* to) {
    using Multiply = void(long streams, long time, long inputs, long outputs, long taps, long step,
                          const uint8_t* x, const void* weights, const int32_t* offset,
                          const float* scale, const float* bias, int adds, float* to);
    reinterpret_cast<Multiply*>(by.multiply)(1, rows, by.inputs, by.outputs, 1, 1, x, by.weights,
                                             by.offset, by.scale, by.bias, 0, to);
}

inline void multiply(const Product& by, long rows, const float* x, float* to) {
    using Multiply = void(long streams, long time, long inputs, long outputs, long taps, long step,
                          const float* x, const void* weights, const float* bias, float* to);
    reinterpret_cast<Multiply*>(by.multiply)(1, rows, by.inputs, by.outputs, 1, 1, x, by.weights,
                                             by.bias, to);
}

template <typename T, typename U>
inline void convert(long count, const T* x, U* to) {
#pragma omp parallel for simd if (parallel : count > 1 << 14)
    for (long i = 0; i < count; i++) write(to[i], read(x[i]));
}

// In float, as all products.
inline void multiply(const Product& by, long rows, const bfloat16* x, bfloat16* to) {
    const std::unique_ptr<float[]> in(new float[rows * by.inputs]);
    const std::unique_ptr<float[]> out(new float[rows * by.outputs]);
    convert(rows * by.inputs, x, in.get());
    multiply(by, rows, in.get(), out.get());
    convert(rows * by.outputs, out.get(), to);
}

}  // namespace
