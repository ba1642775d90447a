"""make show-memory: peak resident memory of 100,000 copies of one 3x224x224 image, against model + three batches + 300 MB.

Runs in a process of its own, with a classifier that costs nothing, so that what is seen is the engine's.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

from bench import results_file

COPIES, SHAPE = 100_000, (3, 224, 224)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run() -> dict[str, Any]:
    import torch

    import rsfast as rs
    from rsfast.inference import default_batch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.AvgPool2d(32), torch.nn.Flatten(), torch.nn.Linear(3 * 49, 10))
    imported = peak_mib()
    began = time.perf_counter()
    counts = rs.sample_counts(model, torch.rand(1, *SHAPE), noise=rs.Gaussian(0.25), num_classes=10, n0=100, n=COPIES, seed=0)
    batch = default_batch(SHAPE[0] * SHAPE[1] * SHAPE[2], COPIES + 100, "cpu")
    of_batch = batch * SHAPE[0] * SHAPE[1] * SHAPE[2] * 4 / 2**20
    return {
        "copies": int(counts.estimation.sum()), "shape": SHAPE, "batch": batch, "mib_of_a_batch": of_batch,
        "mib_after_imports": imported, "peak_mib": peak_mib(), "mib_of_the_run": peak_mib() - imported,
        "allowed_mib": 3 * of_batch + 300, "seconds": time.perf_counter() - began,
    }  # fmt: skip


def main() -> None:
    if "--inside" in sys.argv:
        print(json.dumps(run()))
        return
    result = subprocess.run([sys.executable, "-m", "bench.show_memory", "--inside"], capture_output=True, text=True, check=True)
    figures = json.loads(result.stdout.splitlines()[-1])
    assert figures["mib_of_the_run"] <= figures["allowed_mib"], figures
    print(json.dumps(figures, indent=1))
    results_file.write("memory", figures)


if __name__ == "__main__":
    main()
