"""make show-dual-soundness: dual smoothing's noise equals the reference, its radii are exact on linear halves, its bounds cover.

Linear halves: class 0 of half j is a half-space with probability p_j, so that every perturbation's effect is known.  `clipped` is what
clipping each half's z at 0, as released code does, would claim.  Coverage: over many repetitions, how often a radius exceeds the
exact one, counts drawn as the sampler draws them, and for some cases through models, noise and votes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import rsfast as rs
from bench import results_file
from rsfast import backends, certificates
from rsfast.numerics.normal import ndtr, ndtri
from rsfast.transforms import DiagonalSplit, Partition, strided_masks
from tests.reference.linear import dual_halves, moved

SIGMA = 0.25
CASES = [(0.98, 0.55), (0.999, 0.30), (0.10, 0.95), (0.7, 0.7), (0.9999, 0.02)]
ALPHA, DRAWS, REPETITIONS = 0.05, 300, 100_000
PATH_ALPHA, PATH_DRAWS, PATH_SEEDS = 0.1, 150, 3000


def equality(rng: np.random.Generator, cases: int = 400) -> dict[str, Any]:
    """Random images, sizes, transforms, dtypes and layouts: bits of the C++ and Numba backends against the reference."""
    pixels = 0
    for _ in range(cases):
        height, width, channels = 2 * int(rng.integers(1, 13)), 2 * int(rng.integers(1, 13)), int(rng.integers(1, 5))
        masks = strided_masks(int(rng.integers(1, 3)), int(rng.integers(1, 3)), height, width)
        transform = [
            DiagonalSplit(str(rng.choice(["nearest", "bilinear", "pooled"])), str(rng.choice(["diagonal", "released"]))),
            Partition(masks, str(rng.choice(["nearest", "bilinear", "frame"]))),
        ][int(rng.integers(2))]
        x = torch.from_numpy(rng.random((2, channels, height, width), dtype=np.float32))
        dtype = [torch.float32, torch.bfloat16, torch.float16][int(rng.integers(3))]
        layout = [torch.contiguous_format, torch.channels_last][int(rng.integers(2))]
        common: dict[str, Any] = {
            "part": int(rng.integers(transform.parts)), "sigma": rng.uniform(0.01, 2, 2), "ids": rng.integers(0, 2**32, 2),
            "mean": list(rng.uniform(0, 1, channels)), "std": list(rng.uniform(0.1, 1, channels)),
            "seed": int(rng.integers(2**63)), "stream": 1, "first": int(rng.integers(2**31)), "count": 2,
        }  # fmt: skip
        found = {}
        for name in ("reference", "native", "numba"):
            out = torch.empty((4, channels, height, width), dtype=dtype).contiguous(memory_format=layout)
            backends.get(name).perturb(x, rs.Gaussian(1.0), transform, out=out, **common)
            found[name] = out
        assert torch.equal(found["native"], found["reference"]), transform
        assert torch.equal(found["numba"], found["reference"]), transform
        pixels += found["native"].numel()
    return {"cases": cases, "pixels": pixels, "bits_that_differ": 0}


def smallest_flip(models: list[Any], normals: list[Any], x: torch.Tensor, split: DiagonalSplit) -> float:
    """Length of the shortest perturbation that takes the sum of the halves' probabilities to 1, by search over directions."""

    def lead(steps: tuple[float, float]) -> float:
        at = moved(x, split, normals, steps).flatten(1)
        distances = [model.distance(at[:, split.view(part, *x.shape[1:]).kept]) for part, model in enumerate(models)]
        return float(ndtr(distances[0] / SIGMA) - ndtr(-distances[1] / SIGMA))

    shortest = np.inf
    for angle in np.linspace(0, np.pi / 2, 181):
        direction = (float(np.cos(angle)), float(np.sin(angle)))
        low, high = 0.0, 40 * SIGMA
        for _ in range(50):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if lead((direction[0] * middle, direction[1] * middle)) > 0 else (low, middle)
        shortest = min(shortest, high)
    return shortest


