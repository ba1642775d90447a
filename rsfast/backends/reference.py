"""Plain NumPy: the definition of every draw.  Slow and readable; all other backends equal it bit for bit.

docs/rng.md says the same in words.  Only IEEE float32 + - * sqrt and conversions are used, one rounding each, in the order
written here; no fused multiply-add and no library function whose last bit may differ between machines.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..kernels import coefficients as const
from ..noise import Gaussian, Noise
from ..transforms import Transform, View
from . import base
from .call import Draw

f32, i32, u32, u64 = np.float32, np.int32, np.uint32, np.uint64


def philox4x32_10(counter: Sequence[np.ndarray | int], seed: int) -> list[np.ndarray]:
    """Four uint32 words for each counter (four uint32 arrays or scalars) under a 64-bit seed (Salmon et al. 2011)."""
    c0, c1, c2, c3 = np.broadcast_arrays(*[np.asarray(word, dtype=u64) for word in counter])
    low = u64(0xFFFFFFFF)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * u64(const.PHILOX_M0), c2 * u64(const.PHILOX_M1)
        c0, c1, c2, c3 = (p1 >> u64(32)) ^ c1 ^ u64(k0), p1 & low, (p0 >> u64(32)) ^ c3 ^ u64(k1), p0 & low
        k0, k1 = (k0 + const.PHILOX_W0) & 0xFFFFFFFF, (k1 + const.PHILOX_W1) & 0xFFFFFFFF
    return [word.astype(u32) for word in (c0, c1, c2, c3)]


def _horner(coefficients: Sequence[float], x: np.ndarray) -> np.ndarray:
    value = np.full_like(x, f32(coefficients[-1]))
    for coefficient in coefficients[-2::-1]:
        value = value * x + f32(coefficient)
    return value


def box_muller(radius_word: np.ndarray, angle_word: np.ndarray, extra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two normals from a radius word, an angle word and 32 extra radius bits, which only rare large draws use."""
    k = (radius_word >> u32(1)).astype(i32)  # u = (k + 1/2) 2^-31
    scaled = k.astype(f32) + f32(0.5)
    fine = (k.astype(np.int64) << 32) | extra.astype(np.int64) | 1  # u = fine 2^-63
    scaled = np.where(k < const.REFINE_BELOW, fine.astype(f32) * f32(const.TWO_M32), scaled)

    bits = scaled.view(i32)
    octave = (bits - i32(0x3F2AAAAB)) >> i32(23)  # scaled = 2^octave (1 + f), 1 + f in [2/3, 4/3)
    f = (bits - (octave << i32(23))).view(f32) - f32(1)
    complement = ((i32(0x7FFFFFFF) - k).astype(f32) + f32(0.5)) * f32(-const.TWO_M31)  # u - 1, exact near u = 1
    f = np.where(k >= i32(0x60000000), complement, f)
    minus_two_log = f * _horner(const.LOG, f) + (octave - i32(31)).astype(f32) * f32(const.MINUS_TWO_LN2)
    radius = np.sqrt(minus_two_log)

    t = (angle_word << u32(2)).view(i32).astype(f32) * f32(const.TWO_M31)  # angle pi/4 t, t in [-1, 1)
    v = t * t
    sine = t * _horner(const.SIN, v)
    cosine = _horner(const.COS, v)
    cosine = np.where(angle_word >> u32(31), -cosine, cosine)
    swap = (angle_word >> u32(30)) & u32(1) == 1
    return radius * np.where(swap, sine, cosine), radius * np.where(swap, cosine, sine)


def quantile(word: np.ndarray, extra: np.ndarray, table: np.ndarray) -> np.ndarray:
    """A variate from a word (sign and 31 bits of tail) and 32 extra tail bits, which only rare large draws use; see tables.py."""
    m = (word & u32(0x7FFFFFFF)).astype(i32)
    inner, rare = m >= i32(0x40000000), m < const.REFINE_BELOW
    x = np.minimum(np.where(inner, i32(0x7FFFFFFF) - m, m).astype(f32) + f32(0.5), f32(1073741760.0))
    fine = (m.astype(np.int64) << 32) | extra.astype(np.int64) | 1
    x = np.where(rare, fine.astype(f32) * f32(const.TWO_M32), x)
    bits = x.view(i32)
    first = np.where(rare, i32(const.TAIL_ROW - 95), np.where(inner, i32(const.INNER_ROW - 126), i32(-126)))
    row = (bits >> i32(23)) + first
    t = ((bits & i32(0x7FFFFF)) | i32(0x3F800000)).view(f32) - f32(1.5)
    value = table[-1][row]
    for coefficients in table[-2::-1]:
        value = value * t + coefficients[row]
    return np.where(word >> u32(31), -value, value)


