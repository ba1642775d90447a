"""How the command line begins and ends: near misses, interrupts, what is installed."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rsfast import extras
from rsfast.errors import DataError
from rsfast.sources import load

ROOT = Path(__file__).parents[2]
CERTIFY = ("certify", "--model", "tests.reference.factories:linear", "--data", "digits", "--sigma", 0.25, "--n", 100, "--quiet")


def test_python_m_rsfast_is_the_command_line():
    found = subprocess.run([sys.executable, "-m", "rsfast", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (found.returncode, found.stdout.split(",")[0]) == (0, "rsfast")


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--batch-size", "--batch"),
        ("--num_classes", "--num-classes"),
        ("--noise-sd", "--sigma"),
        ("-sigma", "--sigma"),
        ("--N0", "--n0"),
        ("--outfile", "--out"),
        ("--dataset", "--data"),
        ("--base_classifier", "--model"),
        ("--skip", "--every"),
        ("--alhpa", "--alpha"),
        ("--gpu", "--device"),
    ],
)
def test_an_option_that_does_not_exist_is_answered_with_the_one_that_was_meant(rsfast, option, meant):
    result = rsfast("certify", option, "1")
    assert result.code == 2
    assert f"Did you mean {meant}?" in result.err


def library_that_dies(folder, name, body):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(textwrap.dedent(body))


@pytest.fixture
def instead_of_sklearn(tmp_path, monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda body: library_that_dies(tmp_path, "sklearn", body)


AS_AN_IMPORT_ERROR = """
    import os, signal, time
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except BaseException:
        pass
    raise ImportError("numpy._core.multiarray failed to import")
"""
AS_IT_IS = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)\n"
AS_ANOTHER_ERROR = "try:\n    raise KeyboardInterrupt\nexcept BaseException:\n    raise ImportError('cut short')\n"


@pytest.mark.parametrize("body", [AS_AN_IMPORT_ERROR, AS_IT_IS, AS_ANOTHER_ERROR])
def test_ctrl_c_while_a_library_is_imported_is_an_interrupt(rsfast, instead_of_sklearn, tmp_path, body):
    instead_of_sklearn(body)
    result = rsfast(*CERTIFY, "--out", tmp_path / "run")
    assert result.code == 130
    assert result.err.strip().splitlines()[-1].startswith(("rsfast: Interrupted.", "rsfast: stopped before anything was stored"))
    assert "pip install" not in result.err


def test_a_library_that_is_broken_is_not_said_to_be_missing(instead_of_sklearn):
    instead_of_sklearn("raise ImportError('libgomp.so.1: cannot open shared object file')")
    with pytest.raises(DataError, match=r"it is installed and cannot be imported \(libgomp\.so\.1: cannot open shared object"):
        load("digits")


def test_a_library_that_lacks_another_names_it(instead_of_sklearn):
    instead_of_sklearn("import a_library_nobody_has")
    with pytest.raises(DataError, match="it is installed and needs a_library_nobody_has: pip install a_library_nobody_has"):
        load("digits")


def test_a_file_that_ends_too_early_is_no_interrupt(rsfast, monkeypatch):
    def ends(*_):
        raise EOFError("no more data")

    monkeypatch.setattr("rsfast.runs.store.standing", ends)
    result = rsfast("status", "run")
    assert result.code == 1
    assert "EOFError: no more data" in result.err


def test_info_names_optional_libraries_with_versions_and_what_pip_calls_them(rsfast, monkeypatch):
    import art
    import onnxruntime

    there = extras.version
    monkeypatch.setattr(extras, "version", lambda module: None if module in ("sklearn", "openvino") else there(module))
    out = rsfast("info").out
    assert f"art {art.__version__}" in out
    assert f"onnxruntime {onnxruntime.__version__}" in out
    assert "missing: pip install scikit-learn" in out
    assert "missing: pip install openvino" in out
    assert "rsfast[" not in out


def test_extras_are_those_of_the_package():
    import re
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        stated = tomllib.load(file)["project"]["optional-dependencies"]
    for extra, modules in extras.EXTRAS.items():
        assert {extras.PACKAGES.get(one, one) for one in modules} == {re.split("[<>=]", one)[0] for one in stated[extra]}
    assert set(extras.EXTRAS) == set(stated) - {"test"}


def test_no_advice_names_a_package_that_no_index_has():
    for file in (ROOT / "rsfast").rglob("*.py"):
        assert "pip install rsfast[" not in file.read_text(), file


def test_output_that_cannot_be_written_is_said_in_a_sentence():
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("no device that is always full")
    command = [sys.executable, "-m", "rsfast", "plan", "--sigma", "0.5", "--radii", "0.5"]
    for unbuffered in ("", "1"):
        with open("/dev/full", "w") as full:  # noqa: PTH123
            environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
            found = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
        assert found.returncode == 1
        assert "rsfast: the output cannot be read or written: No space left on device." in found.stderr
        assert "Exception ignored" not in found.stderr
