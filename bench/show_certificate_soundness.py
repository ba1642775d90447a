"""make show-certificate-soundness: the golden table, soundness against independent optima, the figures of the papers.

CASES=1 multiplies the number of random cases.
"""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from typing import Any

import numpy as np
from scipy import stats

from bench import results_file
from rsfast import certificates as c
from rsfast.report import curves
from tests.certificates.test_divergences import SIGMA_FAMILY
from tests.certificates.test_golden import NEITHER, ROWS, UPPER
from tests.reference import optimal
from tests.reference.cases import multiclass_cases, pairs
from tests.report.test_report import LOGS

CASES = int(os.environ.get("CASES", "1"))


def golden() -> dict[str, Any]:
    """Largest relative error per certificate, and how many values lie on the unsound side."""
    found: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for row in ROWS:
        name = row["certificate"]
        if name in c.CERTIFICATES:
            got, exact = float(c.get(name)(**row["params"])), row["value"]
            wrong = name not in NEITHER and (got < exact if name in UPPER else got > exact)
            found[name].append((abs(got / exact - 1) if exact else abs(got), wrong))
    return {
        name: {
            "rows": len(rows),
            "largest_relative_error": max(e for e, _ in rows),
            "on_the_unsound_side": sum(w for _, w in rows),
        }
        for name, rows in found.items()
    }


def tally(excess: np.ndarray) -> dict[str, Any]:
    """excess: claimed over allowed, relative; above rounding is a violation."""
    return {"cases": int(np.size(excess)), "largest_excess": float(np.max(excess)), "violations": int((excess > 1e-9).sum())}


def soundness(rng: np.random.Generator) -> dict[str, Any]:
    found = {}
    p1, p2 = pairs(rng, 200_000 * CASES)
    cohen = c.cohen_l2(p1, sigma=1.0, p_upper=p2)
    for f in SIGMA_FAMILY[1:]:
        found[f"{f.__name__} above cohen_l2 (Neyman-Pearson)"] = tally(
            (f(p1, sigma=1.0, p_upper=p2) - cohen) / np.maximum(cohen, 1e-3)
        )
    p1, p2 = np.clip(p1, 0, 1 - 1e-9), np.maximum(p2, 1e-9)
    for shape in (1.0, 1.5, 2.0, 3.0, 7.5):
        noise = stats.gennorm(shape)
        few = slice(0, 20_000 * CASES)
        radius = c.generalized_gaussian_l1(p1[few], scale=1.0, shape=shape, p_upper=p2[few])
        kept = noise.cdf(noise.ppf(p1[few]) - radius * (1 - 1e-7)) - noise.cdf(noise.ppf(p2[few]) + radius * (1 - 1e-7))
        found[f"generalized_gaussian_l1, shape {shape}: half-lines cross before R"] = tally(-kept)
    excess = []
    for pa_l, pa_r, pb_l, pb_r, s_l, s_r in multiclass_cases(rng, 300 * CASES):
        exact = optimal.dual_multiclass(pa_l, pa_r, pb_l, pb_r, s_l, s_r, angles=257)
        got = float(c.dual_multiclass_l2(pa_l, pa_r, p_upper_left=pb_l, p_upper_right=pb_r, sigma_left=s_l, sigma_right=s_r))
        excess.append((got - exact) / max(exact, 1e-9))
    found["dual_multiclass_l2 above the least norm found by scan and search"] = tally(np.array(excess))
    excess = []
    for _ in range(150 * CASES):
        k = int(rng.integers(2, 7))
        p = np.where(rng.random(k) < 0.5, rng.uniform(0.3, 0.99, k), 1 - 10 ** rng.uniform(-5, -1.5, k))
        sigma = rng.choice([0.25, 0.5, 1.0], k)
        exact = optimal.partition(p, sigma, rng, starts=30)
        excess.append((float(c.partition_l2(p, sigma=sigma)) - exact) / max(exact, 1e-9) - 1e-7)  # SLSQP stops 1e-8 inside
    found["partition_l2 above the least norm found from 30 starts"] = tally(np.array(excess))
    n = 40
    k = np.arange(n + 1)
    for method in (c.dual_certify_bonferroni, c.dual_certify_product):
        for alpha in (0.01, 0.1):
            radius = method(k[:, None], k[None, :], n, alpha, sigma=1.0)
            worst = np.array(
                [
                    optimal.overclaiming(radius, n, a, b, max((stats.norm.ppf(a) + stats.norm.ppf(b)) / math.sqrt(2), 0.0))
                    / alpha
                    for a, b in rng.uniform(0.01, 0.9999, (2000 * CASES, 2))
                ]
            )
            found[f"{method.__name__}, alpha {alpha}: P(overclaim)/alpha - 1, enumerated"] = tally(worst - 1)
    p1, p2 = pairs(rng, 100_000 * CASES)
    p1 = np.maximum(p1, 0.5)
    p2 = np.minimum(p2, 1 - p1)
    for order in (2.0, 4.0, math.inf):
        more = {"sigma": 1.0, "dim": 3072, "order": order, "p_upper": p2}
        for limit in (c.kumar_iid, c.unimodal_iid, c.kumar_generalized_gaussian):
            top = limit(p1, **more)
            name = f"gaussian_lp, order {order}, above {limit.__name__}"
            found[name] = tally(np.where(np.isfinite(top), c.gaussian_lp(p1, **more) / top - 1, -1.0))
    return found


def main() -> None:
    figures: dict[str, Any] = {"golden": golden(), "soundness": soundness(np.random.default_rng(4)), "figures": []}
    folder = results_file.ROOT / "bench" / "results" / results_file.machine() / "limits"
    for figure in curves.all_curves(curves.classifiers(LOGS)[0]):
        curves.write(figure, folder)
        figures["figures"].append(figure.name)
        if figure.name.startswith("kumar-limits"):
            ratio = figure.series["tighter of the paper's bounds / certificate"]
            figures.setdefault("bound_over_certificate", {})[figure.title] = [float(ratio.min()), float(ratio.max())]
    for name, row in figures["golden"].items():
        print(f"{name:26} {row['rows']:3} rows  {row['largest_relative_error']:.1e}  unsound {row['on_the_unsound_side']}")
    for name, row in figures["soundness"].items():
        print(f"{name:80} {row['cases']:7} cases  largest excess {row['largest_excess']:9.1e}  violations {row['violations']}")
    print(json.dumps(figures["bound_over_certificate"], indent=1))
    assert not any(row["on_the_unsound_side"] for row in figures["golden"].values())
    assert not any(row["violations"] for row in figures["soundness"].values())
    results_file.write("certificate-soundness", figures)


if __name__ == "__main__":
    main()
