"""python -m bench.measured NAME: measure, print and store the rows of bench/bench_NAME.py.

Suites of the C++ loops are measured once more, one thread, in a process where they and their peers have no AVX-512.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import results_file, timing
from bench.__main__ import MODULES

WITHOUT_AVX512: dict[str, tuple[Any, ...]] = {"noise-path": ((1,),), "votes": (), "dual": ((1,),), "noises": ()}  # and arguments
AVX2_ONLY = {
    "RSFAST_SIMD": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",  # torch
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "NUMBA_CPU_NAME": "znver3",
}


def suite(name: str, *arguments: Any) -> Iterator[dict[str, Any]]:
    return importlib.import_module(f"bench.{MODULES[name]}").measure(*arguments)


def measured(name: str, rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a suite, printed as they come."""
    from rsfast import _C

    kept = []
    for row in rows:
        if name in WITHOUT_AVX512:
            row["instructions"] = _C.simd()
        kept.append(row)
        where = ", ".join(f"{key}={value}" for key, value in row.items() if key not in ("results", "unit", "chosen"))
        print(f"{name}: {where}", flush=True)
        for candidate, figures in row["results"].items():
            median, low, high, ratio = figures.values()
            print(f"    {candidate:18} {median:10.3f} {row['unit']}  ({low:.3f} to {high:.3f})  {ratio:6.2f}x", flush=True)
    return kept


def without_avx512(name: str) -> list[dict[str, Any]]:
    """The same from a process in which nothing takes AVX-512; none where this machine has only one level."""
    from rsfast import _C

    if "avx2" not in _C.simd_levels()[:-1] or name not in WITHOUT_AVX512:
        return []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.json")
        command = [sys.executable, "-m", "bench.measured", "--rows", name, str(file)]
        subprocess.run(command, env={**os.environ, **AVX2_ONLY}, check=True)
        return list(json.loads(file.read_text()))


def main() -> None:
    timing.with_roomy_malloc()
    if sys.argv[1] == "--rows":
        name, file = sys.argv[2:]
        Path(file).write_text(json.dumps(measured(name, suite(name, *WITHOUT_AVX512[name]))))
        return
    (name,) = sys.argv[1:]
    rows = measured(name, suite(name)) + without_avx512(name)
    results_file.write(name, {"malloc_thresholds_raised": True, "rows": rows})


if __name__ == "__main__":
    main()
