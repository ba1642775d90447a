"""Kinds of input that were once answered wrongly, and the tests that try many of each."""

from __future__ import annotations

import collections
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.results_file import ROOT

KINDS: dict[str, list[str]] = {
    "logits in float64, float32 and 16 bits, ties, infinities, NaN": ["tests/backends/test_votes.py"],
    "images that float32 rounds, NaN as a class, betting with another classifier": ["tests/rounding", "tests/cli/test_rounding.py"],
    "what a model may do with its input, rows that depend on their company": ["tests/counting"],
    "outputs of models: one logit, tuples, dicts, objects": ["tests/inference/test_outputs.py"],
    "special functions and bounds at the ends of their ranges": ["tests/numerics", "tests/confidence"],
    "certificates at the ends of their ranges": ["tests/certificates"],
    "logs of other people": ["tests/report/test_logs.py", "tests/compat/test_locuslab_commands.py"],
    "reports, names and files that are written": ["tests/report/test_written.py", "tests/files", "tests/cli/test_results.py"],
    "class maps of image folders": ["tests/sources/test_class_maps.py", "tests/cli/test_class_maps.py"],
    "pictures: decoders, sizes, crops, bombs": ["tests/sources/test_pictures.py"],
    "arrays, idx and CIFAR files that are damaged or hostile": [
        "tests/sources/test_npy.py", "tests/sources/test_cifar.py", "tests/sources/test_loading.py",
    ],
    "checkpoints of other people": ["tests/models/test_checkpoints.py", "tests/cli/test_models.py"],
    "files of models that would run code": ["tests/models/test_untrusted.py"],
    "runs that are damaged, deleted or replaced while they are written": ["tests/runs"],
    "runs that are not done, exit codes": ["tests/cli/test_ending.py", "tests/cli/test_kill.py"],
    "arguments that are not what they should be": [
        "tests/api/test_bad_input.py", "tests/api/test_every_argument.py", "tests/cli/test_bad_input.py", "tests/checks",
        "tests/cli/test_main.py",
    ],
    "planning and estimating": ["tests/plans/test_expected.py", "tests/cli/test_planning.py", "tests/cli/test_plans.py"],
    "malformed inputs of the corpus": ["tests/corpus"],
}  # fmt: skip


def tried(finished: Sequence[Path] = ()) -> dict[str, dict[str, int]]:
    """Inputs tried of each kind, and how many were not answered as they should be; a test case is an input.

    `finished` are JUnit files of a run of all tests (`pytest --junitxml FILE -o junit_family=xunit1`) and of repeated ones, which
    are read instead of running them again; of a test in several files the last one counts.
    """
    files = [file for of_kind in KINDS.values() for file in of_kind]
    missing = [file for file in files if not (ROOT / file).exists()]
    if missing:
        raise SystemExit(f"tests named in bench/edges/kinds.py do not exist: {', '.join(missing)}.")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--junitxml", str(report), "-o", "junit_family=xunit1", *files]
        if not finished:
            subprocess.run(command, cwd=ROOT, check=False)
        cases = {
            (case.get("classname"), case.get("name")): case
            for file in finished or [report]
            for case in ElementTree.parse(file).getroot().iter("testcase")
        }
    found: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in KINDS}
    for case in cases.values():
        kind = kind_of(case.get("file") or re.sub(r"\.", "/", case.get("classname", "")) + ".py")
        if kind is None:
            continue
        outcome = {child.tag for child in case} & {"failure", "error", "skipped"}
        found[kind]["not_run" if outcome == {"skipped"} else "inputs"] += 1
        found[kind]["wrong"] += bool(outcome & {"failure", "error"})
    return {kind: {name: counter[name] for name in ("inputs", "wrong", "not_run")} for kind, counter in found.items()}


def kind_of(file: str) -> str | None:
    """The kind that a test file tries; None for other tests."""

    def holds(one: str) -> bool:
        return file == one or file.startswith(one.rstrip("/") + "/")

    return next((kind for kind, files in KINDS.items() if any(map(holds, files))), None)


def worst(found: dict[str, dict[str, Any]]) -> int:
    """How many inputs of all kinds were answered wrongly."""
    return sum(int(of_kind["wrong"]) for of_kind in found.values())
