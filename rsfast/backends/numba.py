"""Numba: the reference arithmetic as one fused loop.  Needs no compiler on the user's machine; compiles at first use."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import torch
from numba import float32, int32, njit, types, uint16, uint32, uint64
from numba.extending import intrinsic

from .. import numerics  # noqa: F401  chooses where compiled code is kept
from ..kernels import coefficients as const
from ..kernels.coefficients import BFLOAT16, BILINEAR, FLOAT32, INNER_ROW, LATTICE, NEAREST, NORMAL, POOLED, QUANTILE, TAIL_ROW
from ..noise import Noise
from ..transforms import Transform
from . import base

L0, L1, L2, L3, L4, L5, L6, L7, L8 = (np.float32(c) for c in const.LOG)
S0, S1, S2, S3 = (np.float32(c) for c in const.SIN)
C0, C1, C2, C3, C4 = (np.float32(c) for c in const.COS)
LN2 = np.float32(const.MINUS_TWO_LN2)
TWO_M31, TWO_M32 = np.float32(const.TWO_M31), np.float32(const.TWO_M32)
M0, M1 = np.uint64(const.PHILOX_M0), np.uint64(const.PHILOX_M1)
W0, W1 = np.uint32(const.PHILOX_W0), np.uint32(const.PHILOX_W1)
REFINE_BELOW, REFINE_STREAM = np.int32(const.REFINE_BELOW), np.uint32(const.REFINE_STREAM)


@intrinsic
def _as_float(typing_context, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.uint32), generate


@intrinsic
def _as_bits(typing_context, value):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.uint32))

    return types.uint32(types.float32), generate


class At(NamedTuple):
    """The words of a counter beside its block, and the key; all uint32."""

    sample: np.uint32
    image: np.uint32
    stream: np.uint32
    k0: np.uint32
    k1: np.uint32


@njit(inline="always")
def _refining(at):
    """The counter of a block's extra bits."""
    return At(at.sample, at.image, uint32(at.stream ^ REFINE_STREAM), at.k0, at.k1)


@njit(inline="always")
def _philox(c0, at):
    c1, c2, c3, k0, k1 = at.sample, at.image, at.stream, at.k0, at.k1
    for _ in range(10):
        p0 = M0 * uint64(c0)
        p1 = M1 * uint64(c2)
        c0, c1 = uint32(uint32(p1 >> uint64(32)) ^ c1 ^ k0), uint32(p1)
        c2, c3 = uint32(uint32(p0 >> uint64(32)) ^ c3 ^ k1), uint32(p0)
        k0 = uint32(k0 + W0)
        k1 = uint32(k1 + W1)
    return c0, c1, c2, c3


@njit(inline="always")
def _pair(k, scaled, angle_word):
    bits = int32(_as_bits(scaled))
    octave = int32(int32(bits - int32(0x3F2AAAAB)) >> int32(23))
    f = _as_float(uint32(int32(bits - int32(octave << int32(23))))) - float32(1)
    complement = (float32(int32(int32(0x7FFFFFFF) - k)) + float32(0.5)) * -TWO_M31
    f = complement if k >= int32(0x60000000) else f
    p = (((L8 * f + L7) * f + L6) * f + L5) * f + L4
    p = (((p * f + L3) * f + L2) * f + L1) * f + L0
    radius = np.sqrt(f * p + float32(int32(octave - int32(31))) * LN2)
    t = float32(int32(uint32(angle_word << uint32(2)))) * TWO_M31
    v = t * t
    sine = t * (((S3 * v + S2) * v + S1) * v + S0)
    cosine = (((C4 * v + C3) * v + C2) * v + C1) * v + C0
    cosine = _as_float(uint32(_as_bits(cosine) ^ uint32(angle_word & uint32(0x80000000))))
    swap = (angle_word & uint32(0x40000000)) != uint32(0)
    return radius * (sine if swap else cosine), radius * (cosine if swap else sine)


@njit(inline="always")
def _scaled(k):
    return float32(k) + float32(0.5)


@njit(inline="always")
def _refined(k, extra):
    if k >= REFINE_BELOW:
        return _scaled(k)
    return float32((numba.int64(k) << 32) | numba.int64(extra) | 1) * TWO_M32


@njit(inline="always")
def _polynomial(table, row, t):
    p = ((table[7, row] * t + table[6, row]) * t + table[5, row]) * t + table[4, row]
    return (((p * t + table[3, row]) * t + table[2, row]) * t + table[1, row]) * t + table[0, row]


@njit(inline="always")
def _from_middle(bits):
    return _as_float(uint32((bits & uint32(0x7FFFFF)) | uint32(0x3F800000))) - float32(1.5)


