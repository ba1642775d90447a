"""make show-tails: how often ten billion normal draws exceed 1 … 6.5, and a billion of other noises their quantiles.

Counts of both signs are compared with exact probabilities: a two-sided Poisson p-value for each threshold, and a chi-square over
the cells between thresholds for all together.  --quick draws a hundredth.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from scipy import stats

from bench import results_file
from rsfast.noise import Noise
from tests.reference import draw_statistics as draws

BLOCK = draws.SIDE**2  # draws of one sample
LEAST_P = 1e-3  # of all thresholds together


def counts(noise: Noise, thresholds: list[float], image: int, begin: int, end: int) -> np.ndarray:
    """How many draws of samples begin … end - 1 exceed each threshold, and how many its negative: int64 [2, thresholds]."""
    out, found = torch.empty(1, 1, draws.SIDE, draws.SIDE), np.zeros((2, len(thresholds)), dtype=np.int64)
    for sample in range(begin, end):
        z = draws.variates(noise, BLOCK, image=image, sample=sample, out=out)
        for side, values in enumerate((z, -z)):
            for i, threshold in enumerate(thresholds):
                values = values[values > threshold]
                found[side, i] += len(values)
    return found


def tails(noise: Noise, thresholds: list[float], image: int, samples: int) -> dict[str, Any]:
    began, threads = time.perf_counter(), 2
    edges = [samples * i // (8 * threads) for i in range(8 * threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        found = sum(pool.map(lambda i: counts(noise, thresholds, image, edges[i], edges[i + 1]), range(8 * threads)))
    n = samples * BLOCK
    expected = n * draws.sf(noise, thresholds)
    rows = [
        {"threshold": sign * threshold, "seen": int(found[side, i]), "expected": float(expected[i]),
         "p_value": draws.two_sided(int(found[side, i]), float(expected[i]))}
        for side, sign in enumerate((1, -1))
        for i, threshold in enumerate(thresholds)
    ]  # fmt: skip
    cells, means = [n - int(found[:, 0].sum())], [n - 2 * expected[0]]
    for side in range(2):
        last = int(np.sum(expected >= 10))  # rarer thresholds share a cell
        cells += [*(found[side, : last - 1] - found[side, 1:last]), found[side, last - 1]]
        means += [*(expected[: last - 1] - expected[1:last]), expected[last - 1]]
    statistic = float(sum((seen - mean) ** 2 / mean for seen, mean in zip(cells, means, strict=True)))
    p_value = float(stats.chi2.sf(statistic, len(cells) - 1))
    smallest = min(row["p_value"] for row in rows)
    return {
        "noise": str(noise), "draws": n, "chi_square": statistic, "cells": len(cells), "p_value": p_value,
        "smallest_p_value_of_a_threshold": smallest,
        "verdict": "as expected" if p_value > LEAST_P and smallest * len(rows) > LEAST_P else "NOT as expected",
        "seconds": round(time.perf_counter() - began, 1), "thresholds": rows,
    }  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    share = 100 if "--quick" in sys.argv else 1
    gaussian = [1 + i / 2 for i in range(12)]
    jobs = [("gaussian", gaussian, 9537)]
    for name in ("laplace", "generalized-gaussian-3"):
        jobs.append((name, [draws.threshold(draws.NOISES[name], 10.0**-k) for k in np.arange(0.5, 9, 0.5)], 954))
    results = []
    for image, (name, thresholds, samples) in enumerate(jobs):  # an image id, that is other words, for each noise
        result = tails(draws.NOISES[name], thresholds, image, max(1, samples // share))
        results.append(result)
        print(
            "{noise}: {draws:.4g} draws, chi-square {chi_square:.1f} over {cells} cells, p = {p_value:.3f}: {verdict}".format(
                **result
            )
        )
        for row in result["thresholds"]:
            print("    {threshold:8.4f}  {seen:12d} seen  {expected:16.2f} expected  p = {p_value:.3f}".format(**row))
    if share == 1:
        results_file.write("tails", {"noises": results})
    if any(result["verdict"] != "as expected" for result in results):
        sys.exit("A tail is not as expected; see above.")


if __name__ == "__main__":
    main()
