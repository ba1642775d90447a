// argmax and histogram of a batch of logits in one pass.
#pragma once
#include <cstdint>

namespace rsfast {

// logits [rows, classes]; rows_per_image consecutive rows add into one row of votes [rows / rows_per_image, classes].
// Equal logits: the lowest class index wins.  A row with a NaN votes for no class.
void count_votes(const float* logits, int64_t rows, int64_t classes, int64_t rows_per_image, int64_t* votes);

}  // namespace rsfast
