// Variates from Philox words, for numbers, vectors and packs: see lanes.hpp.
// The same IEEE operations in the same order as rsfast/backends/reference.py, which is the definition.
#pragma once
#include <cstdint>

#include "call.hpp"
#include "lanes.hpp"
#include "philox.hpp"

namespace rsfast {
namespace {

constexpr uint32_t SIGN = 0x80000000u;

template <int N, class Float>
RSFAST_INLINE Float horner(const float (&coefficients)[N], const Float& x) {
    Float value = x * coefficients[N - 1] + coefficients[N - 2];
    RSFAST_UNROLL for (int i = N - 3; i >= 0; --i) value = value * x + coefficients[i];
    return value;
}

// -2 ln(u) for u = scaled * 2^-31, where k = floor(scaled).
template <class Int, class Float>
RSFAST_INLINE Float minus_two_log(const Int& k, const Float& scaled) {
    const Int bits = as_int(scaled);
    const Int octave = (bits - 0x3f2aaaab) >> 23;  // scaled = 2^octave (1 + f), 1 + f in [2/3, 4/3)
    const Float f = as_float(as_word(bits) - (as_word(octave) << 23)) - 1.0f;
    const Float complement = (to_float(k ^ 0x7fffffff) + 0.5f) * -TWO_M31;  // u - 1, exact near u = 1
    const Float g = choose(k >= 0x60000000, complement, f);
    return g * horner(LOG, g) + to_float(octave - 31) * MINUS_TWO_LN2;
}

template <class Float>
struct Pair {
    Float first, second;
};

template <class Int, class Float, class Word>
RSFAST_INLINE Pair<Float> box_muller(const Int& k, const Float& scaled, const Word& angle_word) {
    const Float radius = root(minus_two_log(k, scaled));
    const Float t = to_float(as_int(angle_word << 2)) * TWO_M31;  // angle pi/4 t, t in [-1, 1)
    const Float v = t * t;
    const Float sine = t * horner(SIN, v);
    const Float cosine = as_float(as_word(horner(COS, v)) ^ (angle_word & SIGN));
    const auto swap = (angle_word & 0x40000000u) != 0u;
    return {radius * choose(swap, sine, cosine), radius * choose(swap, cosine, sine)};
}

template <class Int>
RSFAST_INLINE auto plain_radius(const Int& k) {
    return to_float(k) + 0.5f;
}

// u = fine * 2^-63 where the 31-bit uniform is small: the tail reaches 9.3 standard deviations instead of 6.7.
RSFAST_INLINE float refined_radius(int32_t k, uint32_t extra) {
    const int64_t fine = (int64_t(k) << 32) | int64_t(extra) | 1;
    return k < REFINE_BELOW ? float(fine) * TWO_M32 : plain_radius(k);
}

// Which rows of a table are looked up: all, or only the NEAR_ROWS highest octaves of both halves, which is faster.
struct AllRows {
    template <class Int>
    static RSFAST_MEMBER Int place(const Int& row) {
        return row;
    }
    template <class Int>
    static RSFAST_MEMBER auto at(const float* table, const Int& row) {
        return lookup(table, row);
    }
};
struct NearRows {
    template <class Int>
    static RSFAST_MEMBER Int place(const Int& row) {
        return near_place(row);
    }
    template <class Int>
    static RSFAST_MEMBER auto at(const float* table, const Int& row) {
        return lookup_near(table, row);
    }
};

template <class Rows, class Int, class Float>
RSFAST_INLINE Float polynomial(const float* table, const Int& row, const Float& t) {
    const Int place = Rows::place(row);
    Float value = Rows::at(table + DEGREE * ROWS, place);
    RSFAST_UNROLL for (int i = DEGREE - 1; i >= 0; --i) value = value * t + Rows::at(table + i * ROWS, place);
    return value;
}

template <class Word>
RSFAST_INLINE auto mantissa_from_middle(const Word& bits) {
    return as_float((bits & 0x7fffffu) | 0x3f800000u) - 1.5f;
}

// How far the lower 31 bits m of a word are from the end of their half: of the outer one at 0, or of the inner one at 2^31 - 1.
template <class Int>
RSFAST_INLINE Int from_end(const Int& m) {
    return choose(m >= 0x40000000, m ^ 0x7fffffff, m);
}

// Whether any lane needs a row that NearRows does not have; those due for more bits (see refine) do.
template <class Word>
RSFAST_INLINE bool beyond_near_rows(const Word& word) {
    return NEAR_ROWS >= 31 || any(from_end(as_int(word & 0x7fffffffu)) < (1 << (30 - NEAR_ROWS % 31)));
}

// The variate whose tail probability is (m + 1/2) 2^-32, m the lower 31 bits of the word; the top bit is its sign.
template <class Rows, class Word>
RSFAST_INLINE auto quantile(const Word& word, const float* table) {
    const auto m = as_int(word & 0x7fffffffu);
    const auto x = to_float(from_end(m)) + 0.5f;
    const auto bits = as_word(at_most(1073741760.0f, x));
    const auto octave = as_int(bits >> 23) - 126;
    const auto row = choose(m >= 0x40000000, octave + INNER_ROW, octave);
    const auto size = polynomial<Rows>(table, row, mantissa_from_middle(bits));
    return as_float(as_word(size) ^ (word & SIGN));
}

// The same with 32 more bits where m is below REFINE_BELOW.
RSFAST_INLINE float refined_quantile(uint32_t word, uint32_t extra, const float* table) {
    const int32_t m = int32_t(word & 0x7fffffffu);
    if (m >= REFINE_BELOW) return quantile<AllRows>(word, table);
    const int64_t fine = (int64_t(m) << 32) | int64_t(extra) | 1;
    const uint32_t bits = as_word(float(fine) * TWO_M32);
    const float size = polynomial<AllRows>(table, int(bits >> 23) - 95 + TAIL_ROW, mantissa_from_middle(bits));
    return as_float(as_word(size) ^ (word & SIGN));
}

template <class Int, class Word>
RSFAST_INLINE auto signed_count(const Int& count, const Word& word) {
    return as_float(as_word(to_float(count)) ^ choose(count > 0, word & SIGN, word ^ word));
}

// How many thresholds lie above the word's lower 31 bits: a guess from the word's quantile z, put right by comparison.
template <class Word, class Float>
RSFAST_INLINE auto lattice_count(const Word& word, const Float& z, const Draw& draw) {
    const auto m = as_int(word & 0x7fffffffu);
    const auto near = to_int(at_most(float(draw.length - 1), as_float(as_word(z) & 0x7fffffffu) * draw.step + 0.5f));
    const auto guess = near;
    const auto count = choose(m < lookup(draw.high, guess), guess + 1, guess);
    const auto below = choose(count > 0, count - 1, count);
    return choose(m >= lookup(draw.high, below), below, count);
}

// The same with all 63 bits.
RSFAST_INLINE float exact_lattice(uint32_t word, uint32_t extra, const Draw& draw) {
    const int64_t m = (int64_t(word & 0x7fffffffu) << 32) | int64_t(extra);
    int32_t count = 0;
    for (int32_t width = draw.length / 2; width > 0; width /= 2) {
        if (draw.thresholds[count + width - 1] > m) count += width;
    }
    return signed_count(count, word);
}

// Uniform on [-1, 1].
template <class Word>
RSFAST_INLINE auto symmetric_uniform(const Word& word) {
    return to_float(as_int(word | 1u)) * TWO_M31;
}

}  // namespace
}  // namespace rsfast
