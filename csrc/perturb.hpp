// image + noise, cast and laid out as the model wants it, in one pass.
#pragma once
#include <cstdint>

#include "draws.hpp"

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
    Draw draw;
};

// Writes rows begin ... end - 1.
void perturb(const Perturbation& call, int64_t begin, int64_t end);

// How the kept pixels of a part are shown: rsfast/transforms.py View.
enum class Fill : int { taps = 0, nearest = 1, bilinear = 2, pooled = 3 };

struct View {
    Fill fill;
    int64_t plane, width;  // of the image shown
    const float* gain;     // [channels]
    const float* offset;   // [channels]
    const int32_t* kept;     // [call.plane]
    const int32_t* indices;  // [taps, plane]
    const float* weights;    // [taps, plane]
    int64_t taps;
};

// The same of a part: call.plane counts kept pixels, out is [images * count, channels * view.plane].
void perturb_part(const Perturbation& call, const View& view, int64_t begin, int64_t end);

// The four words of n consecutive blocks, for known-answer tests: words [n, 4].
void philox_words(uint32_t block, int64_t n, uint32_t sample, uint32_t image, uint32_t stream, Key key, uint32_t* words);

}  // namespace rsfast
