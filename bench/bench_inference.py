"""The forward pass: a classifier as it is given, and prepared in ever more ways, per image."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from bench import timing
from rsfast.engine import default_batch
from rsfast.inference import DTYPES, prepare
from rsfast.models import build

ROUNDS = 11
TOTAL = 100_100


class Block(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inside != outside:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def resnet18() -> nn.Module:
    """ResNet-18 for 224x224 images (He et al. 2016, table 1), with fresh weights."""
    widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
    blocks = [Block(inside, outside, 1 if inside == outside else 2) for inside, outside in itertools.pairwise(widths)]
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1),
        *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000),
    )  # fmt: skip


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 128), nn.ReLU(), nn.Linear(128, 10))


CASES: list[tuple[str, Callable[[], nn.Module], tuple[int, int, int], int]] = [
    ("cifar-resnet20", lambda: build("cifar-resnet20", num_classes=10, channels=3), (3, 32, 32), 1024),
    ("resnet18", resnet18, (3, 224, 224), 16),
    ("mlp-3072-128-10", mlp, (3, 32, 32), 8192),
]


def settled(model: nn.Module) -> nn.Module:
    """In eval mode, batch norms with statistics and weights as after training, for a check that means something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model.eval()


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
    if importlib.util.find_spec("openvino"):
        choices["openvino"] = choices["auto"] | {"runtime": "openvino"}
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
