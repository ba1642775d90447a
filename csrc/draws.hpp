// Standard normals from Philox words: Box-Muller with a 63-bit radius uniform.
// The same IEEE operations in the same order as rsfast/backends/reference.py, which is the definition.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "coefficients.hpp"
#include "philox.hpp"

namespace rsfast {

RSFAST_INLINE float as_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

RSFAST_INLINE uint32_t as_bits(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

template <int N>
RSFAST_INLINE float horner(const float (&coefficients)[N], float x) {
    float value = coefficients[N - 1];
    for (int i = N - 2; i >= 0; --i) value = value * x + coefficients[i];
    return value;
}

// -2 ln(u) for u = scaled * 2^-31, where k = floor(scaled).
RSFAST_INLINE float minus_two_log(int32_t k, float scaled) {
    const int32_t bits = int32_t(as_bits(scaled));
    const int32_t octave = (bits - 0x3f2aaaab) >> 23;  // scaled = 2^octave (1 + f), 1 + f in [2/3, 4/3)
    const float f = as_float(uint32_t(bits - octave * (1 << 23))) - 1.0f;
    const float complement = (float(0x7fffffff - k) + 0.5f) * -0x1p-31f;  // u - 1, exact near u = 1
    const float g = k >= 0x60000000 ? complement : f;
    return g * horner(LOG, g) + float(octave - 31) * MINUS_TWO_LN2;
}

struct Pair {
    float first, second;
};

RSFAST_INLINE Pair box_muller(int32_t k, float scaled, uint32_t angle_word) {
    const float radius = std::sqrt(minus_two_log(k, scaled));
    const float t = float(int32_t(angle_word << 2)) * 0x1p-31f;  // angle pi/4 t, t in [-1, 1)
    const float v = t * t;
    const float sine = t * horner(SIN, v);
    const float cosine = as_float(as_bits(horner(COS, v)) ^ (angle_word & 0x80000000u));
    const bool swap = (angle_word & 0x40000000u) != 0;
    return {radius * (swap ? sine : cosine), radius * (swap ? cosine : sine)};
}

RSFAST_INLINE float plain_radius(int32_t k) { return float(k) + 0.5f; }

// u = fine * 2^-63 where the 31-bit uniform is small: the tail reaches 9.3 standard deviations instead of 6.7.
RSFAST_INLINE float refined_radius(int32_t k, uint32_t extra) {
    const int64_t fine = (int64_t(k) << 32) | int64_t(extra) | 1;
    return k < REFINE_BELOW ? float(fine) * 0x1p-32f : plain_radius(k);
}

// How words become variates: rsfast/backends/base.py Draw.
enum class Kind : int { normal = 0, quantile = 1, uniform = 2, lattice = 3 };

struct Draw {
    Kind kind;
    const float* table;  // [8, ROWS] for quantiles: rsfast/backends/tables.py
    const int64_t* thresholds;  // [length] for the lattice, falling, the last is 0; length is a power of two
    const int32_t* high;        // [length], their upper 31 bits
    int32_t length;
    float step;
};

constexpr int ROWS = 128, INNER_ROW = 32, TAIL_ROW = 64, DEGREE = 7;

RSFAST_INLINE float polynomial(const float* table, int row, float t) {
    float value = table[DEGREE * ROWS + row];
    for (int i = DEGREE - 1; i >= 0; --i) value = value * t + table[i * ROWS + row];
    return value;
}

RSFAST_INLINE float mantissa_from_middle(uint32_t bits) { return as_float((bits & 0x7fffffu) | 0x3f800000u) - 1.5f; }

// The variate whose tail probability is (m + 1/2) 2^-32, m the lower 31 bits of the word; the top bit is its sign.
RSFAST_INLINE float quantile(uint32_t word, const float* table) {
    const int32_t m = int32_t(word & 0x7fffffffu);
    const bool inner = m >= 0x40000000;
    const float x = float(inner ? 0x7fffffff - m : m) + 0.5f;
    const uint32_t bits = as_bits(x < 1073741760.0f ? x : 1073741760.0f);
    const float size = polynomial(table, int(bits >> 23) - 126 + (inner ? INNER_ROW : 0), mantissa_from_middle(bits));
    return as_float(as_bits(size) ^ (word & 0x80000000u));
}

// The same with 32 more bits where m is below REFINE_BELOW.
RSFAST_INLINE float refined_quantile(uint32_t word, uint32_t extra, const float* table) {
    const int32_t m = int32_t(word & 0x7fffffffu);
    if (m >= REFINE_BELOW) return quantile(word, table);
    const int64_t fine = (int64_t(m) << 32) | int64_t(extra) | 1;
    const uint32_t bits = as_bits(float(fine) * 0x1p-32f);
    const float size = polynomial(table, int(bits >> 23) - 95 + TAIL_ROW, mantissa_from_middle(bits));
    return as_float(as_bits(size) ^ (word & 0x80000000u));
}

RSFAST_INLINE float signed_count(int32_t count, uint32_t word) {
    return as_float(as_bits(float(count)) ^ (count > 0 ? word & 0x80000000u : 0u));
}

// How many thresholds lie above the word's lower 31 bits: a guess from the word's quantile z, put right by comparison.
RSFAST_INLINE int32_t lattice_count(uint32_t word, float z, const Draw& draw) {
    const int32_t m = int32_t(word & 0x7fffffffu);
    const int32_t near = int32_t(as_float(as_bits(z) & 0x7fffffffu) * draw.step + 0.5f);
    const int32_t guess = near < draw.length - 1 ? near : draw.length - 1;
    const int32_t count = guess + (m < draw.high[guess] ? 1 : 0);
    const int32_t below = count > 0 ? count - 1 : 0;
    return m >= draw.high[below] ? below : count;
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
RSFAST_INLINE float symmetric_uniform(uint32_t word) { return float(int32_t(word | 1u)) * 0x1p-31f; }

}  // namespace rsfast
