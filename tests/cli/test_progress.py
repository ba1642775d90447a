"""Progress: a rewritten line on a terminal, one line a minute otherwise."""

import io

import pytest

from rsfast.cli import progress
from rsfast.cli.progress import Progress, duration


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def drive(out, clock, seconds):
    report = Progress(samples_per_image=100, out=out)
    report.begin(total=10, done=2)
    for _ in range(8):
        for _ in range(10):
            clock[0] += seconds / 80
            report.rows(10)
        report.image()
    report.end()
    return out.getvalue()


def test_a_log_gets_one_line_a_minute(clock):
    lines = drive(io.StringIO(), clock, seconds=300).splitlines()
    assert lines[0] == "2 of 10 images are already stored; continuing."
    assert len(lines) == 1 + 5 + 1
    assert "\r" not in "".join(lines)
    assert lines[1].startswith("3/10 images, 3 samples/s, 0:01:00 elapsed, 0:04:00 left")
    assert lines[-1].startswith("10/10 images")


def test_a_terminal_gets_one_line_rewritten(clock):
    text = drive(Terminal(), clock, seconds=300)
    assert text.count("\n") == 2
    assert text.count("\r") > 50


def test_quiet_says_nothing_but_problems(clock):
    out = io.StringIO()
    report = Progress(10, out=out, quiet=True)
    report.begin(5, 2)
    report.rows(10)
    report.image()
    report.problem("image 3 is torn.")
    report.end()
    assert out.getvalue() == "rsfast: image 3 is torn.\n"


def test_durations():
    assert duration(3661.4) == "1:01:01"
