"""The writer knows its file: whatever is done to it from outside stops the writer before it claims anything that is not there."""

import os
import shutil

import pytest

from rsfast.errors import StoreError
from rsfast.runs import store

from .runs import begun, manifest, put_manifest, record, shard_file, written


@pytest.fixture
def run(tmp_path):
    begun(tmp_path / "run")
    return tmp_path / "run"


def saved_by_an_editor(file, change=lambda content: content):
    scratch = file.with_name("scratch")
    scratch.write_bytes(change(file.read_bytes()))
    scratch.replace(file)


def moved_away(run, replaced_by=None):
    run.rename(run.with_name("elsewhere"))
    if replaced_by is not None:
        shutil.copytree(run.with_name("elsewhere"), run) if replaced_by == "copy" else run.mkdir()


def overwritten(file, content):
    with file.open("r+b") as out:
        out.truncate(0)
        out.write(content)


def added_to(file):
    with file.open("ab") as other:
        other.write(b"x\n")


def put_aside(run):
    shard_file(run).rename(run / "old")
    shard_file(run).symlink_to("old-copy")
    shutil.copy(run / "old", run / "old-copy")


TAMPERING = {
    "directory deleted": (shutil.rmtree, "run was deleted, renamed or replaced"),
    "directory renamed": (moved_away, "If it was renamed, all before is safe there"),
    "directory replaced by an empty one": (lambda run: moved_away(run, "nothing"), "was deleted, renamed or replaced"),
    "directory replaced by a copy": (lambda run: moved_away(run, "copy"), "another file was put in the place"),
    "directory replaced by a file": (lambda run: (shutil.rmtree(run), run.write_text("")), "was deleted, renamed or replaced"),
    "counts deleted": (lambda run: shard_file(run).unlink(), "was deleted, renamed or replaced"),
    "counts renamed": (lambda run: shard_file(run).rename(run / "x"), "was deleted, renamed or replaced"),
    "counts saved by an editor": (lambda run: saved_by_an_editor(shard_file(run)), "2 whole lines lie in counts-000-of-001"),
    "counts replaced by other lines": (
        lambda run: saved_by_an_editor(shard_file(run), lambda text: text.splitlines(True)[0]), "1 whole line lies in counts",
    ),
    "counts linked to a copy": (put_aside, "another file was put in the place"),
    "counts emptied": (lambda run: overwritten(shard_file(run), b""), r"was cut from [\d,]+ to 0 bytes"),
    "counts cut in a line": (lambda run: os.truncate(shard_file(run), 300), "to 300 bytes"),
    "counts written by another program": (lambda run: added_to(shard_file(run)), "another program added 2 bytes"),
    "run.json deleted": (lambda run: (run / "run.json").unlink(), "put run.json back .* --seed 3 "),
    "run.json emptied": (lambda run: overwritten(run / "run.json", b""), "run.json was changed"),
    "run.json edited": (
        lambda run: saved_by_an_editor(run / "run.json", lambda text: text.replace(b'"n": 100', b'"n": 200')), "was edited",
    ),
    "run.json of another run": (lambda run: put_manifest(run, manifest(kind="certify", model={"name": "a", "sha256": "ef" * 32})),
                                "replaced by that of another run"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERING)
def test_the_writer_stops_when_its_files_are_changed_from_outside(run, what):
    tamper, message = TAMPERING[what]
    with pytest.raises(StoreError, match=message) as caught, store.Shard(run) as out:
        out.append(record(0))
        out.append(record(1))
        tamper(run)
        out.append(record(2))
    assert "image 2 is not stored" in str(caught.value)
    assert "while this run was written" in str(caught.value)


@pytest.mark.parametrize("what", TAMPERING)
def test_what_happened_after_the_last_line_is_noticed_at_the_end(run, what):
    tamper, message = TAMPERING[what]
    with pytest.raises(StoreError, match=message), store.Shard(run) as out:
        out.append(record(0))
        out.append(record(1))
        tamper(run)


def test_after_an_editor_saved_the_file_the_same_command_does_the_rest(run):
    with pytest.raises(StoreError), store.Shard(run) as out:
        out.append(record(0))
        saved_by_an_editor(shard_file(run))
        out.append(record(1))
    written(run, 1, 2)
    assert sorted(store.records(run)) == [0, 1, 2]


def test_lines_of_another_program_at_the_end_are_dropped_by_the_next_start(run):
    with pytest.raises(StoreError), store.Shard(run) as out:
        out.append(record(0))
        with shard_file(run).open("ab") as other:
            other.write(b"a note to myself\n")
        out.append(record(1))
    written(run, 1)
    assert sorted(store.records(run)) == [0, 1]


def test_a_failure_of_the_run_is_not_hidden_by_what_happened_to_its_files(run):
    with pytest.raises(KeyboardInterrupt), store.Shard(run) as out:
        out.append(record(0))
        shutil.rmtree(run)
        raise KeyboardInterrupt


def moved_behind_a_link(run):
    run.rename(run.with_name("elsewhere"))
    run.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "harmless",
    [
        lambda run: saved_by_an_editor(run / "run.json"),
        moved_behind_a_link,
        lambda run: (run / "notes.txt").write_text("of mine"),
        lambda run: written(run, 9, index=1, of=2),
        lambda run: shard_file(run).chmod(0o400),
        lambda run: os.utime(run / "run.json"),
    ],
)
def test_what_changes_nothing_does_not_stop_the_writer(run, harmless):
    with store.Shard(run) as out:
        out.append(record(0))
        harmless(run)
        out.append(record(1))
    assert {0, 1} <= set(store.records(run))


def test_a_model_that_changes_the_working_directory_does_not_stop_the_writer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begun(type(tmp_path)("run"))
    with store.Shard(type(tmp_path)("run")) as out:
        out.append(record(0))
        (tmp_path / "other").mkdir()
        os.chdir("other")
        out.append(record(1))
        out.unreadable(3, "broken")
    assert sorted(store.records(tmp_path / "run")) == [0, 1]
    assert (tmp_path / "run" / "asked-000-of-001.jsonl").exists()


def test_a_file_system_that_numbers_handles_and_paths_differently_is_watched_by_sizes(run, monkeypatch):
    numbers = iter(range(10**6))
    monkeypatch.setattr(store.shard, "_number", lambda found: next(numbers))
    with store.Shard(run) as out:
        out.append(record(0))
        out.append(record(1))
    with pytest.raises(StoreError, match="was cut from"), store.Shard(run) as out:
        overwritten(shard_file(run), b"")
        out.append(record(2))


def test_a_file_system_that_fails_at_the_last_moment_is_told(run, monkeypatch):
    def fsync(handle):
        raise OSError(5, "Input/output error")

    with pytest.raises(StoreError, match=r"Input/output error.*may not be stored"), store.Shard(run) as out:
        out.append(record(0))
        monkeypatch.setattr(os, "fsync", fsync)
