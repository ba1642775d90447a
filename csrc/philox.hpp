// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once
#include <cstdint>

#include "call.hpp"
#include "lanes.hpp"

namespace rsfast {
namespace {

// Four counter words, and afterwards four random ones: the lower half of every 64-bit lane.  The upper half holds anything, since
// a product takes only lower halves: half a multiplication's worth of moving bits about is saved that way.
template <class T>
struct Quad {
    T w0, w1, w2, w3;
};

// Counter (w0, w1, w2, w3) = (pixel block, sample index, image id, stream).
template <class T>
RSFAST_INLINE Quad<T> philox4x32_10(Quad<T> c, Key key) {
    RSFAST_UNROLL for (uint32_t round = 0; round < 10; ++round) {
        const uint64_t k0 = key.lo + round * PHILOX_W0, k1 = key.hi + round * PHILOX_W1;
        const T p0 = product(c.w0, PHILOX_M0), p1 = product(c.w2, PHILOX_M1);
        c = {(p1 >> 32) ^ c.w1 ^ k0, p1, (p0 >> 32) ^ c.w3 ^ k1, p0};
    }
    return c;
}

}  // namespace
}  // namespace rsfast
