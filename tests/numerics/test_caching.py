"""Compiled functions are outdated by a change in any compiled source, also in one that they only call."""

import inspect
import shutil
from pathlib import Path

import pytest

from rsfast.backends.call import Call, Draw, Part
from rsfast.numerics import caching, ncx2


def test_stamp_follows_every_compiled_source(tmp_path, monkeypatch):
    for pattern in caching.COMPILED:
        for file in caching.PACKAGE.glob(pattern):
            target = tmp_path / file.relative_to(caching.PACKAGE)
            target.parent.mkdir(exist_ok=True, parents=True)
            shutil.copy(file, target)
    monkeypatch.setattr(caching, "PACKAGE", tmp_path)
    stamp = caching.sources_stamp.__wrapped__
    before = stamp()
    assert before == stamp()
    callee = tmp_path / "numerics" / "compensated.py"
    callee.write_text(callee.read_text() + "\n# changed\n")
    assert stamp() != before


def test_compiled_functions_of_the_package_use_it(tmp_path):
    locator = caching.PackageLocator.from_function(ncx2.tail.py_func, ncx2.__file__)
    assert locator.get_source_stamp() == caching.sources_stamp()
    other = tmp_path / "elsewhere.py"
    other.write_text("")
    assert caching.PackageLocator.from_function(ncx2.tail.py_func, str(other)) is None


def test_every_numba_file_is_among_the_sources():
    listed = {file for pattern in caching.COMPILED for file in caching.PACKAGE.glob(pattern)}
    using = {file for file in caching.PACKAGE.rglob("*.py") if "from numba import" in file.read_text()}
    assert using <= listed


def test_the_fields_that_loops_read_by_place_are_among_the_sources():
    listed = {file for pattern in caching.COMPILED for file in caching.PACKAGE.glob(pattern)}
    assert {Path(inspect.getfile(value)) for value in (Call, Draw, Part)} <= listed


def files(folder, stamp=None):
    return caching._files(str(folder), "tail-1.py311", stamp or caching.sources_stamp())


def test_code_that_two_processes_compile_at_once_keeps_its_signature(tmp_path, monkeypatch):
    """Both have looked into the index before either writes: Numba's own files would answer doubles with the code for arrays."""
    one, other = files(tmp_path), files(tmp_path)
    monkeypatch.setattr(other, "_load_index", dict)
    write, written = one._save_data, []

    def save_data(name, data):
        if not written:
            written.append(name)
            other.save("of doubles", "code for doubles")
        write(name, data)

    monkeypatch.setattr(one, "_save_data", save_data)
    one.save("of arrays", "code for arrays")
    assert files(tmp_path).load("of doubles") == "code for doubles"
    assert files(tmp_path).load("of arrays") == "code for arrays"


def test_code_of_older_sources_is_not_named_by_a_newer_index(tmp_path, monkeypatch):
    monkeypatch.setattr(caching, "sources_stamp", lambda: "old")
    files(tmp_path).save("of doubles", "old code")
    monkeypatch.setattr(caching, "sources_stamp", lambda: "new")
    newer = files(tmp_path)
    monkeypatch.setattr(newer, "_save_index", lambda overloads: pytest.fail("named before it was written"))
    monkeypatch.setattr(newer, "_save_data", lambda name, data: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    newer.save("of doubles", "new code")
    assert files(tmp_path).load("of doubles") is None
    files(tmp_path).save("of doubles", "new code")
    assert files(tmp_path).load("of doubles") == "new code"
    assert len(list(tmp_path.glob("*.nbc"))) == 1


@pytest.mark.parametrize("damage", [b"", b"\x80\x05", b"rubbish"])
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_damaged_files_are_compiled_again(suffix, damage, tmp_path):
    files(tmp_path).save("of doubles", "code")
    next(tmp_path.glob(f"*.{suffix}")).write_bytes(damage)
    assert files(tmp_path).load("of doubles") is None
    files(tmp_path).save("of doubles", "code")
    assert files(tmp_path).load("of doubles") == "code"


def test_functions_of_other_packages_keep_numbas_files(tmp_path):
    assert isinstance(ncx2.tail._cache._cache_file, caching.PackageFiles)
    assert not isinstance(files(tmp_path, "another stamp"), caching.PackageFiles)
