"""make show-plan-savings: draws that plans need, and certified accuracy that they lose, on probabilities recovered from logs.

Against n = 100,000 draws for every image and Clopper-Pearson at the same alpha = 0.001, on the same images.  "class": 100 draws
choose the class, counted on both sides; "label": the label is tested, no draws choose.  REPETITIONS=60.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from scipy import stats

from bench import results_file
from bench.recovered import N, Recovered, recovered
from rsfast import plans
from rsfast.confidence import failure_upper
from rsfast.numerics.normal import ndtri
from rsfast.plans.boundary import critical

ALPHA, N0 = 1e-3, 100
REPETITIONS = int(os.environ.get("REPETITIONS", "60"))
LARGEST_Z = float(-ndtri(failure_upper(N, N, ALPHA)))
CELLS = ("up to 2 sigma", "up to 2 sigma, without 0", "sigma only", "whole grid")  # grids begin with radius 0
STEPS = {0.12: 0.05}  # of the radii, 0.25 elsewhere


def radii_of(sigma: float, cell: str) -> np.ndarray:
    """The radii of a cell of the table."""
    if cell == "sigma only":
        return np.array([sigma])
    step = STEPS.get(sigma, 0.25)
    last = LARGEST_Z * sigma if cell == "whole grid" else 2.0 * sigma
    return step * np.arange(1 if cell == "up to 2 sigma, without 0" else 0, int(last / step + 1e-9) + 1)


def simulate(rng: np.random.Generator, tables: plans.Tables, failure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(draws, last threshold reached) of images with these failure probabilities."""
    success = 1.0 - failure.ravel()
    draws, counts = np.zeros(success.size, dtype=np.int64), np.zeros(success.size, dtype=np.int64)
    reached, active = np.full(success.size, -1), np.arange(success.size)
    for look, n in enumerate(tables.looks):
        counts[active] += rng.binomial(n - draws[active], success[active])
        draws[active] = n
        reached[active] = tables.reached(look, counts[active], reached[active])
        active = active[~tables.finished(look, counts[active], reached[active])]
        if not len(active):
            break
    return draws.reshape(failure.shape), reached.reshape(failure.shape)


