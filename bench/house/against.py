"""Times of this tree beside those of an earlier revision: both warm in processes of their own, one thread, in turn."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import start
from .modules import ROOT

HERE = Path(__file__).parent
ROUNDS = int(os.environ.get("ROUNDS", "25"))
FRESH = ("import rsfast", "rsfast --help", "rsfast status", "rsfast report", "rsfast export", "rsfast recertify")


def exported(revision: str, folder: Path) -> Path:
    """The tree of a revision with its extension: copied where the sources are the same, else built."""
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True)
    folder.mkdir()
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    same = subprocess.run(["git", "diff", "--quiet", revision, "--", "csrc", "kernels/coefficients.py"], cwd=ROOT).returncode == 0
    if same:
        for file in (ROOT / "rsfast").glob("_C*.so"):
            shutil.copy2(file, folder / "rsfast")
    else:
        environment = {**os.environ, "RSFAST_BUILD_EXT": "1"}
        subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=folder, env=environment, check=True)
    return folder


class Side:
    """One tree's worker."""

    def __init__(self, tree: Path, adapter: str, folder: Path) -> None:
        folder.mkdir()
        command = [sys.executable, "-P", str(HERE / "worker.py"), str(HERE / adapter), str(folder)]
        environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, cwd=tree, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.tasks: list[str] = self._said()

    def _said(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker ended with {self.process.wait()}: see above.")
        return json.loads(line)

    def run(self, task: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(task, file=self.process.stdin, flush=True)
        return self._said()

    def close(self) -> None:
        self.process.communicate()


@contextlib.contextmanager
def sides(revision: str) -> Iterator[tuple[Side, Side, dict[str, Path], Path]]:
    with tempfile.TemporaryDirectory() as folder:
        trees = {"before": exported(revision, Path(folder) / "tree"), "after": ROOT}
        workers: list[Side] = []
        try:
            for name, tree in trees.items():
                workers.append(Side(tree, f"{name}.py", Path(folder) / name))
            yield workers[0], workers[1], trees, Path(folder)
        finally:
            for worker in workers:
                worker.close()


def row(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Median seconds of both, and of the ratios after / before of each round the median and the 20 and 80 % quantiles."""
    ratios = [after / before for before, after in pairs]
    low, _, _, high = statistics.quantiles(ratios, n=5)
    return {
        "before_seconds": float(f"{statistics.median(before for before, _ in pairs):.4g}"),
        "after_seconds": float(f"{statistics.median(after for _, after in pairs):.4g}"),
        "ratio": round(statistics.median(ratios), 3), "ratio_20": round(low, 3), "ratio_80": round(high, 3), "rounds": len(pairs),
    }  # fmt: skip


def compared(revision: str) -> dict[str, Any]:
    """Every task of before.py and after.py, whose answers must be the same bits, and fresh processes."""
    rows: dict[str, dict[str, float]] = {}
    with sides(revision) as (before, after, trees, folder):
        assert before.tasks == after.tasks
        for task in before.tasks:
            pairs, answers = [], set()
            for number in range(ROUNDS):
                done = {side: side.run(task) for side in ((before, after) if number % 2 else (after, before))}
                pairs.append((done[before]["seconds"], done[after]["seconds"]))
                answers |= {one["answer"] for one in done.values()}
            if len(answers) != 1:
                raise SystemExit(f"{task}: the answers are not those of {revision}; no times are reported.")
            rows[task] = row(pairs)
            print(task, rows[task])
        codes = start.codes(folder / "before" / "run-1", folder)
        for name in FRESH:
            seconds = []
            for number in range(-1, max(ROUNDS // 3, 5)):
                ordered = list(trees.items())[:: 1 if number % 2 else -1]
                done_ = {side: start.started(codes[name], tree) for side, tree in ordered}
                seconds.append((done_["before"], done_["after"]))
            rows[f"{name}, a fresh process"] = row(seconds[1:])
            print(name, rows[f"{name}, a fresh process"])
    slower = {task: one["ratio"] for task, one in rows.items() if one["ratio"] > 1.02}
    worst = max(one["ratio"] for one in rows.values())
    return {"revision": revision, "threads": 1, "rows": rows, "slower": slower, "slower_percent": round(100 * (worst - 1), 1)}


if __name__ == "__main__":
    print(json.dumps(compared(sys.argv[1]), indent=1))
