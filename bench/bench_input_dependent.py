"""Input-dependent radii, one thread, against brentq on SciPy's functions in the formula of the paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import optimize, stats

from bench import timing
from rsfast.certificates import cohen_l2, input_dependent_l2

CASES = [(dim, rate) for dim in (784, 3072, 150528) for rate in (0.1, 1e-2, 1e-3, 1e-4)]
SIGMA, COUNT = 0.25, 20_000


def peer_radius(p: float, sigma: float, dim: float, rate: float) -> float:
    """Root of max(xi_>, xi_<) - 1/2 in (0, Cohen's radius)."""

    def excess(radius: float) -> float:
        values = []
        for side in (-1, 1):
            sigma1 = sigma * math.exp(side * rate * radius)
            gap = (sigma - sigma1) * (sigma + sigma1)
            nc0, nc1 = (sigma * radius / gap) ** 2, (sigma1 * radius / gap) ** 2
            if side < 0:
                values.append(stats.ncx2.cdf(stats.ncx2.ppf(1 - p, dim, nc0) * (sigma / sigma1) ** 2, dim, nc1))
            else:
                values.append(stats.ncx2.sf(stats.ncx2.isf(1 - p, dim, nc0) * (sigma / sigma1) ** 2, dim, nc1))
        return max(values) - 0.5

    top = float(cohen_l2(p, sigma=sigma)) * 1.0001
    return optimize.brentq(excess, 1e-6 * top, top, xtol=1e-12, rtol=1e-12)


def candidates(dim: int, rate: float, count: int) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.55, 0.9999, COUNT)
    few = p[:count]
    expected = input_dependent_l2(few, sigma=SIGMA, dim=dim, rate=rate)
    np.testing.assert_allclose([peer_radius(q, SIGMA, dim, rate) for q in few], expected, rtol=1e-5)
    return {
        "rsfast": lambda: input_dependent_l2(p, sigma=SIGMA, dim=dim, rate=rate),
        "scipy_brentq": lambda: [peer_radius(q, SIGMA, dim, rate) for q in few],
    }


def measure() -> Iterator[dict[str, Any]]:
    for dim, rate in CASES:
        count = 20 if rate > 1e-3 else 5 if rate == 1e-3 else 2
        seconds = timing.interleaved(candidates(dim, rate, count), rounds=5, warmup=1)
        seconds = {"rsfast": seconds["rsfast"] / COUNT, "scipy_brentq": seconds["scipy_brentq"] / count}
        yield {
            "dim": dim, "rate": rate, "sigma": SIGMA, "radii": COUNT, "radii_of_the_peer": count, "threads": 1, "unit": "us per radius",
            "results": timing.summary(seconds, baseline="scipy_brentq", unit="us"),
        }  # fmt: skip
