"""The one script for GPU machines runs from end to end (tiny, on the GPU in software), and loses nothing where a part fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu import check, models_on_device, parts

ROOT = Path(__file__).parents[2]


def test_the_first_parts_are_rehearsed(tmp_path):
    command = [sys.executable, "-m", "bench.gpu.check", str(tmp_path), "--rehearse", "--only", "versions,noise-path,profile"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    whole = json.loads((tmp_path / "check.json").read_text().replace("NaN", "null"))
    assert result.returncode == 0, whole
    found = whole["parts"]
    assert all(part["findings"] == [] for part in found.values())
    assert set(found["profile"]["kernels_launched"]) == {"perturb_kernel", "count_kernel"}
    assert all(row["bits_equal_the_cpu"] for row in found["noise-path"]["result"])


@pytest.mark.slow
def test_rehearsal_writes_every_part(tmp_path):
    command = [sys.executable, "-m", "bench.gpu.check", str(tmp_path), "--rehearse"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    whole = json.loads((tmp_path / "check.json").read_text().replace("NaN", "null"))
    assert result.returncode == 0, whole
    assert list(whole["parts"]) == list(parts.PARTS)
    assert all(part["findings"] == [] for part in whole["parts"].values())
    launched = {name: set(part["kernels_launched"]) for name, part in whole["parts"].items()}
    assert launched["resnet50"] == launched["profile"] == {"perturb_kernel", "count_kernel"}  # the whole way, as on a GPU
    assert launched["grids"] == {"perturb_kernel", "ordered_kernel"}
    found = {name: part["result"] for name, part in whole["parts"].items()}
    assert found["launches"]["equal"] == found["launches"]["launched"] >= 20
    assert found["launches"]["left_out"] == 0
    assert all(found["launches"]["votes"].values())
    assert all(row["bits_equal_the_cpu"] for row in found["noise-path"] + found["noises"])
    assert all(row["bits_equal"] for row in found["grids"])
    assert len({row["next_program"] for row in found["grids"]}) == 3
    assert all(row["votes_equal_torch"] for row in found["votes"])
    assert set(found["resnet50"]["ways"]) == {"as given", "measured"}
    assert found["engine"]["exit"] == found["suite"]["exit"] == 0


def test_a_part_that_fails_or_hangs_says_so_and_the_next_one_runs(tmp_path, monkeypatch):
    quick = {
        "raises": parts.Part(None, 60), "unknown": parts.Part(None, 60), "hangs": parts.Part(None, 0), "versions": parts.PARTS["versions"],
    }  # fmt: skip
    monkeypatch.setattr(check, "PARTS", quick)
    monkeypatch.setattr(sys, "argv", ["check", str(tmp_path), "--rehearse"])
    assert check.main() == 3
    found = json.loads((tmp_path / "check.json").read_text())["parts"]
    assert [part["ended"] for part in found.values()] == ["with exit code 1"] * 2 + ["by its limit of 0 s", "well"]
    assert "KeyError" in found["unknown"]["said"][-1]
    assert found["versions"]["result"]["build"]["there"]


def test_later_parts_are_rehearsed_too(tmp_path):
    command = [sys.executable, "-m", "bench.gpu.check", str(tmp_path), "--rehearse", "--later"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    whole = json.loads((tmp_path / "check.json").read_text())["parts"]
    assert result.returncode == 0, whole
    assert list(whole) == list(parts.LATER)
    assert whole["soak"]["result"]["rounds"] >= 2
    assert whole["soak"]["result"]["rounds_that_differ"] == 0
    assert whole["memcheck"]["result"]["there"] in (False, True)


def test_an_unknown_part_is_refused_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["check", str(tmp_path / "out"), "--rehearse", "--only", "votes,speed"])
    with pytest.raises(SystemExit):
        check.main()
    assert "there is no part speed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_profile_tells_busy_time_from_gaps_and_overlap():
    kernels = [(0.0, 10.0, "conv"), (4.0, 6.0, "_perturb_whole"), (15.0, 20.0, "conv"), (20.0, 21.0, "_votes")]
    found = models_on_device.spans(kernels)
    assert found["microseconds"] == 21.0
    assert found["busy_share"] == pytest.approx(16 / 21)
    assert (found["overlap"], found["noise_and_votes"], found["model"]) == (2.0, 3.0, 15.0)
    assert (found["gaps"], found["largest_gap"], found["sum_of_gaps"]) == (1, 5.0, 5.0)
    assert models_on_device.spans([]) == {"kernels": 0}
