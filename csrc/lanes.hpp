// Numbers worked on side by side: vectors of the instruction set that is being compiled, and packs of several vectors.
//
// All arithmetic of draws.hpp and philox.hpp is written once, for numbers, vectors and packs alike.  Operators act on each lane;
// what differs between the three has a function here.  Only for level_*.cpp, which set RSFAST_VECTOR_BYTES: 64 for
// AVX-512, 32 for AVX2, 16 for any machine of GCC and Clang; 0 for plain numbers where a compiler has no vector types.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#if RSFAST_VECTOR_BYTES && defined(__x86_64__)
#include <immintrin.h>
#endif

#include "portability.hpp"

namespace rsfast {
namespace {

template <class To, class From>
RSFAST_INLINE To bit_cast(const From& from) {
    static_assert(sizeof(To) == sizeof(From), "another size");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

// Numbers.
RSFAST_INLINE float to_float(int32_t value) { return float(value); }
RSFAST_INLINE int32_t to_int(float value) { return int32_t(value); }
RSFAST_INLINE int32_t as_int(bool value) { return value; }
RSFAST_INLINE int32_t as_int(uint32_t value) { return int32_t(value); }
RSFAST_INLINE int32_t as_int(float value) { return bit_cast<int32_t>(value); }
RSFAST_INLINE uint32_t as_word(float value) { return bit_cast<uint32_t>(value); }
RSFAST_INLINE uint32_t as_word(int32_t value) { return uint32_t(value); }
RSFAST_INLINE float as_float(uint32_t value) { return bit_cast<float>(value); }
RSFAST_INLINE float as_float(int32_t value) { return bit_cast<float>(value); }
RSFAST_INLINE float root(float value) { return std::sqrt(value); }
RSFAST_INLINE uint64_t product(uint64_t a, uint32_t b) { return (a & 0xffffffffu) * b; }  // of the lower halves
RSFAST_INLINE float lookup(const float* table, int32_t place) { return table[place]; }
RSFAST_INLINE int32_t lookup(const int32_t* table, int32_t place) { return table[place]; }
template <class T>
RSFAST_INLINE T choose(bool first, T a, T b) {
    return first ? a : b;
}
RSFAST_INLINE float at_most(float limit, float value) { return value < limit ? value : limit; }
RSFAST_INLINE int32_t smaller_of(int32_t a, int32_t b) { return a < b ? a : b; }
RSFAST_INLINE bool any(bool mask) { return mask; }

#if RSFAST_VECTOR_BYTES

constexpr int WIDTH = RSFAST_VECTOR_BYTES / 4;  // numbers in a vector, and half as many doubles
typedef float Floats __attribute__((vector_size(RSFAST_VECTOR_BYTES)));
typedef int32_t Ints __attribute__((vector_size(RSFAST_VECTOR_BYTES)));
typedef uint32_t Words __attribute__((vector_size(RSFAST_VECTOR_BYTES)));
typedef uint64_t Longs __attribute__((vector_size(RSFAST_VECTOR_BYTES)));
typedef double Doubles __attribute__((vector_size(RSFAST_VECTOR_BYTES)));
using LongMask = decltype(Doubles{} == Doubles{});  // what a comparison of doubles gives, as Ints of floats

RSFAST_INLINE Floats to_float(Ints value) { return __builtin_convertvector(value, Floats); }
RSFAST_INLINE Ints to_int(Floats value) { return __builtin_convertvector(value, Ints); }
RSFAST_INLINE Ints as_int(Ints value) { return value; }
RSFAST_INLINE Ints as_int(Words value) { return bit_cast<Ints>(value); }
RSFAST_INLINE Ints as_int(Floats value) { return bit_cast<Ints>(value); }
RSFAST_INLINE Words as_word(Floats value) { return bit_cast<Words>(value); }
RSFAST_INLINE Words as_word(Ints value) { return bit_cast<Words>(value); }
RSFAST_INLINE Floats as_float(Words value) { return bit_cast<Floats>(value); }
RSFAST_INLINE Floats as_float(Ints value) { return bit_cast<Floats>(value); }
RSFAST_INLINE Floats choose(Ints first, Floats a, Floats b) { return first ? a : b; }
RSFAST_INLINE Doubles choose(LongMask first, Doubles a, Doubles b) { return first ? a : b; }
RSFAST_INLINE Ints choose(Ints first, Ints a, Ints b) { return first ? a : b; }
RSFAST_INLINE Words choose(Ints first, Words a, Words b) { return first ? a : b; }
RSFAST_INLINE Ints smaller_of(Ints a, Ints b) { return a < b ? a : b; }

#if RSFAST_VECTOR_BYTES == 64
RSFAST_INLINE Floats root(Floats value) { return bit_cast<Floats>(_mm512_sqrt_ps(bit_cast<__m512>(value))); }
RSFAST_INLINE Floats at_most(float limit, Floats value) {
    return bit_cast<Floats>(_mm512_min_ps(bit_cast<__m512>(value), _mm512_set1_ps(limit)));
}
RSFAST_INLINE Longs product(Longs a, uint32_t b) {
    return bit_cast<Longs>(_mm512_mul_epu32(bit_cast<__m512i>(a), _mm512_set1_epi64(b)));
}
RSFAST_INLINE bool any(Ints mask) { return _mm512_test_epi32_mask(bit_cast<__m512i>(mask), bit_cast<__m512i>(mask)) != 0; }
RSFAST_INLINE Ints lookup(const int32_t* table, Ints place) {
    return bit_cast<Ints>(_mm512_i32gather_epi32(bit_cast<__m512i>(place), table, 4));
}
RSFAST_INLINE Floats lookup(const float* table, Ints place) {
    return bit_cast<Floats>(_mm512_i32gather_ps(bit_cast<__m512i>(place), table, 4));
}
// Rows 15 ... 30 and 47 ... 62 fit into two registers, and a permutation costs less than a gather.
constexpr int NEAR_ROWS = 16;
RSFAST_INLINE Ints near_place(Ints place) { return place - ((place >> 5) * 16 + 15); }  // 0 ... 15 or 16 ... 31
RSFAST_INLINE Floats lookup_near(const float* table, Ints where) {
    return bit_cast<Floats>(
        _mm512_permutex2var_ps(_mm512_loadu_ps(table + 15), bit_cast<__m512i>(where), _mm512_loadu_ps(table + 47)));
}
// The lane of the first true one, of which there is at least one.
RSFAST_INLINE int first(Ints mask) { return __builtin_ctz(_mm512_movepi32_mask(bit_cast<__m512i>(mask))); }
RSFAST_INLINE float largest(Floats value) { return _mm512_reduce_max_ps(bit_cast<__m512>(value)); }
RSFAST_INLINE bool any(LongMask mask) { return _mm512_test_epi64_mask(bit_cast<__m512i>(mask), bit_cast<__m512i>(mask)) != 0; }
RSFAST_INLINE int first(LongMask mask) { return __builtin_ctz(_mm512_movepi64_mask(bit_cast<__m512i>(mask))); }
RSFAST_INLINE double largest(Doubles value) { return _mm512_reduce_max_pd(bit_cast<__m512d>(value)); }
// The first n numbers, fewer than a vector's, and `rest` in the other lanes.
RSFAST_INLINE Floats load_some(const float* from, int n, float rest) {
    return bit_cast<Floats>(_mm512_mask_loadu_ps(_mm512_set1_ps(rest), __mmask16((1u << n) - 1), from));
}
RSFAST_INLINE Doubles load_some(const double* from, int n, double rest) {
    return bit_cast<Doubles>(_mm512_mask_loadu_pd(_mm512_set1_pd(rest), __mmask8((1u << n) - 1), from));
}
#else
#if RSFAST_VECTOR_BYTES == 32
RSFAST_INLINE Floats root(Floats value) { return bit_cast<Floats>(_mm256_sqrt_ps(bit_cast<__m256>(value))); }
RSFAST_INLINE Floats at_most(float limit, Floats value) {
    return bit_cast<Floats>(_mm256_min_ps(bit_cast<__m256>(value), _mm256_set1_ps(limit)));
}
RSFAST_INLINE Longs product(Longs a, uint32_t b) {
    return bit_cast<Longs>(_mm256_mul_epu32(bit_cast<__m256i>(a), _mm256_set1_epi64x(b)));
}
RSFAST_INLINE bool any(Ints mask) { return _mm256_movemask_epi8(bit_cast<__m256i>(mask)) != 0; }
RSFAST_INLINE Ints lookup(const int32_t* table, Ints place) {
    return bit_cast<Ints>(_mm256_i32gather_epi32(table, bit_cast<__m256i>(place), 4));
}
RSFAST_INLINE Floats lookup(const float* table, Ints place) {
    return bit_cast<Floats>(_mm256_i32gather_ps(table, bit_cast<__m256i>(place), 4));
}
// Rows 23 ... 30 and 55 ... 62 are a register each, and two permutations and a choice cost less than a gather.
constexpr int NEAR_ROWS = 8;
// The lane in 3 bits; the sign says which register.
RSFAST_INLINE Ints near_place(Ints place) { return (place - 23) | (place << 26); }
RSFAST_INLINE Floats lookup_near(const float* table, Ints where) {
    const __m256i lane = bit_cast<__m256i>(where);
    const __m256 a = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 23), lane);
    const __m256 b = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 55), lane);
    return bit_cast<Floats>(_mm256_blendv_ps(a, b, _mm256_castsi256_ps(lane)));
}
RSFAST_INLINE int first(Ints mask) { return __builtin_ctz(_mm256_movemask_ps(bit_cast<__m256>(mask))); }
RSFAST_INLINE bool any(LongMask mask) { return _mm256_movemask_pd(bit_cast<__m256d>(mask)) != 0; }
RSFAST_INLINE int first(LongMask mask) { return __builtin_ctz(_mm256_movemask_pd(bit_cast<__m256d>(mask))); }
#else
#if defined(__x86_64__)
RSFAST_INLINE Floats root(Floats value) { return bit_cast<Floats>(_mm_sqrt_ps(bit_cast<__m128>(value))); }
RSFAST_INLINE Longs product(Longs a, uint32_t b) {
    return bit_cast<Longs>(_mm_mul_epu32(bit_cast<__m128i>(a), _mm_set1_epi64x(b)));
}
#else
RSFAST_INLINE Floats root(Floats value) {
    for (int lane = 0; lane < WIDTH; ++lane) value[lane] = std::sqrt(value[lane]);
    return value;
}
RSFAST_INLINE Longs product(Longs a, uint32_t b) { return (a & 0xffffffffu) * b; }
#endif
RSFAST_INLINE Floats at_most(float limit, Floats value) { return value < limit ? value : Floats{} + limit; }
RSFAST_INLINE bool any(Ints mask) {
    const Longs halves = bit_cast<Longs>(mask);
    return (halves[0] | halves[1]) != 0;
}
RSFAST_INLINE bool any(LongMask mask) { return (mask[0] | mask[1]) != 0; }
RSFAST_INLINE int first(Ints mask) {
    int lane = 0;
    while (mask[lane] == 0) ++lane;
    return lane;
}
RSFAST_INLINE int first(LongMask mask) { return mask[0] == 0; }
RSFAST_INLINE Ints lookup(const int32_t* table, Ints place) {
    return Ints{table[place[0]], table[place[1]], table[place[2]], table[place[3]]};
}
RSFAST_INLINE Floats lookup(const float* table, Ints place) {
    return Floats{table[place[0]], table[place[1]], table[place[2]], table[place[3]]};
}
constexpr int NEAR_ROWS = 31;  // nothing is gained
RSFAST_INLINE Ints near_place(Ints place) { return place; }
RSFAST_INLINE Floats lookup_near(const float* table, Ints place) { return lookup(table, place); }
#endif
RSFAST_INLINE float largest(Floats value) {
    float found = value[0];
    for (int lane = 1; lane < WIDTH; ++lane) found = value[lane] > found ? value[lane] : found;
    return found;
}
RSFAST_INLINE double largest(Doubles value) {
    double found = value[0];
    for (int lane = 1; lane < WIDTH / 2; ++lane) found = value[lane] > found ? value[lane] : found;
    return found;
}
RSFAST_INLINE Floats load_some(const float* from, int n, float rest) {
    float all[WIDTH];
    for (int lane = 0; lane < WIDTH; ++lane) all[lane] = lane < n ? from[lane] : rest;
    return bit_cast<Floats>(all);
}
RSFAST_INLINE Doubles load_some(const double* from, int n, double rest) {
    double all[WIDTH / 2];
    for (int lane = 0; lane < WIDTH / 2; ++lane) all[lane] = lane < n ? from[lane] : rest;
    return bit_cast<Doubles>(all);
}
#endif