def linear(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Certified and exact radii of linear halves, and the shortest perturbation that flips."""
    split, rows = DiagonalSplit(), []
    x = torch.from_numpy(rng.uniform(0.3, 0.7, (3, 8, 8)).astype(np.float32))
    for p in CASES:
        models, normals = dual_halves(rng, x, split, (SIGMA, SIGMA), p)
        certified = {}
        for joint in ("bonferroni", "product"):
            classifier = rs.Classifier(models, num_classes=2, value_range=None, batch=5000)
            cert = rs.certify(classifier, x[None], noise=rs.Gaussian(SIGMA), transform=split, n=100_000, seed=1, joint=joint)
            certified[joint] = float(cert.radius[0]) if cert.label[0] == 0 else 0.0
        z = ndtri(np.array(p))
        rows.append({
            "p_left": p[0], "p_right": p[1], "exact_radius": float(certificates.dual_l2(*p, sigma_left=SIGMA)),
            "smallest_flipping_perturbation": smallest_flip(models, normals, x, split),
            "certified_100000_draws_a_half_alpha_.001": certified,
            "clipped_halves_would_claim": float(SIGMA * np.maximum(z, 0).sum() / np.sqrt(2)),
        })  # fmt: skip
    return rows


def coverage(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Shares of repetitions whose radius exceeds the exact one; at most alpha, and alpha is 0.05."""
    rows = []
    for joint in ("bonferroni", "product"):
        function = getattr(certificates, f"dual_certify_{joint}")
        for p in CASES:
            votes = rng.binomial(DRAWS, p, (REPETITIONS, 2))
            pairs, times = np.unique(votes, axis=0, return_counts=True)
            radius = function(pairs[:, 0], pairs[:, 1], DRAWS, ALPHA, sigma=SIGMA)
            exact = float(certificates.dual_l2(*p, sigma_left=SIGMA))
            wrong = float(times[radius > exact].sum() / REPETITIONS)
            assert wrong <= ALPHA
            rows.append({"joint": joint, "p_left": p[0], "p_right": p[1], "alpha": ALPHA, "draws_a_half": DRAWS,
                         "repetitions": REPETITIONS, "share_wrong": wrong,
                         "mean_radius_over_exact": float((times * radius).sum() / REPETITIONS / exact)})  # fmt: skip
    return rows


def whole_path(rng: np.random.Generator) -> list[dict[str, Any]]:
    """The same through models, noise and votes: wrong are radii above the exact one and certified wrong classes."""
    split, rows = DiagonalSplit(), []
    x = torch.from_numpy(rng.uniform(0.3, 0.7, (1, 4, 4)).astype(np.float32))
    for p in CASES[:3]:
        models, _ = dual_halves(rng, x, split, (SIGMA, SIGMA), p)
        counts = rs.sample_counts(
            rs.Classifier(models, num_classes=2, value_range=None), x[None].expand(PATH_SEEDS, -1, -1, -1),
            noise=rs.Gaussian(SIGMA), transform=split, n0=100, n=PATH_DRAWS, seed=int(rng.integers(2**63)),
        )  # fmt: skip
        exact = float(certificates.dual_l2(*p, sigma_left=SIGMA))
        for joint in ("bonferroni", "product"):
            cert = rs.certify_counts(counts, alpha=PATH_ALPHA, joint=joint)
            wrong = float(((cert.radius > exact) | (cert.label == 1)).mean())
            assert wrong <= PATH_ALPHA
            rows.append({"joint": joint, "p_left": p[0], "p_right": p[1], "alpha": PATH_ALPHA, "draws_a_half": PATH_DRAWS,
                         "repetitions": PATH_SEEDS, "share_wrong": wrong})  # fmt: skip
    return rows


def main() -> None:
    rng = np.random.default_rng(20261121)
    figures = {"equality": equality(rng), "linear_halves_sigma_.25": linear(rng), "coverage": coverage(rng),
               "coverage_of_the_whole_path": whole_path(rng)}  # fmt: skip
    for name, rows in figures.items():
        for row in rows if isinstance(rows, list) else [rows]:
            print(f"{name}: " + ", ".join(f"{key}={value}" for key, value in row.items()))
    results_file.write("dual-soundness", figures)


if __name__ == "__main__":
    main()
