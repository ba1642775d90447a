// What one call asks for, and the functions that do it: compiled for several instruction sets, one of which is in use.
#pragma once
#include <cstdint>

#include "coefficients.hpp"

namespace rsfast {

struct Key {
    uint32_t lo, hi;  // the 64-bit seed
};

// How words become variates: rsfast/backends/call.py Draw.
struct Draw {
    Kind kind;
    const float* table;         // [DEGREE + 1, ROWS] for quantiles: rsfast/backends/tables.py
    const int64_t* thresholds;  // [length] for the lattice, falling, the last is 0; length is a power of two
    const int32_t* high;        // [length], their upper 31 bits
    int32_t length;
    float step;
};

// Noisy samples first ... first + count - 1 of every image; row b * count + s is sample first + s of image b.  The fields are
// those of Call in rsfast/backends/call.py.
struct Call {
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

// How the kept pixels of a part are shown: rsfast/backends/call.py Part.
struct Part {
    Fill fill;
    int64_t plane, width;    // of the image shown
    const float* gain;       // [channels]
    const float* offset;     // [channels]
    const int32_t* kept;     // [call.plane]
    const int32_t* indices;  // [taps, plane]
    const float* weights;    // [taps, plane]
    int64_t taps;
};

// The table that copies vote into, [rows, classes].
struct Votes {
    int64_t* counts;
    int64_t rows, classes;
};

// The loops, compiled for one instruction set (level_*.cpp).  Every level does the same IEEE operations: the same bits.
struct Level {
    const char* name;

    // image + noise, cast and laid out as the model wants it, in one pass: rows begin ... end - 1.
    void (*perturb)(const Call& call, int64_t begin, int64_t end);

    // The same of a part: call.plane counts kept pixels, out is [images * count, channels * part.plane].
    void (*perturb_part)(const Call& call, const Part& part, int64_t begin, int64_t end);

    // logits [copies, classes]; copy i adds into row row_of[i], and outside the table into none.  Without row_of (nullptr) the
    // copies are shared out equally.  Equal logits: the lowest class index wins.  A copy with a NaN votes for no class.
    void (*count_floats)(const float* logits, int64_t copies, const int64_t* row_of, const Votes& votes);
    void (*count_doubles)(const double* logits, int64_t copies, const int64_t* row_of, const Votes& votes);

    // The four words of n consecutive blocks, for known-answer tests: words [n, 4].
    void (*philox_words)(uint32_t block, int64_t n, uint32_t sample, uint32_t image, uint32_t stream, Key key, uint32_t* words);
};

extern const Level BASELINE, AVX2, AVX512;  // name is nullptr where the compiler could not build a level

// Whether this machine runs a level.
bool runs(const Level& level);

}  // namespace rsfast
