"""make show-attacks: certificates attacked; flips inside of them (none), and the smallest flip's distance over the radius.

The digits demo's network, in l2 (PGD, DDN, C&W) and linf (PGD) under Gaussian noise and in l1 (PGD) under Laplace noise: 200 steps,
100 copies, every flip checked by 100,000 fresh draws.  IMAGES=50 says of how many images.  Beside it a linear network, whose
distances are known.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import torch

import rsfast as rs
from bench import results_file, timing
from rsfast import attacks, sources
from rsfast.models import SmallCNN
from rsfast.training import train_with_noise
from tests.reference.linear import random_halfspace

CASES = [(rs.Gaussian(0.25), 2.0), (rs.Gaussian(0.25), math.inf), (rs.Laplace(0.2), 1.0)]


def digits(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    source = sources.load("digits", split=split)
    return torch.stack([torch.from_numpy(source.image(i)) for i in range(len(source))]), torch.tensor(
        [source.label(i) for i in range(len(source))]
    )


def attacked(
    network: torch.nn.Module, x: torch.Tensor, noise: Any, norm: float, classes: int
) -> tuple[Any, np.ndarray, np.ndarray]:
    cert = rs.certify(network, x, noise=noise, num_classes=classes, n=100_000, norm=norm, seed=0)
    rows = np.flatnonzero(~cert.abstained & (cert.radius > 0))
    smoothed = attacks.Smoothed(network, noise, seed=1)
    found = attacks.smallest_flips(
        smoothed,
        x[torch.from_numpy(rows)],
        cert.label[rows],
        num_classes=classes,
        norm=norm,
        seed=2,
        guess=1.2 * cert.radius[rows],
    )
    return found, cert.radius[rows], rows


def main() -> None:
    timing.with_roomy_malloc()
    images = int(os.environ.get("IMAGES", "50"))
    torch.manual_seed(0)
    network = SmallCNN(num_classes=10, channels=1)
    train_with_noise(network, *digits("train"), sigma=0.25, epochs=200, learning_rate=4e-3)
    rows: list[dict[str, Any]] = []
    for noise, norm in CASES:
        found, radius, _ = attacked(network, digits("test")[0][:images], noise, norm, 10)
        ratio = found.distance / radius
        rows.append({
            "network": "small-cnn on digits", "noise": str(noise), "norm": str(norm), "certificates": len(radius),
            "flips_found": int(np.isfinite(ratio).sum()), "flips_inside": int(found.inside(radius).sum()),
            "median_ratio": float(np.median(ratio)), "least_ratio": float(ratio.min()),
            "found_by": {name: found.attack.count(name) for name in (*attacks.ATTACKS, "")},
        })  # fmt: skip
        print(rows[-1], flush=True)
    linear, x = random_halfspace(np.random.default_rng(0), 64), digits("test")[0][:images]
    found, radius, kept = attacked(linear, x, rs.Gaussian(0.25), 2.0, 2)
    exact = linear.distance(x).abs().numpy()[kept]
    near = exact >= 0.1  # below, the check's own error is a large share of the distance
    rows.append({
        "network": "linear", "noise": str(rs.Gaussian(0.25)), "norm": "2.0", "certificates": len(radius),
        "flips_inside": int(found.inside(radius).sum()), "largest_over_exact": float((found.distance / exact)[near].max()),
        "inside_of_1.3_times_the_radius": float(found.inside(1.3 * radius)[near].mean()),
    })  # fmt: skip
    print(rows[-1], flush=True)
    results_file.write("attacks", {"steps": 200, "copies": 100, "n": 100_000, "rows": rows})
    assert all(row["flips_inside"] == 0 for row in rows)
    assert rows[-1]["largest_over_exact"] <= 1.05


if __name__ == "__main__":
    main()