@njit(inline="always")
def _quantile(word, table):
    m = int32(word & uint32(0x7FFFFFFF))
    inner = m >= int32(0x40000000)
    x = min(float32(int32(int32(0x7FFFFFFF) - m) if inner else m) + float32(0.5), float32(1073741760.0))
    bits = _as_bits(x)
    row = int32(bits >> uint32(23)) - int32(126) + (int32(INNER_ROW) if inner else int32(0))
    value = _polynomial(table, row, _from_middle(bits))
    return _as_float(uint32(_as_bits(value) ^ uint32(word & uint32(0x80000000))))


@njit
def _refined_quantile(word, extra, table):
    m = int32(word & uint32(0x7FFFFFFF))
    if m >= REFINE_BELOW:
        return _quantile(word, table)
    bits = _as_bits(float32((numba.int64(m) << 32) | numba.int64(extra) | 1) * TWO_M32)
    value = _polynomial(table, int32(bits >> uint32(23)) - int32(95) + int32(TAIL_ROW), _from_middle(bits))
    return _as_float(uint32(_as_bits(value) ^ uint32(word & uint32(0x80000000))))


@njit(error_model="numpy")
def _quantile_tile(z, block, at, table):
    least = int32(0x7FFFFFFF)
    for lane in range(16):
        w0, w1, w2, w3 = _philox(uint32(block + lane), at)
        m0, m1 = int32(w0 & uint32(0x7FFFFFFF)), int32(w1 & uint32(0x7FFFFFFF))
        m2, m3 = int32(w2 & uint32(0x7FFFFFFF)), int32(w3 & uint32(0x7FFFFFFF))
        least = min(least, min(min(m0, m1), min(m2, m3)))
        z[lane], z[lane + 16] = _quantile(w0, table), _quantile(w1, table)
        z[lane + 32], z[lane + 48] = _quantile(w2, table), _quantile(w3, table)
    if least < REFINE_BELOW:  # draw the tile again (once in 130,000 tiles)
        for lane in range(16):
            w0, w1, w2, w3 = _philox(uint32(block + lane), at)
            e0, e1, e2, e3 = _philox(uint32(block + lane), _refining(at))
            z[lane], z[lane + 16] = _refined_quantile(w0, e0, table), _refined_quantile(w1, e1, table)
            z[lane + 32], z[lane + 48] = _refined_quantile(w2, e2, table), _refined_quantile(w3, e3, table)


@njit(inline="always")
def _signed_count(count, word):
    return _as_float(uint32(_as_bits(float32(count)) ^ uint32(word & uint32(0x80000000)))) if count > 0 else float32(0)


@njit(inline="always")
def _lattice(word, table, high, step):
    """(count from the upper 31 bits, whether the lower ones decide): a guess from the quantile, put right by comparison."""
    m = int32(word & uint32(0x7FFFFFFF))
    guess = min(int32(_quantile(word & uint32(0x7FFFFFFF), table) * step + float32(0.5)), int32(len(high) - 1))
    count = guess + (int32(1) if m < high[guess] else int32(0))
    count = count - (int32(1) if count > 0 and m >= high[max(count - 1, 0)] else int32(0))
    return count, m == high[count]


@njit
def _exact_lattice(word, extra, thresholds):
    m = (numba.int64(word & uint32(0x7FFFFFFF)) << 32) | numba.int64(extra)
    count, width = 0, len(thresholds)
    while width > 1:  # thresholds fall, and the last is 0
        width //= 2
        if thresholds[count + width - 1] > m:
            count += width
    return _signed_count(count, word)


@njit(error_model="numpy")
def _lattice_tile(z, block, at, draw):
    table, thresholds, high, step = draw.table, draw.thresholds, draw.high, float32(draw.step)
    unsure = False
    for lane in range(16):
        w0, w1, w2, w3 = _philox(uint32(block + lane), at)
        c0, u0 = _lattice(w0, table, high, step)
        c1, u1 = _lattice(w1, table, high, step)
        c2, u2 = _lattice(w2, table, high, step)
        c3, u3 = _lattice(w3, table, high, step)
        unsure = unsure or u0 or u1 or u2 or u3
        z[lane], z[lane + 16] = _signed_count(c0, w0), _signed_count(c1, w1)
        z[lane + 32], z[lane + 48] = _signed_count(c2, w2), _signed_count(c3, w3)
    if unsure:  # with all 63 bits (once in 10,000 tiles or so)
        for lane in range(16):
            w0, w1, w2, w3 = _philox(uint32(block + lane), at)
            e0, e1, e2, e3 = _philox(uint32(block + lane), _refining(at))
            z[lane], z[lane + 16] = _exact_lattice(w0, e0, thresholds), _exact_lattice(w1, e1, thresholds)
            z[lane + 32], z[lane + 48] = _exact_lattice(w2, e2, thresholds), _exact_lattice(w3, e3, thresholds)


