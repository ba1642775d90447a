"""image + noise, cast and laid out as the model wants it, in one kernel."""

import triton
import triton.language as tl

from .draws import four_variates


@triton.jit
def _cast(value, BFLOAT16: tl.constexpr, target):
    """Round to nearest even.  bfloat16 goes through an int16 view: the interpreter's own cast truncates."""
    if BFLOAT16:
        bits = value.to(tl.uint32, bitcast=True)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to(tl.int16)
    return value.to(target.dtype.element_ty)


@triton.jit
def row_of_program(ids, first, count):
    """Sample and image id of the row that a program writes into, its number in `out`, and that of its image.

    Programs of one row are neighbours in the order of the grid: on a GPU they run at the same time, and what one of them leaves
    unwritten of a 32-byte sector (channels-last) another writes while the sector is in the L2 cache.
    """
    copy, b = tl.program_id(1), tl.program_id(2)
    return first.to(tl.uint32) + copy.to(tl.uint32), tl.load(ids + b).to(tl.uint32), b.to(tl.int64) * count + copy, b


# Of a scalar, being divisible by 16 or equal to 1 would otherwise choose another kernel to compile.  That cannot be kept
# off the members of a tuple (Triton 3.6 to 3.9): tuples are made inside, and kernels take all that they need one by one.
@triton.jit(do_not_specialize=["D", "plane", "length", "step", "first", "count", "stream_id", "k0", "k1"])
def perturb_kernel(
    pixels,  # float32 [images, D]
    scale,  # float32 [images, C]
    ids,  # int64 [images]
    table,  # float32 [8, 128]
    thresholds,  # int64 [length]
    high,  # int32 [length]
    length,
    step,  # float32
    out,  # [images * count, D]
    D,
    plane,
    first,
    count,
    stream_id,
    k0,
    k1,
    C: tl.constexpr,
    KIND: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    BFLOAT16: tl.constexpr,
    TILES: tl.constexpr,
    EVEN: tl.constexpr,
):
    """One program draws TILES tiles of 64 pixels (in C, H, W order) of one row of `out`; grid: programs of a row, copies, images.

    EVEN: planes are made of whole programs, so that each has one channel and none ends early; the C that write into one place
    of a channels-last row follow one another.
    """
    sample, image, row, b = row_of_program(ids, first, count)
    if EVEN:
        channel = tl.program_id(0) % C
        begin = (channel * (plane // (64 * TILES)) + tl.program_id(0) // C) * TILES
    else:
        begin = tl.program_id(0) * TILES
    # One axis: of two, Triton 3.6 puts now one and now the other first, and then moves draws between threads.
    i = tl.arange(0, TILES * 16)
    tile, lane = begin + i // 16, i % 16
    block = (tile * 16 + lane).to(tl.uint32)
    at = (sample, image, stream_id.to(tl.uint32), k0.to(tl.uint32), k1.to(tl.uint32))
    draw = (table, thresholds, high, length, step)
    z0, z1, z2, z3 = four_variates(block, at, draw, KIND)
    source, scales, target = pixels + b.to(tl.int64) * D, scale + b * C, out + row * D
    for j in tl.static_range(4):
        z = z0 if j == 0 else (z1 if j == 1 else (z2 if j == 2 else z3))
        # Said to be scattered: for wide loads and stores the draws would change places between threads, through shared memory,
        # with no fewer instructions.
        e = tl.max_contiguous(tile * 64 + 16 * j + lane, [1])
        if EVEN:
            noisy = tl.load(source + e) + tl.load(scales + channel) * z
        else:
            inside = e < D
            channel = e // plane
            noisy = tl.load(source + e, mask=inside) + tl.load(scales + channel, mask=inside) * z
        place = (e - channel * plane) * C + channel if CHANNELS_LAST else e
        if EVEN:
            tl.store(target + place, _cast(noisy, BFLOAT16, target))
        else:
            tl.store(target + place, _cast(noisy, BFLOAT16, target), mask=inside)
