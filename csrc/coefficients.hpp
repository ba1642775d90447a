// The constants of kernels/coefficients.py, value for value (a test compares the two files).
#pragma once
#include <cstdint>

namespace rsfast {

// -2 log(1 + f) / f for f in [-1/3, 1/3]
constexpr float LOG[] = {-0x1.0p+1f,     0x1.ffffd2p-1f,  -0x1.5554e6p-1f, 0x1.00150ap-1f, -0x1.99d83p-2f,
                         0x1.50224cp-2f, -0x1.1e781p-2f, 0x1.3b751cp-2f,  -0x1.1fdc56p-2f};
// sin(pi/4 t) / t and cos(pi/4 t) as polynomials in t^2, t in [-1, 1]
constexpr float SIN[] = {0x1.921fb6p-1f, -0x1.4abbbap-4f, 0x1.465e92p-9f, -0x1.2d93p-15f};
constexpr float COS[] = {0x1.0p+0f, -0x1.3bd3ccp-2f, 0x1.03c1dap-6f, -0x1.55c4eap-12f, 0x1.d99f54p-19f};

constexpr float MINUS_TWO_LN2 = -0x1.62e43p+0f;

constexpr int TILE = 64;  // a tile is 64 consecutive pixels, drawn from 16 counters
constexpr int LANES = 16;
constexpr int32_t REFINE_BELOW = 256;  // a 31-bit radius uniform below this takes 32 more bits
constexpr uint32_t REFINE_STREAM = 0x80000000u;

}  // namespace rsfast