def fixed_accuracy(failure: np.ndarray, counted: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Expected share of rows that n draws certify at each threshold: float64 [J]."""
    found = []
    for e in thresholds:
        most = critical(N, e, ALPHA)
        found.append((stats.binom.cdf(most, N, failure) * counted).mean() if most >= 0 else 0.0)
    return np.array(found)


def fixed_radius(rng: np.random.Generator, failure: np.ndarray, counted: np.ndarray) -> float:
    """Average certified radius of n draws, in units of sigma."""
    z = -ndtri(failure_upper(np.arange(N + 1), N, ALPHA))
    return float((np.maximum(z, 0.0)[rng.binomial(N, 1.0 - failure)] * counted).mean())


def row(rng: np.random.Generator, data: Recovered, mode: str, cell: str, plan: plans.Plan, column: str) -> dict[str, Any]:
    """One line of the table."""
    failure = data.failures(rng, REPETITIONS)
    counted = np.broadcast_to(data.right if mode == "class" else np.ones(len(data.right), bool), failure.shape)
    if mode == "label":
        failure = data.of_label(rng, failure)
    lattice = cell == "lattice"
    radii = radii_of(data.sigma, "whole grid" if cell == "lattice" else cell)
    thresholds = stats.norm.sf(radii / data.sigma)
    tables = plans.tables(plan, plan.failures(ALPHA, N) if lattice else thresholds, alpha=ALPHA, n=N)
    draws, reached = simulate(rng, tables, failure)
    extra = N0 if mode == "class" else 0
    mean = float(draws.mean()) + extra
    found: dict[str, Any] = {"data": data.name, "mode": mode, "radii": cell, "plan": column, "mean_samples": round(mean, 1)}
    found["ratio"] = round((N + extra) / mean, 2)
    fixed = fixed_accuracy(failure, counted, thresholds)
    if lattice:
        z = np.append(plan.lattice(ALPHA, N), 0.0)[reached]
        ours = np.array([(counted & (z >= r / data.sigma - 1e-9)).mean() for r in radii])
        found["average_radius_loss_percent"] = round(100 * (1 - (z * counted).mean() / fixed_radius(rng, failure, counted)), 2)
    else:
        ours = np.array([(counted & (reached >= j)).mean() for j in range(len(radii))])
    loss = 100 * (fixed - ours)
    found["largest_loss_points"], found["mean_loss_points"] = round(float(loss.max()), 3), round(float(loss.mean()), 3)
    return found


def main() -> None:
    start, rng, rows = time.perf_counter(), np.random.default_rng(7), []
    sets = recovered()
    for data in sets:
        for mode in ("class", "label"):
            for cell in CELLS:
                radii = radii_of(data.sigma, cell)
                for column, plan in {
                    "grid, final 0.5": plans.Grid(radii, final=0.5),
                    "grid, final 0.8": plans.Grid(radii),
                    "betting": plans.Betting(radii=radii),
                }.items():
                    rows.append(row(rng, data, mode, cell, plan, column))
            for column, plan in {
                "radius, tolerance 0.01": plans.Radius(0.01),
                "radius, tolerance 0.05": plans.Radius(),
                "betting, lattice": plans.Betting(),
            }.items():
                rows.append(row(rng, data, mode, "lattice", plan, column))
        print(f"{data.name}: {time.perf_counter() - start:.0f} s", flush=True)
    shown(rows)
    medians = summary(rows)
    figures = {"repetitions": REPETITIONS, "seconds": round(time.perf_counter() - start, 1), "medians": medians, "rows": rows}
    results_file.write("plan-savings", figures)
    check(rows, medians)


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Median and least ratio and the largest loss over the seven sets, for each cell and plan."""
    found = []
    for mode, cell, plan in dict.fromkeys((r["mode"], r["radii"], r["plan"]) for r in rows):
        same = [r for r in rows if (r["mode"], r["radii"], r["plan"]) == (mode, cell, plan)]
        ratios = [r["ratio"] for r in same]
        found.append(
            {
                "mode": mode,
                "radii": cell,
                "plan": plan,
                "median_ratio": float(np.median(ratios)),
                "least_ratio": min(ratios),
                "largest_loss_points": max(r["largest_loss_points"] for r in same),
            }
        )
        print(f"{mode:6} {cell:24} {plan:24} median x{np.median(ratios):6.1f}  least x{min(ratios):6.1f}  "
              f"largest loss {found[-1]['largest_loss_points']:.2f} points")  # fmt: skip
    return found


def shown(rows: list[dict[str, Any]]) -> None:
    for r in rows:
        print(f"{r['data']:14} {r['mode']:6} {r['radii']:24} {r['plan']:24} {r['mean_samples']:9.0f} x{r['ratio']:6.1f}  "
              f"loss {r['largest_loss_points']:6.2f}  radius {r.get('average_radius_loss_percent', '')}")  # fmt: skip


def check(rows: list[dict[str, Any]], medians: list[dict[str, Any]]) -> None:
    """What was asked of the plan with final = 0.5."""
    for mode, cell, median, least in (
        ("class", "up to 2 sigma", 13.0, 6.5), ("label", "up to 2 sigma", 30.0, 12.0), ("class", "sigma only", 75.0, 38.0),
    ):  # fmt: skip
        (found,) = [m for m in medians if (m["mode"], m["radii"], m["plan"]) == (mode, cell, "grid, final 0.5")]
        assert found["median_ratio"] >= median, found
        assert found["least_ratio"] >= least, found
    lost = [r for r in rows if r["plan"].startswith("grid") and r["largest_loss_points"] > 0.25]
    assert not lost, lost


if __name__ == "__main__":
    main()
