"""Statistics of the normal draws, used by the tests (millions of values) and by `make show-draws` (a hundred million)."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import special, stats

from rsfast import backends
from rsfast.backends.reference import box_muller
from rsfast.noise import Gaussian
from rsfast.transforms import Identity

SIDE = 1024  # one noisy sample is an image of 1 x 1024 x 1024


def normals(count, *, seed=0, stream=1, image=0, sample=0, backend="native"):
    """`count` standard normals (a multiple of 2^20): consecutive samples of one all-zero image, sigma 1; float32."""
    samples = count // SIDE**2
    out = torch.empty(samples, 1, SIDE, SIDE)
    backends.get(backend).perturb(
        torch.zeros(1, 1, SIDE, SIDE), Gaussian(1.0), Identity(), part=0, sigma=np.ones(1), mean=None, std=None, seed=seed,
        stream=stream, ids=np.array([image]), first=sample, count=samples, out=out,
    )  # fmt: skip
    return out.flatten().numpy()


def kolmogorov_smirnov(z):
    """Distance to the normal distribution function, and its p-value."""
    z = np.sort(z)
    n = len(z)
    distance = 0.0
    for begin in range(0, n, 2**22):
        part = special.ndtr(z[begin : begin + 2**22].astype(np.float64))
        rank = np.arange(begin, begin + len(part))
        distance = max(distance, float((part - rank / n).max()), float(((rank + 1) / n - part).max()))
    return distance, float(stats.kstwobign.sf(distance * math.sqrt(n)))


def anderson_darling(z):
    """A² against the standard normal (no parameter fitted); 3.857 is exceeded by 1 % of true samples, 6.0 by 0.1 %."""
    z = np.sort(z)
    n = len(z)
    total = 0.0
    for begin in range(0, n, 2**22):
        low = z[begin : begin + 2**22].astype(np.float64)
        high = z[n - begin - len(low) : n - begin][::-1].astype(np.float64)
        weight = 2.0 * np.arange(begin, begin + len(low)) + 1.0
        total += float((weight * (special.log_ndtr(low) + special.log_ndtr(-high))).sum())
    return -n - total / n


def correlation_z(a, b):
    """Sample correlation of two sets of draws, in standard deviations of what independence gives."""
    return float(np.dot(a.astype(np.float64), b.astype(np.float64)) / math.sqrt(len(a)))


def tail_counts(z, thresholds):
    """For each threshold how many |z| exceed it, how many are expected, and the Poisson two-sided p-value."""
    size = np.abs(z)
    rows = []
    for threshold in thresholds:
        seen, expected = int((size > threshold).sum()), 2 * len(z) * float(special.ndtr(-threshold))
        p = min(1.0, 2 * min(stats.poisson.cdf(seen, expected), stats.poisson.sf(seen - 1, expected)))
        rows.append({"threshold": threshold, "seen": seen, "expected": expected, "p_value": float(p)})
    return rows


def largest_draw():
    """The largest |z| that the generator can return."""
    radius, _ = box_muller(np.zeros(1, np.uint32), np.zeros(1, np.uint32), np.zeros(1, np.uint32))
    return float(radius[0])
