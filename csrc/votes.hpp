// argmax and histogram of a batch of logits in one pass.
#pragma once
#include <cstdint>

namespace rsfast {

// The table that copies vote into, [rows, classes].
struct Votes {
    int64_t* counts;
    int64_t rows, classes;
};

// logits [copies, classes]; copy i adds into row row_of[i], and outside the table into none.  Without row_of (nullptr) the copies
// are shared out equally.  Equal logits: the lowest class index wins.  A copy with a NaN votes for no class.
void count_votes(const float* logits, int64_t copies, const int64_t* row_of, Votes votes);

}  // namespace rsfast
