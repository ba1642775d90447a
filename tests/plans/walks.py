"""Simulated images that walk through a table."""

import numpy as np


def successes(rng, looks, failure, images):
    """Counts at every look, int64 [B, K]."""
    steps = np.diff(looks, prepend=0)
    return np.stack([rng.binomial(step, 1 - failure, images) for step in steps], axis=1).cumsum(axis=1)


def walk(tables, counts):
    """(reached, look at which drawing stopped, reached without ever stopping): int64 [B] each."""
    reached, free = np.full(len(counts), -1), np.full(len(counts), -1)
    stopped = np.full(len(counts), -1)
    for k in range(len(tables.looks)):
        free = tables.reached(k, counts[:, k], free)
        alive = stopped < 0
        reached[alive] = tables.reached(k, counts[alive, k], reached[alive])
        stopped[alive & tables.finished(k, counts[:, k], reached)] = k
    return reached, stopped, free
