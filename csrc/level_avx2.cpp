// The loops for x86-64 machines with AVX2.
#include "target.hpp"
#if RSFAST_TARGETS
RSFAST_BEGIN_TARGET("avx2")
#define RSFAST_VECTOR_BYTES 32
#include "loops.hpp"
namespace rsfast {
const Level AVX2 = {"avx2", perturb, perturb_part, count_votes<float>, count_votes<double>, philox_words};
}
RSFAST_END_TARGET
#else
namespace rsfast {
const Level AVX2 = {};
}
#endif
