"""Philox4x32-10 on blocks of counters (Salmon, Moraes, Dror, Shaw, SC 2011)."""

import triton
import triton.language as tl
from triton import knobs

from . import coefficients as const

M0, M1 = tl.constexpr(const.PHILOX_M0), tl.constexpr(const.PHILOX_M1)
W0, W1 = tl.constexpr(const.PHILOX_W0), tl.constexpr(const.PHILOX_W1)
INTERPRETED = tl.constexpr(knobs.runtime.interpret)


@triton.jit
def _times(word, M: tl.constexpr):
    """Both halves of a 32 x 32 bit product.

    Compiled, it is one instruction by name: of a product in 64 bits Triton 3.7 makes two where LLVM puts the pixels of a thread
    into a vector.  The interpreter has no assembly.
    """
    if INTERPRETED:
        product = word.to(tl.uint64) * M
        return (product >> 32).to(tl.uint32), product.to(tl.uint32)
    low, high, _product = tl.inline_asm_elementwise(
        "mul.wide.u32 $2, $3, $4;\nmov.b64 {$0, $1}, $2;", "=r,=r,=l,r,r", [word, tl.full(word.shape, M, tl.uint32)],
        dtype=(tl.uint32, tl.uint32, tl.uint64), is_pure=True, pack=1,
    )  # fmt: skip
    return high, low


@triton.jit
def philox4x32_10(c0, c1, c2, c3, k0, k1):
    """Four uint32 words a counter; c0 is a uint32 block, the others and the key are uint32 scalars."""
    zero = c0 ^ c0
    c1, c2, c3 = zero + c1, zero + c2, zero + c3
    k0, k1 = zero + k0, zero + k1
    step0, step1 = tl.full(c0.shape, W0, tl.uint32), tl.full(c0.shape, W1, tl.uint32)
    for _ in tl.static_range(10):
        high0, low0 = _times(c0, M0)
        high1, low1 = _times(c2, M1)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + step0, k1 + step1
    return c0, c1, c2, c3
