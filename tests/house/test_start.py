"""What needs no network starts without torch."""

from pathlib import Path

import pytest

from bench.edges.status import write_run
from bench.house.start import codes, imported

CALLS = [name for name in codes(Path(), Path()) if name != "python"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    write_run(folder / "run", 3)
    return folder / "run"


@pytest.mark.parametrize("call", CALLS)
def test_torch_is_not_imported_by(call, run, tmp_path):
    assert "torch" not in imported(codes(run, tmp_path)[call])


def test_an_import_of_torch_would_be_seen():
    assert "numpy" in imported("import numpy")
