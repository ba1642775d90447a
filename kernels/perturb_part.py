"""A part of the image + noise, resized to the whole's size, normalised, cast and laid out, in one kernel."""

import triton
import triton.language as tl

from . import coefficients as const
from .draws import four_variates
from .perturb import _cast, row_of_program

NEAREST, BILINEAR = tl.constexpr(const.NEAREST), tl.constexpr(const.BILINEAR)


def halo_tiles(fill: int, half: int) -> int:
    """Tiles drawn on either side of a program's own, because its pixels need neighbours there."""
    return {const.BILINEAR: 1, const.POOLED: -(-half // 64)}.get(fill, 0)


@triton.jit
def _store(out, row, channel, position, plane, value, inside, gain, offset, C: tl.constexpr, CHANNELS_LAST: tl.constexpr,
           BFLOAT16: tl.constexpr):  # fmt: skip
    g = tl.load(gain + channel, mask=inside, other=0.0)
    o = tl.load(offset + channel, mask=inside, other=0.0)
    place = position * C + channel if CHANNELS_LAST else channel * plane + position
    tl.store(out + row * (C * plane) + place, _cast(value * g + o, BFLOAT16, out), mask=inside)


@triton.jit(do_not_specialize=["m", "half", "length", "step", "first", "count", "stream_id", "k0", "k1"])
def half_width_kernel(
    pixels,  # float32 [images, C * m]
    scale,  # float32 [images, C]
    ids,  # int64 [images]
    table,  # float32 [8, 128]
    thresholds,  # int64 [length]
    high,  # int32 [length]
    length,
    step,  # float32
    gain,  # float32 [C]
    offset,  # float32 [C]
    kept,  # int32 [m]
    out,  # [images * count, C * 2 * m]
    m, half, first, count, stream_id, k0, k1, C: tl.constexpr, KIND: tl.constexpr, FILL: tl.constexpr,
    CHANNELS_LAST: tl.constexpr, BFLOAT16: tl.constexpr, TILES: tl.constexpr, HALO: tl.constexpr,
):  # fmt: skip
    """One program draws TILES tiles of 64 kept pixels of one row of `out` and writes the pairs of all but HALO at either end."""
    sample, image, row, b = row_of_program(ids, first, count)
    begin = tl.program_id(0) * (TILES - 2 * HALO) - HALO
    block = (begin * 16 + tl.arange(0, TILES * 16)).to(tl.uint32)  # on one axis: see perturb_kernel
    at = (sample, image, stream_id.to(tl.uint32), k0.to(tl.uint32), k1.to(tl.uint32))
    draw = (table, thresholds, high, length, step)
    z0, z1, z2, z3 = four_variates(block, at, draw, KIND)
    z = tl.reshape(tl.join(tl.join(z0, z2), tl.join(z1, z3)), (TILES, 16, 4))
    z = tl.reshape(tl.permute(z, (0, 2, 1)), (TILES * 64,))
    q = tl.arange(0, TILES * 64)
    e = begin * 64 + q
    D = C * m
    drawn = (e >= 0) & (e < D)
    channel = tl.where(drawn, e // m, 0)
    v = (
        tl.load(pixels + b.to(tl.int64) * D + e, mask=drawn, other=0.0)
        + tl.load(scale + b * C + channel, mask=drawn, other=0.0) * z
    )
    inside = drawn & (q >= HALO * 64) & (q < (TILES - HALO) * 64)
    within = e - channel * m  # in the kept pixels of its channel
    if FILL == NEAREST:
        left, right = v, v
    elif FILL == BILINEAR:
        column = within % half
        before = tl.gather(v, tl.maximum(q - 1, 0), 0)
        after = tl.gather(v, tl.minimum(q + 1, TILES * 64 - 1), 0)
        left = tl.where(column == 0, v, 0.25 * before + 0.75 * v)
        right = 0.75 * v + 0.25 * tl.where(column == half - 1, v, after)
    else:
        up = (within // half) % 2 == 1
        other = tl.gather(v, tl.minimum(tl.maximum(tl.where(up, q - half, q + half), 0), TILES * 64 - 1), 0)
        total = v + tl.maximum(tl.maximum(v, other), 0.0)
        second = (tl.load(kept + within, mask=inside, other=0) & 1) == 1
        left, right = tl.where(second, 0.0, total), tl.where(second, total, 0.0)
    _store(out, row, channel, 2 * within, 2 * m, left, inside, gain, offset, C, CHANNELS_LAST, BFLOAT16)
    _store(out, row, channel, 2 * within + 1, 2 * m, right, inside, gain, offset, C, CHANNELS_LAST, BFLOAT16)


@triton.jit(do_not_specialize=["m", "plane", "length", "step", "first", "count", "stream_id", "k0", "k1"])
def taps_kernel(
    pixels,  # float32 [images, C * m]
    scale,  # float32 [images, C]
    ids,  # int64 [images]
    table,  # float32 [8, 128]
    thresholds,  # int64 [length]
    high,  # int32 [length]
    length,
    step,  # float32
    gain,  # float32 [C]
    offset,  # float32 [C]
    indices,  # int32 [T, plane]
    weights,  # float32 [T, plane]
    out,  # [images * count, C * plane]
    m,
    plane,
    first,
    count,
    stream_id,
    k0,
    k1,
    C: tl.constexpr,
    KIND: tl.constexpr,
    T: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    BFLOAT16: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """One program writes PIXELS pixels of one row; each draws the noise of its own sources again, wherever they lie."""
    sample, image, row, b = row_of_program(ids, first, count)
    p = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = p < C * plane
    channel = tl.where(inside, p // plane, 0)
    position = p - channel * plane
    s = tl.load(scale + b * C + channel, mask=inside, other=0.0)
    value = tl.zeros((PIXELS,), tl.float32)
    for t in range(T):  # one after the other: unrolled, four draws at once take all registers
        e = channel * m + tl.load(indices + t * plane + position, mask=inside, other=0)
        block = (e // 64 * 16 + e % 16).to(tl.uint32)
        at = (sample, image, stream_id.to(tl.uint32), k0.to(tl.uint32), k1.to(tl.uint32))
        draw = (table, thresholds, high, length, step)
        z0, z1, z2, z3 = four_variates(block, at, draw, KIND)
        j = e // 16 % 4
        z = tl.where(j == 0, z0, tl.where(j == 1, z1, tl.where(j == 2, z2, z3)))
        v = tl.load(pixels + b.to(tl.int64) * (C * m) + e, mask=inside, other=0.0) + s * z
        value += tl.load(weights + t * plane + position, mask=inside, other=0.0) * v
    _store(out, row, channel, position, plane, value, inside, gain, offset, C, CHANNELS_LAST, BFLOAT16)
