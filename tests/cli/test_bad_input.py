"""Bad input on the command line: one clear sentence, a non-zero exit, and what was finished stays finished."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rsfast.runs import execute as run
from rsfast.runs.read import read_run
from rsfast.runs.store import records

ROOT = Path(__file__).parents[2]
SMALL = ("--sigma", "0.25", "--n0", "10", "--n", "100", "--alpha", "0.01", "--seed", "5", "--quiet")
PIXELS = ("--model", "tests.reference.factories:pixels")


def refused(result, message):
    assert result.code not in (0, None)
    assert message in result.err
    assert "Traceback" not in result.err
    assert len(result.err.strip().splitlines()) <= 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--alpha", "2"), "alpha=2.0 is not a failure probability"),
        (("--out", ""), "the empty name is no folder's"),
        (("--n", "3"), "Give n of at least 7"),
        (("--n0", "0"), "n0=0 is not allowed"),
        (("--sigma", "0"), "sigma=0.0 is not a noise level"),
        (("--sigma", "-1"), "sigma=-1.0 is not a noise level"),
        (("--sigma", "much"), "is not a list of numbers"),
        (("--norm", "-2"), "norm=-2"),
        (("--num-classes", "5"), "less than the 10 classes of digits"),
        (("--model", "tests.reference.factories:linear", "--num-classes", "20"), "returns 10 logits an image"),
        (("--data", "imagenet"), "data source 'imagenet' is not known"),
        (("--data", "nothing.npz"), "nothing.npz cannot be read: No such file"),
        (("--data", "cifar10:nowhere"), "nowhere is not there: give the folder"),
        (("--data", "mnist:nowhere"), "has no t10k-images-idx3-ubyte"),
        (("--data", "folder:nowhere"), "is not a folder"),
        (("--crop", "8"), "are for image folders"),
        (("--model", "resnet51"), "model 'resnet51' is not known"),
        (("--model", "small-cnn"), "give its weights with --checkpoint"),
        (("--model", "small-cnn", "--checkpoint", "none.safetensors"), "none.safetensors cannot be read"),
        (("--model", "torchvision:resnet18", "--checkpoint", "x.pt"), "pip install torchvision"),
        (("--model", "model.pt2"), "model.pt2 cannot be read"),
        (("--model", "no.such.module:factory"), "cannot be imported"),
        (("--model", "tests.reference.factories:nothing"), "cannot be imported"),
        (("--model", "tests.reference.factories:broken"), "raised RuntimeError: no weights here"),
        (("--model", "tests.reference.factories:not_a_function"), "name a function that returns the model"),
        (("--model", "tests.reference.factories:returns_nothing"), "returned NoneType"),
        (("--checkpoint", "setup.py"), "takes no checkpoint"),
        (("--threads", "100000"), "'--threads': 100000 is not in the range 1<=x<=1024"),
        (("--shard", "3/3"), "index must be from 0"),
        (("--shard", "half"), "is not index/of"),
        (("--seed", "-1"), "is not a seed"),
        (("--start", "599"), "no image is chosen"),
        (("--device", "tpu"), "device='tpu'"),
        (("--backend", "gpu"), "backend='gpu' is not known"),
        (("--mean", "a,b"), "not a list of numbers"),
        (("--mean", "0.5,0.5", "--std", "1"), "one for each of the 1 channels"),
        (("--mean", "nan"), "holds NaN or infinity"),
        (("--std", "1e-40"), "std positive"),
        (("--num-classes", "0"), "--num-classes"),
        (("--crop", "0"), "--crop"),
        (("--resize", "-4"), "--resize"),
        (("--model", "setup.:f"), "cannot be imported"),
        (("--model", "tests.reference.factories:exits"), "raised SystemExit"),
        (("--data", "x" * 300 + ".npz"), "File name too long"),
        (("--out", "/dev/null/run"), "cannot be written"),
    ],
)
def test_certify_refuses(rsfast, tmp_path, change, message):
    model = () if "--model" in change else PIXELS
    result = rsfast("certify", *model, "--data", "digits", *SMALL, "--count", 2, "--out", tmp_path / "run", *change)
    refused(result, message)
    assert not list((tmp_path / "run").glob("counts-*")) or not records(tmp_path / "run")


def test_nan_images_are_left_out_and_the_others_stored(rsfast, tmp_path):
    x = np.full((5, 1, 4, 4), 0.5, np.float32)
    x[1, 0, 0, 0], x[3] = np.nan, 7.0
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(5))
    result = rsfast("certify", *PIXELS, "--data", tmp_path / "d.npz", *SMALL, "--out", tmp_path / "run")
    refused(result, "2 images could not be used")
    assert "image 1 of d.npz holds NaN or infinity" in result.err
    assert "image 3 of d.npz reaches from 7 to 7" in result.err
    assert read_run(tmp_path / "run").counts.ids.tolist() == [0, 2, 4]


def test_an_unreadable_file_in_a_folder_stops_nothing_else(rsfast, tmp_path):
    from PIL import Image

    for i, label in enumerate(["cat", "cat", "dog", "dog"]):
        (tmp_path / "d" / label).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (60 * i, 0, 0)).save(tmp_path / "d" / label / f"{i}.png")
    (tmp_path / "d" / "cat" / "1.png").write_bytes(b"not an image")
    call = ("certify", *PIXELS, "--data", tmp_path / "d", *SMALL, "--out", tmp_path / "run")
    result = rsfast(*call)
    refused(result, "1.png cannot be read as an image")
    assert read_run(tmp_path / "run").counts.ids.tolist() == [0, 2, 3]
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "d" / "cat" / "1.png")
    assert rsfast(*call).code == 0  # repaired, the same command runs it
    assert read_run(tmp_path / "run").counts.ids.tolist() == [0, 1, 2, 3]


def test_images_that_changed_after_they_were_certified_are_refused(rsfast, tmp_path):
    x = np.arange(5 * 16, dtype=np.uint8).reshape(5, 1, 4, 4)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(5))
    call = ("certify", *PIXELS, "--data", tmp_path / "d.npz", *SMALL, "--out", tmp_path / "run")
    assert rsfast(*call, "--count", 3).code == 0
    x[1, 0, 0, 0] += 1
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(5))
    refused(rsfast(*call), "image 1 of d.npz is not the one that was certified")


def test_a_failed_first_attempt_does_not_hold_the_directory(rsfast, tmp_path):
    call = (
        "certify",
        "--model",
        "tests.reference.factories:linear",
        "--data",
        "digits",
        *SMALL,
        "--count",
        2,
        "--out",
        tmp_path / "r",
    )
    refused(rsfast(*call, "--num-classes", 12), "give num_classes=10")
    assert rsfast(*call, "--num-classes", 10).code == 0


def test_an_unexpected_failure_is_one_sentence(rsfast, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise MemoryError("no room for 3 GB")

    monkeypatch.setattr(run, "execute", broken)
    result = rsfast("certify", *PIXELS, "--data", "digits", *SMALL, "--count", 1, "--out", tmp_path / "run")
    refused(result, "MemoryError: no room for 3 GB. Stored images are kept")


def test_unlabelled_images_have_no_accuracy(rsfast, tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 4, 4), np.uint8))
    run = ("--data", tmp_path / "d.npz", *SMALL, "--num-classes", 4, "--out", tmp_path / "run")
    assert rsfast("certify", *PIXELS, *run).code == 0
    result = rsfast("report", tmp_path / "run")
    assert "no labels, so no accuracy" in result.out
    refused(rsfast("report", tmp_path / "run", "--out", tmp_path / "out"), "nothing to plot")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((0, 1, 4, 4), np.uint8)}, "holds no images"),
        ({"x": np.zeros((5, 1, 0, 8), np.uint8)}, "holds no images"),
        ({"x": np.zeros((2, 4, 4), np.uint8), "y": np.array([1, 10**13])}, "label of image 1 is 10000000000000"),
        ({"x": np.zeros((2, 4, 4), np.uint8), "y": np.array([1, 2**63], np.uint64)}, "label of image 1 is"),
        ({"x": np.zeros((2, 4), np.uint8)}, "images of shape (2, 4)"),
        ({"x": np.zeros((2, 4, 4), np.int64)}, "int64 images"),
        ({"x": np.zeros((2, 4, 4), np.uint8), "y": np.zeros(3, int)}, "labels (3,)"),
        ({"pictures": np.zeros((2, 4, 4), np.uint8)}, "name the images x"),
        ({"x": np.zeros((2, 4, 4), np.uint8)}, "give --num-classes"),
    ],
)
def test_arrays_that_are_no_data_set(rsfast, tmp_path, arrays, message):
    np.savez(tmp_path / "d.npz", **arrays)
    refused(rsfast("certify", *PIXELS, "--data", tmp_path / "d.npz", *SMALL, "--out", tmp_path / "run"), message)


def test_a_torn_npz_is_refused(rsfast, tmp_path):
    (tmp_path / "d.npz").write_bytes(b"PK\x03\x04 nothing")
    refused(rsfast("certify", *PIXELS, "--data", tmp_path / "d.npz", *SMALL, "--out", tmp_path / "run"), "not a readable .npz")


def test_an_empty_folder_is_refused(rsfast, tmp_path):
    (tmp_path / "d").mkdir()
    refused(rsfast("certify", *PIXELS, "--data", tmp_path / "d", *SMALL, "--out", tmp_path / "run"), "holds no images")


def test_the_wrong_number_of_channels_is_told_by_the_model(rsfast, tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 3, 8, 8), np.uint8), y=np.zeros(2, int))
    result = rsfast("certify", "--model", "tests.reference.factories:linear", "--num-classes", 10, "--data", tmp_path / "d.npz",
                    *SMALL, "--out", tmp_path / "run")  # fmt: skip
    refused(result, "the model raised RuntimeError on image id 0, input [110, 3, 8, 8]")


def test_a_model_that_raises_in_the_middle_keeps_what_was_finished(rsfast, tmp_path, monkeypatch):
    monkeypatch.setenv("SAMPLES_PER_IMAGE", "110")
    call = (
        "certify",
        "--model",
        "tests.reference.factories:fails_on_the_third_image",
        "--data",
        "digits",
        *SMALL,
        "--count",
        5,
    )
    result = rsfast(*call, "--out", tmp_path / "run")
    refused(result, "the model raised RuntimeError on image id 2")
    assert "2 images were finished now and are stored" in result.err
    assert read_run(tmp_path / "run").counts.ids.tolist() == [0, 1]
    monkeypatch.setenv("SAMPLES_PER_IMAGE", "100000")
    assert rsfast(*call, "--out", tmp_path / "run").code == 0
    assert read_run(tmp_path / "run").counts.ids.tolist() == [0, 1, 2, 3, 4]


def test_a_full_disk_keeps_whole_lines(tmp_path):
    """A file-size limit makes write() fail in the middle of a line, as a full disk does."""
    limit = 3000
    result = subprocess.run(
        [sys.executable, "-c", "from rsfast.cli import main; main()", "certify", *PIXELS, "--data", "digits", *SMALL, "--count",
         "40", "--out", str(tmp_path / "run")],
        cwd=ROOT, capture_output=True, text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert result.returncode == 1
    assert "cannot be written (File too large)" in result.stderr
    assert "is not stored, everything before it is" in result.stderr
    finished = records(tmp_path / "run")
    assert 3 <= len(finished) < 40
    assert (tmp_path / "run" / "counts-000-of-001.jsonl").read_bytes().endswith(b"\n")
    assert f"image {len(finished)} is not stored" in result.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("status", "nowhere"), "no run.json"),
        (("report", "nowhere"), "nowhere does not exist"),
        (("report", "setup.py"), "is not a log"),
        (("report", "csrc"), "holds no logs"),
        (("recertify", "nowhere"), "no run.json"),
        (("export", "nowhere", "x.tsv"), "no run.json"),
        (("report",), "Missing argument"),
        (("certify",), "Missing option"),
        (("frobnicate",), "No such command"),
    ],
)
def test_other_commands_refuse(rsfast, command, message, monkeypatch):
    monkeypatch.chdir(ROOT)
    refused(rsfast(*command), message)


def test_report_refuses_bad_radii_export_other_endings_and_recertify_bad_levels(rsfast, tmp_path):
    rsfast("certify", *PIXELS, "--data", "digits", *SMALL, "--count", 1, "--out", tmp_path / "run")
    for radii in ("nan", "0.5,-1"):
        refused(rsfast("report", tmp_path / "run", "--radii", radii), "give radii, each zero or positive")
    refused(rsfast("export", tmp_path / "run", tmp_path / "x.xlsx"), "ends in .tsv or .csv")
    refused(rsfast("export", tmp_path / "run", tmp_path / "no" / "x.tsv"), "cannot be written")
    refused(rsfast("recertify", tmp_path / "run", "--alpha", "1e-90"), "cannot certify anything")
    refused(rsfast("recertify", tmp_path / "run", "--bound", "wald"), "bound='wald' is not known")


def test_a_log_with_a_broken_line_is_refused(rsfast, tmp_path):
    (tmp_path / "log.tsv").write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\tbig\t1\t0:00:01\n")
    refused(rsfast("report", tmp_path / "log.tsv"), "line 2 is not idx label predict")
