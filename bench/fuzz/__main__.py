"""python -m bench.fuzz [--seconds N] [TARGET …]: fuzz the readers one after the other; figures into fuzz.json.

`seconds` is shared by the targets.  A reader that raises something else than an RsfastError, takes longer than 30 seconds or more
than 4 GiB for one input is found out; the input is kept in FINDINGS, and the target goes on for the rest of its time.  What covers
most, small, is kept in bench/fuzz/seeds for the next time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import results_file
from bench.fuzz.targets import TARGETS

SEEDS = Path(__file__).parent / "seeds"
FINDINGS = results_file.ROOT / "runs" / "fuzz"
KEPT, LARGEST = 24, 2048  # files of each target, bytes of each
LIMITS = ("-timeout=30", "-rss_limit_mb=4096", "-max_len=8192", "-print_final_stats=1", "-verbosity=0", "-report_slow_units=60")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    asked = parser.parse_args()
    unknown = set(asked.targets) - set(TARGETS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))} is not a target: give some of {', '.join(TARGETS)}.")
    names = asked.targets or list(TARGETS)
    found = {name: fuzz(name, asked.seconds / len(names)) for name in names}
    before = results_file.ROOT / "bench" / "results" / results_file.machine() / "fuzz.json"
    others = json.loads(before.read_text())["targets"] if before.exists() else {}  # of targets that are not fuzzed now
    together = {**others, **found}
    figures = {"seconds": round(sum(one["seconds"] for one in together.values())), "targets": together}
    results_file.write("fuzz", figures)
    if any(one["findings"] for one in found.values()):
        raise SystemExit(f"readers failed: the inputs are in {FINDINGS.relative_to(results_file.ROOT)}.")


def fuzz(name: str, seconds: float) -> dict[str, Any]:
    """Executions, seconds and findings of one target."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        folder = Path(scratch)
        (folder / "inputs").mkdir()
        for seed in (SEEDS / name).glob("*"):
            (folder / "inputs" / seed.name).write_bytes(seed.read_bytes())
        findings: list[str] = []
        executions, began = 0, time.monotonic()
        while (left := seconds - (time.monotonic() - began)) > 1.0 and len(findings) < 20:
            options = (*LIMITS, f"-max_total_time={int(left)}", f"-artifact_prefix={folder}/finding-")
            command = [sys.executable, "-m", "bench.fuzz.one", name, str(folder), *options]
            said = subprocess.run(command, cwd=results_file.ROOT, capture_output=True, text=True, errors="replace")
            counted = re.findall(r"stat::number_of_executed_units:\s*(\d+)", said.stderr)
            executions += int(counted[-1]) if counted else 0
            new = sorted(folder.glob("finding-*"))
            for file in new:
                findings.append(_summary(said.stdout + said.stderr))
                FINDINGS.mkdir(parents=True, exist_ok=True)
                (FINDINGS / f"{name}-{file.name}").write_bytes(file.read_bytes())
                (FINDINGS / f"{name}-{file.name}.txt").write_text(said.stdout + said.stderr)
                file.unlink()
            if said.returncode and not new:
                raise SystemExit(f"{name} could not be fuzzed:\n{(said.stdout + said.stderr)[-3000:]}")
        _keep(name, folder)
        inputs = len(list((folder / "inputs").iterdir()))
    outcome = {
        "seconds": round(time.monotonic() - began, 1),
        "executions": executions,
        "inputs_kept": inputs,
        "findings": findings,
    }
    print(name, outcome, flush=True)
    return outcome


def _summary(text: str) -> str:
    """The exception, or what libFuzzer says."""
    lines = [
        line.strip()
        for line in text.splitlines()
        if re.match(r"\s*(\w+(\.\w+)*(Error|Exception|Warning)\b|SUMMARY|==\d+==)", line)
    ]
    return lines[0][:300] if lines else "no message"


def _keep(name: str, folder: Path) -> None:
    """Some of the small inputs that covered something new, of all sizes."""
    found = (file for file in (folder / "inputs").iterdir() if not file.name.startswith("first-"))
    small = sorted((file for file in found if file.stat().st_size <= LARGEST), key=lambda file: file.stat().st_size)
    if not small:
        return
    seeds = SEEDS / name
    seeds.mkdir(parents=True, exist_ok=True)
    for old in seeds.iterdir():
        old.unlink()
    for file in small[:: max(1, len(small) // KEPT)][:KEPT]:
        data = file.read_bytes()
        (seeds / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


main()