def lattice(word: np.ndarray, extra: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """A whole number, as float32: how many thresholds lie above the 63 lower bits of (word, extra), with the top bit as sign."""
    m = ((word & u32(0x7FFFFFFF)).astype(np.int64) << 32) | extra.astype(np.int64)
    count = len(thresholds) - np.searchsorted(thresholds[::-1], m, side="right")
    return np.where(word >> u32(31), -count, count).astype(f32)


def symmetric_uniform(word: np.ndarray) -> np.ndarray:
    """Uniform on [-1, 1]."""
    return (word | u32(1)).view(i32).astype(f32) * f32(const.TWO_M31)


def variates(size: int, draw: Draw, *, seed: int, stream: int, image: int, sample: int) -> np.ndarray:
    """The `size` variates of one noisy sample, float32 [size]; pixel e is the e-th in C, H, W order."""
    tiles = -(-size // const.TILE)
    block = np.arange(tiles * const.LANES, dtype=u64)
    words = philox4x32_10((block, sample, image, stream), seed)
    extra = philox4x32_10((block, sample, image, stream ^ const.REFINE_STREAM), seed)
    if draw.kind == const.NORMAL:
        found = [*box_muller(words[0], words[1], extra[0]), *box_muller(words[2], words[3], extra[2])]
    elif draw.kind == const.QUANTILE:
        found = [quantile(word, more, draw.table) for word, more in zip(words, extra, strict=True)]
    elif draw.kind == const.LATTICE:
        found = [lattice(word, more, draw.thresholds) for word, more in zip(words, extra, strict=True)]
    else:
        found = [symmetric_uniform(word) for word in words]
    lanes = np.stack([z.reshape(tiles, const.LANES) for z in found], axis=1)  # [tiles, 4, 16]: pixel 64 t + 16 j + l
    return lanes.reshape(-1)[:size]


def standard_normal(size: int, *, seed: int, stream: int, image: int, sample: int) -> np.ndarray:
    """The standard normals of one noisy sample, float32 [size]."""
    return variates(size, base.draw_of(Gaussian(1.0)), seed=seed, stream=stream, image=image, sample=sample)


def shown(view: View, noisy: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """What the model sees of noisy kept pixels [C, m]: float32 [C, H * W]."""
    if view.partner is None:
        image = view.weights[0] * noisy[:, view.indices[0]]
        for indices, weights in zip(view.indices[1:], view.weights[1:], strict=True):
            image = image + weights * noisy[:, indices]
    else:
        image = np.zeros((len(noisy), view.indices.shape[1]), dtype=f32)
        image[:, view.kept] = noisy + np.maximum(np.maximum(noisy, noisy[:, view.partner]), f32(0))
    return image * gain[:, None] + offset[:, None]


class ReferenceBackend:
    name = "reference"

    def why_not(self, x: torch.Tensor, noise: Noise, transform: Transform) -> str | None:
        if x.device.type != "cpu":
            return f"it draws on the CPU and x is on {x.device}"
        return base.unsupported(noise, transform)

    def perturb(self, x: torch.Tensor, noise: Noise, transform: Transform, **call) -> None:  # type: ignore[no-untyped-def]
        rows = base.prepare(x, noise, transform, base.Asked(**call))
        _, channels, plane = rows.pixels.shape
        for row in range(rows.total):
            b, s = divmod(row, rows.count)
            z = variates(
                channels * plane, rows.draw, seed=rows.seed, stream=rows.stream, image=int(rows.ids[b]), sample=rows.first + s
            )
            noisy = rows.pixels[b].numpy() + rows.scale[b][:, None] * z.reshape(channels, plane)
            if rows.view is not None:
                noisy = shown(rows.view, noisy, rows.gain, rows.offset)
            rows.out[row] = torch.from_numpy(noisy).reshape(x.shape[1:]).to(rows.out.dtype)

    def count(self, logits: torch.Tensor, votes: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        logits, table, rows = base.check_votes(logits, votes, rows)
        if rows is None:
            rows = torch.arange(len(table)).repeat_interleave(len(logits) // max(len(table), 1))
        for row, scores in zip(rows.tolist(), logits, strict=True):
            if row >= 0 and not torch.isnan(scores).any():
                table[row, int(np.argmax(scores.numpy()))] += 1
