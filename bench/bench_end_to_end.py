"""Whole certification of one image on the CPU: `certify` with everything measured, against the published loop in float32.

`published` is the loop of Cohen, Rosenfeld & Kolter's code: batches of repeat + randn_like * sigma through the model as it is
given, argmax, counts in NumPy.  `certify` prepares once (not timed: it is done once a run), then draws, runs and counts;
`openvino` and `onnxruntime` are the same with a runtime that is an extra, where it is installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from bench import timing
from bench.bench_inference import RUNTIMES
from bench.networks import mlp, resnet18, settled
from rsfast.counting.classifier import Classifier
from rsfast.counting.conveyor import Draws
from rsfast.counting.count import votes_of
from rsfast.counting.images import Image
from rsfast.counting.ready import Ready
from rsfast.models import build
from rsfast.noise import Gaussian
from rsfast.request import WHOLE

SIGMA = 0.25
CASES: list[tuple[str, Callable[[], torch.nn.Module], tuple[int, int, int], int, int, int]] = [
    # model, shape, classes, copies, batch of the published loop
    ("mlp-3072-128-10", mlp, (3, 32, 32), 10, 20_000, 1000),
    ("cifar-resnet20", lambda: build("cifar-resnet20", num_classes=10, channels=3), (3, 32, 32), 10, 2_000, 250),
    ("resnet18", resnet18, (3, 224, 224), 1000, 64, 16),
]


def published(model: torch.nn.Module, x: torch.Tensor, classes: int, n: int, batch: int) -> np.ndarray:
    with torch.no_grad():
        counts = np.zeros(classes, dtype=int)
        for _ in range(-(-n // batch)):
            this = min(batch, n)
            n -= this
            copies = x.repeat((this, 1, 1, 1))
            predictions = model(copies + torch.randn_like(copies) * SIGMA).argmax(1)
            for index in predictions.numpy():
                counts[index] += 1
        return counts


def measure() -> Iterator[dict[str, Any]]:
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, make, shape, classes, n, batch in CASES:
            torch.manual_seed(0)
            model = settled(make())
            x = torch.rand(shape)
            measured: dict[str, Any] = {"num_classes": classes, "batch": "auto", "fold": True}
            classifiers = {"certify": Classifier(model, dtype="auto", **measured)}
            for runtime, dtype in RUNTIMES.items():
                if importlib.util.find_spec(runtime):
                    classifiers[runtime] = Classifier(model, dtype=dtype, runtime=runtime, **measured)
            calls: dict[str, Callable[[], np.ndarray]] = {}
            ready = {who: classifier.ready(WHOLE, shape, total=n) for who, classifier in classifiers.items()}
            for who, found in ready.items():

                def certify(found: Ready = found, x: torch.Tensor = x, n: int = n) -> np.ndarray:
                    return votes_of(found, Image(x, np.array([SIGMA]), 0), Draws(Gaussian(SIGMA), 0), [(1, n)])

                calls[who] = certify

            def loop(
                model: Any = model, x: torch.Tensor = x, classes: int = classes, n: int = n, batch: int = batch
            ) -> np.ndarray:
                return published(model, x, classes, n, batch)

            calls["published"] = loop
            assert all(call().sum() == n for call in calls.values())
            seconds = timing.interleaved(calls, rounds=9)
            chosen = {
                who: {
                    "dtype": found.dtype,
                    "batch": found.batch,
                    "channels_last": found.running.channels_last,
                    "folded": found.running.how["folded"],
                }
                for who, found in ready.items()
            }
            results = timing.summary(seconds, baseline="published", per=n, unit="us")
            yield {
                "model": name, "shape": shape, "copies": n, "threads": threads, "unit": "us per copy", "chosen": chosen,
                "batch_of_published": batch, "results": results,
            }  # fmt: skip
