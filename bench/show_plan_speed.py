"""make show-plan-speed: seconds of certifying real images with a fixed n and with plans, batches full, and what both certify.

Two networks trained here: the demo's on 8x8 digits, and a CIFAR ResNet-20 on the digits enlarged to 32x32.  A fixed n and the
plans take turns, twice each; all draw the same noise.  `passes` are forward passes of copies, with what fills batches.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

import rsfast as rs
from bench import results_file, timing
from rsfast import models, sources
from rsfast.training import train_with_noise

SIGMA, ALPHA = 0.25, 0.001
CASES = [("small-cnn", 8, 200, 100_000, 40), ("cifar-resnet20", 32, 20, 10_000, 12)]
"""Network, side, images, n, epochs."""


def digits(split: str, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    source = sources.load("digits", split=split)
    x = torch.stack([torch.from_numpy(source.image(i)) for i in range(len(source))])
    if side > 8:
        x = torch.nn.functional.interpolate(x, size=(side, side), mode="nearest").expand(-1, 3, -1, -1).contiguous()
    return x, torch.tensor([source.label(i) for i in range(len(source))])


def radii_of(side: int) -> list[float]:
    """Up to about 2 sigma; every pixel of the small digits is a block of the large ones, and radii grow with its side."""
    return [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


def measured(network: Any, x: torch.Tensor, labels: torch.Tensor, n: int, side: int) -> dict[str, Any]:
    radii, passes = radii_of(side), 0

    def count(_: int, rows: int) -> None:
        nonlocal passes
        passes += rows

    common: dict[str, Any] = {
        "noise": rs.Gaussian(SIGMA), "num_classes": 10, "n0": 100, "n": n, "alpha": ALPHA, "seed": 1, "value_range": None,
        "fold": True, "dtype": "float32", "progress": count,
    }  # fmt: skip
    ways: dict[str, dict[str, Any]] = {
        "fixed n": {},
        "grid": {"plan": rs.plans.Grid(radii)},
        "grid, final 0.5": {"plan": rs.plans.Grid(radii, final=0.5)},
        "grid, labels": {"plan": rs.plans.Grid(radii), "labels": labels.tolist(), "n0": 0},
        "radius, tolerance 0.05": {"plan": rs.plans.Radius()},
    }
    if side == 8:
        ways["curtailed"] = {"plan": rs.plans.Curtail()}
    rows: dict[str, Any] = {name: {"seconds": []} for name in ways}
    for _ in range(2):
        for name, more in ways.items():
            passes = 0
            began = time.perf_counter()
            cert = rs.certify(network, x, **common | more)
            row = rows[name]
            row["seconds"].append(round(time.perf_counter() - began, 2))
            row["copies"], row["mean_draws"] = passes, float(cert.counts.drawn.mean())
            row["useful_share_of_copies"] = float((cert.counts.drawn.sum() + cert.counts.n0 * len(x)) / passes)
            row["certified_accuracy"] = [float(((cert.label == labels.numpy()) & (cert.radius >= r)).mean()) for r in radii]
    fixed = rows["fixed n"]
    for row in rows.values():
        row["times_faster_than_fixed_n"] = float(np.median(np.array(fixed["seconds"]) / np.array(row["seconds"])))
        row["times_fewer_copies"] = fixed["copies"] / row["copies"]
        row["largest_loss_points"] = 100 * max(np.subtract(fixed["certified_accuracy"], row["certified_accuracy"]))
    return {"radii": radii, "ways": rows}


def main() -> None:
    timing.with_roomy_malloc()
    shown = []
    for name, side, images, n, epochs in CASES:
        torch.manual_seed(0)
        x, y = digits("train", side)
        network = models.build(name, num_classes=10, channels=x.shape[1])
        train_with_noise(network, x, y, sigma=SIGMA, epochs=epochs, learning_rate=4e-3)
        test, labels = digits("test", side)
        result = measured(network.eval(), test[:images], labels[:images], n, side)
        shown.append({"network": name, "shape": list(test.shape[1:]), "images": images, "n": n, "sigma": SIGMA, **result})
        for way, row in result["ways"].items():
            print(f"{name:15} {way:24} {row['seconds']} s  x{row['times_faster_than_fixed_n']:.1f}  draws {row['mean_draws']:8.0f}  "
                  f"useful {row['useful_share_of_copies']:.3f}  {row['certified_accuracy']}", flush=True)  # fmt: skip
    results_file.write("plan-speed", {"alpha": ALPHA, "threads": torch.get_num_threads(), "rows": shown})
    for row in shown:
        for way, found in row["ways"].items():
            if way.startswith("grid"):
                assert abs(found["largest_loss_points"]) <= 100 * 2 / row["images"] + 1e-9, (way, found)


if __name__ == "__main__":
    main()
