"""make show-draws: quality of a hundred million normal draws."""

from __future__ import annotations

import numpy as np
from scipy import special

from bench import results_file
from tests.reference import draw_statistics as draws

COUNT = 96 * 2**20
IMAGENET = 3 * 224 * 224


def main() -> None:
    z = draws.normals(COUNT)
    distance, p_value = draws.kolmogorov_smirnov(z)
    largest = draws.largest_draw()
    unreachable = float(2 * special.ndtr(-largest))
    moments = {f"z of mean z^{k}": _moment_z(z, k) for k in (1, 2, 3, 4)}
    shifts = {"sample + 96": {"sample": 96}, "image + 1": {"image": 1}, "stream + 1": {"stream": 2}, "seed + 1": {"seed": 1}}
    figures = {
        "values": COUNT,
        "kolmogorov_smirnov": {"distance": distance, "p_value": p_value},
        "anderson_darling": {"A2": draws.anderson_darling(z), "critical_1_percent": 3.857},
        "moments": moments,
        "tails": draws.tail_counts(z, (4.0, 5.0, 5.5, 5.768, 6.0)),
        "largest_seen": float(np.abs(z).max()),
        "largest_possible": largest,
        "unreachable_mass": unreachable,
        "unreachable_mass_times_150528": unreachable * IMAGENET,
        "correlation_in_standard_deviations": {
            **{name: draws.correlation_z(z, draws.normals(COUNT, **shift)) for name, shift in shifts.items()},
            **{f"pixel + {lag}": draws.correlation_z(z[:-lag], z[lag:]) for lag in (1, 16, 64, 1024)},
        },
    }
    for key, value in figures.items():
        print(f"{key}: {value}")
    results_file.write("draws", figures)


def _moment_z(z: np.ndarray, k: int) -> float:
    """Mean of z^k minus its expectation, in standard deviations."""
    expected, variance = {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}[k]
    total = sum(float((part.astype(np.float64) ** k).sum()) for part in np.split(z, 96))
    return (total / len(z) - expected) * (len(z) / variance) ** 0.5


main()
