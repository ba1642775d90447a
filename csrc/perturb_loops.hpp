// image + noise, cast and laid out as the model wants it.
#pragma once
#include <cstdint>

#include "call.hpp"
#include "tiles.hpp"

namespace rsfast {
namespace {

RSFAST_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
RSFAST_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Floats on the heap, aligned to a cache line.
class Buffer {
   public:
    explicit Buffer(int64_t size) : memory(new float[size_t(size) + 16]) {}
    ~Buffer() { delete[] memory; }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    float* data() const { return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory) + 63) & ~uintptr_t(63)); }

   private:
    float* memory;
};

RSFAST_INLINE uint16_t to_bfloat16(float value) {
    const uint32_t bits = as_word(value);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return uint16_t((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

// Round to nearest even, with subnormals, overflow to infinity and NaN.
RSFAST_INLINE uint16_t to_float16(float value) {
    const uint32_t bits = as_word(value);
    const uint32_t sign = bits & SIGN;
    const uint32_t size = bits ^ sign;
    const uint32_t normal = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
    // below 2^-14: adding 1/2 leaves the subnormal's bits at the bottom
    const uint32_t subnormal = as_word(as_float(size) + 0.5f) - 0x3f000000u;
    uint32_t half = size < 0x38800000u ? subnormal : normal;
    half = size >= 0x477ff000u ? 0x7c00u : half;  // 65520 and more round to infinity
    half = size > 0x7f800000u ? 0x7e00u : half;
    return uint16_t(half | (sign >> 16));
}

struct AsFloat32 {
    using Out = float;
    static RSFAST_MEMBER float cast(float value) { return value; }
};
struct AsBfloat16 {
    using Out = uint16_t;
    static RSFAST_MEMBER uint16_t cast(float value) { return to_bfloat16(value); }
};
struct AsFloat16 {
    using Out = uint16_t;
    static RSFAST_MEMBER uint16_t cast(float value) { return to_float16(value); }
};

// Values of n pixels of one channel: of whole images x + scale * z, of parts offset + gain * line.
struct Noisy {
    const float *x, *z;
    float scale;
    RSFAST_MEMBER float operator()(int64_t i) const { return x[i] + scale * z[i]; }
};
struct Shown {
    const float* line;
    float gain, offset;
    RSFAST_MEMBER float operator()(int64_t i) const { return line[i] * gain + offset; }
};

template <class As, class Values>
void write_line(typename As::Out* RSFAST_RESTRICT out, const Values& values, int64_t n) {
    for (int64_t i = 0; i < n; ++i) out[i] = As::cast(values(i));
}
template <class As, class Values>
void write_every(typename As::Out* RSFAST_RESTRICT out, int64_t step, const Values& values, int64_t n) {
    for (int64_t i = 0; i < n; ++i) out[i * step] = As::cast(values(i));
}
// Three channels at once: the pixels of channels-last images lie side by side.
template <class As, class Values>
void write_three(typename As::Out* RSFAST_RESTRICT out, const Values& a, const Values& b, const Values& c, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
        out[3 * i] = As::cast(a(i));
        out[3 * i + 1] = As::cast(b(i));
        out[3 * i + 2] = As::cast(c(i));
    }
}

// Where values go: `offset` is the first pixel's place, and the next one's is `step` further.
struct Target {
    void* out;
    Cast cast;
    int64_t offset, step;
};

// Has the lines brought where n pixels will be written: they arrive while the draws are made, or stores would wait for memory.
RSFAST_INLINE void announce(Target to, int channels, int64_t n) {
    const int64_t bytes = to.cast == Cast::float32 ? 4 : 2;
    const char* first = static_cast<const char*>(to.out) + to.offset * bytes;
    if (to.step > channels) return;  // not side by side
    for (int64_t i = 0; i < n * to.step * bytes; i += 64) RSFAST_PREFETCH_TO_WRITE(first + i);
}

template <class As, class Values>
void write_as(Target to, int channels, const Values* values, int64_t n) {
    auto* target = static_cast<typename As::Out*>(to.out) + to.offset;
    if (to.step == 1) return write_line<As>(target, values[0], n);
    if (to.step == 3 && channels == 3) return write_three<As>(target, values[0], values[1], values[2], n);
    for (int channel = 0; channel < channels; ++channel) write_every<As>(target + channel, to.step, values[channel], n);
}

// n pixels of a few channels that lie side by side.
template <class Values>
void write(Target to, int channels, const Values* values, int64_t n) {
    if (to.cast == Cast::float32) return write_as<AsFloat32>(to, channels, values, n);
    if (to.cast == Cast::bfloat16) return write_as<AsBfloat16>(to, channels, values, n);
    write_as<AsFloat16>(to, channels, values, n);
}

// How many rows from `row` on are drawn together: of one image, and few enough tiles.
int64_t rows_at_once(const Call& call, int64_t row, int64_t end, int64_t tiles) {
    const int64_t left_of_image = (row / call.count + 1) * call.count - row;
    return smaller(smaller(end - row, left_of_image), larger(1, AT_ONCE / tiles));
}

Stream stream_of(const Call& call, int64_t row) { return {call.ids[row / call.count], call.stream, call.key}; }

// The draws of pixels start ... start + n - 1 of one row; z has room for n + 4 * TILE.
const float* draw_pixels(const Call& call, int64_t row, int64_t start, int64_t n, float* z) {
    const int64_t first = start / TILE, tiles = (start + n + TILE - 1) / TILE - first;
    for (int64_t done = 0; done < tiles; done += AT_ONCE) {
        const OneSample counters{uint32_t((first + done) * LANES), call.first + uint32_t(row % call.count)};
        draw_some(z + done * TILE, int(smaller(AT_ONCE, tiles - done)), counters, stream_of(call, row), call.draw);
    }
    return z + start % TILE;
}

// All tiles of several rows, at most AT_ONCE together.
void draw_rows(const Call& call, int64_t row, int64_t rows, int64_t tiles, float* z) {
    ManySamples counters = {};
    const int lanes = int(tiles) * LANES;
    for (int r = 0; r < int(rows); ++r) {
        for (int lane = 0; lane < lanes; ++lane) {
            counters.blocks[r * lanes + lane] = uint32_t(lane);
            counters.samples[r * lanes + lane] = call.first + uint32_t(row % call.count) + uint32_t(r);
        }
    }
    draw_some(z, int(rows * tiles), counters, stream_of(call, row), call.draw);
}

// Where the draws of a row come from: drawn as they are asked for, or with other rows beforehand.
struct Draws {
    const Call& call;
    int64_t row;
    const float* ready;  // nullptr: not drawn yet
    const float* pixels(int64_t start, int64_t n, float* z) const {
        return ready ? ready + start : draw_pixels(call, row, start, n, z);
    }
};

// job(draws) for rows begin ... end - 1.
template <class Job>
void each_row(const Call& call, int64_t begin, int64_t end, Job job) {
    alignas(64) float z[AT_ONCE * TILE];
    const int64_t tiles = larger(1, (call.channels * call.plane + TILE - 1) / TILE);
    for (int64_t row = begin; row < end;) {
        const int64_t rows = rows_at_once(call, row, end, tiles);
        if (rows > 1) draw_rows(call, row, rows, tiles, z);
        for (int64_t r = 0; r < rows; ++r) job(Draws{call, row + r, rows > 1 ? z + r * tiles * TILE : nullptr});
        row += rows;
    }
}

// Channels that are worked on together, because their pixels lie side by side in memory.
constexpr int MOST_CHANNELS = 4;
constexpr int64_t ROOM = (AT_ONCE + 4) * TILE;  // for AT_ONCE tiles' worth of pixels that start anywhere in a tile

int channels_together(const Call& call) { return call.channels_last && call.channels <= MOST_CHANNELS ? int(call.channels) : 1; }

// The place of a pixel in `out`, with planes of a given size.
Target target_of(const Call& call, int64_t row, int64_t channel, int64_t pixel, int64_t plane) {
    const int64_t place = call.channels_last ? pixel * call.channels + channel : channel * plane + pixel;
    return {call.out, call.cast, row * call.channels * plane + place, call.channels_last ? call.channels : 1};
}

void perturb(const Call& call, int64_t begin, int64_t end) {
    const Buffer z(MOST_CHANNELS * ROOM);
    const int together = channels_together(call);
    each_row(call, begin, end, [&](const Draws& draws) {
        const int64_t b = draws.row / call.count;
        for (int64_t channel = 0; channel < call.channels; channel += together) {
            for (int64_t first = 0; first < call.plane; first += AT_ONCE * TILE) {
                const int64_t n = smaller(AT_ONCE * TILE, call.plane - first);
                const Target target = target_of(call, draws.row, channel, first, call.plane);
                announce(target, together, n);
                Noisy values[MOST_CHANNELS];
                for (int c = 0; c < together; ++c) {
                    const int64_t line = b * call.channels + channel + c, e = (channel + c) * call.plane + first;
                    values[c] = {call.pixels + line * call.plane + first, draws.pixels(e, n, z.data() + c * ROOM),
                                 call.scale[line]};
                }
                write(target, together, values, n);
            }
        }
    });
}

void show_nearest(float* line, const float* v, int64_t n) {
    for (int64_t e = 0; e < n; ++e) {
        line[2 * e] = v[e];
        line[2 * e + 1] = v[e];
    }
}

void show_bilinear(float* line, const float* v, int64_t n, int64_t half) {
    for (int64_t e = 1; e < n - 1; ++e) {
        line[2 * e] = 0.25f * v[e - 1] + 0.75f * v[e];
        line[2 * e + 1] = 0.75f * v[e] + 0.25f * v[e + 1];
    }
    for (int64_t e = 0; e < n; e += half) {  // the ends of a row have one neighbour
        const int64_t last = e + half - 1;
        line[2 * e] = v[e];
        line[2 * last + 1] = 0.75f * v[last] + 0.25f * v[last];
        if (half > 1) {
            line[2 * e + 1] = 0.75f * v[e] + 0.25f * v[e + 1];
            line[2 * last] = 0.25f * v[last - 1] + 0.75f * v[last];
        }
    }
}

// Two rows of kept pixels in their places, 0 elsewhere.
void show_pooled(float* line, const float* v, const int32_t* kept, int64_t half) {
    for (int64_t e = 0; e < half; ++e) {
        const float upper = v[e], lower = v[half + e];
        const float larger = upper > lower ? upper : lower;
        const float pooled = larger > 0.0f ? larger : 0.0f;
        const int32_t upper_second = -(kept[e] & 1), lower_second = -(kept[half + e] & 1);  // all bits or none
        const uint32_t a = as_word(upper + pooled), b = as_word(lower + pooled);
        line[2 * e] = as_float(a & ~uint32_t(upper_second));
        line[2 * e + 1] = as_float(a & uint32_t(upper_second));
        line[2 * half + 2 * e] = as_float(b & ~uint32_t(lower_second));
        line[2 * half + 2 * e + 1] = as_float(b & uint32_t(lower_second));
    }
}

void show_taps(float* line, const float* v, const Part& part) {
    for (int64_t p = 0; p < part.plane; ++p) line[p] = part.weights[p] * v[part.indices[p]];
    for (int64_t t = 1; t < part.taps; ++t) {
        const int32_t* indices = part.indices + t * part.plane;
        const float* weights = part.weights + t * part.plane;
        for (int64_t p = 0; p < part.plane; ++p) line[p] = line[p] + weights[p] * v[indices[p]];
    }
}

// Kept pixels first ... first + n - 1 of a channel; whole pairs of rows where each row keeps half of its pixels, else all.
void show(const Part& part, const float* v, int64_t first, int64_t n, float* line) {
    const int64_t half = part.width / 2;
    if (part.fill == Fill::nearest) {
        show_nearest(line, v, n);
    } else if (part.fill == Fill::bilinear) {
        show_bilinear(line, v, n, half);
    } else if (part.fill == Fill::pooled) {
        for (int64_t e = 0; e < n; e += 2 * half) show_pooled(line + 2 * e, v + e, part.kept + first + e, half);
    } else {
        show_taps(line, v, part);
    }
}

void add_noise(float* RSFAST_RESTRICT v, const Noisy& values, int64_t n) {
    for (int64_t e = 0; e < n; ++e) v[e] = values(e);
}

constexpr int64_t KEPT_TOGETHER = 512;  // pixels: stays in the first-level cache

// Kept pixels per step: pairs of rows where each row keeps half of its pixels, whole tiles if that is not too many; else all.
int64_t step_of(const Call& call, const Part& part) {
    if (part.fill == Fill::taps) return call.plane;
    int64_t unit = part.width;
    while (unit % TILE != 0 && unit < 8 * KEPT_TOGETHER) unit *= 2;
    return smaller(call.plane, unit * larger(1, KEPT_TOGETHER / unit));
}

void perturb_part(const Call& call, const Part& part, int64_t begin, int64_t end) {
    const int together = channels_together(call);
    const int64_t step = step_of(call, part), most_shown = part.fill == Fill::taps ? part.plane : 2 * step;
    const Buffer z(step + ROOM), v(step), lines(together * most_shown);
    each_row(call, begin, end, [&](const Draws& draws) {
        const int64_t b = draws.row / call.count;
        for (int64_t channel = 0; channel < call.channels; channel += together) {
            for (int64_t first = 0; first < call.plane; first += step) {
                const int64_t n = smaller(step, call.plane - first), shown = part.fill == Fill::taps ? part.plane : 2 * n;
                const Target target = target_of(call, draws.row, channel, part.fill == Fill::taps ? 0 : 2 * first, part.plane);
                announce(target, together, shown);
                Shown values[MOST_CHANNELS];
                for (int c = 0; c < together; ++c) {
                    const int64_t line = b * call.channels + channel + c, e = (channel + c) * call.plane + first;
                    add_noise(v.data(), {call.pixels + line * call.plane + first, draws.pixels(e, n, z.data()), call.scale[line]},
                              n);
                    show(part, v.data(), first, n, lines.data() + c * most_shown);
                    values[c] = {lines.data() + c * most_shown, part.gain[channel + c], part.offset[channel + c]};
                }
                write(target, together, values, shown);
            }
        }
    });
}

void philox_words(uint32_t block, int64_t n, uint32_t sample, uint32_t image, uint32_t stream, Key key, uint32_t* words) {
    alignas(64) uint32_t drawn[AT_ONCE * TILE];
    for (int64_t first = 0; first < n; first += AT_ONCE_LANES) {
        fill(drawn, AT_ONCE, OneSample{block + uint32_t(first), sample}, {image, stream, key});
        for (int64_t lane = 0; lane < smaller(AT_ONCE_LANES, n - first); ++lane) {
            for (int j = 0; j < 4; ++j) words[4 * (first + lane) + j] = drawn[lane / LANES * TILE + j * LANES + lane % LANES];
        }
    }
}

}  // namespace
}  // namespace rsfast
