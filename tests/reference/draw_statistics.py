"""Statistics of the draws, used by the tests (millions of values), `make show-draws` (1e8) and `make show-tails` (1e10)."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import special, stats

from rsfast import backends
from rsfast.backends.reference import box_muller
from rsfast.noise import Gaussian, GeneralizedGaussian, Laplace, LatticeGaussian, Uniform
from rsfast.transforms import Identity

SIDE = 1024  # one noisy sample is an image of 1 x 1024 x 1024


NOISES = {  # of unit level: those whose draws have a distribution function of their own
    "gaussian": Gaussian(1.0),
    "laplace": Laplace(1.0),
    "generalized-gaussian-3": GeneralizedGaussian(1.0, 3.0),
    "generalized-gaussian-4": GeneralizedGaussian(1.0, 4.0),
    "generalized-gaussian-5": GeneralizedGaussian(1.0, 5.0),
    "generalized-gaussian-1.5": GeneralizedGaussian(1.0, 1.5),
    "uniform": Uniform(1.0),
}
LATTICE_SIGMA = 0.25


def variates(noise, count, *, seed=0, stream=1, image=0, sample=0, backend="native", out=None):
    """`count` draws (a multiple of 2^20) of unit level: consecutive samples of one all-zero image; float32."""
    samples = count // SIDE**2
    out = torch.empty(samples, 1, SIDE, SIDE) if out is None else out
    level = noise.sigma if isinstance(noise, LatticeGaussian) else 1.0
    backends.get(backend).perturb(
        torch.zeros(1, 1, SIDE, SIDE), noise, Identity(), part=0, sigma=np.full(1, level), mean=None, std=None, seed=seed,
        stream=stream, ids=np.array([image]), first=sample, count=samples, out=out,
    )  # fmt: skip
    return out.flatten().numpy()


def normals(count, **counters):
    """`count` standard normals."""
    return variates(Gaussian(1.0), count, **counters)


def sf(noise, z):
    """P(Z > z) for draws of unit level, float64."""
    z = np.asarray(z, dtype=np.float64)
    if isinstance(noise, Gaussian):
        return special.ndtr(-z)
    if isinstance(noise, Uniform):
        return np.clip((1 - z) / 2, 0, 1)
    half = special.gammaincc(1 / noise.shape, np.abs(z) ** noise.shape) / 2
    return np.where(z > 0, half, 1 - half)


def threshold(noise, tail):
    """The float32 z that is exceeded with about a given probability below 1/2."""
    if isinstance(noise, Gaussian):
        return float(np.float32(-special.ndtri(tail)))
    if isinstance(noise, Uniform):
        return float(np.float32(1 - 2 * tail))
    return float(np.float32(special.gammainccinv(1 / noise.shape, 2 * tail) ** (1 / noise.shape)))


def kolmogorov_smirnov(z, noise=NOISES["gaussian"]):
    """Distance to the distribution function, and its p-value."""
    z = np.sort(z)
    n = len(z)
    distance = 0.0
    for begin in range(0, n, 2**22):
        part = sf(noise, -z[begin : begin + 2**22].astype(np.float64))  # symmetric
        rank = np.arange(begin, begin + len(part))
        distance = max(distance, float((part - rank / n).max()), float(((rank + 1) / n - part).max()))
    return distance, float(stats.kstwobign.sf(distance * math.sqrt(n)))


def anderson_darling(z, noise=NOISES["gaussian"]):
    """A² (no parameter fitted); 3.857 is exceeded by 1 % of true samples, 6.0 by 0.1 %."""
    z = np.sort(z)
    n = len(z)
    total = 0.0
    for begin in range(0, n, 2**22):
        low = z[begin : begin + 2**22].astype(np.float64)
        high = z[n - begin - len(low) : n - begin][::-1].astype(np.float64)
        weight = 2.0 * np.arange(begin, begin + len(low)) + 1.0
        total += float((weight * (np.log(sf(noise, -low)) + np.log(sf(noise, high)))).sum())
    return -n - total / n


def chi_square(z, noise=NOISES["gaussian"], cells=4096):
    """Chi-square statistic over cells of equal probability, and its p-value."""
    counts = np.zeros(cells, dtype=np.int64)
    for begin in range(0, len(z), 2**22):
        u = sf(noise, z[begin : begin + 2**22])
        counts += np.bincount(np.minimum((u * cells).astype(np.int64), cells - 1), minlength=cells)
    expected = len(z) / cells
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return statistic, float(stats.chi2.sf(statistic, cells - 1))


def lattice_chi_square(noise, values):
    """The same over the whole numbers J that LatticeGaussian draws, with their exact probabilities; ends of fewer than 10 in one."""
    j = np.rint(values.astype(np.float64) * noise.levels).astype(np.int64)
    s = noise.sigma * noise.levels
    beyond = len(values) * special.ndtr(-(np.arange(20 * int(s)) + 0.5) / s)
    most = int(np.argmax(beyond < 10))  # J beyond this far end one shares a cell
    edges = np.arange(-most, most + 2) - 0.5
    probability = np.diff(special.ndtr(edges / s))
    probability[0], probability[-1] = special.ndtr(edges[1] / s), special.ndtr(-edges[-2] / s)
    counts = np.bincount(np.clip(j, -most, most) + most, minlength=2 * most + 1)
    expected = len(values) * probability
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return statistic, float(stats.chi2.sf(statistic, len(counts) - 1))


def two_sided(seen, expected):
    """Two-sided Poisson p-value of a count."""
    return float(min(1.0, 2 * min(stats.poisson.cdf(seen, expected), stats.poisson.sf(seen - 1, expected))))


def correlation_z(a, b):
    """Sample correlation of two sets of draws, in standard deviations of what independence gives."""
    return float(np.dot(a.astype(np.float64), b.astype(np.float64)) / math.sqrt(len(a)))


def tail_counts(z, thresholds):
    """For each threshold how many |z| exceed it, how many are expected, and the Poisson two-sided p-value."""
    size = np.abs(z)
    rows = []
    for threshold in thresholds:
        seen, expected = int((size > threshold).sum()), 2 * len(z) * float(special.ndtr(-threshold))
        rows.append({"threshold": threshold, "seen": seen, "expected": expected, "p_value": two_sided(seen, expected)})
    return rows


def largest_draw():
    """The largest |z| that the generator can return."""
    radius, _ = box_muller(np.zeros(1, np.uint32), np.zeros(1, np.uint32), np.zeros(1, np.uint32))
    return float(radius[0])