#else  // plain numbers

constexpr int WIDTH = 1;
using Floats = float;
using Ints = int32_t;
using Words = uint32_t;
using Longs = uint64_t;
using Doubles = double;
constexpr int NEAR_ROWS = 31;
RSFAST_INLINE int32_t near_place(int32_t place) { return place; }
RSFAST_INLINE float lookup_near(const float* table, int32_t place) { return table[place]; }
RSFAST_INLINE int first(bool) { return 0; }
RSFAST_INLINE float largest(float value) { return value; }
RSFAST_INLINE double largest(double value) { return value; }
RSFAST_INLINE float load_some(const float* from, int, float) { return *from; }
RSFAST_INLINE double load_some(const double* from, int, double) { return *from; }

#endif

// Several vectors worked on in turns, so that no instruction has to wait for the one before it.
template <class T, int N>
struct Pack {
    T at[N];
};

#define RSFAST_EACH_LANE(op)                                                         \
    template <class T, int N>                                                        \
    RSFAST_INLINE auto operator op(const Pack<T, N>& a, const Pack<T, N>& b) {       \
        Pack<decltype(a.at[0] op b.at[0]), N> result;                                \
        RSFAST_UNROLL for (int i = 0; i < N; ++i) result.at[i] = a.at[i] op b.at[i]; \
        return result;                                                               \
    }                                                                                \
    template <class T, int N, class Number>                                          \
    RSFAST_INLINE auto operator op(const Pack<T, N>& a, Number b) {                  \
        Pack<decltype(a.at[0] op b), N> result;                                      \
        RSFAST_UNROLL for (int i = 0; i < N; ++i) result.at[i] = a.at[i] op b;       \
        return result;                                                               \
    }
