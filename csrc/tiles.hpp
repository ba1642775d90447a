// Tiles of variates: Philox words, then variates, a few tiles at a time so that both stay in the first-level cache.
#pragma once
#include <cstdint>

#include "draws.hpp"

namespace rsfast {
namespace {

constexpr int AT_ONCE = 16;  // tiles
constexpr int AT_ONCE_LANES = AT_ONCE * LANES;

// Vectors in a pack: enough independent work to fill the machine, few enough to stay in its registers.  What is left over is done
// vector by vector.
constexpr int PACK = 4;

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
    uint32_t blocks[AT_ONCE_LANES], samples[AT_ONCE_LANES];
    uint32_t block(int lane) const { return blocks[lane]; }
    uint32_t sample(int lane) const { return samples[lane]; }
};

constexpr uint32_t COUNT_UP[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

RSFAST_INLINE Words blocks(const OneSample& counters, int lane) { return load<Words>(COUNT_UP) + counters.block(lane); }
RSFAST_INLINE Words samples(const OneSample& counters, int) { return Words{} + counters.of_sample; }
RSFAST_INLINE Words blocks(const ManySamples& counters, int lane) { return load<Words>(counters.blocks + lane); }
RSFAST_INLINE Words samples(const ManySamples& counters, int lane) { return load<Words>(counters.samples + lane); }

// Philox takes a word in each 64-bit lane: a vector of words becomes one of those with even places and one of those with odd.
#if RSFAST_VECTOR_BYTES
constexpr int HALVES = 2;
RSFAST_INLINE void spread(Longs* halves, Words words) {
    halves[0] = bit_cast<Longs>(words);
    halves[1] = halves[0] >> 32;
}
RSFAST_INLINE Words joined(const Longs* halves) { return bit_cast<Words>((halves[0] & 0xffffffffu) | (halves[1] << 32)); }
#else
constexpr int HALVES = 1;
RSFAST_INLINE void spread(Longs* halves, Words words) { halves[0] = words; }
RSFAST_INLINE Words joined(const Longs* halves) { return Words(halves[0]); }
#endif

// The words of some counters in the places of the pixels that come of them: word j of a tile's lane l is its place 16 j + l.
template <int N, class Counters>
RSFAST_INLINE void fill_some(uint32_t* words, int lane, const Counters& counters, Stream at) {
    using Lanes = Pack<Longs, HALVES * N>;
    const Lanes zero = {};
    Quad<Lanes> c{zero, zero, zero | at.image, zero | at.stream};
    RSFAST_UNROLL for (int i = 0; i < N; ++i) {
        spread(c.w0.at + HALVES * i, blocks(counters, lane + i * WIDTH));
        spread(c.w1.at + HALVES * i, samples(counters, lane + i * WIDTH));
    }
    c = philox4x32_10(c, at.key);
    RSFAST_UNROLL for (int i = 0; i < N; ++i) {
        const int from = lane + i * WIDTH;
        uint32_t* target = words + from / LANES * TILE + from % LANES;
        store(target, joined(c.w0.at + HALVES * i));
        store(target + LANES, joined(c.w1.at + HALVES * i));
        store(target + 2 * LANES, joined(c.w2.at + HALVES * i));
        store(target + 3 * LANES, joined(c.w3.at + HALVES * i));
    }
}

template <class Counters>
RSFAST_INLINE void fill(uint32_t* words, int tiles, const Counters& counters, Stream at) {
    int lane = 0;
    for (; lane + PACK * WIDTH <= tiles * LANES; lane += PACK * WIDTH) fill_some<PACK>(words, lane, counters, at);
    for (; lane < tiles * LANES; lane += WIDTH) fill_some<1>(words, lane, counters, at);
}

// Variates with 31 bits of radius or tail: vectors i ... i + N - 1 of radii, with their angles; returns the radii's bits.
template <int N>
RSFAST_INLINE Pack<Ints, N> some_normals(float* RSFAST_RESTRICT z, const uint32_t* words, int i) {
    constexpr int VECTORS = LANES / WIDTH;
    Pack<Words, N> radius, angle;
    int place[N];
    RSFAST_UNROLL for (int j = 0; j < N; ++j) {
        place[j] = (i + j) / VECTORS * 2 * LANES + (i + j) % VECTORS * WIDTH;
        radius.at[j] = load<Words>(words + place[j]);
        angle.at[j] = load<Words>(words + place[j] + LANES);
    }
    const auto k = as_int(radius >> 1);
    const auto pair = box_muller(k, plain_radius(k), angle);
    RSFAST_UNROLL for (int j = 0; j < N; ++j) {
        store(z + place[j], pair.first.at[j]);
        store(z + place[j] + LANES, pair.second.at[j]);
    }
    return k;
}

// normals and quantiles return whether any lane is due for more bits (see refine).
bool normals(float* RSFAST_RESTRICT z, const uint32_t* words, int tiles) {
    const int vectors = 2 * LANES / WIDTH * tiles;
    Ints least = Ints{} + 0x7fffffff;
    int i = 0;
    for (; i + PACK <= vectors; i += PACK) {
        const auto k = some_normals<PACK>(z, words, i);
        RSFAST_UNROLL for (int j = 0; j < PACK; ++j) least = smaller_of(least, k.at[j]);
    }
    for (; i < vectors; ++i) least = smaller_of(least, some_normals<1>(z, words, i).at[0]);
    return any(least < REFINE_BELOW);
}

bool quantiles(float* RSFAST_RESTRICT z, const uint32_t* words, int tiles, const float* RSFAST_RESTRICT table) {
    static_assert(TILE % (PACK * WIDTH) == 0, "tiles are made of whole packs");
    static_assert(NEAR_ROWS >= 31 || REFINE_BELOW < 1 << (30 - NEAR_ROWS % 31), "who is due for more bits is not near");
    Pack<Ints, PACK> rare = {};
    for (int i = 0; i < tiles * TILE; i += PACK * WIDTH) {
        const auto word = load<Pack<Words, PACK>>(words + i);
        if (beyond_near_rows(word)) {
            rare = rare | as_int(as_int(word & 0x7fffffffu) < REFINE_BELOW);
            store(z + i, quantile<AllRows>(word, table));
        } else {
            store(z + i, quantile<NearRows>(word, table));
        }
    }
    return any(rare);
}

void uniforms(float* RSFAST_RESTRICT z, const uint32_t* words, int tiles) {
    for (int i = 0; i < tiles * TILE; i += WIDTH) store(z + i, symmetric_uniform(load<Words>(words + i)));
}

// Whole numbers from quantiles in z; returns whether the lower 32 bits decide any of them.
bool lattice_numbers(float* z, const uint32_t* words, int tiles, const Draw& draw) {
    Pack<Ints, PACK> unsure = {};
    for (int i = 0; i < tiles * TILE; i += PACK * WIDTH) {
        const auto word = load<Pack<Words, PACK>>(words + i);
        const auto count = lattice_count(word, load<Pack<Floats, PACK>>(z + i), draw);
        unsure = unsure | as_int(as_int(word & 0x7fffffffu) == lookup(draw.high, count));
        store(z + i, signed_count(count, word));
    }
    return any(unsure);
}

bool variates(float* z, const uint32_t* words, int tiles, const Draw& draw) {
    if (draw.kind == Kind::normal) return normals(z, words, tiles);
    if (draw.kind == Kind::uniform) {
        uniforms(z, words, tiles);
        return false;
    }
    const bool rare = quantiles(z, words, tiles, draw.table);
    return draw.kind == Kind::lattice ? lattice_numbers(z, words, tiles, draw) : rare;
}

// Draws the same tiles again with the extra bits where they are due (once in 130,000 tiles or more).
template <class Counters>
void refine(float* z, int tiles, const Counters& counters, Stream at, const Draw& draw) {
    for (int lane = 0; lane < tiles * LANES; ++lane) {
        const Quad<uint64_t> counter{counters.block(lane), counters.sample(lane), at.image, at.stream};
        Quad<uint64_t> other = counter;
        other.w3 ^= REFINE_STREAM;
        const Quad<uint64_t> w = philox4x32_10(counter, at.key), more = philox4x32_10(other, at.key);
        const uint32_t word[4] = {uint32_t(w.w0), uint32_t(w.w1), uint32_t(w.w2), uint32_t(w.w3)};
        const uint32_t extra[4] = {uint32_t(more.w0), uint32_t(more.w1), uint32_t(more.w2), uint32_t(more.w3)};
        float* target = z + lane / LANES * TILE + lane % LANES;
        for (int j = 0; j < 4; ++j) {
            if (draw.kind == Kind::lattice) {
                target[j * LANES] = exact_lattice(word[j], extra[j], draw);
            } else if (draw.kind == Kind::quantile) {
                target[j * LANES] = refined_quantile(word[j], extra[j], draw.table);
            } else if (j % 2 == 0) {
                const int32_t k = int32_t(word[j] >> 1);
                const Pair<float> pair = box_muller(k, refined_radius(k, extra[j]), word[j + 1]);
                target[j * LANES] = pair.first;
                target[(j + 1) * LANES] = pair.second;
            }
        }
    }
}

// At most AT_ONCE tiles.
template <class Counters>
void draw_some(float* z, int tiles, const Counters& counters, Stream at, const Draw& draw) {
    alignas(64) uint32_t words[AT_ONCE * TILE];
    fill(words, tiles, counters, at);
    if (variates(z, words, tiles, draw)) refine(z, tiles, counters, at, draw);
}

}  // namespace
}  // namespace rsfast
