"""Clopper-Pearson failure bounds, vectorised, against scipy.special.betainccinv (the same quantity, stable form)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from bench import timing
from rsfast import confidence
from rsfast.numerics import beta

PAIRS = 5_000
CASES = [(n, alpha) for n in (10**3, 10**5, 10**7, 10**9) for alpha in (1e-3, 1e-12)]


def candidates(n: int, alpha: float) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    count = rng.binomial(n, rng.uniform(0.5, 1.0, PAIRS)).astype(np.float64)
    calls = {
        "rsfast": lambda: confidence.failure_upper(count, n, alpha),
        "rsfast_unchecked": lambda: beta.binomial_upper(n - count, n, alpha),
        "scipy": lambda: special.betainccinv(n - count + 1, count, alpha),
    }
    np.testing.assert_allclose(calls["rsfast"](), calls["scipy"](), rtol=1e-9)
    return calls


def measure() -> Iterator[dict[str, Any]]:
    for n, alpha in CASES:
        seconds = timing.interleaved(candidates(n, alpha), rounds=15)
        yield {
            "n": n, "alpha": alpha, "pairs": PAIRS, "threads": 1, "unit": "us per pair",
            "results": timing.summary(seconds, baseline="scipy", per=PAIRS, unit="us"),
        }  # fmt: skip
    rng = np.random.default_rng(1)
    many = 1_000_000
    n = np.floor(10 ** rng.uniform(1, 9, many))
    count, alpha = np.floor(n * rng.uniform(0.3, 1.0, many)), 10 ** rng.uniform(-15, -1, many)
    calls = {
        "rsfast": lambda: confidence.failure_upper(count, n, alpha),
        "scipy": lambda: special.betainccinv(n - count + 1, count, alpha),
    }
    np.testing.assert_allclose(calls["rsfast"](), calls["scipy"](), rtol=1e-9)
    seconds = timing.interleaved(calls, rounds=3, warmup=0)
    yield {
        "n": "10 to 1e9", "alpha": "1e-15 to 0.1", "pairs": many, "threads": 1, "unit": "us per pair",
        "results": timing.summary(seconds, baseline="scipy", per=many, unit="us"),
    }  # fmt: skip
