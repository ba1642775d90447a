"""make show-smoothings: the digits demo smoothed plainly, in two halves, and with input-dependent noise, at equal numbers of draws.

Trains one network on whole images and one on each half, with the noise level that is certified; every smoothing spends 10,000
draws on each of 200 images.  Writes certified accuracies and a plot of the curves.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from bench import results_file
from rsfast.report import average_certified_radius, certified_accuracy, write_plot
from rsfast.runs.read import read_run, result_table

IMAGES, DRAWS = 200, 10_000
RADII = [0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 1.0]


def demo(folder: Path, smoothing: str) -> Path:
    from rsfast.cli.demo import demo as command

    out = folder / smoothing
    if smoothing == "input-dependent":  # of the same network as plain smoothing
        out.mkdir()
        shutil.copy(folder / "plain" / "model.safetensors", out)
    command.main(["--smoothing", smoothing, "--images", str(IMAGES), "--n", str(DRAWS), "--out", str(out)], standalone_mode=False)
    return out


def main() -> None:
    rows: list[dict[str, Any]] = []
    tables = []
    with tempfile.TemporaryDirectory() as scratch:
        for smoothing in ("plain", "dual", "input-dependent"):
            run = demo(Path(scratch), smoothing)
            table = result_table(run, name=smoothing)
            counts = read_run(run).counts
            accuracy = certified_accuracy(table, RADII)
            rows.append({
                "smoothing": smoothing, "noise": str(counts.noise), "transform": str(counts.transform),
                "draws_an_image": counts.n * counts.parts, "images": len(table),
                "certified_accuracy": {f"{r:g}": float(a) for r, a in zip(RADII, accuracy, strict=True)},
                "abstained": float(table.abstained.mean()), "average_certified_radius": average_certified_radius(table),
                "largest_radius": float(table.radius.max()), "sigma_from_to": [float(counts.sigma.min()), float(counts.sigma.max())],
            })  # fmt: skip
            tables.append(table)
        write_plot(tables, results_file.ROOT / "bench" / "results" / results_file.machine() / "smoothings.svg")
    results_file.write("smoothings", {"rows": rows})


if __name__ == "__main__":
    main()
