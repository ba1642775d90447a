"""make show-gpu: every Triton kernel on the GPU in software (tests/softgpu), without a GPU; a few minutes.

For each kernel, noise, part, dtype, layout, target and version of Triton: calls and how many have the reference's bits, findings
(races, accesses outside tensors), instructions, sectors that stores touch, and sectors left half written by one program and by as
many programs of the grid, one after the other, as there are channels; each per pixel (per row of logits) of the largest image.
Then: faults planted and noticed, and variants that the test-suite compiles.

TRITONS="FOLDER …": other versions, each installed there by `make test-triton` (pip install --target).
"""

from __future__ import annotations

import concurrent.futures
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.results_file import ROOT, write

SUITE = (
    "tests/backends",
    "tests/api/test_certify.py",
    "tests/counting",
    "tests/sigma",
    "-k",
    "(triton or gpu) and not known_answers",
)
GROUP = ("kernel", "noise", "part", "dtype", "layout", "target", "triton")
WORKERS = 2


def run(arguments: list[str], file: Path, triton: str = "", **variables: str) -> dict[str, Any]:
    """What a module of tests/softgpu writes into a file, in a process without Triton's interpreter."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    path = os.pathsep.join(filter(None, (triton, str(ROOT))))
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, env={**environment, "PYTHONPATH": path, **variables})
    if not file.exists():
        sys.exit(f"{' '.join(arguments)} ended with {done.returncode} and wrote nothing.")
    return dict(json.loads(file.read_text()))


def conformance(folder: Path) -> list[dict[str, Any]]:
    """Rows of every case: the installed Triton for every target, other versions for sm_90."""
    jobs = [("", 90), ("", 80), ("", 100), *((version, 90) for version in os.environ.get("TRITONS", "").split())]
    files = [folder / f"cases{number}.json" for number in range(len(jobs))]
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        done = [
            pool.submit(run, ["tests.softgpu.cases", str(file), "--target", str(target)], file, triton)
            for (triton, target), file in zip(jobs, files, strict=True)
        ]
        results = [job.result() for job in done]
    return [
        {**row, "kernel": row["kernel"][0], "noise": row.get("noise", ""), "part": row.get("part", ""),
         "layout": row.get("layout", ""), "triton": result["triton"]}
        for result in results for row in result["rows"]
    ]  # fmt: skip


def grouped(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def key(row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(row[name] for name in GROUP)

    table = []
    for values, members in itertools.groupby(sorted(rows, key=key), key):
        cases = list(members)
        largest = max(cases, key=lambda row: row["shape"] if "shape" in row else [row["classes"]])
        figures = {name: largest[name] for name in largest if name.endswith("_each")}
        table.append({
            **dict(zip(GROUP, values, strict=True)),
            "calls": len(cases), "bits_equal": sum(row["bits_equal"] for row in cases),
            "findings": sum(len(row["findings"]) for row in cases), "shared_bytes": largest["shared_bytes"], **figures,
        })  # fmt: skip
    return table


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = conformance(folder)
        faults = run(["tests.softgpu.faults", str(folder / "faults.json")], folder / "faults.json")
        file = folder / "variants.json"
        suite = ["pytest", "-q", "-p", "tests.softgpu.variants", *SUITE, "-p", "no:cacheprovider"]
        variants = run(suite, file, RSFAST_TEST_GPU="soft", VARIANTS_FILE=str(file))
    unnoticed = [row for row in faults["rows"] if not row["noticed"]]
    summary = {
        "calls": len(rows),
        "bits_equal": sum(row["bits_equal"] for row in rows),
        "findings": sum(len(row["findings"]) for row in rows),
        "faults_planted": faults["planted"],
        "faults_noticed": faults["noticed"],
        "variants_compiled_by_the_tests": sum(variants.values()),
    }
    print(json.dumps(summary, indent=1))
    write("gpu", {**summary, "variants": variants, "faults_unnoticed": unnoticed, "kernels": grouped(rows)})


if __name__ == "__main__":
    main()
