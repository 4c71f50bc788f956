// What lies between the matrix products of a decoder layer: each function is one walk over its
// data, in place of ten to twenty operations of torch. And all layers in one call.
//
// All arrays are dense and row by row. ACTIVATION is what products give, READ what they read, CACHE
// what keys and values are kept in, HEAD the size of an attention head.

#include <algorithm>
#include <memory>
#include <vector>

#include "attention.h"
#include "decoder_layers.h"
#include "rows.h"

namespace {

template <typename T>
inline void rotated_norm(const T* x, const T* weight, float eps, const float* cos, const float* sin,
                         float factor, float* to) {
    float head[HEAD], sum = 0;
#pragma omp simd reduction(+ : sum)
    for (long i = 0; i < HEAD; i++) {
        head[i] = read(x[i]);
        sum += head[i] * head[i];
    }
    float root = factor / std::sqrt(sum / HEAD + eps);
#pragma omp simd
    for (long i = 0; i < HEAD; i++) head[i] *= root * read(weight[i]);
#pragma omp simd
    for (long i = 0; i < HEAD / 2; i++) {
        to[i] = head[i] * cos[i] + head[i + HEAD / 2] * sin[i];
        to[i + HEAD / 2] = head[i + HEAD / 2] * cos[i + HEAD / 2] + head[i] * sin[i + HEAD / 2];
    }
}

template <typename T>
inline void add_then_norm(long rows, long n, ACTIVATION* x, const ACTIVATION* add,
                          const ACTIVATION* weight, float eps, T* to) {
#pragma omp parallel for if (rows > 2)
    for (long r = 0; r < rows; r++) {
        ACTIVATION* own = x + r * n;
        float sum = 0;
        if (add) {
#pragma omp simd
            for (long i = 0; i < n; i++) write(own[i], read(own[i]) + read(add[r * n + i]));
        }
#pragma omp simd reduction(+ : sum)
        for (long i = 0; i < n; i++) sum += read(own[i]) * read(own[i]);
        float root = 1.0f / std::sqrt(sum / n + eps);
        std::vector<float> normed(n);
#pragma omp simd
        for (long i = 0; i < n; i++) normed[i] = read(own[i]) * root * read(weight[i]);
        store_row(normed.data(), n, r, to);
    }
}

}  // namespace

