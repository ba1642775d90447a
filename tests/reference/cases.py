"""Random probabilities at which certificates are tried, by tests and shows."""

import numpy as np


def pairs(rng, count):
    """p1 > p2 with p1 + p2 <= 1: near one half, near 1, small, nearly tied."""
    p1 = np.where(rng.random(count) < 0.5, rng.uniform(0.02, 1, count), 1 - 10 ** rng.uniform(-12, -0.5, count))
    share = np.where(rng.random(count) < 0.3, 1 - 10 ** rng.uniform(-10, -1, count), 10 ** rng.uniform(-8, 0, count))
    p2 = np.minimum(p1, 1 - p1) * share
    return p1, p2


def multiclass_cases(rng, count):
    for _ in range(count):
        pa = rng.uniform(0.01, 0.99, 2) if rng.random() < 0.7 else 1 - 10 ** rng.uniform(-6, -1, 2)
        pb = np.array([rng.uniform(0, 1 - p) if rng.random() < 0.6 else (1 - p) * 10 ** rng.uniform(-8, 0) for p in pa])
        yield (*pa, *pb, *rng.choice([0.12, 0.25, 0.5, 1.0], 2))
