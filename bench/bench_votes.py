"""Counting votes: argmax and histogram in one pass, against torch argmax + bincount and the published Python loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from bench import timing
from rsfast import backends

SHAPES = [(1000, 10), (256, 1000)]


def candidates(rows: int, classes: int) -> dict[str, Callable[[], Any]]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, classes, generator=generator)
    votes = torch.zeros(classes, dtype=torch.int64)

    def ours(name: str) -> Callable[[], torch.Tensor]:
        backend = backends.get(name)

        def call() -> torch.Tensor:
            votes.zero_()
            backend.count(logits, votes)
            return votes

        return call

    def torch_bincount() -> torch.Tensor:
        return torch.bincount(logits.argmax(1), minlength=classes)

    def published() -> list[int]:
        counts = [0] * classes
        for index in logits.argmax(1).cpu().numpy():
            counts[index] += 1
        return counts

    calls = {"native": ours("native"), "numba": ours("numba"), "torch_bincount": torch_bincount, "published": published}
    expected = published()
    for name, call in calls.items():
        assert list(map(int, call())) == expected, name
    return calls


def measure() -> Iterator[dict[str, Any]]:
    torch.set_num_threads(1)
    for rows, classes in SHAPES:
        seconds = timing.interleaved(candidates(rows, classes), rounds=201)
        yield {
            "rows": rows, "classes": classes, "threads": 1, "unit": "us per call",
            "results": timing.summary(seconds, baseline="torch_bincount", unit="us"),
        }  # fmt: skip
