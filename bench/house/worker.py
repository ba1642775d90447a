"""python -P worker.py ADAPTER FOLDER, in a tree of rsfast: runs the adapter's tasks as their names come in, warm, and says how long.

Each line in is a task's name, each line out JSON: seconds, and a digest of the answer.  A task is run twice before it is first timed,
and short ones are repeated for LEAST seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import runpy
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

LEAST = 0.1
FACTORY = """
import torch
from torch import nn

def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""


class Common:
    """What both sides are given: networks, images, votes, and a way to call the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, 0
        draw = np.random.default_rng(0)
        torch.manual_seed(0)
        self.linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
        self.cnn = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
        ).eval()  # fmt: skip
        self.small = torch.from_numpy(draw.random((8, 1, 8, 8), dtype=np.float32))
        self.large = torch.from_numpy(draw.random((1, 3, 32, 32), dtype=np.float32))
        shares = draw.dirichlet(np.full(10, 0.3), 10_000)
        self.selection, self.estimation = draw.multinomial(100, shares), draw.multinomial(100_000, shares)
        (folder / "house_factory.py").write_text(FACTORY)
        np.savez(folder / "x.npz", x=draw.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8), y=np.arange(60) % 10)

    def command(self, main: Callable[[], Any], *arguments: object) -> str:
        """`rsfast …` in this process; what it printed."""
        sys.argv = ["rsfast", *map(str, arguments)]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
            main()
        return said.getvalue()

    def run_and_continue(self, main: Callable[[], Any]) -> str:
        """A run of 50 images, and the same command with 60; the radii as `rsfast recertify --out` writes them, without times."""
        self.runs += 1
        run = self.folder / f"run-{self.runs}"
        for count in (50, 60):
            self.command(
                main, "certify", "--model", "house_factory:linear", "--data", self.folder / "x.npz", "--sigma", 0.25, "--n0", 100,
                "--n", 1000, "--seed", 0, "--threads", 1, "--count", count, "--quiet", "--out", run,
            )  # fmt: skip
        rows = self.recertified(main, run)
        if self.runs > 1:
            shutil.rmtree(run)  # the first is recertified by the other tasks
        return rows

    def recertified(self, main: Callable[[], Any], run: Path, alpha: float = 0.001) -> str:
        self.command(main, "recertify", run, "--alpha", alpha, "--out", self.folder / "rows.csv")
        return "\n".join(line.rpartition(",")[0] for line in (self.folder / "rows.csv").read_text().splitlines())


def digest(answer: Any) -> str:
    """First 16 hex digits of the sha256 of text or arrays."""
    parts = answer if isinstance(answer, tuple) else (answer,)
    data = b"".join(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).tobytes() for part in parts)
    return hashlib.sha256(data).hexdigest()[:16]


def main() -> None:
    adapter, folder = sys.argv[1:3]
    tree = Path.cwd()
    import rsfast

    assert Path(rsfast.__file__).is_relative_to(tree), rsfast.__file__
    torch.set_num_threads(1)
    sys.path.append(folder)
    answers = os.fdopen(os.dup(1), "w")
    tasks = runpy.run_path(adapter)["tasks"](Common(Path(folder)))
    print(json.dumps(list(tasks)), file=answers, flush=True)
    repeats: dict[str, int] = {}
    for line in sys.stdin:
        task = tasks[line.strip()]
        if line not in repeats:
            task()
            seconds, _ = timed(task, 1)
            repeats[line] = max(1, round(LEAST / seconds))
        seconds, answer = timed(task, repeats[line])
        print(json.dumps({"seconds": seconds, "answer": digest(answer)}), file=answers, flush=True)


def timed(task: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Seconds of one of so many calls, and the last answer."""
    began = time.perf_counter()
    for _ in range(repeats):
        answer = task()
    return (time.perf_counter() - began) / repeats, answer


if __name__ == "__main__":
    main()
