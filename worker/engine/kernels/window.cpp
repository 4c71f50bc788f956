// Attention of the codec's transformer: each position sees a window of those before it.
//
// All arrays are dense, row by row, and in float. HEAD is the size of an attention head.

#include <algorithm>
#include <cstring>
#include <vector>

#include "attention.h"

namespace {

inline void rotate(const float* x, const float* cos, const float* sin, float factor, float* to) {
#pragma omp simd
    for (long i = 0; i < HEAD / 2; i++) {
        const long j = i + HEAD / 2;
        to[i] = (x[i] * cos[i] + x[j] * sin[i]) * factor;
        to[j] = (x[j] * cos[j] + x[i] * sin[j]) * factor;
    }
}

// The last `kept` of [seen, HEAD].
inline void keep(const float* x, long seen, long kept, float* to) {
    std::memcpy(to, x + (seen - kept) * HEAD, kept * HEAD * sizeof(float));
}

}  // namespace

// Attention of `time` new positions of each stream, `x` [streams, time, 3, heads, HEAD] (queries,
// keys and values), over themselves and the `past` positions before each; `cos` and `sin` are
// [streams, time, HEAD], the result is [streams, time, heads, HEAD].
//
// `olds` has for each stream keys and values of the `counts` positions before, at most `past` of
// them: [2, heads, count, HEAD]. `news` has room for those to go on from.
extern "C" void attend_window(long streams, long time, long heads, long past, const float* x,
                              const float* cos, const float* sin, const float* const* olds,
                              const int64_t* counts, float* const* news, float* to) {
#pragma omp parallel
    {
        std::vector<float> keys((past + time) * HEAD), values((past + time) * HEAD);
        std::vector<float> weights(past + 1);
#pragma omp for collapse(2)
        for (long stream = 0; stream < streams; stream++) {
            for (long head = 0; head < heads; head++) {
                const long count = counts[stream], seen = count + time, kept = std::min(past, seen);
                const float* old = olds[stream] + head * count * HEAD;
                const float* own = x + (stream * time * 3 * heads + head) * HEAD;
                const float* turned = cos + stream * time * HEAD;
                const float* signed_sin = sin + stream * time * HEAD;
                std::memcpy(keys.data(), old, count * HEAD * sizeof(float));
                std::memcpy(values.data(), old + heads * count * HEAD,
                            count * HEAD * sizeof(float));
                for (long t = 0; t < time; t++) {
                    const float* key = own + (3 * t + 1) * heads * HEAD;
                    rotate(key, turned + t * HEAD, signed_sin + t * HEAD, 1,
                           keys.data() + (count + t) * HEAD);
                    std::memcpy(values.data() + (count + t) * HEAD, key + heads * HEAD,
                                HEAD * sizeof(float));
                }
                for (long t = 0; t < time; t++) {
                    float query[HEAD];
                    rotate(own + 3 * t * heads * HEAD, turned + t * HEAD, signed_sin + t * HEAD,
                           1.0f / std::sqrt(float(HEAD)), query);
                    const long end = count + t + 1, from = std::max(0L, end - past - 1);
                    attend_heads<1>(query, keys.data() + from * HEAD, values.data() + from * HEAD,
                                    end - from, weights.data(),
                                    to + ((stream * time + t) * heads + head) * HEAD);
                }
                float* kept_keys = news[stream] + head * kept * HEAD;
                keep(keys.data(), seen, kept, kept_keys);
                keep(values.data(), seen, kept, kept_keys + heads * kept * HEAD);
            }
        }
    }
}
