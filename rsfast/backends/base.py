"""The backend protocol, and what every backend shares: checking a call and splitting it over threads.

All backends give the same bits.  A noisy pixel is, in float32 and in this order,

    out = cast(pixel + scale[channel] * z),   pixel = (x - mean) / std,   scale = round_up(sigma / std)

with z from `backends/reference.py`; without mean and std, pixel = x and scale = round_up(sigma).  Rounding the scale up
keeps every radius that is stated for `sigma` on the safe side.  Of a part of the image the kept pixels are

    v = x + round_up(sigma) * z,

`transforms.View` says how they are shown, and the model sees cast(shown * gain[channel] + offset[channel]), gain = 1 / std and
offset = -mean / std; z is that of the pixel's position among the kept ones.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from .. import checks
from ..errors import InvalidArgumentError
from ..kernels import coefficients as const
from ..noise import Noise, is_noise
from ..transforms import Transform, View, is_transform, whole_view
from . import tables
from .call import Call, Draw, Part

WORD = 2**32  # ids and sample indices are counter words
CASTS = {torch.float32: const.FLOAT32, torch.bfloat16: const.BFLOAT16, torch.float16: const.FLOAT16}


class Backend(Protocol):
    """HOW to draw and count.  All backends are bit-equal, so the choice is about speed only."""

    name: str

    def why_not(self, x: torch.Tensor, noise: Noise, transform: Transform) -> str | None:
        """None if this backend can draw `noise` for images like `x`; else the reason in one sentence."""

    def perturb(
        self,
        x: torch.Tensor,
        noise: Noise,
        transform: Transform,
        *,
        part: int,
        sigma: np.ndarray,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        seed: int,
        stream: int,
        ids: np.ndarray,
        first: int,
        count: int,
        out: torch.Tensor,
    ) -> None:
        """Write noisy copies `first … first + count - 1` of part `part` of every image into `out`.

        x [B, C, H, W]; sigma [B] of that part; ids [B]; out [B * count, C, H, W], float32, bfloat16 or float16, contiguous or
        channels-last: its dtype and strides choose cast and layout.  Row b * count + s is sample first + s of image b.
        """

    def count(self, logits: torch.Tensor, votes: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        """Add each row's vote into `votes` (int64): logits [N, K] into votes [K], or [B * N, K] into votes [B, K].

        With `rows` (int64 [N], on the logits' device) row i of logits [N, K] votes into row rows[i] of votes [R, K], or not
        at all where rows[i] is -1.  Other values are refused on the CPU; a CUDA device, which is not waited for, ignores them.

        A row votes for its largest logit; among equal ones for the lowest class index.  A row that holds a NaN votes
        for no class.  -0 equals 0, and infinities are values like others.  Logits are compared as they are: float64 ones in
        float64, narrower ones in float32, which holds them exactly.
        """


_NO_TABLE = np.zeros((const.DEGREE + 1, const.ROWS), dtype=np.float32)
_NO_LATTICE = (np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int32), 0.0)


def draw_of(noise: Noise) -> Draw:
    """What a backend needs to know of a noise beside its level."""
    kind = const.KINDS.index(noise.draw)
    table = _NO_TABLE if noise.quantile_shape is None else tables.quantile_table(noise.quantile_shape)
    if noise.lattice is None:
        return Draw(kind, table, *_NO_LATTICE)
    lattice = tables.lattice_table(noise.fixed_levels[0], noise.lattice)
    return Draw(kind, table, lattice.thresholds, lattice.high, lattice.step)


OFF_LATTICE = (
    "an image is not on the lattice of multiples of 1/{levels} (as {dtype}): give 8-bit images, uint8 / 255, for "
    "LatticeGaussian, or the lattice's levels."
)


def lattice_points(x: torch.Tensor, levels: int) -> torch.Tensor:
    """The whole numbers k of float32 images k / levels; the range is checked where that waits for no device.

    InvalidArgumentError if a pixel is no such number (`check_lattice`, which whoever draws on a CUDA device has called).
    """
    k = torch.round(x * levels)
    if x.device.type == "cpu" and not bool(_are_points(x, k, levels).all()):
        raise InvalidArgumentError(OFF_LATTICE.format(levels=levels, dtype="float32"))
    return k


def check_lattice(x: torch.Tensor, levels: int) -> None:
    """Raise InvalidArgumentError unless images are k / levels with whole k, as their dtype or float32 has it.

    Correctly rounded, or as CUDA divides by a Python number: it multiplies by the reciprocal, which is the last bit off for 126
    of 256 grey levels.
    """
    if x.dtype == torch.float64:
        k, single = torch.round(x * levels), x.to(torch.float32)
        found = _are_points(x, k, levels) | ((x == single) & _are_points(single, k.to(torch.float32), levels))
    else:
        x = x.to(torch.float32)
        found = _are_points(x, torch.round(x * levels), levels)
    if not bool(found.all()):
        dtype = "float64" if x.dtype == torch.float64 else "float32"
        raise InvalidArgumentError(OFF_LATTICE.format(levels=levels, dtype=dtype))


def _are_points(x: torch.Tensor, k: torch.Tensor, levels: int) -> torch.Tensor:
    by = torch.full_like(k, levels)  # a tensor, by which every device divides correctly rounded
    return (x == k / by) | (x == k * by.reciprocal())


class Asked(NamedTuple):
    """What a call of `Backend.perturb` asks for beside images, noise and transform; its docstring says what each is."""

    part: int
    sigma: np.ndarray
    mean: Sequence[float] | None
    std: Sequence[float] | None
    seed: int
    stream: int
    ids: np.ndarray
    first: int
    count: int  # type: ignore[assignment]  # instead of the method of tuples
    out: torch.Tensor


class Rows(NamedTuple):
    """A checked call of `perturb`: of whole images with normalisation folded into pixels and scale, of parts beside them."""

    pixels: torch.Tensor  # float32 [B, C, H * W] or, of a part, [B, C, kept], contiguous
    scale: np.ndarray  # float32 [B, C]
    ids: np.ndarray  # uint32 [B]
    seed: int
    stream: int
    first: int
    count: int  # type: ignore[assignment]  # instead of the method of tuples
    out: torch.Tensor  # [B * count, C, H, W]
    channels_last: bool
    view: View | None
    gain: np.ndarray  # float32 [C], for parts
    offset: np.ndarray  # float32 [C], for parts
    draw: Draw

    @property
    def total(self) -> int:
        return len(self.ids) * self.count

    def memory(self) -> torch.Tensor:
        """`out` as [B * count, D] in the order in which it lies in memory."""
        out = self.out.permute(0, 2, 3, 1) if self.channels_last else self.out
        return out.view(self.total, -1)


def for_loops(rows: Rows) -> tuple[Call, Part | None]:
    """A call whose images lie on the CPU, and of a part how it is shown."""
    call = Call(
        rows.pixels.numpy(), rows.scale, rows.ids, (rows.seed & 0xFFFFFFFF, rows.seed >> 32), rows.stream, rows.first, rows.count,
        numpy_words(rows.memory()), CASTS[rows.out.dtype], rows.channels_last, rows.draw,
    )  # fmt: skip
    view = rows.view
    if view is None:
        return call, None
    partner = view.kept if view.partner is None else view.partner
    width = rows.out.shape[3]
    return call, Part(fill_of(view), width, rows.gain, rows.offset, view.kept, view.indices, view.weights, partner)


def round_up_to_float32(value: np.ndarray) -> np.ndarray:
    """The smallest float32 that is not below each value."""
    value = np.asarray(value, dtype=np.float64)
    nearest = value.astype(np.float32)
    return np.where(nearest < value, np.nextafter(nearest, np.float32(np.inf)), nearest)


def prepare(x: torch.Tensor, noise: Noise, transform: Transform, asked: Asked) -> Rows:
    """Check a call of `perturb` and fold the normalisation into it."""
    if x.ndim != 4:
        raise InvalidArgumentError(f"x has shape {tuple(x.shape)}; perturb() takes a batch (B, C, H, W).")
    images, channels, height, width = x.shape
    ids = check_counters(asked, images)
    if channels * height * width > 4 * WORD:
        raise InvalidArgumentError(f"an image of {channels}x{height}x{width} has more than 2^34 pixels; use smaller images.")
    channels_last = check_out(x, asked)
    if not 0 <= asked.part < transform.parts:
        raise InvalidArgumentError(f"part={asked.part} is not one of the transform's: give 0 … {transform.parts - 1}.")
    view = transform.view(asked.part, height, width)
    pixels = x if x.dtype == torch.float32 else x.to(torch.float32)
    if noise.lattice is not None:  # whole numbers until the end, whose image is a part of itself
        pixels, view = lattice_points(pixels, noise.lattice), view or whole_view(height, width)
    pixels = pixels.reshape(images, channels, height * width)
    sigma = np.asarray(asked.sigma, dtype=np.float64)
    if sigma.shape != (images,):
        sigma = np.broadcast_to(sigma, (images,))
    mean = None if asked.mean is None else checks.numbers("mean", asked.mean, channels)
    std = None if asked.std is None else checks.numbers("std", asked.std, channels)
    levels = levels_of(sigma.tobytes(), channels, mean, std, noise.lattice, view is None)
    if view is not None:
        pixels = kept_pixels(pixels, view)
    elif mean is not None or std is not None:
        minus, over = normalisation_on(mean, std, channels, x.device)
        pixels = (pixels - minus) / over
    return Rows(
        pixels.contiguous(), levels.scale, ids, asked.seed, asked.stream, asked.first, asked.count, asked.out, channels_last,
        view, levels.gain, levels.offset, draw_of(noise),
    )  # fmt: skip


def check_counters(asked: Asked, images: int) -> np.ndarray:
    """Seed, stream and samples are words of the generator, as are the ids, which are returned as uint32."""
    ids, first, count = np.asarray(asked.ids, dtype=np.int64), asked.first, asked.count
    if ids.shape != (images,):
        raise InvalidArgumentError(f"ids has shape {ids.shape}; give one id for each of the {images} images.")
    if not 0 <= np.bitwise_or.reduce(ids) < WORD:  # negative if one is, too large if one is
        raise InvalidArgumentError("an image id is outside 0 … 2^32 - 1; give ids in that range.")
    if first < 0 or count < 0 or first + count > WORD:
        raise InvalidArgumentError(
            f"samples {first} … {first + count - 1} are outside 0 … 2^32 - 1; draw fewer samples per image."
        )
    if not 0 <= asked.seed < 2**64:
        raise InvalidArgumentError(f"seed={asked.seed} is outside 0 … 2^64 - 1; give a seed in that range.")
    if not 0 <= asked.stream < 2**31:
        raise InvalidArgumentError(f"stream={asked.stream} is outside 0 … 2^31 - 1; rsfast.noise.STREAMS lists those in use.")
    return ids.astype(np.uint32)


def check_out(x: torch.Tensor, asked: Asked) -> bool:
    """`out` takes the noisy copies of x; returns whether it is channels-last."""
    out, shape = asked.out, (len(x) * asked.count, *x.shape[1:])
    if out.shape != shape or out.dtype not in CASTS or out.device != x.device:
        raise InvalidArgumentError(
            f"out is {tuple(out.shape)} {out.dtype} on {out.device}; "
            f"it must be {shape}, float32, bfloat16 or float16, on {x.device}."
        )
    if out.is_contiguous():
        return False
    if not out.is_contiguous(memory_format=torch.channels_last):
        raise InvalidArgumentError("out is neither contiguous nor channels-last; allocate it in one of these layouts.")
    return True


class Levels(NamedTuple):
    """What scales noise (`scale` [B, C]), images, and what is shown of parts (the others, [C]); all float32."""

    scale: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    shift: np.ndarray
    divisor: np.ndarray


@functools.lru_cache(maxsize=1024)
def levels_of(
    sigmas: bytes, channels: int, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, levels: int | None, whole: bool
) -> Levels:
    """Those of float64 sigmas; kept, since every batch of a run asks for the same."""
    sigma = np.frombuffer(sigmas, dtype=np.float64)
    mean32, std32 = normalisation(mean, std, channels)
    shift, divisor = mean32.astype(np.float64), std32.astype(np.float64)
    gain = (1.0 / (divisor * float(levels or 1))).astype(np.float32)
    offset = (0.0 - shift / divisor).astype(np.float32)
    scale = np.repeat(sigma[:, None], channels, axis=1)
    if whole and (mean is not None or std is not None):
        scale = scale / divisor
    scale = round_up_to_float32(scale) if levels is None else np.ones_like(scale, dtype=np.float32)
    if not ((scale > 0) & np.isfinite(scale)).all():
        raise InvalidArgumentError(f"sigma is {sigma.min():g} … {sigma.max():g}; give positive noise levels of ordinary size.")
    return Levels(scale, gain, offset, mean32, std32)


def kept_pixels(pixels: torch.Tensor, view: View) -> torch.Tensor:
    """[B, C, kept] of [B, C, H * W]; on the CPU by NumPy, which takes a third of torch's time."""
    if pixels.device.type == "cpu":
        return torch.from_numpy(np.take(pixels.numpy(), view.kept, axis=2))
    return pixels[:, :, on_device(view, "kept", pixels.device)]


@functools.lru_cache(maxsize=4096)
def on_device(view: View, field: str, device: torch.device) -> torch.Tensor:
    """An array of a view as a tensor on a device; copied there once."""
    return torch.from_numpy(getattr(view, field)).to(device)


def fill_of(view: View) -> int:
    """Which loop shows a view: the general one over its indices and weights, or a short cut with the same result."""
    if view.partner is not None:
        return const.POOLED
    return const.TAPS if not view.half_width else const.NEAREST if len(view.indices) == 1 else const.BILINEAR


def normalisation(mean: Sequence[float] | None, std: Sequence[float] | None, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """mean and std as float32 [channels]; 0 and 1 where not given.

    std from 1e-6 to 1e6 and mean up to 1e6: beyond, ordinary pixels would overflow float32.
    """
    shift = checks.numbers("mean", (0.0,) * channels if mean is None else mean, channels)
    divisor = checks.numbers("std", (1.0,) * channels if std is None else std, channels)
    if max(map(abs, shift)) > 1e6 or min(divisor) < 1e-6 or max(divisor) > 1e6:
        raise InvalidArgumentError(
            f"mean={list(shift)}, std={list(divisor)}: give the training set's values, std positive (from 1e-6 to 1e6)."
        )
    return np.array(shift, dtype=np.float32), np.array(divisor, dtype=np.float32)


@functools.lru_cache(maxsize=256)
def normalisation_on(
    mean: tuple[float, ...] | None, std: tuple[float, ...] | None, channels: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """`normalisation` as tensors [C, 1] on a device; copied there once."""
    shift, divisor = (torch.from_numpy(values).to(device)[:, None] for values in normalisation(mean, std, channels))
    return shift, divisor


def sent(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array as a tensor on a device, to which it is on its way in the current stream; neither host nor stream waits."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def unsupported(noise: Noise, transform: Transform) -> str | None:
    """Why no backend draws this yet, or None."""
    if not is_noise(noise):
        return f"it does not know the noise {type(noise).__name__}"
    return None if is_transform(transform) else f"it does not know the transform {type(transform).__name__}"


def check_votes(
    logits: torch.Tensor, votes: torch.Tensor, rows: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Logits as float32 or float64 [N, K], votes as [B, K], N a multiple of B if there are no rows, and contiguous rows [N]."""
    table = votes[None] if votes.ndim == 1 else votes
    if logits.ndim != 2 or not logits.shape[1] or not logits.is_floating_point() or logits.layout != torch.strided:
        raise InvalidArgumentError(f"logits are {tuple(logits.shape)} {logits.dtype}; give a dense floating-point [N, K].")
    copies, classes = logits.shape
    if votes.dtype != torch.int64 or table.ndim != 2 or table.shape[1] != classes or votes.device != logits.device:
        raise InvalidArgumentError(
            f"votes are {tuple(votes.shape)} {votes.dtype} on {votes.device}; for logits {tuple(logits.shape)} on "
            f"{logits.device} give int64 [{classes}] or [B, {classes}] there."
        )
    if not table.is_contiguous():
        raise InvalidArgumentError(f"votes of shape {tuple(votes.shape)} are not contiguous; allocate them in one piece.")
    images = table.shape[0]
    if rows is not None:
        rows = check_vote_rows(rows, logits, images)
    elif copies % images if images else copies:
        raise InvalidArgumentError(
            f"{copies} rows of logits cannot be shared out equally over {images} rows of votes; give rows."
        )
    return plain(logits), table, rows


def plain(logits: torch.Tensor) -> torch.Tensor:
    """Logits of any floating-point dtype and layout in memory as contiguous float64, or as float32 where that is exact."""
    if logits.requires_grad or logits.is_neg():
        logits = logits.detach().resolve_neg()
    if logits.dtype not in (torch.float32, torch.float64):
        logits = logits.to(torch.float32)
    return logits.contiguous()


def check_vote_rows(rows: torch.Tensor, logits: torch.Tensor, table_rows: int) -> torch.Tensor:
    """Which row of votes each row of logits counts in, contiguous; the range is checked where that waits for no device."""
    if rows.dtype != torch.int64 or rows.shape != logits.shape[:1] or rows.device != logits.device:
        raise InvalidArgumentError(
            f"rows are {tuple(rows.shape)} {rows.dtype} on {rows.device}; for logits {tuple(logits.shape)} on {logits.device} "
            f"give int64 [{len(logits)}] there."
        )
    if rows.device.type == "cpu" and len(rows):
        least, most = (int(value) for value in rows.aminmax())
        if least < -1 or most >= table_rows:
            raise InvalidArgumentError(
                f"rows are {least} … {most}; votes have rows 0 … {table_rows - 1}, and -1 stands for a copy that does not count."
            )
    return rows.contiguous()


def numpy_words(out: torch.Tensor) -> np.ndarray:
    """A CPU tensor as a NumPy view: float32, or the bit patterns of a 16-bit float as uint16."""
    if out.dtype == torch.float32:
        return out.numpy()
    return out.view(torch.int16).numpy().view(np.uint16)


_pool: tuple[int, concurrent.futures.ThreadPoolExecutor] | None = None


def threads_for(total: int, work_per_row: int) -> int:
    """How many of torch's threads so much work is worth."""
    return min(torch.get_num_threads(), total, 1 + total * work_per_row // 2**18)


def over_threads(total: int, work_per_row: int, job: Callable[[int, int], None]) -> None:
    """Run job(begin, end) over slices of range(total) on torch's number of threads.

    `job` must release the GIL.  Noise does not depend on how rows are shared out.
    """
    global _pool
    threads = threads_for(total, work_per_row)
    if threads <= 1:
        job(0, total)
        return
    if _pool is None or _pool[0] != os.getpid():  # threads do not survive a fork
        _pool = (os.getpid(), concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1, "rsfast"))
    edges = [total * i // threads for i in range(threads + 1)]
    slices = [_pool[1].submit(job, edges[i], edges[i + 1]) for i in range(1, threads)]
    job(edges[0], edges[1])
    for part in slices:
        part.result()