extern "C" {

// x += add, and the root mean square norm of that: [rows, n].
void add_rms_norm(long rows, long n, ACTIVATION* x, const ACTIVATION* add, const ACTIVATION* weight,
                  float eps, READ* to) {
    add_then_norm(rows, n, x, add, weight, eps, to);
}

// As add_rms_norm, for a result that no product of a layer reads.
void final_rms_norm(long rows, long n, ACTIVATION* x, const ACTIVATION* add,
                    const ACTIVATION* weight, float eps, ACTIVATION* to) {
    add_then_norm(rows, n, x, add, weight, eps, to);
}

// silu(gate) * up: [rows, 2 n] to [rows, n].
void silu_mul(long rows, long n, const ACTIVATION* x, READ* to) {
#pragma omp parallel for if (rows > 1)
    for (long r = 0; r < rows; r++) {
        const ACTIVATION* own = x + 2 * r * n;
        std::vector<float> gated(n);
#pragma omp simd simdlen(MAX_LANES)
        for (long i = 0; i < n; i++) {
            float open = read(own[i]);
            gated[i] = open / (1.0f + exponential(-open)) * read(own[n + i]);
        }
        store_row(gated.data(), n, r, to);
    }
}

// Attention of each token, at its position in its row of the cache: writes keys and values, then
// looks back from there. `x` is [tokens, (heads + 2 groups) HEAD]: queries, keys and values; `cos`
// and `sin` [tokens, HEAD]; the cache [rows, groups, room, HEAD]; the result [tokens, heads HEAD].
void attend(long tokens, long heads, long groups, const ACTIVATION* x,
            const ACTIVATION* query_weight, const ACTIVATION* key_weight, float eps,
            const float* cos, const float* sin, CACHE* keys, CACHE* values, long room,
            const int64_t* row, const int64_t* position, READ* to) {
    const long width = (heads + 2 * groups) * HEAD, shared = heads / groups;
    const float factor = 1.0f / std::sqrt(float(HEAD));
    const std::unique_ptr<float[]> mixed(new float[tokens * heads * HEAD]);
#pragma omp parallel
    {
#pragma omp for collapse(2)
        for (long t = 0; t < tokens; t++) {
            for (long g = 0; g < groups; g++) {
                const ACTIVATION* key = x + t * width + (heads + g) * HEAD;
                const ACTIVATION* value = key + groups * HEAD;
                const long at = ((row[t] * groups + g) * room + position[t]) * HEAD;
                float turned[HEAD];
                rotated_norm(key, key_weight, eps, cos + t * HEAD, sin + t * HEAD, 1, turned);
#pragma omp simd
                for (long i = 0; i < HEAD; i++) write(keys[at + i], turned[i]);
#pragma omp simd
                for (long i = 0; i < HEAD; i++) write(values[at + i], read(value[i]));
            }
        }
        std::vector<float> weights(2 * room);
#pragma omp for collapse(2) schedule(guided, 2)
        for (long t = 0; t < tokens; t++) {
            for (long g = 0; g < groups; g++) {
                const long from = (row[t] * groups + g) * room * HEAD, count = position[t] + 1;
                const ACTIVATION* own = x + t * width + g * shared * HEAD;
                float* to = mixed.get() + (t * heads + g * shared) * HEAD;
                float queries[2 * HEAD];
                for (long h = 0; h < shared; h += 2) {
                    const long pair = shared - h < 2 ? 1 : 2;
                    for (long q = 0; q < pair; q++) {
                        rotated_norm(own + (h + q) * HEAD, query_weight, eps, cos + t * HEAD,
                                     sin + t * HEAD, factor, queries + q * HEAD);
                    }
                    const auto attend_pair =
                        pair == 2 ? attend_heads<2, CACHE> : attend_heads<1, CACHE>;
                    attend_pair(queries, keys + from, values + from, count, weights.data(),
                                to + h * HEAD);
                }
            }
        }
#pragma omp for
        for (long t = 0; t < tokens; t++) {
            store_row(mixed.get() + t * heads * HEAD, heads * HEAD, t, to);
        }
    }
}

// All layers and the final norm over `x` [tokens, hidden], which is overwritten. The other arrays
// are those of `attend`; all layers have the same sizes.
void run_layers(long tokens, long groups, long count, const Layer* layers, const Norm* final_norm,
                ACTIVATION* x, const float* cos, const float* sin, const int64_t* row,
                const int64_t* position, ACTIVATION* to) {
    const long hidden = layers->qkv.inputs, mixed = layers->out.inputs, gated = layers->down.inputs;
    const long widest = std::max(layers->qkv.outputs, layers->gate_up.outputs);
    const std::unique_ptr<READ[]> inputs(
        new READ[tokens * row_size<READ>(std::max({hidden, mixed, gated}))]);
    const std::unique_ptr<ACTIVATION[]> outputs(new ACTIVATION[tokens * widest]);
    const std::unique_ptr<ACTIVATION[]> sum(new ACTIVATION[tokens * hidden]);
    READ* read = inputs.get();
    ACTIVATION *wide = outputs.get(), *add = nullptr;
    for (const Layer* own = layers; own < layers + count; own++) {
        add_rms_norm(tokens, hidden, x, add, own->input_norm.weight, own->input_norm.eps, read);
        add = sum.get();
        multiply(own->qkv, tokens, read, wide);
        attend(tokens, mixed / HEAD, groups, wide, own->query_norm.weight, own->key_norm.weight,
               own->key_norm.eps, cos, sin, own->keys, own->values, own->room, row, position, read);
        multiply(own->out, tokens, read, add);
        add_rms_norm(tokens, hidden, x, add, own->post_attention_norm.weight,
                     own->post_attention_norm.eps, read);
        multiply(own->gate_up, tokens, read, wide);
        silu_mul(tokens, gated, wide, read);
        multiply(own->down, tokens, read, add);
    }
    final_rms_norm(tokens, hidden, x, add, final_norm->weight, final_norm->eps, to);
}

}  // extern "C"
