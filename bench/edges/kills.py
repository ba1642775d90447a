"""Runs of every kind killed at random moments while they write lines, against uninterrupted ones.

Each call on a run is a fork of this process, which has torch imported and has computed nothing with it: what is killed is the
work, not the imports.
"""

from __future__ import annotations

import collections
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rsfast.cli import main as rsfast_main
from rsfast.runs import store

IMAGES, LONGEST_WAIT = 250, 0.06
COUNTED = ("label", "image", "selection", "estimation", "n", "n0", "sigma", "tested", "reached", "path", "spent")
Phases = list[list[list[object]]]  # commands that run at once, one such list after the other


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))


def kills(total: int, seed: int = 0) -> dict[str, Any]:
    """So many random SIGKILLs, shared by the kinds of run.

    Returns
    -------
    dict
        For each kind and altogether: kills, images lost (there after a kill and not later), doubled (two lines of the same draws),
        and changed (other votes than in the uninterrupted run); all but the kills are to be 0.
    """
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        data = _data(Path(folder))
        kinds = _kinds(data)
        shares = {name: total // len(kinds) + (k < total % len(kinds)) for k, name in enumerate(kinds)}
        found = {name: _Killed(Path(folder) / name, kinds[name], shares[name], moments).run() for name in kinds}
    together: dict[str, Any] = dict(sum((collections.Counter(one) for one in found.values()), collections.Counter()))
    names = ("kills", "images_lost", "images_doubled", "images_changed", "torn_lines")
    return {**{name: together.get(name, 0) for name in names}, "by_kind": found}


def _data(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, images in (("test", IMAGES), ("train", 100)):
        x = rng.integers(0, 256, (images, 1, 8, 8), dtype=np.uint8)
        np.savez(folder / f"{name}.npz", x=x, y=np.arange(images) % 10)
    return folder


def _kinds(data: Path) -> dict[str, Callable[[Path], Phases]]:
    what: list[object] = ["--model", "bench.edges.kills:model", "--data", data / "test.npz", "--num-classes", 10, "--quiet", "--seed",
                          5, "--alpha", 0.01, "--threads", 1]  # fmt: skip
    certify = ["certify", *what, "--n0", 10]
    plain: list[object] = [*certify, "--sigma", 0.25]
    betting = [*plain, "--plan", "betting", "--radii", "0.01,0.05,0.2"]
    depends = [*certify, "--noise", "input-dependent", "--sigma", 0.25, "--train", data / "train.npz"]
    grid = [*plain, "--plan", "grid", "--radii", "0.01,0.05,0.2", "--n", 2000]
    estimate = ["estimate", *what, "--sigma", 0.25, "--radii", "0.01,0.05", "--images", IMAGES * 4 // 5, "--n", 2000]
    return {
        "plain": lambda out: [[[*plain, "--n", 2000, "--out", out]]],
        "dual": lambda out: [[[*plain, "--n", 1000, "--transform", "diagonal", "--out", out]]],
        "input-dependent": lambda out: [[[*depends, "--n", 2000, "--out", out]]],
        "grid": lambda out: [[[*grid, "--out", out]]],
        "betting": lambda out: [[[*betting, "--n", n, "--out", out]] for n in (500, 2000)],
        "several shards": lambda out: [[[*plain, "--n", 2000, "--shard", f"{i}/3", "--out", out] for i in range(3)]],
        "estimate": lambda out: [[[*estimate, "--out", out]]],
    }


class _Killed:
    """Runs of one kind, killed until `wanted` kills have been spent."""

    def __init__(self, folder: Path, phases: Callable[[Path], Phases], wanted: int, moments: random.Random) -> None:
        self.folder, self.phases, self.wanted, self.moments = folder, phases, wanted, moments
        self.found = dict.fromkeys(("kills", "images_lost", "images_doubled", "images_changed", "torn_lines"), 0)

    def run(self) -> dict[str, int]:
        self.folder.mkdir()
        whole = self.folder / "whole"
        for phase in self.phases(whole):
            _end([_fork(command) for command in phase])
        uninterrupted = store.records(whole)
        for number in range(20 * self.wanted + 20):
            if self.found["kills"] >= self.wanted:
                return self.found
            self._one(self.folder / str(number), uninterrupted)
            shutil.rmtree(self.folder / str(number))
        raise SystemExit(f"{self.folder.name}: runs ended before they could be killed {self.wanted} times.")

    def _one(self, out: Path, uninterrupted: dict[int, dict[str, Any]]) -> None:
        """One run from its beginning to its end, killed on the way."""
        seen: dict[int, dict[str, Any]] = {}
        for phase in self.phases(out):
            while not self._call(phase, out):
                seen = self._compare(out, seen)
        seen = self._compare(out, seen)
        self.found["images_lost"] += len(set(uninterrupted) - set(seen))
        self.found["images_changed"] += sum(_differs(seen[i], uninterrupted.get(i, {})) for i in seen)

    def _call(self, phase: list[list[object]], out: Path) -> bool:
        """Whether all of the commands came to their end; they are killed if kills are left."""
        before = _size(out)
        running = [_fork(command) for command in phase]
        if self.found["kills"] >= self.wanted:
            _end(running)
            return True
        while _size(out) <= before and any(_ended(pid) is None for pid in running):
            time.sleep(0.001)
        time.sleep(self.moments.uniform(0.0, LONGEST_WAIT))
        self.moments.shuffle(running)
        codes = []
        for pid in running:
            code = _ended(pid)
            if code is None:
                os.kill(pid, signal.SIGKILL)
                while (code := _ended(pid)) is None:
                    time.sleep(0.001)
                self.found["kills"] += code == -signal.SIGKILL
            if code not in (0, -signal.SIGKILL):
                raise SystemExit(f"{out}: a command ended with exit code {code}.")
            codes.append(code)
        return not any(codes)

    def _compare(self, out: Path, seen: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """What is stored now, against what was stored before."""
        if not out.exists():
            return seen
        now = store.records(out)
        self.found["images_lost"] += len(set(seen) - set(now))
        self.found["images_changed"] += sum(now[i]["n"] < seen[i]["n"] for i in set(seen) & set(now))
        written: collections.Counter[tuple[int, int]] = collections.Counter()
        for file in out.glob("counts-*.jsonl"):
            content = file.read_bytes()
            self.found["torn_lines"] += not content.endswith(b"\n") and bool(content)
            lines = [json.loads(line) for line in content.split(b"\n")[:-1]]
            written.update((line["id"], line["n"]) for line in lines)
        self.found["images_doubled"] += sum(count > 1 for count in written.values())
        return now


def _differs(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return any(one.get(name) != other.get(name) for name in COUNTED)


def _size(run: Path) -> int:
    return sum(file.stat().st_size for file in run.glob("counts-*.jsonl"))


def _fork(command: list[object]) -> int:
    """Start `rsfast …` in a child process; its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        _running.add(pid)
        return pid
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        sys.argv = ["rsfast", *map(str, command)]
        rsfast_main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(code)


_running: set[int] = set()
_codes: dict[int, int] = {}


def _ended(pid: int) -> int | None:
    """The exit code of a child that has ended."""
    if pid in _running:
        found, status = os.waitpid(pid, os.WNOHANG)
        if not found:
            return None
        _running.discard(pid)
        _codes[pid] = os.waitstatus_to_exitcode(status)
    return _codes[pid]


def _end(running: list[int]) -> None:
    """Wait until all have done what they were asked for."""
    for pid in running:
        while _ended(pid) is None:
            time.sleep(0.005)
        if _ended(pid) != 0:
            raise SystemExit(f"a command ended with exit code {_ended(pid)}.")


if __name__ == "__main__":
    found = kills(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
    print(json.dumps(found, indent=1))
    sys.exit(any(found[name] for name in ("images_lost", "images_doubled", "images_changed")))
