"""make show-training: training objectives at three noise levels, certified on test images: accuracy at 0 and mean radius.

MNIST=DIR names a folder with the idx files; without it the digits of scikit-learn are taken, and noise is half as large.  Other
variables: IMAGES (test images, 1000), N (draws, 10000), EPOCHS (40), SIGMAS, OBJECTIVES (comma-separated), WORK (a folder for
what is finished, runs/training; the same command continues).  A network of 0.4 million weights; on two free cores all of it takes
about four hours, most of it for certifying.

The mean radius is over all test images, with 0 where the answer is wrong or missing; Xia et al. average the right ones alone,
which stands beside it.  Radii are exact ones of a fixed n.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import rsfast as rs
from bench import results_file, timing
from rsfast import models, sources
from rsfast.cli.progress import Progress
from rsfast.request import Claim, Request
from rsfast.runs.execute import execute
from rsfast.runs.read import result_table
from rsfast.runs.store import Part
from rsfast.training import KeyedNoise
from rsfast.training.loop import Training
from rsfast.training.recipe import Recipe

SIGMAS = (0.25, 0.5, 1.0)
OPTIONS: dict[str, dict[float, dict[str, Any]]] = {  # on MNIST, from the authors' commands where they name one
    "noise-augmentation": {},
    "stability": {sigma: {"weight": 2.0} for sigma in SIGMAS},
    "consistency": {0.25: {"weight": 10.0}, 0.5: {"weight": 5.0}, 1.0: {"weight": 5.0}},
    "smooth-adv": {sigma: {"epsilon": 1.0, "steps": 4, "copies": 2} for sigma in SIGMAS},
    "macer": {0.25: {"weight": 16.0, "copies": 8}, 0.5: {"weight": 16.0, "copies": 8}, 1.0: {"weight": 6.0, "copies": 8}},
    "smooth-mix": {0.25: {"steps": 2, "copies": 2}, 0.5: {"steps": 4, "copies": 2}, 1.0: {"steps": 8, "copies": 2}},
}
RAMPS = {"smooth-adv": {"epsilon": 10}, "smooth-mix": {"weight": 10}}
LEAST = {0.25: (0.97, 0.72), 0.5: (0.96, 1.20), 1.0: (0.90, 1.20)}
"""Certified accuracy at 0 and mean radius of noise augmentation on MNIST."""
REGULARIZED = ("consistency", "smooth-adv", "macer", "smooth-mix")


def network(side: int) -> nn.Module:
    after = -(-side // 4)
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, 2, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(64 * after * after, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def trained(folder: Path, objective: str, sigma: float, data: str, epochs: int, shrink: float) -> tuple[nn.Module, float]:
    """The network, and the seconds that its training took."""
    source = sources.load(data, split="train")
    recipe = Recipe(
        objective, OPTIONS[objective].get(sigma, {}), RAMPS.get(objective, {}), epochs=epochs, learning_rate=2e-3, warmup=1.0, seed=0
    )  # fmt: skip
    torch.manual_seed(0)
    training = Training(
        network(source.shape[1]),
        source,
        KeyedNoise(rs.Gaussian(sigma * shrink), 0),
        recipe,
        folder,
        f"{source.name}, sigma {sigma}",
    )
    training.run(
        done=lambda line: print(f"    epoch {line['epoch']}: loss {line['loss']:.4f}, {line['seconds']:.1f} s", flush=True)
    )
    return training.network, sum(line["seconds"] for line in training.lines)


def certified(folder: Path, net: nn.Module, sigma: float, data: str, images: int, n: int) -> dict[str, Any]:
    source = sources.load(data, split="test")
    loaded = models.LoadedModel(net, "mnist-cnn", models.fingerprint(net))
    request = Request("certify", rs.Gaussian(sigma), n, 100, claim=Claim(0.001), seed=0)
    began = time.perf_counter()
    execute(request, rs.Classifier(net, num_classes=10), loaded, source, folder, Part(count=images), Progress(n + 100))
    seconds, table = time.perf_counter() - began, result_table(folder)
    assert table.radius is not None
    radius = np.where(table.correct, table.radius, 0.0)
    return {
        "images": len(table), "certified_accuracy_at_0": float(table.correct.mean()), "mean_radius": float(radius.mean()),
        "standard_error": float(radius.std(ddof=1) / np.sqrt(len(radius))),
        "mean_radius_of_right_ones": float(radius[table.correct].mean()) if table.correct.any() else 0.0,
        "certify_seconds": round(seconds, 1),
    }  # fmt: skip


def check(rows: list[dict[str, Any]]) -> None:
    """What is claimed of the whole table."""
    by = {(row["objective"], row["sigma"]): row for row in rows}
    for sigma, (accuracy, radius) in LEAST.items():
        row = by.get(("noise-augmentation", sigma))
        assert row is None or (row["certified_accuracy_at_0"] >= accuracy and row["mean_radius"] >= radius), row
    plain, others = by.get(("noise-augmentation", 0.5)), [by[name, 0.5] for name in REGULARIZED if (name, 0.5) in by]
    if plain is not None and len(others) == len(REGULARIZED):
        better = [
            row for row in others
            if row["mean_radius"] - plain["mean_radius"] > 2 * np.hypot(row["standard_error"], plain["standard_error"])
        ]  # fmt: skip
        assert len(better) >= 2, [row["objective"] for row in better]


def main() -> None:
    timing.with_roomy_malloc()
    folder = os.environ.get("MNIST")
    data, shrink = (f"mnist:{folder}", 1.0) if folder else ("digits", 0.5)
    images, n, epochs = (int(os.environ.get(name, usual)) for name, usual in (("IMAGES", 1000), ("N", 10_000), ("EPOCHS", 40)))
    sigmas = [float(text) for text in os.environ.get("SIGMAS", "0.25,0.5,1").split(",")]
    objectives = os.environ.get("OBJECTIVES", ",".join(OPTIONS)).split(",")
    work = Path(os.environ.get("WORK", "runs/training"))
    rows: list[dict[str, Any]] = []
    for objective in objectives:
        for sigma in sigmas:
            name = f"{'mnist' if folder else 'digits'}-{objective}-{sigma:g}-{epochs}"
            print(f"{name}", flush=True)
            done = work / name / f"row-{images}-{n}.json"
            if not done.exists():
                net, seconds = trained(work / name, objective, sigma, data, epochs, shrink)
                row = {"objective": objective, "sigma": sigma * shrink, "epochs": epochs, "train_seconds": round(seconds, 1)}
                row |= certified(work / name / f"run-{n}", net, sigma * shrink, data, images, n)
                done.write_text(json.dumps(row))
            rows.append(json.loads(done.read_text()))
            print("   ", ", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    results_file.write("training", {"data": "MNIST, 8,000 images trained on" if folder else "digits", "n": n, "rows": rows})
    if folder and images >= 1000 and n >= 10_000:
        check(rows)


if __name__ == "__main__":
    main()
