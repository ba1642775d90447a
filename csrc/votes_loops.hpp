// argmax and histogram of a batch of logits in one pass.
#pragma once
#include <cstdint>

#include "call.hpp"
#include "lanes.hpp"

namespace rsfast {
namespace {

// Integers in the order of the floats they stand for, -0 and +0 equal, NaN of either sign outside [-inf, inf].
RSFAST_INLINE int32_t ordered(float value) {
    const int32_t bits = as_int(value + 0.0f);
    return bits ^ int32_t(uint32_t(bits >> 31) >> 1);
}

// The class a copy votes for, or -1.
int64_t vote(const float* logits, int64_t classes) {
    int32_t largest = INT32_MIN, least = INT32_MAX;
    for (int64_t k = 0; k < classes; ++k) {
        const int32_t value = ordered(logits[k]);
        largest = value > largest ? value : largest;
        least = value < least ? value : least;
    }
    constexpr int32_t infinity = 0x7f800000;
    if (largest > infinity || least < ~infinity) return -1;
    int64_t k = 0;
    while (ordered(logits[k]) != largest) ++k;
    return k;
}

void count_votes(const float* logits, int64_t copies, const int64_t* row_of, const Votes& votes) {
    if (votes.rows == 0) return;
    const int64_t copies_per_row = copies / votes.rows > 0 ? copies / votes.rows : 1;
    for (int64_t copy = 0; copy < copies; ++copy) {
        const int64_t row = row_of ? row_of[copy] : copy / copies_per_row;
        if (row < 0 || row >= votes.rows) continue;
        const int64_t k = vote(logits + copy * votes.classes, votes.classes);
        if (k >= 0) ++votes.counts[row * votes.classes + k];
    }
}

}  // namespace
}  // namespace rsfast
