"""Running `rsfast` in this process, and in another one that can be killed."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rsfast.cli import main

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
