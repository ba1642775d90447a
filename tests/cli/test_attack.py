"""rsfast attack: a run's certificates attacked, line by line."""

import json
import time

import numpy as np
import pytest

from rsfast.runs.store.lines import encoded, lines

CERTIFY = ("certify", "--model", "tests.reference.factories:linear", "--data", "d.npz", "--num-classes", 10, "--sigma", 0.25,
           "--n0", 50, "--n", 5000, "--seed", 1, "--quiet", "--out", "run")  # fmt: skip
MODEL = ("--model", "tests.reference.factories:linear", "--data", "d.npz", "--num-classes", 10)
QUICK = ("--attack", "pgd", "--steps", 20, "--n", 20000, "--seed", 3, "--quiet")


@pytest.fixture
def run(rsfast, tmp_path, monkeypatch):
    """A certified run of 20 images of a linear network."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.integers(0, 256, (20, 1, 8, 8), dtype=np.uint8), y=rng.integers(0, 2, 20))
    monkeypatch.chdir(tmp_path)
    assert rsfast(*CERTIFY).code == 0
    return tmp_path / "run"


def written(run):
    return [record for _, _, _, record in lines(run / "attacks.jsonl")]


def test_certificates_are_attacked_and_hold(rsfast, run):
    result = rsfast("attack", run, *MODEL, *QUICK)
    assert result.code == 0, result.err
    header, *records = written(run)
    assert "flips inside of certificates: 0" in result.out
    assert header["seed"] == 3
    assert header["attacks"] == ["pgd"]
    assert len(records) > 10
    assert all(record["distance"] > record["radius"] > 0 for record in records)
    assert all(record["answer"] not in (-1, record["label"]) for record in records)
    assert rsfast("report", run).code == 0


def test_a_call_that_was_cut_short_goes_on_and_ends_the_same(rsfast, run):
    assert rsfast("attack", run, *MODEL, *QUICK).code == 0
    whole = (run / "attacks.jsonl").read_bytes()
    (run / "attacks.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:12]) + whole[:30])
    assert rsfast("attack", run, *MODEL, *QUICK).code == 0
    assert (run / "attacks.jsonl").read_bytes() == whole


def test_a_killed_call_goes_on_and_ends_the_same(rsfast, spawn, run):
    given = [*(str(one).replace("d.npz", str(run.parent / "d.npz")) for one in MODEL), *map(str, QUICK)]
    process = spawn("attack", run, *given)
    for _ in range(3000):
        if process.poll() is not None or ((run / "attacks.jsonl").exists() and len(written(run)) > 4):
            break
        time.sleep(0.02)
    process.kill()
    process.wait()
    killed = len(written(run))
    assert rsfast("attack", run, *given).code == 0
    there = (run / "attacks.jsonl").read_bytes()
    (run / "attacks.jsonl").unlink()
    assert rsfast("attack", run, *given).code == 0
    assert (run / "attacks.jsonl").read_bytes() == there
    assert killed <= len(written(run))


def test_a_flip_inside_a_certificate_is_said_with_an_exit_code_of_its_own(rsfast, run):
    """What is stored of an image is taken as it stands: a distance below its radius stands for a certificate that failed."""
    assert rsfast("attack", run, *MODEL, *QUICK).code == 0
    records = written(run)
    records[3]["radius"] = 1.01 * records[3]["distance"]
    (run / "attacks.jsonl").write_bytes(b"".join(map(encoded, records)))
    result = rsfast("attack", run, *MODEL, *QUICK)
    assert result.code == 4
    assert f"the certificates of images {records[3]['id']} do not hold" in result.err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("--steps", "21"), "steps=20, this call has steps=21"),
        (("--seed", "4"), "seed=3, this call has seed=4"),
        (("--norm", "inf"), "norm=2.0, this call has norm=inf"),
        (("--model", "tests.reference.factories:pixels"), "give the run's own model"),
        (("--data", "other.npz"), "image 0 of other.npz is not the one that was certified"),
        (("--norm", "3"), "give 1, 2 or inf"),
    ],
)
def test_what_does_not_belong_to_the_run_is_refused(rsfast, run, change, sentence):
    np.savez(run.parent / "other.npz", x=np.zeros((20, 1, 8, 8), np.uint8), y=np.zeros(20, np.int64))
    (run / "attacks.jsonl").write_bytes(b"")
    base = [*MODEL, *QUICK]
    if change[0] != "--data":
        assert rsfast("attack", run, *base, "--count", 1).code == 0
    if change[0] in base:
        at = base.index(change[0])
        base[at : at + 2] = change
    else:
        base += change
    result = rsfast("attack", run, *base)
    assert result.code == 1
    assert sentence in result.err


def test_a_line_that_was_edited_is_refused(rsfast, run):
    assert rsfast("attack", run, *MODEL, *QUICK, "--count", 3).code == 0
    first, second, *rest = (run / "attacks.jsonl").read_text().splitlines()
    edited = json.loads(second) | {"distance": 9.0}
    (run / "attacks.jsonl").write_text("\n".join([first, json.dumps(edited), *rest, ""]))
    result = rsfast("attack", run, *MODEL, *QUICK)
    assert result.code == 1
    assert "its checksum does not fit" in result.err
