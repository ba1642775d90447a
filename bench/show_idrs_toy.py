"""make show-idrs-toy: the toy experiments of Súkeník et al. 2022, other seeds, and other choices where the paper is silent.

SEEDS=5 seeds of the whole, the first of them 0; the other choices at OTHERS=1000 draws per point.
"""

from __future__ import annotations

import math
import os
import time
from typing import Any

import numpy as np

from bench import results_file
from rsfast.reproduce import idrs_toy as toy

SEEDS, OTHERS = int(os.environ.get("SEEDS", "5")), int(os.environ.get("OTHERS", "1000"))
SHOWN = ("clean_accuracy", "recovered", "lost", "mean_sigma", "largest_radius", "beyond_ceiling", "average_radius")
CHOICES: dict[str, dict[str, Any]] = {
    "as reported": {},
    "half angle 10 degrees": {"half_angle": math.radians(10)},
    "half angle 30 degrees": {"half_angle": math.radians(30)},
    "spread 2 / rate": {"spread": 2.0},
    "spread 1/2 / rate": {"spread": 0.5},
    "spread 1/4 / rate": {"spread": 0.25},
    "m the average": {"m": "average"},
}


def over_seeds(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Mean and standard deviation of each row's figures over the seeds."""
    rows = []
    for same in zip(*runs, strict=True):
        row: dict[str, Any] = {name: same[0][name] for name in ("experiment", "sigma", "rate", "paper")}
        for name in SHOWN:
            values = [one[name] for one in same]
            row[name] = {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}
        rows.append(row)
    return rows


def against_its_mean(design: toy.Design) -> list[dict[str, Any]]:
    """Each sigma(x) against a constant of the same mean on the test points, which has the higher ceiling."""
    rows = []
    for setting, row in zip(design.settings[1:], toy.summary(toy.run(design))[1:], strict=True):
        constant = toy.Setting(row["mean_sigma"], 0.0, None)
        pair = toy.summary(toy.run(design._replace(settings=(constant, setting))))
        rows.append(
            {"experiment": design.name, "sigma_b": setting.sigma, "rate": setting.rate, "constant": pair[0], "sigma(x)": pair[1]}
        )
    return rows


def main() -> None:
    began = time.perf_counter()
    experiments = list(toy.run_all(list(toy.TABLE_5)))
    seconds = time.perf_counter() - began
    rows = [row for experiment in experiments for row in toy.summary(experiment)]
    runs = [rows] + [
        [row for experiment in toy.run_all(list(toy.TABLE_5), seed=seed) for row in toy.summary(experiment)]
        for seed in range(1, SEEDS)
    ]
    figures: dict[str, Any] = {
        "draws": 10_000, "alpha": 1e-3, "seconds_of_the_default_command": seconds, "rows": rows,
        "seeds": SEEDS, "over_seeds": over_seeds(runs),
        "against_a_constant_of_the_same_mean": [
            row for design in (toy.FIGURE_1, *toy.TABLE_5.values()) for row in against_its_mean(design)
        ],
        "other_choices_draws": OTHERS,
        "other_choices": {
            name: [row for design in toy.TABLE_5.values() for row in toy.summary(toy.run(design._replace(**choice), n=OTHERS))]
            for name, choice in CHOICES.items()
        },
    }  # fmt: skip
    for row in figures["over_seeds"]:
        shown = "  ".join(f"{name} {row[name]['mean']:.3f} ± {row[name]['sd'] or 0.0:.3f}" for name in SHOWN)
        print(f"{row['experiment']:9} sigma {row['sigma']:<5g} rate {row['rate']:<6g} paper {row['paper']}  {shown}")
    for row in figures["against_a_constant_of_the_same_mean"]:
        print(f"{row['experiment']:9} sigma_b {row['sigma_b']:<5g} against constant {row['constant']['sigma']:.3f}: "
              f"clean {row['sigma(x)']['clean_accuracy']:.3f} / {row['constant']['clean_accuracy']:.3f}, beyond its ceiling "
              f"{row['sigma(x)']['beyond_ceiling']:.3f}, average radius {row['sigma(x)']['average_radius']:.3f} / "
              f"{row['constant']['average_radius']:.3f}")  # fmt: skip
    for name, found in figures["other_choices"].items():
        print(name)
        for row in found:
            print(f"  {row['experiment']:9} sigma {row['sigma']:<5g} rate {row['rate']:<6g} clean {row['clean_accuracy']:.3f}  "
                  f"beyond {row['beyond_ceiling']:.3f}  average radius {row['average_radius']:.3f}")  # fmt: skip
    print(f"{seconds:.0f} s for the default command")
    assert all(
        row["beyond_ceiling"] == 0.0 and row["largest_radius"] <= row["ceiling"] for run in runs for row in run if not row["rate"]
    )
    results_file.write("idrs-toy", figures)


if __name__ == "__main__":
    main()
