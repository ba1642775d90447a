"""Whatever is given for an option: an answer, or a sentence of ours with nothing printed before it."""

import re

import numpy as np
import pytest

from rsfast.cli import cli

VALUES = ("", "nan", "inf", "-1", "1e400", "-99999999999999999999", "99999999999999999999", "x", "\x01", "é" * 300, "0.5,", ":")
FEW = ("", "nan", "-99999999999999999999")
PRINTED_LATER = {0, 3}


def options(command):
    params = cli.commands[command].params
    return [next(name for name in param.opts if name.startswith("--")) for param in params
            if param.opts[0].startswith("--") and not param.is_flag]  # fmt: skip


def answered(result):
    assert result.code in (0, 1, 2, 3)
    assert not re.search(r"\b[A-Z]\w*(Error|Exception)\b|Traceback", result.err), result.err
    assert len(result.err) < 1500
    if result.code not in PRINTED_LATER:
        assert result.out == ""
        assert result.err.strip()


def without(given, option):
    """The call without an option that is given another value."""
    if option not in given:
        return given
    at = given.index(option)
    return given[:at] + given[at + 2 :]


@pytest.mark.parametrize("option", options("plan"))
def test_every_option_of_plan_is_answered(rsfast, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    for value in VALUES:
        answered(rsfast("plan", *without(("--sigma", "0.25", "--radii", "0.1"), option), option, value))


@pytest.mark.parametrize("command", ["certify", "predict", "estimate"])
def test_every_option_of_a_run_is_answered(rsfast, tmp_path, monkeypatch, command):
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 1, 8, 8), np.uint8), y=np.arange(3))
    base = ("--model", "tests.reference.factories:pixels", "--data", str(tmp_path / "d.npz"), "--num-classes", "10", "--sigma", "0.25",
            "--n", "60", "--alpha", "0.01", "--quiet")  # fmt: skip
    base += {
        "certify": ("--n0", "5", "--count", "1"),
        "predict": ("--count", "1"),
        "estimate": ("--radii", "0", "--images", "1"),
    }[command]
    monkeypatch.chdir(tmp_path)
    for option in options(command):
        for i, value in enumerate(FEW):
            out = () if option == "--out" else ("--out", str(tmp_path / f"{option}-{i}"))
            result = rsfast(command, *without(base, option), *out, option, value)
            answered(result)
            if value == "":
                assert result.code in (1, 2), f"{option} takes an empty value"