RSFAST_EACH_LANE(+)
RSFAST_EACH_LANE(-)
RSFAST_EACH_LANE(*)
RSFAST_EACH_LANE(&)
RSFAST_EACH_LANE(|)
RSFAST_EACH_LANE(^)
RSFAST_EACH_LANE(<<)
RSFAST_EACH_LANE(>>)
RSFAST_EACH_LANE(<)
RSFAST_EACH_LANE(>=)
RSFAST_EACH_LANE(!=)
RSFAST_EACH_LANE(==)
RSFAST_EACH_LANE(>)
#undef RSFAST_EACH_LANE

#define RSFAST_EACH_LANE(function)                                                  \
    template <class T, int N>                                                       \
    RSFAST_INLINE auto function(const Pack<T, N>& a) {                              \
        Pack<decltype(function(a.at[0])), N> result;                                \
        RSFAST_UNROLL for (int i = 0; i < N; ++i) result.at[i] = function(a.at[i]); \
        return result;                                                              \
    }
RSFAST_EACH_LANE(to_float)
RSFAST_EACH_LANE(to_int)
RSFAST_EACH_LANE(as_int)
RSFAST_EACH_LANE(as_word)
RSFAST_EACH_LANE(as_float)
RSFAST_EACH_LANE(root)
RSFAST_EACH_LANE(near_place)
#undef RSFAST_EACH_LANE

