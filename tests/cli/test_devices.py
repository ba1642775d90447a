"""One run by several processes: the votes of one, whatever happens to them."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rsfast.errors import InvalidArgumentError
from rsfast.runs.devices import devices_of
from rsfast.runs.read import read_run
from rsfast.runs.store import records, standing

COMMAND = ("certify", "--model", "tests.reference.factories:slow", "--data", "digits", "--sigma", "0.25", "--n0", "10", "--n", "200",
           "--alpha", "0.01", "--seed", "5", "--batch", "32", "--num-classes", "10", "--threads", "1")  # fmt: skip


def children(process):
    """Processes that it has started and that run, by Linux's table."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == process.pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def same_votes(one, other, images):
    one, other = read_run(one).counts, read_run(other).counts
    assert one.ids.tolist() == other.ids.tolist() == list(range(images))
    np.testing.assert_array_equal(one.selection, other.selection)
    np.testing.assert_array_equal(one.estimation, other.estimation)


def lines(run):
    return (run / "counts-000-of-001.jsonl").read_text().splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_votes_are_those_of_one_process_when_a_process_is_killed_and_when_all_are(rsfast, spawn, tmp_path):
    command, run = [*COMMAND, "--count", 40], tmp_path / "shared"
    assert rsfast(*command, "--quiet", "--out", tmp_path / "whole").code == 0
    command[command.index("--model") + 1] = "tests.reference.factories:slow_that_prints_and_reads"  # which are no messages

    parent = spawn(*command, "--devices", "cpu,cpu", "--out", run)
    while not records(run) and parent.poll() is None:
        time.sleep(0.02)
    workers = children(parent)
    assert len(workers) == 2
    parent.kill()  # and both of its processes follow
    parent.wait()
    ends = time.monotonic() + 30
    while any(Path(f"/proc/{one}").exists() for one in workers) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{one}").exists() for one in workers)
    before = len(records(run))
    assert before < 30

    parent = spawn(*command, "--devices", "cpu,cpu", "--out", run)
    while len(records(run)) < before + 1 and parent.poll() is None:
        time.sleep(0.02)
    os.kill(children(parent)[0], signal.SIGKILL)
    assert parent.wait(300) == 0
    assert "was killed by signal 9" in parent.stderr.read()
    same_votes(tmp_path / "whole", run, 40)
    assert len(lines(run)) == 40  # none twice
    state = standing(run)
    assert (state.shards, state.missing) == (1, 0)


def test_what_stops_one_process_stops_the_run_with_its_sentence(spawn, tmp_path):
    (tmp_path / "broken.py").write_text(
        "import os\nimport torch\n\n\nclass Broken(torch.nn.Module):\n    def forward(self, x):\n"
        "        if 'RSFAST_TEST_PARENT' in os.environ and os.getpid() != int(os.environ['RSFAST_TEST_PARENT']):\n"
        "            raise ValueError('no such GPU')\n        os.environ['RSFAST_TEST_PARENT'] = str(os.getpid())\n"
        "        return x.flatten(1)[:, :10]\n\n\ndef make():\n    return Broken()\n"
    )
    command = [*COMMAND, "--count", 3, "--devices", "cpu,cpu", "--out", tmp_path / "run"]
    command[command.index("--model") + 1] = "broken:make"
    process = spawn(*command, PYTHONPATH=str(tmp_path))
    assert process.wait(300) == 1
    said = process.stderr.read()
    assert "the model raised ValueError on image id" in said and "no such GPU" in said and "No image was finished now" in said


@pytest.mark.slow
def test_images_that_cannot_be_used_and_plans_that_go_on_are_shared_too(rsfast, spawn, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (6, 1, 8, 8)).astype(np.float32) / np.float32(255)
    x[2, 0, 0, 0] = np.nan
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(6))
    command = [*COMMAND, "--quiet", "--plan", "betting", "--radii", "0.05,0.1"]
    command[command.index("--data") + 1] = str(tmp_path / "d.npz")
    for n in ("100", "400"):
        command[command.index("--n") + 1] = n
        one = rsfast(*command, "--out", tmp_path / "one")
        other = spawn(*command, "--devices", "cpu,cpu", "--out", tmp_path / "other")
        assert (one.code, other.wait(300)) == (3, 3), (one.err, other.stderr.read())
        said = other.stderr.read()
        assert "1 image could not be used" in said and one.err.splitlines()[-1] == said.splitlines()[-1]
        a, b = read_run(tmp_path / "one").counts, read_run(tmp_path / "other").counts
        assert a.ids.tolist() == b.ids.tolist() == [0, 1, 3, 4, 5]
        assert (a.estimation == b.estimation).all() and (a.drawn == b.drawn).all() and a.paths == b.paths


@pytest.mark.parametrize(
    ("text", "gpus", "found"),
    [("all", ["H100"] * 3, ["cuda:0", "cuda:1", "cuda:2"]), ("0,2", ["H100", "A100", "H100"], ["cuda:0", "cuda:2"]),
     ("cuda:1, 0", ["H100"] * 2, ["cuda:1", "cuda:0"]), ("cpu,cpu", [], ["cpu", "cpu"]), ("1", ["H100"] * 2, ["cuda:1"])],
)  # fmt: skip
def test_devices_are_named(text, gpus, found):
    assert devices_of(text, gpus) == found


@pytest.mark.parametrize(
    ("text", "gpus", "message"),
    [
        ("all", [], "torch sees no CUDA device: give --device cpu"),
        ("all", ["H100", "A100"], r"different models \(A100, H100\)"),
        ("0,3", ["H100"] * 2, "names GPU 3 and torch sees 2"),
        ("0,0", ["H100"] * 2, "names a GPU twice"),
        ("cpu,0", ["H100"] * 2, "mixes CPU and GPUs"),
        ("", ["H100"] * 2, "names no devices"),
        ("0,x", ["H100"] * 2, "names no devices"),
        (",".join(["cpu"] * 65), [], "at most 64"),
    ],
)
def test_devices_that_cannot_share_a_run_are_refused(text, gpus, message):
    with pytest.raises(InvalidArgumentError, match=message):
        devices_of(text, gpus)


def test_device_and_devices_are_not_given_together(rsfast, tmp_path):
    refused = rsfast(*COMMAND, "--device", "cpu", "--devices", "cpu,cpu", "--out", tmp_path / "run")
    assert refused.code == 1 and "both say where to run" in refused.err
