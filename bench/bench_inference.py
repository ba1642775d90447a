"""The forward pass: a classifier as it is given, and prepared in ever more ways, per image."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from bench import timing
from bench.networks import mlp, resnet18, settled
from rsfast.inference import DTYPES, default_batch, prepare
from rsfast.models import build

ROUNDS = 11
TOTAL = 100_100
RUNTIMES = {"openvino": "auto", "onnxruntime": "float32"}
"""Optional ones, measured where they are installed, and the dtype asked of each."""


CASES: list[tuple[str, Callable[[], nn.Module], tuple[int, int, int], int]] = [
    ("cifar-resnet20", lambda: build("cifar-resnet20", num_classes=10, channels=3), (3, 32, 32), 1024),
    ("resnet18", resnet18, (3, 224, 224), 16),
    ("mlp-3072-128-10", mlp, (3, 32, 32), 8192),
]


def candidates(
    make: Callable[[], nn.Module], shape: tuple[int, int, int], rows: int
) -> tuple[dict[str, Callable[[], Any]], dict[str, dict[str, Any]]]:
    """Each classifies `rows` images, in passes of its own batch; and what was chosen for each."""
    torch.manual_seed(0)
    model = settled(make())
    usual = min(default_batch(shape[0] * shape[1] * shape[2], TOTAL, "cpu"), rows)
    usual = 2 ** (usual.bit_length() - 1)  # so that whole passes make up `rows`
    choices: dict[str, dict[str, Any]] = {
        "as_given": {"batch": usual},
        "channels_last": {"channels_last": True, "batch": usual},
        "folded": {"channels_last": True, "fold": True, "batch": usual},
        "bfloat16": {"dtype": "bfloat16", "channels_last": True, "fold": True, "batch": usual},
        "auto": {"dtype": "auto", "fold": True, "batch": "auto", "total": rows},
    }
    for runtime, dtype in RUNTIMES.items():
        if importlib.util.find_spec(runtime):
            choices[runtime] = choices["auto"] | {"runtime": runtime, "dtype": dtype}
    calls: dict[str, Callable[[], Any]] = {}
    chosen: dict[str, dict[str, Any]] = {}
    for name, choice in choices.items():
        prepared = prepare(model, shape, **choice)
        layout = torch.channels_last if prepared.channels_last else torch.contiguous_format
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(prepared.batch, *shape, generator=generator).to(DTYPES[prepared.dtype], memory_format=layout)
        passes = -(-rows // prepared.batch)

        def call(classify: Any = prepared.model, x: torch.Tensor = x, passes: int = passes) -> None:
            with torch.inference_mode():
                for _ in range(passes):
                    classify(x)

        limit = 1e-3 if prepared.dtype == "float32" else 0.1
        if prepared.record["difference"] is None or prepared.record["difference"] > limit:
            raise SystemExit(f"{name}: logits differ by {prepared.record['difference']} of their spread; no speed is reported.")
        calls[name] = call
        kept = ("runtime", "dtype", "channels_last", "batch", "folded", "difference", "same_class")
        chosen[name] = {key: prepared.record[key] for key in kept} | {"rows": passes * prepared.batch}
    return calls, chosen


def measure() -> Iterator[dict[str, Any]]:
    torch.set_num_threads(1)
    for name, make, shape, rows in CASES:
        calls, chosen = candidates(make, shape, rows)
        results = timing.summary(timing.interleaved(calls, rounds=ROUNDS), baseline="as_given", per=rows, unit="us")
        yield {
            "model": name, "shape": shape, "images": rows, "threads": 1, "unit": "us per image", "chosen": chosen, "results": results,
        }  # fmt: skip
