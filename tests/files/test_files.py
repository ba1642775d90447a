"""Files that are written whole or not at all, and reading that never waits."""

import contextlib
import os
import resource
import socket
import stat

import pytest

from rsfast import files
from rsfast.errors import StoreError


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@contextlib.contextmanager
def no_file_larger_than(size):
    """What a full disk does: a write stops in the middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_written_is_there_and_nothing_else(tmp_path):
    file = tmp_path / "a.txt"
    files.write(file, "é\n")
    assert file.read_bytes() == b"\xc3\xa9\n"
    files.write(file, b"\xff\x00")
    assert file.read_bytes() == b"\xff\x00"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_the_old_file_and_no_scratch(tmp_path):
    file = tmp_path / "a.txt"
    files.write(file, "old")
    with no_file_larger_than(4096), pytest.raises(StoreError, match="cannot be written: File too large; it is as it was"):
        files.write(file, "new" * 10_000)
    assert file.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]
    with no_file_larger_than(4096), pytest.raises(StoreError, match="cannot be written: File too large.$"):
        files.write(tmp_path / "b.txt", "new" * 10_000)
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("raised", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_interrupts_the_synchronisation_leaves_the_old_file(tmp_path, monkeypatch, raised):
    file = tmp_path / "a.txt"
    files.write(file, "old")

    def fsync(handle):
        raise raised

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises((StoreError, KeyboardInterrupt)):
        files.write(file, "new")
    assert file.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_link_is_kept_and_its_target_written(tmp_path):
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to("folder/target")
    for content in ("first", "second"):  # the first makes the target
        files.write(link, content)
        assert link.is_symlink()
        assert (tmp_path / "folder" / "target").read_text() == content


def test_permissions_are_kept_and_new_files_have_the_usual_ones(tmp_path):
    file = tmp_path / "a.txt"
    before = os.umask(0o027)
    try:
        files.write(file, "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    file.chmod(0o604)
    files.write(file, "b")
    assert stat.S_IMODE(file.stat().st_mode) == 0o604


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for name, why in (
        ("missing/a.txt", "there is no folder .*missing: make it, or give another name"), ("file/a.txt", "Not a directory"),
        (".", "it is a directory, not a file"), ("loop", "Too many levels of symbolic links"), ("pipe", "it is a pipe, not a file"),
        ("x" * 300, "File name too long"), ("a\0b", "embedded null"),
    ):  # fmt: skip
        with pytest.raises(StoreError, match=f"cannot be written: {why}"):
            files.write(f"{tmp_path}/{name}", "x")
    assert names(tmp_path) == ["file", "loop", "pipe"]
    files.write(tmp_path / ("x" * 255), "as long as a name may be")


def test_write_protected_files_are_not_replaced(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    files.write(file, "old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everything
    with pytest.raises(StoreError, match="it is write-protected; it is as it was"):
        files.write(file, "new")
    assert file.read_text() == "old"


def test_only_regular_files_are_opened_and_nobody_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(tmp_path / "socket"))
        for name, why in (
            ("pipe", "it is a pipe, not a file"), ("", "it is a directory, not a file"), ("loop", "Too many levels of symbolic links"),
            ("missing", "No such file"), ("socket", "No such device or address"), ("a\0b", "its name holds a NUL"),
            ("../" * 20 + "dev/null", "it is a device, not a file"),
        ):  # fmt: skip
            with pytest.raises(OSError) as raised:
                files.open_regular(f"{tmp_path}/{name}")
            assert why in raised.value.strerror
    (tmp_path / "file").write_bytes(b"a\r\n")
    with files.open_regular(tmp_path / "file") as opened:
        assert opened.read() == b"a\r\n"


def test_names_become_lines_of_text():
    assert files.printable("a\n\x1b[31m\udcff\u202e é😀 b") == "a\\n\\x1b[31m\\udcff\\u202e é😀 b"
