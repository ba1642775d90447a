"""Which instruction set the C++ loops take: by themselves, by RSFAST_SIMD, and what is refused."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from rsfast import _C
from rsfast.backends import native
from rsfast.cli.info import info
from rsfast.errors import InvalidArgumentError

from .by_name import LEVELS, backend


def started_with(level, code):
    environment = {**os.environ, "RSFAST_SIMD": level}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def test_the_fastest_is_taken_by_itself():
    assert LEVELS[0] == "baseline"
    result = started_with("", "from rsfast import _C, backends; print(_C.simd())")
    assert result.stdout.strip() == LEVELS[-1], result.stderr


@pytest.mark.parametrize("level", LEVELS)
def test_the_environment_chooses(level):
    result = started_with(level, "from rsfast import _C, backends; print(_C.simd())")
    assert result.stdout.strip() == level, result.stderr


def test_an_unknown_one_is_one_clear_sentence():
    result = started_with("sse9", "import rsfast.backends")
    last = result.stderr.strip().splitlines()[-1]
    assert (
        "InvalidArgumentError: RSFAST_SIMD='sse9' is no instruction set that the extension has here: give one of baseline" in last
    )


def test_it_can_be_changed_in_a_running_program():
    for level in LEVELS:
        native.use_simd(level)
        assert _C.simd() == level
    native.use_simd(None)
    assert _C.simd() == LEVELS[-1]
    with pytest.raises(InvalidArgumentError, match="RSFAST_SIMD='mmx'"):
        native.use_simd("mmx")
    with pytest.raises(ValueError, match="simd_levels"):
        _C.use_simd("mmx")


def test_info_says_which_one_is_in_use():
    backend("native")
    assert f"native     available ({LEVELS[-1]})" in CliRunner().invoke(info).output
