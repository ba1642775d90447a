"""Noise levels that depend on the input, with a proven bound on how fast they vary (Súkeník, Kuvshinov & Günnemann 2022).

Equation (1): sigma(x) = base * exp(rate * (mean distance of x to its k nearest training images - m)).  Theorem 8: it is
`rate`-semi-elastic, abs(log sigma(x) - log sigma(y)) <= rate * ||x - y||_2, because each distance is 1-Lipschitz and so is the
mean of the k smallest.  That holds for exact nearest neighbours only, so the search below is exact:

1. Training images t and queries x are moved by one fixed vector c (any vector is right; a mean makes the norms small) and
   rounded to the working precision, unit roundoff u: a = fl(x - c), b = fl(t - c).
2. s = |a|² + |b|² - 2 a·b comes from products over m chunks of n pixels, added up in float64.  A sum of n products in any order
   errs by at most gamma_n = n u / (1 - n u) times the sum of absolute products, and by Cauchy-Schwarz 2 |a| |b| <= |a|² + |b|²:
   2 gamma_n (|a|² + |b|²) in all.  Rounding a and b moves ||a - b|| by at most 2 u (|a| + |b|), hence its square by less than
   9 u (|a|² + |b|²); norms by square root and square cost 3 u, the float64 sums 2.1 m 2^-53.  Together, for n u < .01,

       abs(s - ||x - t||²) <= K (|a|² + |b|²) + D 2^-120,   K = 2.1 (n + m + 16) u + 400 2^-53.

   D 2^-120 covers underflow, also where subnormal numbers are flushed to zero.  400 2^-53 exceeds what float64 can lose in
   evaluating these bounds and in step 4: the result is that of step 4 over all training images.
3. An image is dropped only if its lower bound exceeds the k-th smallest upper bound so far.
4. For the others sum((x - t)²) is formed directly in float64, by NumPy's pairwise sum on the CPU whatever the device: relative
   error of a distance below (16 + log2(D) / 2) 2^-53.  So results depend neither on blocks and batches nor on the device.

u = 2^-24 on the CPU (by NumPy where torch has been told to round float32 products) and 2^-53 on a GPU (so no TF32) and for
float64 training images.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError
from .cache import LevelCache
from .training_sets import File, TrainingSet, as_array, training_set

CHUNK = 1024  # pixels per float32 product: half of it halves K and doubles the passes over the sums
MOST_QUERIES = 1024  # searched together; more would only make blocks of training images small
LARGEST_PIXEL = np.float64(1e15)  # its square times CHUNK stays finite in float32
RULES = ("average", "minimum")
MOST_EXPONENT = 500.0  # of rate (mean distance + |m|): sigma is right to 1e-11 then, which radii allow for


class NearestNeighbors:
    """This is sigma(x) = base * exp(rate * (mean l2 distance of x to its k nearest training images - m)), at most `largest`.

    Parameters
    ----------
    training : array, memory map, tensor or TrainingSet
        Images [N, ...]: uint8 (pixel v means float32(v) / float32(255), as in rsfast's data sources) or floating point, at most
        64 bits.  It must not change.  A C-contiguous memory map is read through its file and never becomes resident.
    base : float
        The paper's sigma_b, 1e-6 to 1e6, in pixel units ([0, 1] for uint8).
    rate : float
        Semi-elasticity r per unit of l2 distance, from 0 (constant sigma) to 1e6.  The paper takes .01.
    k : int
        Neighbours, 1 to N.  The paper takes 20.
    m : float, "average" or "minimum"
        Normalization in l2 units (the paper: 5 for CIFAR-10, 1.5 for MNIST).  The rules of Appendix E.1 need k < N and take
        the mean or the least, over at most `sample` evenly spaced training images, of their mean distance to their k nearest
        others: sigma is base on average, or base is about the lowest.  `self.m` is the number; the guarantee holds for any.
    largest : float, optional
        Cap on sigma, 1e-6 to 1e6; a capped sigma is as semi-elastic.  The paper's toy (Appendix A.5) takes 5 * base.
    device : optional
        "cpu" (default) or a CUDA device for the matrix products.  Results are the same.
    block_bytes : int
        About how much temporary memory is used; at least some images of each kind are held.
    cache : Path, optional
        Folder whose `sigma.jsonl` keeps each query's mean distance, the m of a rule, and the fingerprint of a memory map (by
        path, size and modification time).  Entries of other training images or another k are not used.
    sample : int
        See `m`.

    Raises
    ------
    InvalidArgumentError
        Bad arguments.  NaN, infinite or huge (above 1e15) training pixels are found when they are first read.
    StoreError
        The cache cannot be read or written.

    Notes
    -----
    Relative error of sigma: below 1e-14 (1 + rate (mean distance + abs(m))); tests/sigma compares distances with brute force.

    Examples
    --------
    >>> sigma = NearestNeighbors(np.array([[0.0], [4.0]]), base=0.5, rate=0.1, k=1, m=1.0)
    >>> sigma(np.array([[1.0], [3.0], [0.0]])).round(4).tolist()
    [0.5, 0.5, 0.4524]
    """

    proven = True

    def __init__(
        self,
        training: np.ndarray | torch.Tensor | TrainingSet,
        *,
        base: float,
        rate: float = 0.01,
        k: int = 20,
        m: float | str = "average",
        largest: float | None = None,
        device: str | torch.device | None = None,
        block_bytes: int = 2**28,
        cache: Path | None = None,
        sample: int = 1000,
    ) -> None:
        self.base = _number("base", base, 1e-6, 1e6, "a noise level from 1e-6 to 1e6")
        self.rate = _number("rate", rate, 0.0, 1e6, "a semi-elasticity from 0 (constant sigma) to 1e6 (0.01 is customary)")
        self.largest = None if largest is None else _number("largest", largest, 1e-6, 1e6, "a noise level from 1e-6 to 1e6")
        self.k = checks.whole("k", k, 1)
        self.reranked = 0  # pairs of query and training image whose distance was formed directly, so far
        self._block_bytes = checks.whole("block_bytes", block_bytes, 1)
        self._device = _device(device)
        self._training = training_set(training)
        self._prepare()
        self._cache = None if cache is None else LevelCache(cache)
        self._fingerprint: str | None = None
        if isinstance(m, str):
            self.m = self._rule(checks.choice("m", m, RULES), checks.whole("sample", sample, 1))
        else:
            self.m = _number("m", m, -1e15, 1e15, f"a finite distance, or one of {', '.join(RULES)}")

    def __call__(self, x: np.ndarray | torch.Tensor) -> Floats:
        """Noise levels, float64 [B], of images x: floating point [B, ...], in the units of the training images.

        InvalidArgumentError if x does not fit, or a sigma is not between 1e-6 and 1e6.
        """
        images = self._images(x)
        means = self._means(images) if self.rate else np.full(len(images), self.m)
        with np.errstate(over="ignore"):
            sigma = self.base * np.exp(self.rate * (means - self.m))
        sigma = sigma if self.largest is None else np.minimum(sigma, self.largest)
        bad = ~((sigma >= 1e-6) & (sigma <= 1e6))
        if bad.any():
            b = int(np.argmax(bad))
            raise InvalidArgumentError(
                f"sigma(x[{b}])={sigma[b]:g} is outside 1e-6 to 1e6: its mean distance is {means[b]:g} and m={self.m:g}; give "
                "an m nearer to it, a smaller rate, or largest."
            )
        free = means if self.largest is None else means[sigma < self.largest]  # the cap itself is exact
        if self.rate * (float(free.max(initial=0.0)) + abs(self.m)) > MOST_EXPONENT and len(free):
            raise InvalidArgumentError(
                f"rate={self.rate:g} times mean distances of up to {free.max():g} and m={self.m:g} exceeds {MOST_EXPONENT:g}: "
                "too much for sigma to be exact; give a smaller rate, or images in smaller units."
            )
        return sigma

    def distances(self, x: np.ndarray | torch.Tensor) -> Floats:
        """Return the l2 distances of x [B, ...] to its k nearest training images, float64 [B, k], ascending."""
        images = self._images(x)
        return np.concatenate([self._nearest(images[rows].astype(np.float64), self.k) for rows in self._groups(len(images))])

    def describe(self) -> dict[str, Any]:
        """Say what sigma is, for JSON; this reads the training images once for their fingerprint."""
        names = ("base", "rate", "k", "m", "largest")
        return {"name": "nearest-neighbors", **{name: getattr(self, name) for name in names}, "training": self.fingerprint()}

    def fingerprint(self) -> str:
        """Return the sha256, as 64 hex digits, of the training images: type, number, shape and content."""
        if self._fingerprint is None:
            identity = self._training.identity() if self._cache and isinstance(self._training, File) else ""
            known = self._cache.fingerprints.get(identity) if self._cache else None
            if known is None:
                digest = hashlib.sha256(f"{self._dtype.name} {len(self._training)} {self._shape}".encode())
                for start, stop in self._blocks(max(1, self._block_bytes // (2 * self._dtype.itemsize * self._dim))):
                    digest.update(self._read(start, stop).astype(self._dtype.newbyteorder("<"), copy=False).data)
                known = digest.hexdigest()
                if self._cache and identity:
                    self._cache.append({"file": identity, "training": known})
            self._fingerprint = known
        return self._fingerprint

    def _prepare(self) -> None:
        """Checks the training images as far as their head tells, chooses the working precision and c."""
        count, self._shape = len(self._training), tuple(int(side) for side in self._training.shape)
        self._dim = math.prod(self._shape)
        if count == 0 or self._dim == 0:
            raise InvalidArgumentError(f"training holds {count} images of shape {self._shape}: give at least one pixel.")
        if self.k > count:
            raise InvalidArgumentError(f"k={self.k} is more than the {count} training images: give k of at most {count}.")
        self._dtype = np.asarray(self._training.block(0, 1)).dtype
        if self._dtype != np.uint8 and not _is_float(self._dtype):
            raise InvalidArgumentError(f"training holds {self._dtype} images: give uint8, or floating point of at most 64 bits.")
        small = self._device.type == "cpu" and self._dtype.itemsize <= 4
        self._work = np.dtype(np.float32 if small else np.float64)
        u, n = (2.0**-24, min(CHUNK, self._dim)) if small else (2.0**-53, self._dim)
        self._chunks = [slice(at, at + n) for at in range(0, self._dim, n)]
        self._relative = 2.1 * (n + len(self._chunks) + 16) * u + 400 * 2.0**-53  # K
        places = np.unique(np.linspace(0, count - 1, min(count, 32)).astype(int)).tolist()
        total = np.zeros(self._dim)
        for i in places:
            total += _sound("training", _pixels(self._read(i, i + 1)), i)[0]
        self._centre = (total / len(places)).astype(self._work)

    def _rule(self, rule: str, sample: int) -> float:
        """m by the paper's Appendix E.1."""
        count = len(self._training)
        if self.k >= count:
            raise InvalidArgumentError(
                f"m={rule!r} needs more training images than k={self.k}, there are {count}: give m as a number or a smaller k."
            )
        places = np.unique(np.linspace(0, count - 1, min(count, sample)).astype(int)).tolist()
        name = f"m: {rule} over {len(places)} training images"
        if self._cache and (known := self._cache.means.get((name, self.fingerprint(), self.k))) is not None:
            return known
        means = []
        for rows in self._groups(len(places)):
            images = np.concatenate([_pixels(self._read(i, i + 1)) for i in places[rows]]).astype(np.float64)
            means.append(self._nearest(images, self.k + 1)[:, 1:].mean(axis=1))  # the nearest is the image itself, at 0
        m = float(np.mean(np.concatenate(means)) if rule == "average" else np.min(np.concatenate(means)))
        if self._cache:
            self._cache.keep([(name, self.fingerprint(), self.k)], [m])
        return m

    def _images(self, x: object) -> NDArray[Any]:
        """Queries as floating point [B, D]."""
        images = as_array(x, "x")
        if not _is_float(images.dtype):
            raise InvalidArgumentError(f"x is {images.dtype}: give floating-point images (for 8-bit images x / float32(255)).")
        if images.ndim == 0 or images.shape[1:] != self._shape or len(images) == 0:
            raise InvalidArgumentError(
                f"x has shape {images.shape} and a training image {self._shape}: give a batch of such images (x[None] for one)."
            )
        return _sound("x", images.reshape(len(images), self._dim), 0)

    def _means(self, images: NDArray[Any]) -> Floats:
        """Mean distance of each query to its k nearest training images, from the cache where it is there."""
        means, missing = np.empty(len(images)), np.arange(len(images))
        keys = [(_hash(image), self.fingerprint(), self.k) for image in images] if self._cache else []
        if self._cache:
            known = [self._cache.means.get(key, math.nan) for key in keys]
            means, missing = np.array(known), np.nonzero(np.isnan(known))[0]
        for rows in self._groups(len(missing)):
            means[missing[rows]] = self._nearest(images[missing[rows]].astype(np.float64), self.k).mean(axis=1)
            if self._cache:
                self._cache.keep([keys[b] for b in missing[rows]], means[missing[rows]].tolist())
        return means

    def _groups(self, count: int) -> Iterator[slice]:
        """Queries that are searched together; their pixels take a quarter of block_bytes."""
        size = min(max(1, self._block_bytes // (8 * self._work.itemsize * self._dim)), MOST_QUERIES)
        return (slice(start, min(start + size, count)) for start in range(0, count, size))

    def _blocks(self, size: int, first: int | None = None) -> Iterator[tuple[int, int]]:
        """Blocks of the training set, growing from `first` to `size`: each tightens the bounds for the next."""
        start, grown = 0, min(first or size, size)
        while start < len(self._training):
            stop = min(start + grown, len(self._training))
            yield start, stop
            start, grown = stop, min(2 * grown, size)

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        """Training images [stop - start, D], contiguous, in the machine's byte order."""
        block, shape = np.asarray(self._training.block(start, stop)), (stop - start, *self._shape)
        if block.dtype != self._dtype or block.shape != shape:
            raise InvalidArgumentError(
                f"training.block({start}, {stop}) is {block.dtype} {block.shape}: it must be {self._dtype} {shape}."
            )
        return np.ascontiguousarray(block, dtype=self._dtype.newbyteorder("=")).reshape(stop - start, self._dim)

    def _centred(self, block: NDArray[Any], out: torch.Tensor) -> torch.Tensor:
        """b = fl(t - c) of a block, written to `out` [n, D] on the device."""
        rows = (torch.from_numpy(block) if block.flags.writeable else torch.tensor(block)).to(self._device)
        if block.dtype == np.uint8:
            # a CUDA tensor over a number would be multiplied by the number's rounded reciprocal
            full = torch.tensor(255.0, device=self._device)
            rows = (out.copy_(rows) if out.dtype == torch.float32 else rows.to(torch.float32)).div_(full)
        return torch.sub(rows, torch.from_numpy(self._centre).to(self._device), out=out)

    def _squares(self, rows: torch.Tensor) -> torch.Tensor:
        """Squared norms [n] in float64."""
        parts = [torch.linalg.vector_norm(rows[:, pixels], dim=1).double().square() for pixels in self._chunks]
        return torch.stack(parts).sum(dim=0)

    def _nearest(self, queries: Floats, k: int) -> Floats:
        """Distances [Q, k] of queries [Q, D] to their k nearest training images, ascending."""
        a = torch.from_numpy((queries - self._centre).astype(self._work)).to(self._device)
        own, minus_2a = self._squares(a), (a * -2).T.contiguous()
        shrunk, floor = 1.0 - self._relative, self._dim * 2.0**-120
        rest = shrunk * own - floor
        bounds = np.full((len(queries), k), np.inf)  # the k smallest upper bounds of each query, and squared distances so far
        found = bounds
        pending: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats]] = []  # training image, query, lower bound
        row_bytes = self._dim * (self._dtype.itemsize + 2 * self._work.itemsize) + 40 * len(queries)
        size = min(max(1, self._block_bytes // (2 * row_bytes)), len(self._training))
        buffer = torch.empty((size, self._dim), dtype=a.dtype, device=self._device)
        for start, stop in self._blocks(size, max(64, 2 * k)):
            block = self._read(start, stop)
            b = self._centred(block, buffer[: stop - start])
            squares = self._squares(b)
            if not bool((squares <= 1e28).all()):
                _sound("training", block, start)
            by_torch = self._device.type == "cuda" or _multiplies_float32_as_float32()
            low = (shrunk * squares)[:, None].repeat(1, len(queries))  # lower bounds less what the query alone adds
            for left, right in ((b[:, pixels], minus_2a[pixels]) for pixels in self._chunks):
                low += left @ right if by_torch else torch.from_numpy(left.numpy() @ right.numpy())
            limit = torch.from_numpy(bounds[:, -1].copy()).to(self._device)
            image, query = torch.nonzero(low <= limit - rest, as_tuple=True)
            lower = low[image, query] + rest[query]
            upper = lower + 2 * self._relative * (squares[image] + own[query]) + 2 * floor
            pending.append((image.cpu().numpy() + start, query.cpu().numpy(), lower.cpu().numpy()))
            bounds = _smallest(bounds, pending[-1][1], upper.cpu().numpy())
            if stop == len(self._training) or 24 * sum(len(entry[0]) for entry in pending) > self._block_bytes:
                found, pending = self._reranked(found, queries, bounds[:, -1], pending), []
        return np.sqrt(found)

    def _reranked(self, found: Floats, queries: Floats, limit: Floats, pending: list[tuple[Any, ...]]) -> Floats:
        """`found` with the direct squared distances of the pairs whose lower bound is not above the limit."""
        image, query, lower = (np.concatenate(column) for column in zip(*pending, strict=True))
        kept = np.nonzero(lower <= limit[query])[0]
        kept = kept[np.argsort(image[kept], kind="stable")]  # each training image is read once
        self.reranked += len(kept)
        size = max(1, self._block_bytes // (96 * self._dim))
        for at in range(0, len(kept), size):
            pairs = kept[at : at + size]
            needed, place = np.unique(image[pairs], return_inverse=True)
            first, last = int(needed[0]), int(needed[-1])
            if last - first < 4 * len(needed):  # most of them: one read is quicker than many
                rows = self._read(first, last + 1)[needed - first]
            else:
                rows = np.concatenate([self._read(i, i + 1) for i in needed.tolist()])
            difference = _pixels(rows).astype(np.float64)[place] - queries[query[pairs]]
            found = _smallest(found, query[pairs], np.square(difference, out=difference).sum(axis=1))
        return found


def _smallest(best: Floats, owner: NDArray[np.int64], value: Floats) -> Floats:
    """The k smallest of each row of `best` [Q, k] and of the values of that owner, ascending."""
    useful = value < best[owner, -1]
    owners = np.concatenate([np.repeat(np.arange(len(best)), best.shape[1]), owner[useful]]).astype(np.uint16)  # radix sort
    values = np.concatenate([best.ravel(), value[useful]])
    order = np.argsort(values)
    order = order[np.argsort(owners[order], kind="stable")]
    first = np.searchsorted(owners[order], np.arange(len(best)))
    return values[order][first[:, None] + np.arange(best.shape[1])]


def _multiplies_float32_as_float32() -> bool:
    """Whether torch does so on the CPU: it can be told to round to bfloat16 or TF32 first.  NumPy never does."""
    modes = {os.environ.get(f"{library}_DEFAULT_FPMATH_MODE", "STRICT").upper() for library in ("ONEDNN", "DNNL")}
    newer = getattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision", None)
    return (newer or torch.get_float32_matmul_precision()) in ("none", "ieee", "highest") and modes == {"STRICT"}


def _is_float(dtype: Any) -> bool:
    return dtype.kind == "f" and dtype.itemsize <= 8


def _pixels(block: NDArray[Any]) -> NDArray[Any]:
    """Pixels as rsfast's data sources give them: float32(v) / float32(255) for uint8, floating point as it is."""
    return block.astype(np.float32) / np.float32(255) if block.dtype == np.uint8 else block


def _sound(name: str, images: NDArray[Any], start: int) -> NDArray[Any]:
    if images.min() >= -LARGEST_PIXEL and images.max() <= LARGEST_PIXEL:  # false where there is a NaN
        return images
    for i, image in enumerate(images, start):
        if not (np.abs(image) <= LARGEST_PIXEL).all():
            raise InvalidArgumentError(f"{name}[{i}] holds NaN, infinity or values above 1e15: repair or leave out that image.")
    return images


def _hash(image: NDArray[Any]) -> str:
    """sha256 of the float32 bytes, or of the float64 bytes of an image that float32 does not hold exactly."""
    narrow = image.astype(np.float32)
    return hashlib.sha256((narrow if np.array_equal(narrow, image) else image.astype(np.float64)).tobytes()).hexdigest()


def _number(name: str, value: Any, low: float, high: float, what: str) -> float:
    array = checks.floats(name, value, low, high, what)
    if array.ndim:
        raise InvalidArgumentError(f"{name}={checks.shown(value)} is an array: give {what}.")
    return float(array)


def _device(given: str | torch.device | None) -> torch.device:
    try:
        device = torch.device("cpu" if given is None else given)
    except Exception:  # numbers too large, too
        raise InvalidArgumentError(f"device={checks.shown(given)} is not known to torch: give 'cpu' or a CUDA device.") from None
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not torch.cuda.is_available()):
        raise InvalidArgumentError(f"device={str(given)!r} cannot be used here: give 'cpu', or a CUDA device that torch sees.")
    return device
