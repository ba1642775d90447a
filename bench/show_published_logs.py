"""make show-published-logs: certified accuracy from the published logs, against the published table.

The three ImageNet logs of Cohen, Rosenfeld & Kolter 2019 are kept in tests/data/logs; LOGS=FOLDER adds other logs' tables.
"""

from __future__ import annotations

import os
from pathlib import Path

from bench import results_file
from rsfast.report import certified_accuracy, find_logs, read_log, text_table
from tests.report.test_report import LOGS, PUBLISHED


def main() -> None:
    rows = []
    for sigma, published in PUBLISHED.items():
        log = read_log(LOGS / f"imagenet_resnet50_sigma_{sigma}.tsv")
        for (r, expected), got in zip(published.items(), certified_accuracy(log, list(published)), strict=True):
            equal = float(f"{got:.2f}") == expected
            rows.append(
                {
                    "sigma": float(sigma),
                    "r": r,
                    "published": expected,
                    "ours": float(got),
                    "images": len(log),
                    "equal": equal,
                }
            )
            print(f"sigma {sigma}  r {r:3}  published {expected:.2f}  ours {got:.4f}  {'equal' if equal else 'DIFFERENT'}")
    others = os.environ.get("LOGS")
    if others:
        tables = [read_log(log, str(log.relative_to(others))) for log in find_logs(Path(others))]
        certified = [table for table in tables if table.radius is not None]
        print(text_table(certified, [0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]))
    assert all(row["equal"] for row in rows)
    results_file.write("published-logs", {"rows": rows})


main()
