// argmax and histogram of a batch of logits in one pass.
#pragma once
#include <cstdint>

#include "call.hpp"
#include "lanes.hpp"

namespace rsfast {
namespace {

// The larger one, or the second if one is a NaN.
RSFAST_INLINE Floats larger_of(Floats a, Floats b) { return choose(a > b, a, b); }

// The class a copy votes for, or -1.
RSFAST_INLINE int64_t vote(const float* logits, int64_t classes) {
    constexpr float infinity = __builtin_huge_valf();
    if (classes < WIDTH) {
        const Floats value = load_some(logits, int(classes), -infinity);
        if (any(value != value)) return -1;
        return first(value == Floats{} + largest(value));
    }
    const int64_t last = classes - WIDTH;  // where the last vector begins; it may hold some of those before it again
    constexpr int N = 4;
    Pack<Floats, N> most;
    auto nan = most != most;
    RSFAST_UNROLL for (int i = 0; i < N; ++i) {
        most.at[i] = load<Floats>(logits + (i * WIDTH < last ? i * WIDTH : last));
        nan.at[i] = most.at[i] != most.at[i];
    }
    for (int64_t k = N * WIDTH; k < classes; k += N * WIDTH) {
        RSFAST_UNROLL for (int i = 0; i < N; ++i) {
            const Floats value = load<Floats>(logits + (k + i * WIDTH < last ? k + i * WIDTH : last));
            nan.at[i] = nan.at[i] | (value != value);
            most.at[i] = larger_of(value, most.at[i]);
        }
    }
    if (any(nan)) return -1;
    const Floats top = Floats{} + largest(larger_of(larger_of(most.at[0], most.at[1]), larger_of(most.at[2], most.at[3])));
    for (int64_t k = 0;; k += WIDTH) {
        const int64_t at = k < last ? k : last;
        const auto found = load<Floats>(logits + at) == top;
        if (any(found)) return at + first(found);
    }
}

void count_votes(const float* logits, int64_t copies, const int64_t* row_of, const Votes& votes) {
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
