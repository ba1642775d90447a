// Made of kernels/coefficients.py by csrc/coefficients.py: change that, then run this.
// clang-format off
#pragma once
#include <cstdint>

namespace rsfast {

constexpr float LOG[] = {-0x1.0p+1f, 0x1.ffffd2p-1f, -0x1.5554e6p-1f, 0x1.00150ap-1f, -0x1.99d83p-2f, 0x1.50224cp-2f, -0x1.1e781p-2f, 0x1.3b751cp-2f, -0x1.1fdc56p-2f};
constexpr float SIN[] = {0x1.921fb6p-1f, -0x1.4abbbap-4f, 0x1.465e92p-9f, -0x1.2d93p-15f};
constexpr float COS[] = {0x1.0p+0f, -0x1.3bd3ccp-2f, 0x1.03c1dap-6f, -0x1.55c4eap-12f, 0x1.d99f54p-19f};
constexpr float MINUS_TWO_LN2 = -0x1.62e43p+0f;
constexpr float TWO_M31 = 0x1.0p-31f;
constexpr float TWO_M32 = 0x1.0p-32f;
constexpr uint32_t PHILOX_M0 = 0xd2511f53u;
constexpr uint32_t PHILOX_M1 = 0xcd9e8d57u;
constexpr uint32_t PHILOX_W0 = 0x9e3779b9u;
constexpr uint32_t PHILOX_W1 = 0xbb67ae85u;
constexpr uint32_t REFINE_STREAM = 0x80000000u;
constexpr int32_t TILE = 64;
constexpr int32_t LANES = 16;
constexpr int32_t REFINE_BELOW = 256;
constexpr int32_t DEGREE = 7;
constexpr int32_t ROWS = 128;
constexpr int32_t INNER_ROW = 32;
constexpr int32_t TAIL_ROW = 64;

enum class Kind : int { normal = 0, quantile = 1, uniform = 2, lattice = 3 };
constexpr int KINDS = 4;

enum class Fill : int { taps = 0, nearest = 1, bilinear = 2, pooled = 3 };
constexpr int FILLS = 4;

enum class Cast : int { float32 = 0, bfloat16 = 1, float16 = 2 };
constexpr int CASTS = 3;

}  // namespace rsfast
