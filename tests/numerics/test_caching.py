"""Compiled functions are outdated by a change in any compiled source, also in one that they only call."""

import shutil

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
