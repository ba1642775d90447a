"""make show-plan-halves: how often a sequential plan for two halves states a radius above the true one.

Linear halves of known probabilities (the true radius of a pair is `dual_l2` of the probabilities themselves), never stopping,
so that every look may err: simulated votes at every look, certified exactly as `stopping.rules.OverLooks` does.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import rsfast as rs
from bench import results_file
from rsfast.certificates import dual_l2
from rsfast.certifying import radii
from rsfast.request import Smoothing
from rsfast.stopping.choose import Ask, make
from rsfast.stopping.rules import OverLooks

SIGMA, ALPHA, N = 0.25, 0.05, 2000
PATHS = {"bonferroni": 20_000, "product": 1_000}  # the product takes milliseconds a look
PAIRS = [(0.98, 0.55), (0.999, 0.30), (0.90, 0.90), (0.7, 0.6), (0.10, 0.95)]
SPLIT = rs.DiagonalSplit("nearest")


def share_wrong(pair: tuple[float, float], joint: str, paths: int, rng: np.random.Generator) -> dict[str, Any]:
    """How many never-stopping paths state a radius above the true one at some look, and the mean of the last statements."""
    true = float(dual_l2(*pair, sigma_left=SIGMA, sigma_right=SIGMA))
    ask = Ask(Smoothing(rs.Gaussian(SIGMA), SPLIT, (8, 8)), rs.Claim(ALPHA, joint=joint), rs.plans.Grid([true]))
    recipe = make(ask, 10, N)
    assert isinstance(recipe, OverLooks)
    votes, best, at = np.zeros((paths, 2), dtype=np.int64), np.zeros(paths), 0
    for n, share in zip(recipe.looks, recipe.shares, strict=True):
        votes += rng.binomial(n - at, pair, size=(paths, 2))
        at = n
        different, back = np.unique(votes, axis=0, return_inverse=True)
        estimation = np.stack([different, n - different], axis=2)  # [B, parts, K]
        sigma = ask.smoothing.levels(len(different))
        of_look = radii.Votes(estimation, np.zeros(len(different), dtype=np.int64), n, sigma)
        found = radii.derive(ask.smoothing, of_look, ask.claim.at(float(share)))
        best = np.maximum(best, found.radius[back.ravel()])
    return {"true_radius": true, "paths": paths, "wrong": int((best > true).sum()), "mean_radius": float(best.mean())}


def main() -> None:
    rng, rows = np.random.default_rng(11), []
    for pair in PAIRS:
        for joint in ("bonferroni", "product"):
            began = time.perf_counter()
            found = share_wrong(pair, joint, PATHS[joint], rng)
            wrong = found["wrong"] / found["paths"]
            rows.append({
                "probabilities": pair, "joint": joint, **found, "share_wrong": wrong,
                "standard_error": float(np.sqrt(max(wrong, 1 / found["paths"]) * (1 - wrong) / found["paths"])),
                "seconds": round(time.perf_counter() - began, 1),
            })  # fmt: skip
            print(rows[-1], flush=True)
    results_file.write("plan-halves", {"alpha": ALPHA, "n": N, "sigma": SIGMA, "rows": rows})
    assert all(row["share_wrong"] <= ALPHA + 3 * row["standard_error"] for row in rows)


if __name__ == "__main__":
    main()
