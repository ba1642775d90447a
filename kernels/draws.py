"""Variates from Philox words; the arithmetic of rsfast.backends.reference, operation for operation.

Launch with enable_fp_fusion=False: a fused multiply-add would give other bits.
"""

import triton
import triton.language as tl

from . import coefficients as const
from .philox import philox4x32_10

L0, L1, L2, L3, L4, L5, L6, L7, L8 = (tl.constexpr(c) for c in const.LOG)
S0, S1, S2, S3 = (tl.constexpr(c) for c in const.SIN)
C0, C1, C2, C3, C4 = (tl.constexpr(c) for c in const.COS)
LN2 = tl.constexpr(const.MINUS_TWO_LN2)
TWO_M31, TWO_M32 = tl.constexpr(const.TWO_M31), tl.constexpr(const.TWO_M32)
MINUS_TWO_M31 = tl.constexpr(-const.TWO_M31)
REFINE_BELOW, REFINE_WORDS_BELOW = tl.constexpr(const.REFINE_BELOW), tl.constexpr(2 * const.REFINE_BELOW)
REFINE_STREAM = tl.constexpr(const.REFINE_STREAM)
QUANTILE, UNIFORM, LATTICE = (tl.constexpr(kind) for kind in (const.QUANTILE, const.UNIFORM, const.LATTICE))
DEGREE, ROWS = tl.constexpr(const.DEGREE), tl.constexpr(const.ROWS)
INNER_ROW, TAIL_ROW = tl.constexpr(const.INNER_ROW), tl.constexpr(const.TAIL_ROW)


@triton.jit
def _plain(radius_word):
    return (radius_word >> 1).to(tl.int32, bitcast=True).to(tl.float32) + 0.5


@triton.jit
def _refined(radius_word, extra):
    """32 more radius bits where the 31-bit uniform is small: the tail reaches 9.3 instead of 6.7."""
    k = radius_word >> 1
    fine = ((k.to(tl.uint64) << 32) | extra.to(tl.uint64) | 1).to(tl.int64)
    return tl.where(k < REFINE_BELOW, fine.to(tl.float32) * TWO_M32, _plain(radius_word))


@triton.jit
def _box_muller(radius_word, scaled, angle_word):
    k = (radius_word >> 1).to(tl.int32, bitcast=True)
    bits = scaled.to(tl.int32, bitcast=True)
    octave = (bits - 0x3F2AAAAB) >> 23
    f = (bits - (octave << 23)).to(tl.float32, bitcast=True) - 1.0
    complement = ((0x7FFFFFFF - k).to(tl.float32) + 0.5) * MINUS_TWO_M31
    f = tl.where(k >= 0x60000000, complement, f)
    p = (((f * L8 + L7) * f + L6) * f + L5) * f + L4
    p = (((p * f + L3) * f + L2) * f + L1) * f + L0
    radius = tl.sqrt_rn(f * p + (octave - 31).to(tl.float32) * LN2)
    t = (angle_word << 2).to(tl.int32, bitcast=True).to(tl.float32) * TWO_M31
    v = t * t
    sine = t * (((v * S3 + S2) * v + S1) * v + S0)
    cosine = (((v * C4 + C3) * v + C2) * v + C1) * v + C0
    cosine = tl.where((angle_word >> 31) != 0, -cosine, cosine)
    swap = ((angle_word >> 30) & 1) != 0
    return radius * tl.where(swap, sine, cosine), radius * tl.where(swap, cosine, sine)


@triton.jit
def _polynomial(table, row, t):
    value = tl.load(table + DEGREE * ROWS + row)
    for i in tl.static_range(DEGREE):
        value = value * t + tl.load(table + (DEGREE - 1 - i) * ROWS + row)
    return value


@triton.jit
def _signed(size, word):
    return (size.to(tl.uint32, bitcast=True) ^ (word & 0x80000000)).to(tl.float32, bitcast=True)


@triton.jit
def _quantile(word, table):
    m = (word & 0x7FFFFFFF).to(tl.int32, bitcast=True)
    inner = m >= 0x40000000
    x = tl.minimum(tl.where(inner, 0x7FFFFFFF - m, m).to(tl.float32) + 0.5, 1073741760.0)
    bits = x.to(tl.int32, bitcast=True)
    row = (bits >> 23) - 126 + tl.where(inner, INNER_ROW, 0)
    t = ((bits & 0x7FFFFF) | 0x3F800000).to(tl.float32, bitcast=True) - 1.5
    return _signed(_polynomial(table, row, t), word)


