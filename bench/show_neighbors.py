"""make show-neighbors: exact neighbours in a 3 GB memory map under 1 GiB of memory, and speed.  IMAGES=20000.

The search runs in a process of its own, which reports its peak resident memory; this process checks the distances by brute
force in float64, reading the file in blocks.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import bench_sigma, results_file, timing
from rsfast.sigma import NearestNeighbors

IMAGES, SHAPE, QUERIES, K = int(os.environ.get("IMAGES", "20000")), (224, 224, 3), 8, 20
DIM = int(np.prod(SHAPE))
IMAGENET = 1_281_167


def write_images(file: Path, count: int, rng: np.random.Generator, scenes: np.ndarray) -> None:
    """Images around 40 coarse scenes [40, 28, 28, 3]: a scene changed at random, eight times as large, with fine grain."""
    grain = rng.integers(0, 32, 2**22, dtype=np.uint8)
    with file.open("wb") as out:
        for start in range(0, count, 100):
            n = min(100, count - start)
            coarse = scenes[rng.integers(0, len(scenes), n)] + rng.integers(0, 48, (n, *scenes.shape[1:]), dtype=np.uint8)
            images = coarse.repeat(8, axis=1).repeat(8, axis=2).reshape(n, DIM)
            for image, at in zip(images, rng.integers(0, len(grain) - DIM, n), strict=True):
                image += grain[at : at + DIM]
            out.write(images.tobytes())


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def search(folder: Path) -> None:
    """In a process of its own: m by its rule, fingerprint, distances."""
    started_with = peak_mib()
    training = np.memmap(folder / "images", np.uint8, "r", shape=(IMAGES, *SHAPE))
    x = np.fromfile(folder / "queries", np.uint8).reshape(QUERIES, *SHAPE).astype(np.float32) / np.float32(255)
    began = time.perf_counter()
    sigma = NearestNeighbors(training, base=0.5, k=K, sample=QUERIES)
    rule = time.perf_counter() - began
    before, began = sigma.reranked, time.perf_counter()
    distances = sigma.distances(x)
    seconds = time.perf_counter() - began
    reranked, began = sigma.reranked - before, time.perf_counter()
    fingerprint = sigma.fingerprint()
    figures = {
        "seconds_search": seconds, "seconds_rule_for_m_over_8_images": rule, "seconds_fingerprint": time.perf_counter() - began,
        "m_average": sigma.m, "candidates_reranked_per_query": reranked / QUERIES,
        "peak_rss_mib": peak_mib(), "peak_rss_mib_after_imports": started_with, "fingerprint": fingerprint,
    }  # fmt: skip
    np.save(folder / "distances.npy", distances)
    (folder / "figures.json").write_text(json.dumps(figures))


def brute_force(folder: Path) -> np.ndarray:
    """Distances [QUERIES, K] by direct differences in float64, 20 images at a time."""
    x = np.fromfile(folder / "queries", np.uint8).reshape(QUERIES, DIM).astype(np.float32) / np.float32(255)
    squares = np.empty((QUERIES, IMAGES))
    with (folder / "images").open("rb") as file:
        for start in range(0, IMAGES, 20):
            rows = np.fromfile(file, np.uint8, min(20, IMAGES - start) * DIM).reshape(-1, DIM).astype(np.float32) / np.float32(
                255
            )
            rows = rows.astype(np.float64)
            for q, image in enumerate(x.astype(np.float64)):
                difference = rows - image
                squares[q, start : start + len(rows)] = np.square(difference, out=difference).sum(axis=1)
    return np.sqrt(np.sort(squares, axis=1)[:, :K])


def memory_map() -> dict[str, Any]:
    rng = np.random.default_rng(11)
    scenes = rng.integers(0, 176, (40, 28, 28, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images", IMAGES, rng, scenes)
        write_images(folder / "queries", QUERIES, rng, scenes)
        plain = {key: value for key, value in os.environ.items() if key not in timing.ROOMY_MALLOC}
        subprocess.run([sys.executable, "-m", "bench.show_neighbors", str(folder)], cwd=results_file.ROOT, env=plain, check=True)
        figures = json.loads((folder / "figures.json").read_text())
        found, size = np.load(folder / "distances.npy"), (folder / "images").stat().st_size
        began = time.perf_counter()
        expected = brute_force(folder)
        figures["seconds_brute_force_one_thread"] = time.perf_counter() - began
    np.testing.assert_array_equal(found, expected)
    assert figures["peak_rss_mib"] < 1024
    per_image = figures["seconds_search"] / IMAGES
    return {
        "training": IMAGES, "dim": DIM, "dtype": "uint8", "file_gb": size / 1e9, "queries": QUERIES, "k": K,
        "equal_to_brute_force_bit_for_bit": bool((found == expected).all()),
        "nearest_and_kth_distance_of_query_0": [float(found[0, 0]), float(found[0, -1])],
        **figures,
        "extrapolated": {
            "what": f"ImageNet, {IMAGENET} images of this size ({IMAGENET * DIM / 1e9:.0f} GB), {QUERIES} queries together: not run",
            "assumes": "time proportional to the number of images; the file read as fast as here, from the page cache",
            "seconds": per_image * IMAGENET, "seconds_per_query": per_image * IMAGENET / QUERIES,
        },
    }  # fmt: skip


def main() -> None:
    if len(sys.argv) > 1:
        search(Path(sys.argv[1]))
        return
    timing.with_roomy_malloc()
    figures: dict[str, Any] = {"memory_map": memory_map(), "malloc_thresholds_raised_for_rows": True}
    print(json.dumps(figures["memory_map"], indent=1))
    figures["rows"] = []
    for row in bench_sigma.measure():
        figures["rows"].append(row)
        print(json.dumps(row, indent=1))
    results_file.write("neighbors", figures)


if __name__ == "__main__":
    main()
