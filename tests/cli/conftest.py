"""Running `rsfast` in this process, and in another one that can be killed."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from rsfast.cli import main
from rsfast.runs.store import records

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rsfast(capsys, monkeypatch):
    """Call `rsfast` with arguments: exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["rsfast", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return call


@pytest.fixture
def spawn():
    """Start `rsfast` as a process of its own; whatever is left is killed at the end."""
    started = []

    def start(*arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-c", "from rsfast.cli import main; main()", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def kill_until_done(spawn, command, run, rng, most):
    """Start `command` again and again, killing it after 1 to `most` more images, until it ends by itself; how often it was killed."""
    kills = finished = 0
    while True:
        process = spawn(*command)
        target = finished + int(rng.integers(1, most + 1))
        while process.poll() is None and finished < target:
            time.sleep(0.02)
            finished = len(records(run))
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read()
            return kills
        time.sleep(float(rng.uniform(0, 0.1)))
        process.kill()
        process.wait()
        kills += 1
        assert len(records(run)) >= finished
        finished = len(records(run))
