"""Every Triton kernel compiles ahead of time for sm_80, sm_90 and sm_100: no spills, no fused multiply-add, IEEE rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["--once", pytest.param("--stdout", marks=pytest.mark.slow)])
def compiled(request):
    """The table of bench/show_kernel_resources.py, made in a process without the interpreter: every variant for one target, or all."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, "-m", "bench.show_kernel_resources", request.param],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout)["kernels"]


def test_every_kernel_is_compiled_for_every_target(compiled):
    assert {(row["kernel"], row["target"]) for row in compiled} >= {
        (kernel, target) for kernel in ("perturb", "part", "taps", "count") for target in ("sm_80", "sm_90", "sm_100")
    }


def test_no_kernel_spills(compiled):
    for row in compiled:
        assert row["spill_bytes"] == 0, row
        assert row["registers"] <= 128, row


def test_noise_uses_single_roundings_only(compiled):
    for row in compiled:
        assert row["fused_multiply_adds"] == 0, row
        assert row["approximate_operations"] == 0, row
