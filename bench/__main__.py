"""python -m bench [SUITE …]: measure, print, and store rows.  All of SUITES by default.

Suites of the C++ loops are measured once more, one thread, in a process where they and their peers have no AVX-512.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import timing

timing.with_roomy_malloc()

from bench import (  # noqa: E402
    bench_certificates,
    bench_confidence,
    bench_dual,
    bench_end_to_end,
    bench_inference,
    bench_input_dependent,
    bench_ncx2,
    bench_noise,
    bench_noises,
    bench_overhead,
    bench_votes,
    results_file,
)
from rsfast import _C  # noqa: E402

SUITES = {
    "noise-path": bench_noise.measure,
    "votes": bench_votes.measure,
    "confidence": bench_confidence.measure,
    "overhead": bench_overhead.measure,
    "ncx2": bench_ncx2.measure,
    "input-dependent": bench_input_dependent.measure,
    "certificates": bench_certificates.measure,
    "dual": bench_dual.measure,
    "noises": bench_noises.measure,
    "inference": bench_inference.measure,
    "end-to-end": bench_end_to_end.measure,
}

WITHOUT_AVX512: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
    "noise-path": lambda: bench_noise.measure((1,)),
    "votes": bench_votes.measure,
    "dual": lambda: bench_dual.measure((1,)),
    "noises": bench_noises.measure,
}
AVX2_ONLY = {
    "RSFAST_SIMD": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",  # torch
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "NUMBA_CPU_NAME": "znver3",
}


def measured(name: str, suite: Callable[[], Iterator[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of a suite, printed as they come."""
    rows = []
    for row in suite():
        if name in WITHOUT_AVX512:
            row["instructions"] = _C.simd()
        rows.append(row)
        where = ", ".join(f"{key}={value}" for key, value in row.items() if key not in ("results", "unit", "chosen"))
        print(f"{name}: {where}", flush=True)
        for candidate, figures in row["results"].items():
            median, low, high, ratio = figures.values()
            print(f"    {candidate:18} {median:10.3f} {row['unit']}  ({low:.3f} to {high:.3f})  {ratio:6.2f}x", flush=True)
    return rows


def without_avx512(name: str) -> list[dict[str, Any]]:
    """The same from a process in which nothing takes AVX-512; none where this machine has only one level."""
    if "avx2" not in _C.simd_levels()[:-1] or name not in WITHOUT_AVX512:
        return []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.json")
        subprocess.run([sys.executable, "-m", "bench", "--rows", name, str(file)], env={**os.environ, **AVX2_ONLY}, check=True)
        return list(json.loads(file.read_text()))


def main() -> None:
    if sys.argv[1:2] == ["--rows"]:
        name, file = sys.argv[2:]
        Path(file).write_text(json.dumps(measured(name, WITHOUT_AVX512[name])))
        return
    names = sys.argv[1:] or list(SUITES)
    for name in names:
        if name not in SUITES:
            sys.exit(f"{name} is not a suite: give some of {', '.join(SUITES)}.")
    for name in names:
        rows = measured(name, SUITES[name]) + without_avx512(name)
        results_file.write(name, {"malloc_thresholds_raised": True, "rows": rows})


main()
