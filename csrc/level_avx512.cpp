// The loops for x86-64 machines with the AVX-512 of servers since 2017.
#include "target.hpp"
#if RSFAST_TARGETS
RSFAST_BEGIN_TARGET("avx512f,avx512bw,avx512dq,avx512vl")
#define RSFAST_VECTOR_BYTES 64
#include "loops.hpp"
namespace rsfast {
const Level AVX512 = {"avx512", perturb, perturb_part, count_votes<float>, count_votes<double>, philox_words};
}
RSFAST_END_TARGET
#else
namespace rsfast {
const Level AVX512 = {};
}
#endif
