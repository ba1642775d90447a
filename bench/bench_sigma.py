"""The k nearest training images of 200 queries, all processors, against scikit-learn's brute force.

A row's load average tells whether other programs ran: on `threads` processors it should not be much above `threads`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn import datasets, neighbors

from bench import timing
from rsfast.sigma import NearestNeighbors

K = 20


def cases() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, training images [N, D] and queries [Q, D]: float32 in [0, 1]."""
    rng = np.random.default_rng(5)
    yield "uniform pixels, 32x32x3", rng.random((50_000, 3072), dtype=np.float32), rng.random((200, 3072), dtype=np.float32)
    low, mix = rng.random((40, 3072)), rng.dirichlet(np.full(40, 0.3), 50_200)  # mixtures of few pictures: real neighbours
    images = np.clip(mix @ low + 0.05 * rng.standard_normal((50_200, 3072), dtype=np.float32), 0, 1).astype(np.float32)
    yield "mixtures of 40 pictures, 32x32x3", images[:50_000], images[50_000:]
    digits = (datasets.load_digits().data / 16).astype(np.float32)[rng.permutation(1797)]
    yield "digits, 8x8", digits[:1438], digits[1438:1638]


def measure() -> Iterator[dict[str, Any]]:
    for name, training, x in cases():
        own = NearestNeighbors(training, base=0.5, k=K, m=0.0)
        peer = neighbors.NearestNeighbors(n_neighbors=K, algorithm="brute").fit(training)
        found = own.distances(x)
        candidates = own.reranked / len(x)
        np.testing.assert_allclose(found, peer.kneighbors(x)[0], rtol=1e-6)
        for i in range(3):  # and bit for bit against direct differences
            direct = np.sqrt(np.sort([np.sum((row.astype(float) - x[i]) ** 2) for row in training])[:K])
            np.testing.assert_array_equal(found[i], direct)
        calls = {"rsfast": lambda own=own, x=x: own.distances(x), "scikit_learn_brute": lambda peer=peer, x=x: peer.kneighbors(x)}
        seconds = timing.interleaved(calls, rounds=9 if len(training) > 10_000 else 31)
        yield {
            "images": name, "training": len(training), "dim": training.shape[1], "queries": len(x), "k": K, "dtype": "float32",
            "threads": torch.get_num_threads(), "load_average": os.getloadavg()[0], "candidates_reranked_per_query": candidates,
            "largest_relative_difference_from_scikit_learn": float(np.abs(found / peer.kneighbors(x)[0] - 1).max()),
            "unit": "ms per call", "results": timing.summary(seconds, baseline="scikit_learn_brute", unit="ms"),
        }  # fmt: skip