@njit(inline="always")
def _symmetric_uniform(word):
    return float32(int32(word | uint32(1))) * TWO_M31


@njit(error_model="numpy")
def _uniform_tile(z, block, at):
    for lane in range(16):
        w0, w1, w2, w3 = _philox(uint32(block + lane), at)
        z[lane], z[lane + 16] = _symmetric_uniform(w0), _symmetric_uniform(w1)
        z[lane + 32], z[lane + 48] = _symmetric_uniform(w2), _symmetric_uniform(w3)


@njit
def _refine_tile(z, block, at):
    """Draw a tile again, with the extra radius bits where they are due (once in 260,000 tiles)."""
    for lane in range(16):
        w0, w1, w2, w3 = _philox(uint32(block + lane), at)
        e0, _, e2, _ = _philox(uint32(block + lane), _refining(at))
        k = int32(w0 >> uint32(1))
        z[lane], z[lane + 16] = _pair(k, _refined(k, e0), w1)
        k = int32(w2 >> uint32(1))
        z[lane + 32], z[lane + 48] = _pair(k, _refined(k, e2), w3)


@njit(error_model="numpy")
def _draw_tile(z, block, at, draw):
    if draw.kind == LATTICE:
        _lattice_tile(z, block, at, draw)
    elif draw.kind == QUANTILE:
        _quantile_tile(z, block, at, draw.table)
    else:
        _uniform_tile(z, block, at)


@njit(error_model="numpy")
def _normal_tile(z, block, at):
    least = int32(0x7FFFFFFF)
    for lane in range(16):  # becomes one pass of vector instructions, as long as block is an int64
        w0, w1, w2, w3 = _philox(uint32(block + lane), at)
        k = int32(w0 >> uint32(1))
        least = min(least, k)
        z[lane], z[lane + 16] = _pair(k, _scaled(k), w1)
        k = int32(w2 >> uint32(1))
        least = min(least, k)
        z[lane + 32], z[lane + 48] = _pair(k, _scaled(k), w3)
    if least < REFINE_BELOW:
        _refine_tile(z, block, at)


@njit(inline="always")
def _bfloat16(value):
    bits = _as_bits(value)
    if (bits & uint32(0x7FFFFFFF)) > uint32(0x7F800000):
        return uint16(0x7FC0)
    return uint16((bits + uint32(0x7FFF) + ((bits >> uint32(16)) & uint32(1))) >> uint32(16))


@njit(inline="always")
def _float16(value):
    """Round to nearest even, with subnormals, overflow to infinity and NaN."""
    bits = _as_bits(value)
    sign = uint32(bits & uint32(0x80000000))
    size = uint32(bits ^ sign)
    if size > uint32(0x7F800000):
        half = uint32(0x7E00)
    elif size >= uint32(0x477FF000):  # 65520 and more round to infinity
        half = uint32(0x7C00)
    elif size < uint32(0x38800000):  # below 2^-14: adding 1/2 leaves the subnormal's bits at the bottom
        half = uint32(_as_bits(_as_float(size) + float32(0.5)) - uint32(0x3F000000))
    else:
        half = uint32((size - uint32(0x38000000) + uint32(0xFFF) + ((size >> uint32(13)) & uint32(1))) >> uint32(13))
    return uint16(half | (sign >> uint32(16)))


@njit(inline="always")
def _write(target, source, z, scale, cast):
    if cast == FLOAT32:
        for i in range(len(source)):
            target[i] = source[i] + scale * z[i]
    elif cast == BFLOAT16:
        for i in range(len(source)):
            target[i] = _bfloat16(source[i] + scale * z[i])
    else:
        for i in range(len(source)):
            target[i] = _float16(source[i] + scale * z[i])


