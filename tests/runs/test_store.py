"""Run directories: append-only, one writer, torn ends dropped, damage and mixtures refused."""

import errno
import json
import os

import pytest

from rsfast.errors import StoreError
from rsfast.runs import store
from rsfast.runs.store.manifest import read_manifest

from .runs import begun, manifest, record, settings, shard_file, written


@pytest.fixture
def run(tmp_path):
    begun(tmp_path / "run")
    return tmp_path / "run"


def test_records_come_back(run):
    written(run, 4, 2)
    assert store.records(run) == {4: record(4), 2: record(2)}
    assert store.read_manifest(run) == manifest()


def test_a_second_writer_appends(run):
    written(run, 1)
    written(run, 2)
    assert sorted(store.records(run)) == [1, 2]


def test_shards_are_read_together(run):
    written(run, 0, 2, index=0, of=2)
    written(run, 1, 3, index=1, of=2)
    assert sorted(store.records(run)) == [0, 1, 2, 3]


def test_any_torn_end_is_dropped_and_the_rest_kept(run):
    written(run, 1, 2)
    whole = shard_file(run).read_bytes()
    first_line = whole.index(b"\n") + 1
    for size in range(first_line, len(whole)):
        shard_file(run).write_bytes(whole[:size])
        assert sorted(store.records(run)) == [1]
        written(run)
        assert shard_file(run).read_bytes() == whole[:first_line]
    written(run, 2)
    assert shard_file(run).read_bytes() == whole


def test_zeros_after_a_power_cut_are_dropped(run):
    written(run, 1)
    with shard_file(run).open("ab") as file:
        file.write(b"\0" * 100)
    assert sorted(store.records(run)) == [1]
    written(run, 2)
    assert sorted(store.records(run)) == [1, 2]


def test_damage_inside_a_file_is_refused_with_its_line(run):
    written(run, 1, 2, 3)
    lines = shard_file(run).read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b'"1":90', b'"1":99')
    shard_file(run).write_bytes(b"\n".join(lines))
    with pytest.raises(StoreError, match="line 2 is damaged"):
        store.records(run)
    with pytest.raises(StoreError, match="line 2 is damaged"):
        store.Shard(run)


def test_the_lock_of_a_damaged_shard_is_released(run):
    written(run, 1, 2)
    content = shard_file(run).read_bytes()
    shard_file(run).write_bytes(b"x" + content)
    with pytest.raises(StoreError, match="damaged"):
        store.Shard(run)
    shard_file(run).write_bytes(content)
    written(run, 3)


def test_two_writers_of_one_shard_are_refused(run):
    with store.Shard(run), pytest.raises(StoreError, match="being written by another process"):
        store.Shard(run)
    written(run, 1)


def test_different_counts_of_one_image_are_refused(run):
    written(run, 1, index=0, of=2)
    with store.Shard(run, 0, 3) as out:
        out.append(record(1, votes=80))
    with pytest.raises(StoreError, match="different counts for image 1"):
        store.records(run)


def test_a_full_disk_leaves_whole_lines_only(run, monkeypatch):
    written(run, 1)
    before = shard_file(run).read_bytes()
    real = os.write

    def half(handle, data):
        if len(data) > 10:
            return real(handle, data[:10])
        raise OSError(28, "No space left on device")

    with store.Shard(run) as out:
        monkeypatch.setattr(os, "write", lambda handle, data: half(handle, data[:10]) if len(data) > 20 else half(handle, b""))
        with pytest.raises(StoreError, match=r"No space left on device.*image 2 is not stored.*Make room"):
            out.append(record(2))
        monkeypatch.undo()
        assert shard_file(run).read_bytes() == before
        out.append(record(3))
    assert sorted(store.records(run)) == [1, 3]


def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not a run directory"):
        begun(tmp_path / "file")
    with pytest.raises(StoreError, match="cannot be written"):
        begun(tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            settings(n=200),
            "n=100, this call has n=200",
        ),
        (settings(noise={"name": "gaussian", "sigma": 0.5}), "noise="),
        (settings(inference={"gpu": "A", "tf32": [True]}), "with inference.gpu=null, this call has inference.gpu=A"),
        ({"model": {"name": "a", "sha256": "ef" * 32}}, "model sha256 abababab…, this model is efefefef…"),
        ({"data": {"name": "d", "fingerprint": "ef" * 32, "images": 20}}, "results of different data are not mixed"),
        ({"kind": "predict"}, "is a certify run, this call is predict"),
    ],
)
def test_another_model_or_setting_is_refused_in_one_sentence(run, change, message):
    written(run, 1)
    with pytest.raises(StoreError, match=message) as caught:
        begun(run, **change)
    assert "Use another --out" in str(caught.value)


def test_versions_and_names_may_change(run):
    written(run, 1)
    begun(run, versions={"rsfast": "0.2.0"}, model={"name": "renamed", "sha256": "ab" * 32})


def test_an_edited_manifest_is_refused(run):
    fields = json.loads((run / "run.json").read_text())
    fields["settings"]["n"] = 1000
    (run / "run.json").write_text(json.dumps(fields))
    with pytest.raises(StoreError, match="was edited"):
        store.read_manifest(run)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 99}', '{"format": 1, "fingerprint": "x"}'])
def test_a_damaged_manifest_is_refused(run, text):
    (run / "run.json").write_text(text)
    with pytest.raises(StoreError, match=r"run\.json"):
        store.read_manifest(run)


def test_a_folder_without_a_manifest_is_not_a_run(tmp_path):
    with pytest.raises(StoreError, match=r"no run\.json"):
        store.read_manifest(tmp_path)


def test_a_run_without_images_may_still_be_changed(run):
    assert begun(run, **settings(n=200)).settings["n"] == 200
    assert store.read_manifest(run).settings["n"] == 200
    with store.Shard(run), pytest.raises(StoreError, match="n=200, this call has n=300"):
        begun(run, **settings(n=300))  # somebody is at work


def test_a_seed_that_is_not_given_is_drawn_once_and_adopted(tmp_path):
    assert begun(tmp_path / "a", **settings(seed=None)).settings["seed"] == 77
    there, shard = store.begin(tmp_path / "a", manifest(**settings(seed=None)), 1, 2, seed=88)
    shard.close()
    assert there.settings["seed"] == 77


def test_numbers_that_are_equal_but_written_differently_do_not_split_a_run(run):
    written(run, 1)
    with pytest.raises(StoreError, match="other settings"):
        begun(run, **settings(norm=2))


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_file_systems_without_locks_are_written_all_the_same(tmp_path, monkeypatch, code):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(store.shard.fcntl, "flock", flock)
    begun(tmp_path / "run")
    written(tmp_path / "run", 1)
    assert sorted(store.records(tmp_path / "run")) == [1]


def test_a_folder_of_runs_is_refused_with_their_names(tmp_path):
    for name in ("b", "a"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    (tmp_path / "runs" / "figures").mkdir()
    with pytest.raises(StoreError, match=r"It holds runs: name one of a, b, as \S*runs/a\.$"):
        read_manifest(tmp_path / "runs")
    with pytest.raises(StoreError, match=r"it has no run\.json\.$"):
        read_manifest(tmp_path / "runs" / "figures")
