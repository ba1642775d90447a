#include "perturb.hpp"

#include <algorithm>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "draws.hpp"

namespace rsfast {
namespace {

constexpr int MOST_TILES = 16;  // drawn together before they are written: stays in the first-level cache
constexpr int MOST_LANES = MOST_TILES * LANES;

struct Stream {
    uint32_t image, stream;
    Key key;
};

// The counters of tiles that follow each other in one sample.
struct OneSample {
    uint32_t first_block, of_sample;
    uint32_t block(int lane) const { return first_block + uint32_t(lane); }
    uint32_t sample(int) const { return of_sample; }
};

// The counters of tiles of several samples: small images are drawn together, or most lanes would be idle.
struct ManySamples {
    uint32_t blocks[MOST_LANES], samples[MOST_LANES];
    uint32_t block(int lane) const { return blocks[lane]; }
    uint32_t sample(int lane) const { return samples[lane]; }
};

// The four words of every counter: words[j] holds word j of all lanes, and word j of lane l of a tile becomes its pixel 16 j + l.
struct Block {
    alignas(64) uint32_t words[4][MOST_LANES];
};

// No branches and no references in the loops: they become vector code.
template <class Counters>
RSFAST_INLINE void fill(Block& block, int lanes, const Counters& counters, Stream at) {
    for (int lane = 0; lane < lanes; ++lane) {
        const Words w = philox4x32_10(counters.block(lane), counters.sample(lane), at.image, at.stream, at.key);
        block.words[0][lane] = w.w0;
        block.words[1][lane] = w.w1;
        block.words[2][lane] = w.w2;
        block.words[3][lane] = w.w3;
    }
}

RSFAST_CLONES void fill_one_sample(Block& block, int lanes, OneSample counters, Stream at) { fill(block, lanes, counters, at); }
RSFAST_CLONES void fill_many_samples(Block& block, int lanes, const ManySamples& counters, Stream at) {
    fill(block, lanes, counters, at);
}

// Variates with 31 bits of radius or tail; returns whether any lane is due for more bits (see refine).
RSFAST_CLONES bool normals(float* z, const Block& block, int tiles) {
    uint32_t least = 0xffffffffu;
    for (int lane = 0; lane < tiles * LANES; ++lane) {
        const uint32_t a = block.words[0][lane], b = block.words[2][lane];
        const uint32_t smaller = a < b ? a : b;
        least = smaller < least ? smaller : least;
    }
    for (int tile = 0; tile < tiles; ++tile) {
        for (int half = 0; half < 2; ++half) {
            float* target = z + tile * TILE + half * 2 * LANES;
            for (int lane = 0; lane < LANES; ++lane) {
                const int32_t k = int32_t(block.words[2 * half][tile * LANES + lane] >> 1);
                const Pair pair = box_muller(k, plain_radius(k), block.words[2 * half + 1][tile * LANES + lane]);
                target[lane] = pair.first;
                target[lane + LANES] = pair.second;
            }
        }
    }
    return least < 2u * REFINE_BELOW;
}

RSFAST_CLONES void uniforms(float* z, const Block& block, int tiles) {
    for (int tile = 0; tile < tiles; ++tile) {
        for (int j = 0; j < 4; ++j) {
            float* target = z + tile * TILE + j * LANES;
            for (int lane = 0; lane < LANES; ++lane) target[lane] = symmetric_uniform(block.words[j][tile * LANES + lane]);
        }
    }
}

RSFAST_CLONES bool any_rare_tail(const Block& block, int lanes) {
    uint32_t least = 0xffffffffu;
    for (int j = 0; j < 4; ++j) {
        for (int lane = 0; lane < lanes; ++lane) {
            const uint32_t m = block.words[j][lane] & 0x7fffffffu;
            least = m < least ? m : least;
        }
    }
    return least < uint32_t(REFINE_BELOW);
}

RSFAST_CLONES void quantiles_by_gathers(float* z, const Block& block, int tiles, const float* table) {
    for (int tile = 0; tile < tiles; ++tile) {
        for (int j = 0; j < 4; ++j) {
            float* target = z + tile * TILE + j * LANES;
            for (int lane = 0; lane < LANES; ++lane) target[lane] = quantile(block.words[j][tile * LANES + lane], table);
        }
    }
}

#if RSFAST_HAS_CLONES
// The same operations with the table in registers: 64 coefficients of each power are two permutations and a choice.
__attribute__((target("arch=x86-64-v4"))) void quantiles_in_registers(float* z, const Block& block, int tiles, const float* table) {
    for (int tile = 0; tile < tiles; ++tile) {
        __m512 t[4], value[4];
        __m512i row[4], sign[4];
        for (int j = 0; j < 4; ++j) {
            const __m512i word = _mm512_load_si512(block.words[j] + tile * LANES);
            const __m512i m = _mm512_and_si512(word, _mm512_set1_epi32(0x7fffffff));
            const __mmask16 inner = _mm512_cmpge_epi32_mask(m, _mm512_set1_epi32(0x40000000));
            const __m512i k = _mm512_mask_sub_epi32(m, inner, _mm512_set1_epi32(0x7fffffff), m);
            const __m512 x = _mm512_add_ps(_mm512_cvtepi32_ps(k), _mm512_set1_ps(0.5f));
            const __m512i bits = _mm512_castps_si512(_mm512_min_ps(x, _mm512_set1_ps(1073741760.0f)));
            const __m512i exponent = _mm512_sub_epi32(_mm512_srli_epi32(bits, 23), _mm512_set1_epi32(126));
            row[j] = _mm512_mask_add_epi32(exponent, inner, exponent, _mm512_set1_epi32(INNER_ROW));
            const __m512i mantissa = _mm512_or_si512(_mm512_and_si512(bits, _mm512_set1_epi32(0x7fffff)), _mm512_set1_epi32(0x3f800000));
            t[j] = _mm512_sub_ps(_mm512_castsi512_ps(mantissa), _mm512_set1_ps(1.5f));
            sign[j] = _mm512_andnot_si512(_mm512_set1_epi32(0x7fffffff), word);
            value[j] = _mm512_setzero_ps();
        }
        for (int i = DEGREE; i >= 0; --i) {
            const __m512 a = _mm512_loadu_ps(table + i * ROWS), b = _mm512_loadu_ps(table + i * ROWS + 16);
            const __m512 c = _mm512_loadu_ps(table + i * ROWS + 32), d = _mm512_loadu_ps(table + i * ROWS + 48);
            for (int j = 0; j < 4; ++j) {
                const __mmask16 inner = _mm512_cmpge_epi32_mask(row[j], _mm512_set1_epi32(INNER_ROW));
                const __m512 outer = _mm512_permutex2var_ps(a, row[j], b);
                const __m512 coefficient = _mm512_mask_blend_ps(inner, outer, _mm512_permutex2var_ps(c, row[j], d));
                value[j] = i == DEGREE ? coefficient : _mm512_add_ps(_mm512_mul_ps(value[j], t[j]), coefficient);
            }
        }
        for (int j = 0; j < 4; ++j) {
            const __m512i signed_value = _mm512_xor_si512(_mm512_castps_si512(value[j]), sign[j]);
            _mm512_storeu_ps(z + tile * TILE + j * LANES, _mm512_castsi512_ps(signed_value));
        }
    }
}
#endif

void quantiles(float* z, const Block& block, int tiles, const float* table) {
#if RSFAST_HAS_CLONES
    static const bool wide = __builtin_cpu_supports("x86-64-v4");
    if (wide) return quantiles_in_registers(z, block, tiles, table);
#endif
    quantiles_by_gathers(z, block, tiles, table);
}

// Whole numbers from quantiles in z; returns whether the lower 32 bits decide any of them.
RSFAST_CLONES bool lattice_numbers(float* z, const Block& block, int tiles, const Draw& draw) {
    uint32_t unsure = 0;
    for (int tile = 0; tile < tiles; ++tile) {
        for (int j = 0; j < 4; ++j) {
            float* target = z + tile * TILE + j * LANES;
            for (int lane = 0; lane < LANES; ++lane) {
                const uint32_t word = block.words[j][tile * LANES + lane];
                const int32_t count = lattice_count(word, target[lane], draw);
                unsure |= int32_t(word & 0x7fffffffu) == draw.high[count] ? 1u : 0u;
                target[lane] = signed_count(count, word);
            }
        }
    }
    return unsure != 0;
}

// The variates of filled counters; whether any lane is due for more bits.
bool variates(float* z, const Block& block, int tiles, const Draw& draw) {
    if (draw.kind == Kind::normal) return normals(z, block, tiles);
    if (draw.kind == Kind::uniform) {
        uniforms(z, block, tiles);
        return false;
    }
    quantiles(z, block, tiles, draw.table);
    if (draw.kind == Kind::lattice) return lattice_numbers(z, block, tiles, draw);
    return any_rare_tail(block, tiles * LANES);
}

// Draws the same tiles again with the extra bits where they are due (once in 130,000 tiles or more).
template <class Counters>
void refine(float* z, int tiles, const Counters& counters, Stream at, const Draw& draw) {
    for (int lane = 0; lane < tiles * LANES; ++lane) {
        const uint32_t c0 = counters.block(lane), c1 = counters.sample(lane);
        const Words w = philox4x32_10(c0, c1, at.image, at.stream, at.key);
        const Words extra = philox4x32_10(c0, c1, at.image, at.stream ^ REFINE_STREAM, at.key);
        float* target = z + lane / LANES * TILE + lane % LANES;
        if (draw.kind == Kind::lattice) {
            target[0] = exact_lattice(w.w0, extra.w0, draw);
            target[LANES] = exact_lattice(w.w1, extra.w1, draw);
            target[2 * LANES] = exact_lattice(w.w2, extra.w2, draw);
            target[3 * LANES] = exact_lattice(w.w3, extra.w3, draw);
            continue;
        }
        if (draw.kind == Kind::quantile) {
            target[0] = refined_quantile(w.w0, extra.w0, draw.table);
            target[LANES] = refined_quantile(w.w1, extra.w1, draw.table);
            target[2 * LANES] = refined_quantile(w.w2, extra.w2, draw.table);
            target[3 * LANES] = refined_quantile(w.w3, extra.w3, draw.table);
            continue;
        }
        const int32_t k0 = int32_t(w.w0 >> 1), k1 = int32_t(w.w2 >> 1);
        const Pair a = box_muller(k0, refined_radius(k0, extra.w0), w.w1);
        const Pair b = box_muller(k1, refined_radius(k1, extra.w2), w.w3);
        target[0] = a.first;
        target[LANES] = a.second;
        target[2 * LANES] = b.first;
        target[3 * LANES] = b.second;
    }
}

RSFAST_INLINE uint16_t to_bfloat16(float value) {
    const uint32_t bits = as_bits(value);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return uint16_t((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

// Round to nearest even, with subnormals, overflow to infinity and NaN.
RSFAST_INLINE uint16_t to_float16(float value) {
    const uint32_t bits = as_bits(value);
    const uint32_t sign = bits & 0x80000000u;
    const uint32_t size = bits ^ sign;
    const uint32_t normal = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
    // below 2^-14: adding 1/2 leaves the subnormal's bits at the bottom
    const uint32_t subnormal = as_bits(as_float(size) + 0.5f) - 0x3f000000u;
    uint32_t half = size < 0x38800000u ? subnormal : normal;
    half = size >= 0x477ff000u ? 0x7c00u : half;  // 65520 and more round to infinity
    half = size > 0x7f800000u ? 0x7e00u : half;
    return uint16_t(half | (sign >> 16));
}

RSFAST_INLINE float store_as(float value, float) { return value; }
struct Bfloat16Tag {};
struct Float16Tag {};
RSFAST_INLINE uint16_t store_as(float value, Bfloat16Tag) { return to_bfloat16(value); }
RSFAST_INLINE uint16_t store_as(float value, Float16Tag) { return to_float16(value); }

// n pixels of one channel, every step-th place of the target.
template <class Tag, class Out>
RSFAST_INLINE void write(Out* target, int64_t step, const float* x, const float* z, float scale, int64_t n) {
    if (step == 1) {
        for (int64_t i = 0; i < n; ++i) target[i] = store_as(x[i] + scale * z[i], Tag());
    } else {
        for (int64_t i = 0; i < n; ++i) target[i * step] = store_as(x[i] + scale * z[i], Tag());
    }
}

RSFAST_CLONES void write_float32(float* t, int64_t step, const float* x, const float* z, float scale, int64_t n) {
    write<float>(t, step, x, z, scale, n);
}
RSFAST_CLONES void write_bfloat16(uint16_t* t, int64_t step, const float* x, const float* z, float scale, int64_t n) {
    write<Bfloat16Tag>(t, step, x, z, scale, n);
}
RSFAST_CLONES void write_float16(uint16_t* t, int64_t step, const float* x, const float* z, float scale, int64_t n) {
    write<Float16Tag>(t, step, x, z, scale, n);
}

}  // namespace

namespace {

// Writes pixels start ... stop - 1 of one row, whose draws begin at z.
void write_row(const Perturbation& call, int64_t row, int64_t start, int64_t stop, const float* z) {
    const int64_t size = call.channels * call.plane, b = row / call.count;
    const float* pixels = call.pixels + b * size;
    for (int64_t e = start; e < stop;) {  // one turn per channel that the pixels touch
        const int64_t channel = e / call.plane;
        const int64_t edge = std::min(stop, (channel + 1) * call.plane);
        const int64_t step = call.channels_last ? call.channels : 1;
        const int64_t place = call.channels_last ? (e - channel * call.plane) * call.channels + channel : e;
        const float scale = call.scale[b * call.channels + channel];
        const int64_t offset = row * size + place;
        if (call.cast == Cast::float32) {
            write_float32(static_cast<float*>(call.out) + offset, step, pixels + e, z + (e - start), scale, edge - e);
        } else if (call.cast == Cast::bfloat16) {
            write_bfloat16(static_cast<uint16_t*>(call.out) + offset, step, pixels + e, z + (e - start), scale, edge - e);
        } else {
            write_float16(static_cast<uint16_t*>(call.out) + offset, step, pixels + e, z + (e - start), scale, edge - e);
        }
        e = edge;
    }
}

}  // namespace

namespace {

// How many rows from `row` on are drawn together: of one image, and few enough tiles.
int64_t rows_at_once(const Perturbation& call, int64_t row, int64_t end, int64_t tiles) {
    const int64_t left_of_image = (row / call.count + 1) * call.count - row;
    return std::min({end - row, left_of_image, std::max<int64_t>(1, MOST_TILES / tiles)});
}

Stream stream_of(const Perturbation& call, int64_t row) { return {call.ids[row / call.count], call.stream, call.key}; }

// Tiles first ... first + some - 1 of one row.
void draw_tiles(const Perturbation& call, int64_t row, int64_t first, int some, float* z) {
    const OneSample counters{uint32_t(first * LANES), call.first + uint32_t(row % call.count)};
    const Stream at = stream_of(call, row);
    Block block;
    fill_one_sample(block, some * LANES, counters, at);
    if (variates(z, block, some, call.draw)) refine(z, some, counters, at, call.draw);
}

// All tiles of several rows, at most MOST_TILES together.
void draw_rows(const Perturbation& call, int64_t row, int64_t rows, int64_t tiles, float* z) {
    ManySamples counters;
    const int lanes = int(tiles) * LANES;
    for (int r = 0; r < int(rows); ++r) {
        for (int lane = 0; lane < lanes; ++lane) {
            counters.blocks[r * lanes + lane] = uint32_t(lane);
            counters.samples[r * lanes + lane] = call.first + uint32_t(row % call.count) + uint32_t(r);
        }
    }
    const int all = int(rows * tiles);
    const Stream at = stream_of(call, row);
    Block block;
    fill_many_samples(block, all * LANES, counters, at);
    if (variates(z, block, all, call.draw)) refine(z, all, counters, at, call.draw);
}

}  // namespace

void perturb(const Perturbation& call, int64_t begin, int64_t end) {
    alignas(64) float z[MOST_TILES * TILE];
    const int64_t size = call.channels * call.plane;
    const int64_t tiles = (size + TILE - 1) / TILE;
    for (int64_t row = begin; row < end;) {
        const int64_t rows = rows_at_once(call, row, end, tiles);
        if (rows > 1) {
            draw_rows(call, row, rows, tiles, z);
            for (int64_t r = 0; r < rows; ++r) write_row(call, row + r, 0, size, z + r * tiles * TILE);
        } else {
            for (int64_t first = 0; first < tiles; first += MOST_TILES) {
                const int some = int(std::min<int64_t>(MOST_TILES, tiles - first));
                draw_tiles(call, row, first, some, z);
                write_row(call, row, first * TILE, std::min((first + some) * TILE, size), z);
            }
        }
        row += rows;
    }
}

namespace {

RSFAST_CLONES void add_noise(float* z, const float* x, float scale, int64_t n) {
    for (int64_t e = 0; e < n; ++e) z[e] = x[e] + scale * z[e];
}

RSFAST_CLONES void show_nearest(float* line, const float* v, int64_t n) {
    for (int64_t e = 0; e < n; ++e) {
        line[2 * e] = v[e];
        line[2 * e + 1] = v[e];
    }
}

RSFAST_CLONES void show_bilinear(float* line, const float* v, int64_t n, int64_t half) {
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

// Two rows of kept pixels in their places, 0 elsewhere; `second` says of each whether it is the second of its pair of columns.
RSFAST_CLONES void show_pooled(float* line, const float* v, const int32_t* kept, int64_t half) {
    for (int64_t e = 0; e < half; ++e) {
        const float upper = v[e], lower = v[half + e];
        const float larger = upper > lower ? upper : lower;
        const float pooled = larger > 0.0f ? larger : 0.0f;
        const int32_t upper_second = -(kept[e] & 1), lower_second = -(kept[half + e] & 1);  // all bits or none
        const uint32_t a = as_bits(upper + pooled), b = as_bits(lower + pooled);
        line[2 * e] = as_float(a & ~uint32_t(upper_second));
        line[2 * e + 1] = as_float(a & uint32_t(upper_second));
        line[2 * half + 2 * e] = as_float(b & ~uint32_t(lower_second));
        line[2 * half + 2 * e + 1] = as_float(b & uint32_t(lower_second));
    }
}

RSFAST_CLONES void show_taps(float* line, const float* v, const View& view) {
    for (int64_t p = 0; p < view.plane; ++p) line[p] = view.weights[p] * v[view.indices[p]];
    for (int64_t t = 1; t < view.taps; ++t) {
        const int32_t* indices = view.indices + t * view.plane;
        const float* weights = view.weights + t * view.plane;
        for (int64_t p = 0; p < view.plane; ++p) line[p] = line[p] + weights[p] * v[indices[p]];
    }
}

// Kept pixels first ... first + n - 1 of a channel; whole pairs of rows where each row keeps half of its pixels, else all.
void show(const View& view, const float* v, int64_t first, int64_t n, float* line) {
    const int64_t half = view.width / 2;
    if (view.fill == Fill::nearest) {
        show_nearest(line, v, n);
    } else if (view.fill == Fill::bilinear) {
        show_bilinear(line, v, n, half);
    } else if (view.fill == Fill::pooled) {
        for (int64_t e = 0; e < n; e += 2 * half) show_pooled(line + 2 * e, v + e, view.kept + first + e, half);
    } else {
        show_taps(line, v, view);
    }
}

// line * gain + offset, cast, every step-th place of the target.
template <class Tag, class Out>
RSFAST_INLINE void store(Out* target, int64_t step, const float* line, float gain, float offset, int64_t n) {
    if (step == 1) {
        for (int64_t i = 0; i < n; ++i) target[i] = store_as(line[i] * gain + offset, Tag());
    } else {
        for (int64_t i = 0; i < n; ++i) target[i * step] = store_as(line[i] * gain + offset, Tag());
    }
}

RSFAST_CLONES void store_float32(float* t, int64_t step, const float* line, float gain, float offset, int64_t n) {
    store<float>(t, step, line, gain, offset, n);
}
RSFAST_CLONES void store_bfloat16(uint16_t* t, int64_t step, const float* line, float gain, float offset, int64_t n) {
    store<Bfloat16Tag>(t, step, line, gain, offset, n);
}
RSFAST_CLONES void store_float16(uint16_t* t, int64_t step, const float* line, float gain, float offset, int64_t n) {
    store<Float16Tag>(t, step, line, gain, offset, n);
}

constexpr int64_t SHOWN_TOGETHER = 4096;  // pixels: stays in the first-level cache

// Kept pixels per step: pairs of rows where each row keeps half of its pixels, else all of a channel.
int64_t step_of(const Perturbation& call, const View& view) {
    if (view.fill == Fill::taps) return call.plane;
    return std::min(call.plane, view.width * std::max<int64_t>(1, SHOWN_TOGETHER / (2 * view.width)));
}

// One row from its draws at z, which become the noisy kept pixels.
void write_part(const Perturbation& call, const View& view, int64_t row, float* z, float* line) {
    const int64_t b = row / call.count, stride = call.channels_last ? call.channels : 1, step = step_of(call, view);
    for (int64_t channel = 0; channel < call.channels; ++channel) {
        const float* pixels = call.pixels + (b * call.channels + channel) * call.plane;
        const float scale = call.scale[b * call.channels + channel], gain = view.gain[channel], offset = view.offset[channel];
        for (int64_t first = 0; first < call.plane; first += step) {
            const int64_t n = std::min(step, call.plane - first);
            float* v = z + channel * call.plane + first;
            add_noise(v, pixels + first, scale, n);
            show(view, v, first, n, line);
            const int64_t position = view.fill == Fill::taps ? 0 : 2 * first;
            const int64_t shown = view.fill == Fill::taps ? view.plane : 2 * n;
            const int64_t at = row * call.channels * view.plane +
                               (call.channels_last ? position * call.channels + channel : channel * view.plane + position);
            if (call.cast == Cast::float32) {
                store_float32(static_cast<float*>(call.out) + at, stride, line, gain, offset, shown);
            } else if (call.cast == Cast::bfloat16) {
                store_bfloat16(static_cast<uint16_t*>(call.out) + at, stride, line, gain, offset, shown);
            } else {
                store_float16(static_cast<uint16_t*>(call.out) + at, stride, line, gain, offset, shown);
            }
        }
    }
}

}  // namespace

void perturb_part(const Perturbation& call, const View& view, int64_t begin, int64_t end) {
    const int64_t tiles = (call.channels * call.plane + TILE - 1) / TILE;
    std::vector<float> z(size_t(std::max<int64_t>(tiles, MOST_TILES) * TILE)), line(static_cast<size_t>(view.plane));
    for (int64_t row = begin; row < end;) {
        const int64_t rows = rows_at_once(call, row, end, tiles);
        if (rows > 1) {
            draw_rows(call, row, rows, tiles, z.data());
        } else {
            for (int64_t first = 0; first < tiles; first += MOST_TILES) {
                draw_tiles(call, row, first, int(std::min<int64_t>(MOST_TILES, tiles - first)), z.data() + first * TILE);
            }
        }
        for (int64_t r = 0; r < rows; ++r) write_part(call, view, row + r, z.data() + r * tiles * TILE, line.data());
        row += rows;
    }
}

void philox_words(uint32_t block, int64_t n, uint32_t sample, uint32_t image, uint32_t stream, Key key, uint32_t* words) {
    for (int64_t i = 0; i < n; ++i) {
        const Words w = philox4x32_10(block + uint32_t(i), sample, image, stream, key);
        words[4 * i] = w.w0;
        words[4 * i + 1] = w.w1;
        words[4 * i + 2] = w.w2;
        words[4 * i + 3] = w.w3;
    }
}

}  // namespace rsfast
