// argmax and histogram of a batch of logits in one pass.
#pragma once
#include <cstdint>

#include "call.hpp"
#include "lanes.hpp"

namespace rsfast {
namespace {

template <class Number>
struct VectorOf;
template <>
struct VectorOf<float> {
    using Type = Floats;
};
template <>
struct VectorOf<double> {
    using Type = Doubles;
};

// The larger one, or the second if one is a NaN.
template <class Vector>
RSFAST_INLINE Vector larger_of(Vector a, Vector b) {
    return choose(a > b, a, b);
}

// The class a copy votes for, or -1.  Logits are compared as the numbers that they are, floats or doubles.
template <class Number>
RSFAST_INLINE int64_t vote(const Number* logits, int64_t classes) {
    using Vector = typename VectorOf<Number>::Type;
    constexpr int LANES = int(sizeof(Vector) / sizeof(Number));
    constexpr Number infinity = __builtin_huge_valf();
    if (classes < LANES) {
        const Vector value = load_some(logits, int(classes), -infinity);
        if (any(value != value)) return -1;
        return first(value == Vector{} + largest(value));
    }
    const int64_t last = classes - LANES;  // where the last vector begins; it may hold some of those before it again
    constexpr int N = 4;
    Pack<Vector, N> most;
    auto nan = most != most;
    RSFAST_UNROLL for (int i = 0; i < N; ++i) {
        most.at[i] = load<Vector>(logits + (i * LANES < last ? i * LANES : last));
        nan.at[i] = most.at[i] != most.at[i];
    }
    for (int64_t k = N * LANES; k < classes; k += N * LANES) {
        RSFAST_UNROLL for (int i = 0; i < N; ++i) {
            const Vector value = load<Vector>(logits + (k + i * LANES < last ? k + i * LANES : last));
            nan.at[i] = nan.at[i] | (value != value);
            most.at[i] = larger_of(value, most.at[i]);
        }
    }
    if (any(nan)) return -1;
    const Vector top = Vector{} + largest(larger_of(larger_of(most.at[0], most.at[1]), larger_of(most.at[2], most.at[3])));
    for (int64_t k = 0;; k += LANES) {
        const int64_t at = k < last ? k : last;
        const auto found = load<Vector>(logits + at) == top;
        if (any(found)) return at + first(found);
    }
}

template <class Number>
void count_votes(const Number* logits, int64_t copies, const int64_t* row_of, const Votes& votes) {
    if (votes.rows == 0) return;
    const int64_t copies_per_row = copies / votes.rows;
    int64_t row = 0, left = copies_per_row;
    for (int64_t copy = 0; copy < copies; ++copy) {
        if (row_of) {
            row = row_of[copy];
            if (row < 0 || row >= votes.rows) continue;
        } else if (left-- == 0) {
            ++row;
            left = copies_per_row - 1;
        }
        const int64_t k = vote(logits + copy * votes.classes, votes.classes);
        if (k >= 0) ++votes.counts[row * votes.classes + k];
    }
}

}  // namespace
}  // namespace rsfast
