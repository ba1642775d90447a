"""Fresh reference points for the non-central chi-square distribution, in arbitrary precision."""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import mpmath as mp
import numpy as np

from rsfast.certificates import input_dependent_l2
from rsfast.numerics import ncx2
from tests.reference import ncx2_exact

Point = tuple[float, float, float]


def general(rng: np.random.Generator, count: int) -> list[Point]:
    """df 1e-3 … 1e9, nc 0 … 1e16, every tail to 1e-300 and, for the logarithms, to e^(-1e6); one in ten at any x at all."""
    points = []
    while len(points) < count:
        df = 10 ** rng.uniform(-3, 9)
        df = float(round(df)) if df > 2 and rng.random() < 0.5 else df
        nc = 0.0 if rng.random() < 0.15 else 10 ** rng.uniform(-3, 16)
        kind = rng.random()
        if kind < 0.1:
            x = 10 ** rng.uniform(-290, 290)
        else:
            log_p = (
                -rng.exponential(3) - 1e-9
                if kind < 0.5
                else -rng.uniform(1, 690)
                if kind < 0.9
                else -(10 ** rng.uniform(2.85, 6))
            )
            x = float(ncx2.quantile(log_p, df, nc, upper=rng.random() < 0.5).x)
        if 1e-300 < x < 1e300:
            points.append((df, nc, x))
    return points


def small(rng: np.random.Generator, count: int) -> list[Point]:
    """The range of the series, and the seams between the rules: df up to 900, nc x around their limits."""
    points = []
    while len(points) < count:
        df = 10 ** rng.uniform(-3, 2.95)
        nc = 0.0 if rng.random() < 0.2 else 10 ** rng.uniform(-4, 3.5)
        log_p = -rng.exponential(3) - 1e-9 if rng.random() < 0.5 else -rng.uniform(1, 690)
        x = float(ncx2.quantile(log_p, df, nc, upper=rng.random() < 0.5).x)
        if 1e-300 < x < 1e300:
            points.append((df, nc, x))
    return points


def input_dependent(rng: np.random.Generator, count: int) -> list[Point]:
    """The arguments of input-dependent certificates, N = 784 … 196608, r = 1e-7 … 10, p from 1/2 + 1e-6 to 1 - 1e-16."""
    points = []
    while len(points) < count:
        dim = float(rng.choice([784, 3072, 150528, 196608]))
        rate, sigma = 10 ** rng.uniform(-7, 1), float(rng.choice([0.12, 0.25, 0.5, 1.0]))
        q = 0.5 - 10 ** rng.uniform(-6, -0.35) if rng.random() < 0.4 else 10 ** rng.uniform(-16, -0.4)
        radius = float(input_dependent_l2(1 - q, sigma=sigma, dim=dim, rate=rate, q_upper=q)) * rng.choice(
            [1.0, rng.uniform(0.05, 1.05)]
        )
        side = rng.choice([-1.0, 1.0])
        u = side * rate * radius
        if radius <= 0 or abs(u) > 300 or u == 0:
            continue
        nc0 = (radius / sigma / -math.expm1(-2 * u)) ** 2
        nc1 = nc0 * math.exp(-2 * u)
        nc, log_p = (nc0, math.log(q)) if rng.random() < 0.5 else (nc1, math.log(0.5 - 1e-9))
        if nc < 1e16:
            points.append((dim, nc, float(ncx2.quantile(log_p, dim, nc, upper=bool(side < 0)).x)))
    return points


def exact(point: Point) -> tuple[str, str]:
    """(log cdf, log sf) to 35 digits, as text."""
    low, high = ncx2_exact.log_tails(*point)
    return mp.nstr(low, 35), mp.nstr(high, 35)


def exact_many(points: list[Point]) -> list[tuple[str, str]]:
    with ProcessPoolExecutor() as pool:
        return list(pool.map(exact, points, chunksize=64))


def regime(point: Point) -> str:
    df, nc, x = point
    size = 0.5 * math.hypot(df, 2 * math.sqrt(nc) * math.sqrt(x))
    return "A < 23" if size < 23 else "23 <= A < 30" if size < 30 else "30 <= A < 400" if size < 400 else "A >= 400"


def cross_check(points: list[Point], rng: np.random.Generator, count: int) -> dict[str, Any]:
    """Largest disagreement of two independent methods on a subset."""
    worst = {"contour / series": mp.mpf(0), "contour / real space": mp.mpf(0)}
    tried = dict.fromkeys(worst, 0)
    for i in rng.permutation(len(points)):
        df, nc, x = points[i]
        size = 0.5 * math.hypot(df, 2 * math.sqrt(nc) * math.sqrt(x))
        if size < 1000:
            continue
        name, other = (
            ("contour / series", ncx2_exact.series)
            if df < 3e3 and nc * x < 1e7 and nc < 4e3
            else ("contour / real space", ncx2_exact.real_space)
        )
        if other is ncx2_exact.real_space and min(abs(float(value)) for value in ncx2_exact.contour(df, nc, x)) < 1e-30:
            continue  # the real integral resolves tails down to here
        if tried[name] >= count or (other is ncx2_exact.real_space and not df > 2):
            continue
        with mp.workdps(70):
            one, two = ncx2_exact.contour(df, nc, x), other(df, nc, x)
            which = 0 if x < df + nc else 1
            worst[name] = max(worst[name], abs(one[which] / two[which] - 1))
        tried[name] += 1
        if all(number >= count for number in tried.values()):
            break
    return {name: {"points": tried[name], "largest_relative_difference_of_log_tail": float(worst[name])} for name in worst}