@njit(inline="always")
def _at(call, row):
    """Whose draws a row takes."""
    key, sample = call.key, uint32(call.first + row % call.count)
    return At(sample, call.ids[row // call.count], uint32(call.stream), uint32(key[0]), uint32(key[1]))


@njit(nogil=True, cache=True, error_model="numpy")
def _perturb(call, begin, end):
    channels, plane = call.pixels.shape[1], call.pixels.shape[2]
    size = channels * plane
    z = np.empty(64, dtype=np.float32)
    for row in range(begin, end):
        b, at = row // call.count, _at(call, row)
        source = call.pixels[b].reshape(size)
        target = call.out[row]
        for tile in range((size + 63) // 64):
            if call.draw.kind == NORMAL:  # here, not in a function of its own: it becomes vector code only where it is inlined
                _normal_tile(z, 16 * tile, at)
            else:
                _draw_tile(z, 16 * tile, at, call.draw)
            start, stop = 64 * tile, min(64 * tile + 64, size)
            while start < stop:  # one turn per channel that the tile touches
                channel = start // plane
                edge = min(stop, (channel + 1) * plane)
                x, draws, s = source[start:edge], z[start - 64 * tile :], call.scale[b, channel]
                if call.channels_last:
                    place = (start - channel * plane) * channels + channel
                    _write(target[place::channels], x, draws, s, call.cast)
                else:
                    _write(target[start:edge], x, draws, s, call.cast)
                start = edge


@njit(error_model="numpy")
def _show(line, v, part):
    """The kept pixels v of one channel as a whole plane; the short cuts equal the sum over indices and weights."""
    half, fill = part.width // 2, part.fill
    if fill == NEAREST:
        for e in range(len(v)):
            line[2 * e] = v[e]
            line[2 * e + 1] = v[e]
    elif fill == BILINEAR:
        for e in range(1, len(v) - 1):
            line[2 * e] = float32(0.25) * v[e - 1] + float32(0.75) * v[e]
            line[2 * e + 1] = float32(0.75) * v[e] + float32(0.25) * v[e + 1]
        for e in range(0, len(v), half):  # the ends of a row have one neighbour
            line[2 * e] = v[e]
            last = e + half - 1
            line[2 * last + 1] = float32(0.75) * v[last] + float32(0.25) * v[last]
            if half > 1:
                line[2 * e + 1] = float32(0.75) * v[e] + float32(0.25) * v[e + 1]
                line[2 * last] = float32(0.25) * v[last - 1] + float32(0.75) * v[last]
    elif fill == POOLED:
        line[:] = float32(0)
        for e in range(len(v)):
            line[part.kept[e]] = v[e] + max(max(v[e], v[part.partner[e]]), float32(0))
    else:
        indices, weights = part.indices, part.weights
        for p in range(len(line)):
            line[p] = weights[0, p] * v[indices[0, p]]
        for t in range(1, len(indices)):
            for p in range(len(line)):
                line[p] = line[p] + weights[t, p] * v[indices[t, p]]


@njit(nogil=True, cache=True, error_model="numpy")
def _perturb_part(call, part, begin, end):
    channels, m = call.pixels.shape[1], call.pixels.shape[2]
    plane = call.out.shape[1] // channels
    tiles = (channels * m + 63) // 64
    v = np.empty(64 * tiles, dtype=np.float32)
    line, shift = np.empty(plane, dtype=np.float32), np.empty(plane, dtype=np.float32)
    for row in range(begin, end):
        b, at = row // call.count, _at(call, row)
        for tile in range(tiles):
            z = v[64 * tile : 64 * tile + 64]
            if call.draw.kind == NORMAL:
                _normal_tile(z, 16 * tile, at)
            else:
                _draw_tile(z, 16 * tile, at, call.draw)
        for channel in range(channels):
            noisy, x, s = v[channel * m : (channel + 1) * m], call.pixels[b, channel], call.scale[b, channel]
            for e in range(m):
                noisy[e] = x[e] + s * noisy[e]
            _show(line, noisy, part)
            shift[:] = part.offset[channel]
            if call.channels_last:
                _write(call.out[row][channel::channels], shift, line, part.gain[channel], call.cast)
            else:
                _write(call.out[row][channel * plane : (channel + 1) * plane], shift, line, part.gain[channel], call.cast)


_NO_ROWS = np.empty(0, dtype=np.int64)


@njit(nogil=True, cache=True, error_model="numpy")
def _count(logits, votes, rows):
    per_image = 0 if len(rows) else len(logits) // len(votes)
    for row in range(len(logits)):
        target = rows[row] if len(rows) else row // per_image
        if target < 0:
            continue
        best, largest, valid = 0, logits[row, 0], True
        for k in range(logits.shape[1]):
            value = logits[row, k]
            if value != value:
                valid = False
            if value > largest:
                best, largest = k, value
        if valid:
            votes[target, best] += 1


class NumbaBackend:
    name = "numba"

    def why_not(self, x: torch.Tensor, noise: Noise, transform: Transform) -> str | None:
        if x.device.type != "cpu":
            return f"it draws on the CPU and x is on {x.device}"
        return base.unsupported(noise, transform)

    def perturb(self, x: torch.Tensor, noise: Noise, transform: Transform, **call) -> None:  # type: ignore[no-untyped-def]
        rows = base.prepare(x, noise, transform, base.Asked(**call))
        if rows.total == 0:
            return
        whole, part = base.for_loops(rows)

        def job(begin: int, end: int) -> None:
            if part is None:
                _perturb(whole, begin, end)
            else:
                _perturb_part(whole, part, begin, end)

        base.over_threads(rows.total, whole.out.shape[1], job)

    def count(self, logits: torch.Tensor, votes: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        logits, table, rows = base.check_votes(logits, votes, rows)
        if len(logits):
            _count(logits.numpy(), table.numpy(), _NO_ROWS if rows is None else rows.numpy())
