"""python -m bench [SUITE …]: measure, print, and store rows.  All of SUITES by default."""

from __future__ import annotations

import sys

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


def main() -> None:
    names = sys.argv[1:] or list(SUITES)
    for name in names:
        if name not in SUITES:
            sys.exit(f"{name} is not a suite: give some of {', '.join(SUITES)}.")
    for name in names:
        rows = []
        for row in SUITES[name]():
            rows.append(row)
            where = ", ".join(f"{key}={value}" for key, value in row.items() if key not in ("results", "unit", "chosen"))
            print(f"{name}: {where}")
            for candidate, figures in row["results"].items():
                median, low, high, ratio = figures.values()
                print(f"    {candidate:18} {median:10.3f} {row['unit']}  ({low:.3f} to {high:.3f})  {ratio:6.2f}x")
        results_file.write(name, {"malloc_thresholds_raised": True, "rows": rows})


main()
