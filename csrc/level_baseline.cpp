// The loops for every machine.
#if defined(__GNUC__)
#define RSFAST_VECTOR_BYTES 16
#else
#define RSFAST_VECTOR_BYTES 0
#endif
#include "loops.hpp"

namespace rsfast {
const Level BASELINE = {"baseline", perturb, perturb_part, count_votes<float>, count_votes<double>, philox_words};
}
