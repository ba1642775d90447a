"""What the command line says of models that do not classify every copy by itself, and of a single class."""

import numpy as np
import pytest

from rsfast.runs.store import records

DATA = ("--data", "digits", "--sigma", 0.25, "--n0", 10, "--n", 100, "--count", 3, "--seed", 5)


def given(factory):
    return ("--model", f"tests.reference.factories:{factory}", *DATA)


@pytest.mark.parametrize("command", ["certify", "predict"])
def test_a_model_that_depends_on_its_batch_is_refused_before_a_run_begins(rsfast, tmp_path, command):
    call = [one for one in given("with_batch_statistics") if command == "certify" or one not in ("--n0", 10)]
    result = rsfast(command, *call, "--out", tmp_path / "run")
    assert result.code == 1
    assert "depend on the others in its batch" in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert rsfast(command, *call, "--batch", 1, "--out", tmp_path / "run").code == 0


def test_a_model_that_draws_random_numbers_is_run_and_said_so(rsfast, tmp_path):
    result = rsfast("certify", *given("with_dropout"), "--out", tmp_path / "run")
    assert result.code == 0
    assert result.out.count("draws random numbers or keeps state") == 1
    assert "random numbers" not in rsfast("certify", *given("linear"), "--out", tmp_path / "other").out


def test_logits_in_a_dict_are_taken(rsfast, tmp_path):
    for factory in ("in_a_dict", "linear"):
        assert rsfast("certify", *given(factory), "--out", tmp_path / factory).code == 0
    one, other = records(tmp_path / "in_a_dict"), records(tmp_path / "linear")
    assert [one[i]["estimation"] for i in range(3)] == [other[i]["estimation"] for i in range(3)]


def test_a_model_of_another_number_of_classes_is_refused_before_a_run_begins(rsfast, tmp_path):
    result = rsfast("certify", *given("linear"), "--num-classes", 11, "--out", tmp_path / "run")
    assert result.code == 1
    assert "returns 10 logits an image and num_classes=11: give num_classes=10" in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [(), ("--num-classes", 1)])
def test_one_class_is_refused(rsfast, tmp_path, number):
    np.savez(tmp_path / "d.npz", images=np.zeros((3, 1, 8, 8), dtype=np.uint8), labels=np.zeros(3, dtype=np.int64))
    call = [tmp_path / "d.npz" if one == "digits" else one for one in given("linear")]
    result = rsfast("certify", *call, *number, "--out", tmp_path / "run")
    assert result.code == 1
    assert "there is one class, which every image would be certified for" in result.err
    assert not (tmp_path / "run").exists()
    assert rsfast("certify", *call, "--num-classes", 10, "--out", tmp_path / "run").code == 0
