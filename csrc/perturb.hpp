// image + noise, cast and laid out as the model wants it, in one pass.
#pragma once
#include <cstdint>

#include "philox.hpp"

namespace rsfast {

enum class Cast : int { float32 = 0, bfloat16 = 1, float16 = 2 };

// One call: noisy samples first ... first + count - 1 of every image; row b * count + s is sample first + s of image b.
struct Perturbation {
    const float* pixels;  // [images, channels, plane], normalisation already folded in
    const float* scale;   // [images, channels]
    const uint32_t* ids;  // [images]
    int64_t images, channels, plane;
    Key key;
    uint32_t stream, first;
    int64_t count;
    void* out;  // [images * count, channels * plane] of the cast's type
    Cast cast;
    bool channels_last;
};

// Writes rows begin ... end - 1.
void perturb(const Perturbation& call, int64_t begin, int64_t end);

// The four words of n consecutive blocks, for known-answer tests: words [n, 4].
void philox_words(uint32_t block, int64_t n, uint32_t sample, uint32_t image, uint32_t stream, Key key, uint32_t* words);

}  // namespace rsfast
