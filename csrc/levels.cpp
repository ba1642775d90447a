#include "call.hpp"
#include "target.hpp"

namespace rsfast {

bool runs(const Level& level) {
    if (level.name == nullptr) return false;
#if RSFAST_TARGETS
    if (&level == &AVX2) return __builtin_cpu_supports("avx2");
    if (&level == &AVX512) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    }
#endif
    return true;
}

}  // namespace rsfast