@triton.jit
def _refined_quantile(word, extra, plain, table):
    """`plain`, or where the 31 tail bits are rare the variate of 32 more."""
    m = word & 0x7FFFFFFF
    fine = ((m.to(tl.uint64) << 32) | extra.to(tl.uint64) | 1).to(tl.int64)
    rare = m < REFINE_BELOW
    bits = tl.where(rare, fine.to(tl.float32) * TWO_M32, 1.0).to(tl.int32, bitcast=True)
    t = ((bits & 0x7FFFFF) | 0x3F800000).to(tl.float32, bitcast=True) - 1.5
    return tl.where(rare, _signed(_polynomial(table, (bits >> 23) - 95 + TAIL_ROW, t), word), plain)


@triton.jit
def _rarest(w0, w1, w2, w3):
    return tl.min(tl.minimum(tl.minimum(w0 & 0x7FFFFFFF, w1 & 0x7FFFFFFF), tl.minimum(w2 & 0x7FFFFFFF, w3 & 0x7FFFFFFF)))


@triton.jit
def _signed_count(count, word):
    return _signed(count.to(tl.float32), tl.where(count > 0, word, 0))


@triton.jit
def _lattice_count(word, table, high, length, step):
    """How many thresholds lie above the word's lower 31 bits: a guess from the quantile, put right by comparison."""
    m = (word & 0x7FFFFFFF).to(tl.int32, bitcast=True)
    guess = tl.minimum((_quantile(word & 0x7FFFFFFF, table) * step + 0.5).to(tl.int32), length - 1)
    count = guess + (m < tl.load(high + guess)).to(tl.int32)
    below = tl.maximum(count - 1, 0)
    return tl.where(m >= tl.load(high + below), below, count)


@triton.jit
def _unsure(word, count, high):
    return tl.max(((word & 0x7FFFFFFF).to(tl.int32, bitcast=True) == tl.load(high + count)).to(tl.int32))


@triton.jit
def _exact_lattice(word, extra, thresholds, length):
    m = (((word & 0x7FFFFFFF).to(tl.uint64) << 32) | extra.to(tl.uint64)).to(tl.int64)
    count = (word ^ word).to(tl.int32, bitcast=True)
    width = length // 2
    while width > 0:
        count += tl.where(tl.load(thresholds + count + width - 1) > m, width, 0)
        width = width // 2
    return _signed_count(count, word)


@triton.jit
def _uniform(word):
    return (word | 1).to(tl.int32, bitcast=True).to(tl.float32) * TWO_M31


@triton.jit
def four_variates(block, at, draw, KIND: tl.constexpr):
    """The variates of pixels 64 t + l, + 16, + 32, + 48, where block = 16 t + l.

    at: sample, image, stream and both halves of the key, uint32; draw: table, thresholds, high, length and step, those of KIND.
    """
    sample, image, stream, k0, k1 = at
    table, thresholds, high, length, step = draw
    w0, w1, w2, w3 = philox4x32_10(block, sample, image, stream, k0, k1)
    if KIND == UNIFORM:
        z0, z1, z2, z3 = _uniform(w0), _uniform(w1), _uniform(w2), _uniform(w3)
    elif KIND == LATTICE:
        c0, c1 = _lattice_count(w0, table, high, length, step), _lattice_count(w1, table, high, length, step)
        c2, c3 = _lattice_count(w2, table, high, length, step), _lattice_count(w3, table, high, length, step)
        z0, z1, z2, z3 = _signed_count(c0, w0), _signed_count(c1, w1), _signed_count(c2, w2), _signed_count(c3, w3)
        if _unsure(w0, c0, high) + _unsure(w1, c1, high) + _unsure(w2, c2, high) + _unsure(w3, c3, high) > 0:
            e0, e1, e2, e3 = philox4x32_10(block, sample, image, stream ^ REFINE_STREAM, k0, k1)
            z0, z1 = _exact_lattice(w0, e0, thresholds, length), _exact_lattice(w1, e1, thresholds, length)
            z2, z3 = _exact_lattice(w2, e2, thresholds, length), _exact_lattice(w3, e3, thresholds, length)
    elif KIND == QUANTILE:
        z0, z1, z2, z3 = _quantile(w0, table), _quantile(w1, table), _quantile(w2, table), _quantile(w3, table)
        if _rarest(w0, w1, w2, w3) < REFINE_BELOW:
            e0, e1, e2, e3 = philox4x32_10(block, sample, image, stream ^ REFINE_STREAM, k0, k1)
            z0, z1 = _refined_quantile(w0, e0, z0, table), _refined_quantile(w1, e1, z1, table)
            z2, z3 = _refined_quantile(w2, e2, z2, table), _refined_quantile(w3, e3, z3, table)
    else:
        a, b = _plain(w0), _plain(w2)
        if tl.min(tl.minimum(w0, w2)) < REFINE_WORDS_BELOW:
            e0, _e1, e2, _e3 = philox4x32_10(block, sample, image, stream ^ REFINE_STREAM, k0, k1)
            a, b = _refined(w0, e0), _refined(w2, e2)
        z0, z1 = _box_muller(w0, a, w1)
        z2, z3 = _box_muller(w2, b, w3)
    return z0, z1, z2, z3
