"""Certificates per second, one thread, against the same formula written with SciPy's functions or its optimisers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special, stats

from bench import timing
from rsfast import certificates as c
from rsfast import confidence
from tests.reference import optimal

COUNT = 200_000


def closed_forms() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.55, 0.9999, COUNT)
    other = (1 - p) * rng.uniform(0.1, 1, COUNT)
    right = rng.uniform(0.5, 0.9999, COUNT)
    z = special.ndtri

    def kl() -> Any:
        return 0.5 * np.sqrt(-2 * np.log(1 - (np.sqrt(p) - np.sqrt(other)) ** 2))

    def gennorm() -> Any:
        return 0.25 * (special.gammainccinv(1 / 3, 2 * (1 - p)) ** (1 / 3) + special.gammainccinv(1 / 3, 2 * other) ** (1 / 3))

    def cube() -> Any:
        return -np.expm1(np.log1p(-0.5 * (p - other)) / 3072) * math.sqrt(3072)

    return {
        "cohen_l2": (lambda: c.cohen_l2(p, sigma=0.5, p_upper=other), lambda: 0.25 * (z(p) - z(other))),
        "gaussian_lp": (
            lambda: c.gaussian_lp(p, sigma=0.5, dim=3072, order=np.inf, p_upper=other),
            lambda: 0.25 * (z(p) - z(other)) / math.sqrt(3072),
        ),
        "kl_l2": (lambda: c.kl_l2(p, sigma=0.5, p_upper=other), kl),
        "laplace_l1": (
            lambda: c.laplace_l1(p, scale=0.5, p_upper=other),
            lambda: -0.25 * (np.log(2 * (1 - p)) + np.log(2 * other)),
        ),
        "generalized_gaussian_l1, shape 3": (lambda: c.generalized_gaussian_l1(p, scale=0.5, shape=3.0, p_upper=other), gennorm),
        "uniform_lp": (lambda: c.uniform_lp(p, half_width=0.5, dim=3072, order=2.0, p_upper=other), cube),
        "dual_l2": (
            lambda: c.dual_l2(p, right, sigma_left=0.25, sigma_right=0.5),
            lambda: (z(p) + z(right)) / math.hypot(4.0, 2.0),
        ),
    }


def measure() -> Iterator[dict[str, Any]]:
    for name, (own, peer) in closed_forms().items():
        np.testing.assert_allclose(own(), peer(), rtol=1e-6, atol=1e-9)
        seconds = timing.interleaved({"rsfast": own, "scipy": peer}, rounds=15)
        yield {
            "certificate": name, "elements": COUNT, "threads": 1, "unit": "ns per certificate",
            "results": timing.summary(seconds, baseline="scipy", per=COUNT, unit="ns"),
        }  # fmt: skip
    rng = np.random.default_rng(1)
    p_l, p_r = rng.uniform(0.3, 0.99, 500), rng.uniform(0.6, 0.99, 500)
    b_l, b_r = (1 - p_l) * rng.uniform(0.2, 1, 500), (1 - p_r) * rng.uniform(0.2, 1, 500)
    both = {"rsfast": lambda: c.dual_multiclass_l2(p_l, p_r, p_upper_left=b_l, p_upper_right=b_r, sigma_left=0.5)}
    seconds = timing.interleaved(
        {
            **both,
            "scan_129_angles_brentq": lambda: [optimal.dual_multiclass(p_l[0], p_r[0], b_l[0], b_r[0], 0.5, 0.5, angles=129)],
        },
        rounds=5,
    )
    seconds = {"rsfast": seconds["rsfast"] / 500, "scan_129_angles_brentq": seconds["scan_129_angles_brentq"]}
    yield {
        "certificate": "dual_multiclass_l2", "threads": 1, "unit": "us per certificate",
        "results": timing.summary(seconds, baseline="scan_129_angles_brentq", unit="us"),
    }  # fmt: skip
    for k in (2, 3, 5, 8):
        for what, zs in (("ordinary", rng.uniform(-0.5, 3, (20, k))), ("all z 3.7", np.full((4, k), 3.7))):
            p = stats.norm.cdf(zs)
            calls = {
                "rsfast": lambda p=p: c.partition_l2(p, sigma=0.5),
                "slsqp_5_starts": lambda p=p, k=k: optimal.partition(p[0], np.full(k, 0.5), np.random.default_rng(0), starts=5),
            }
            seconds = timing.interleaved(calls, rounds=5, warmup=1)
            seconds["rsfast"] = seconds["rsfast"] / len(p)
            yield {
                "certificate": f"partition_l2, k = {k}, {what}", "threads": 1, "unit": "ms per certificate",
                "results": timing.summary(seconds, baseline="slsqp_5_starts", unit="ms"),
            }  # fmt: skip
    n = 100_000
    count = rng.integers(n // 2, n, 300).astype(float)
    calls = {
        "rsfast": lambda: c.dual_certify_product(count, count[::-1], n, 0.001, sigma=0.5),
        "two_clopper_pearson_bounds": lambda: (
            confidence.failure_upper(count, n, 0.0005),
            confidence.failure_upper(count, n, 0.0005),
        ),
    }
    seconds = timing.interleaved(calls, rounds=5)
    yield {
        "certificate": "dual_certify_product", "threads": 1, "unit": "us per certificate",
        "results": timing.summary(seconds, baseline="two_clopper_pearson_bounds", per=300, unit="us"),
    }  # fmt: skip
