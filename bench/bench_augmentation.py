"""make show-augmentation: an epoch of training on noisy images, against the bare epoch and torch's usual line.

512 images of MNIST's size through a small CNN in batches of 128, forward and backward; only where the noise comes from differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

import rsfast as rs
from bench import timing
from bench.show_training import network
from rsfast.training import KeyedNoise, noise_augmentation

IMAGES, BATCH, SIGMA, ROUNDS = 512, 128, 0.25, 11


def measure() -> Iterator[dict[str, Any]]:
    torch.manual_seed(0)
    net, x, y = network(28), torch.rand(IMAGES, 1, 28, 28), torch.randint(10, (IMAGES,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    bare, keyed = KeyedNoise(None), KeyedNoise(rs.Gaussian(SIGMA))

    def epoch(loss_of: Callable[[torch.Tensor, torch.Tensor, range], torch.Tensor]) -> None:
        for first in range(0, IMAGES, BATCH):
            rows = range(first, first + BATCH)
            loss = loss_of(x[first : first + BATCH], y[first : first + BATCH], rows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    candidates = {
        "bare": lambda: epoch(lambda x, y, rows: noise_augmentation(net, x, y, bare.at(0, rows))),
        "rsfast": lambda: epoch(lambda x, y, rows: noise_augmentation(net, x, y, keyed.at(0, rows))),
        "x + sigma * randn_like(x)": lambda: epoch(
            lambda x, y, rows: noise_augmentation(net, x + SIGMA * torch.randn_like(x), y, bare.at(0, rows))
        ),
    }
    seconds = timing.interleaved(candidates, rounds=ROUNDS)
    results = timing.summary(seconds, baseline="bare", per=IMAGES, unit="us")
    yield {"images": IMAGES, "shape": [1, 28, 28], "batch": BATCH, "unit": "us an image", "results": results}