template <class T, int N>
RSFAST_INLINE Pack<T, N> product(const Pack<T, N>& a, uint32_t b) {
    Pack<T, N> result;
    RSFAST_UNROLL for (int i = 0; i < N; ++i) result.at[i] = product(a.at[i], b);
    return result;
}

template <class Mask, class T, int N>
RSFAST_INLINE Pack<T, N> choose(const Pack<Mask, N>& first, const Pack<T, N>& a, const Pack<T, N>& b) {
    Pack<T, N> result;
    RSFAST_UNROLL for (int i = 0; i < N; ++i) result.at[i] = choose(first.at[i], a.at[i], b.at[i]);
    return result;
}

template <class T, int N>
RSFAST_INLINE Pack<T, N> at_most(float limit, const Pack<T, N>& value) {
    Pack<T, N> result;
    RSFAST_UNROLL for (int i = 0; i < N; ++i) result.at[i] = at_most(limit, value.at[i]);
    return result;
}

template <class T, int N>
RSFAST_INLINE auto lookup_near(const float* table, const Pack<T, N>& place) {
    Pack<decltype(lookup_near(table, place.at[0])), N> result;
    RSFAST_UNROLL for (int i = 0; i < N; ++i) result.at[i] = lookup_near(table, place.at[i]);
    return result;
}

template <class Number, class T, int N>
RSFAST_INLINE auto lookup(const Number* table, const Pack<T, N>& place) {
    Pack<decltype(lookup(table, place.at[0])), N> result;
    RSFAST_UNROLL for (int i = 0; i < N; ++i) result.at[i] = lookup(table, place.at[i]);
    return result;
}

template <class T, int N>
RSFAST_INLINE bool any(const Pack<T, N>& mask) {
    T all = mask.at[0];
    RSFAST_UNROLL for (int i = 1; i < N; ++i) all = all | mask.at[i];
    return any(all);
}

// A pack is moved vector by vector: compilers would move all of it at once, in smaller pieces.
template <class T>
RSFAST_INLINE void copy(T& to, const char* from) {
    std::memcpy(&to, from, sizeof to);
}
template <class T, int N>
RSFAST_INLINE void copy(Pack<T, N>& to, const char* from) {
    RSFAST_UNROLL for (int i = 0; i < N; ++i) copy(to.at[i], from + i * sizeof(T));
}
template <class T, class Number>
RSFAST_INLINE T load(const Number* from) {
    T value;
    copy(value, reinterpret_cast<const char*>(from));
    return value;
}

template <class T, class Number>
RSFAST_INLINE void store(Number* to, const T& value) {
    std::memcpy(to, &value, sizeof value);
}
template <class T, int N, class Number>
RSFAST_INLINE void store(Number* to, const Pack<T, N>& value) {
    RSFAST_UNROLL for (int i = 0; i < N; ++i) store(to + i * int(sizeof(T) / sizeof(Number)), value.at[i]);
}

}  // namespace
}  // namespace rsfast
