"""make show-edges: inputs of every kind that was once answered wrongly, 200 random kills, the cost of `rsfast status`, fuzzing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench import results_file
from bench.edges import kinds
from bench.edges.kills import kills
from bench.edges.status import status_cost

KILLS = 200
ASKED = {"status_seconds": 1.5, "status_mib": 150.0}


def again() -> None:
    """Measure the cost of status once more; the other figures stay as they were shown."""
    file = results_file.ROOT / "bench" / "results" / results_file.machine() / "edges.json"
    results_file.write("edges", {**json.loads(file.read_text()), **results_file.context(), "status": status_cost()})


def main() -> None:
    finished = [Path(file) for file in sys.argv[1:]]  # JUnit files of a run of all tests
    killed = kills(KILLS)
    print(killed)
    status = status_cost()
    print(status)
    table = kinds.tried(finished)
    for kind, outcome in table.items():
        print(f"{outcome['inputs']:6d} tried {outcome['wrong']:4d} wrong   {kind}")
    fuzzed = results_file.ROOT / "bench" / "results" / results_file.machine() / "fuzz.json"
    figures = {
        "kinds": table,
        "kills": killed,
        "status": status,
        "asked": ASKED,
        "fuzzing": json.loads(fuzzed.read_text()) if fuzzed.exists() else "not run on this machine: make fuzz",
    }
    results_file.write("edges", figures)
    wrong = [name for name in ("images_lost", "images_doubled", "images_changed") if killed[name]]
    if kinds.worst(table) or wrong or status["torch_imported"]:
        raise SystemExit("not all is as it should be: see the table.")


if sys.argv[1:] == ["--status"]:
    again()
else:
    main()
