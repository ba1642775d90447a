"""Wheel, sdist, and installing without a compiler."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JUNK = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "runs", "*.egg-info", "*.so", "_build.json", "__pycache__", ".*_cache",
                              "results")  # fmt: skip
KERNELS = {f"rsfast/kernels/{name}.py" for name in ("__init__", "coefficients", "draws", "perturb", "philox", "votes")}


def clean_copy(folder):
    """The source tree, symbolic link included."""
    return Path(shutil.copytree(ROOT, folder / "src", symlinks=True, ignore=JUNK))


@pytest.fixture
def checkout(tmp_path):
    return clean_copy(tmp_path)


@pytest.fixture(scope="module")
def plain_wheel(tmp_path_factory):
    """A wheel without the extension."""
    folder = tmp_path_factory.mktemp("plain")
    wheel, result = pip_wheel(clean_copy(folder), folder / "wheel", RSFAST_BUILD_EXT="0")
    assert result.returncode == 0, result.stderr[-2000:]
    return wheel


def pip_wheel(source, out, **environment):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-build-isolation",
        "--no-deps",
        "--wheel-dir",
        out,
        source,
    ]
    result = subprocess.run(list(map(str, command)), env={**os.environ, **environment}, capture_output=True, text=True)
    wheels = list(Path(out).glob("*.whl"))
    return (wheels[0] if wheels else None), result


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def run_installed(wheel, folder, code):
    """Run code against the unpacked wheel, away from the source tree."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    check = f"import rsfast; assert rsfast.__file__.startswith({str(folder)!r}), rsfast.__file__\n"
    return subprocess.run(
        [sys.executable, "-c", check + code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )  # fmt: skip


CERTIFY = """
import torch, rsfast as rs
cert = rs.certify(lambda x: x.flatten(1)[:, :2], torch.tensor([[[[0.9, 0.1]]]]), noise=rs.Gaussian(0.25), num_classes=2, n=100, seed=0)
print(cert.counts.backend, float(cert.radius[0]))
"""


def test_wheel_and_sdist_hold_extension_kernels_and_types(checkout, plain_wheel, tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(checkout)],
        check=True, capture_output=True,
    )  # fmt: skip
    sdist = next(tmp_path.glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        top = sdist.name.removesuffix(".tar.gz")
        assert {f"{top}/{name}" for name in KERNELS} <= set(archive.getnames())
    wheel, result = pip_wheel(sdist, tmp_path / "wheel", RSFAST_BUILD_EXT="1")
    assert result.returncode == 0, result.stderr[-2000:]
    names = contents(wheel)
    built = {name for name in names if name.startswith("rsfast/_C.") and name.endswith((".so", ".pyd"))} | {"rsfast/_build.json"}
    assert len(built & names) == 2
    assert names >= {"rsfast/py.typed", "rsfast/_C.pyi"} | KERNELS
    assert not any(name.startswith(("tests/", "bench/", "kernels/")) for name in names)
    assert sum(name.endswith("LICENSE") for name in names) == 1
    assert names - built == contents(plain_wheel) - built  # straight from the tree
    assert run_installed(wheel, tmp_path / "a", CERTIFY).stdout.split()[0] == "native"


def test_without_a_compiler_it_installs_and_says_what_is_missing(checkout, tmp_path):
    wheel, result = pip_wheel(checkout, tmp_path / "wheel", CC="/bin/false", CXX="/bin/false", RSFAST_BUILD_EXT="auto")
    assert result.returncode == 0, result.stderr[-2000:]
    assert not any(name.startswith("rsfast/_C.") and not name.endswith(".pyi") for name in contents(wheel))
    with zipfile.ZipFile(wheel) as archive:
        record = json.loads(archive.read("rsfast/_build.json"))
    assert not record["extension"]
    assert "false" in record["reason"]
    code = CERTIFY + "import sys; sys.argv = ['rsfast', 'info']\nfrom rsfast.cli import main; main()"
    info = run_installed(wheel, tmp_path / "a", code).stdout
    assert info.startswith("numba ")
    assert "native     missing: the C++ extension rsfast._C is missing" in info
    assert "/bin/false" in info
    assert "cost:" in info


def test_a_required_extension_that_cannot_be_built_is_an_error(checkout, tmp_path):
    wheel, result = pip_wheel(checkout, tmp_path / "wheel", CC="/bin/false", CXX="/bin/false", RSFAST_BUILD_EXT="1")
    assert result.returncode != 0
    assert wheel is None


def test_the_extension_can_be_left_out(plain_wheel, checkout, tmp_path):
    assert plain_wheel.name.endswith("py3-none-any.whl")
    assert contents(plain_wheel) >= KERNELS
    _, result = pip_wheel(checkout, tmp_path / "other", RSFAST_BUILD_EXT="yes")
    assert "is not a build mode" in result.stderr + result.stdout


def test_the_committed_link_points_to_the_kernels():
    assert (ROOT / "rsfast" / "kernels").is_symlink()
    assert (ROOT / "rsfast" / "kernels").resolve() == ROOT / "kernels"


def test_an_extension_of_older_sources_is_not_used(monkeypatch):
    import importlib

    from rsfast import _C
    from rsfast.backends import native

    assert native.sources_hash() == _C.sources
    monkeypatch.setattr(_C, "sources", "0" * 16)
    try:
        assert "older sources" in importlib.reload(native).why_missing()
    finally:
        monkeypatch.undo()
        importlib.reload(native)
    assert native.why_missing() is None


def test_it_imports_where_nothing_can_be_written(plain_wheel, tmp_path):
    code = """
import os
import tempfile; tempfile.tempdir = os.environ["SCRATCH"]
from rsfast.numerics import caching
caching._usable = lambda folder: False
import rsfast as rs, numba
print(float(rs.confidence.clopper_pearson_lower(9, 10, 0.1)))
from rsfast.numerics import beta, caching
path = beta.failure_bounds.stats.cache_path
assert path.startswith(os.environ["SCRATCH"]), path
"""
    scratch = tmp_path / "tmp-numba"
    scratch.mkdir()
    environment = {"SCRATCH": str(scratch), "HOME": "/dev/null"}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        patch.delenv("NUMBA_CACHE_DIR", raising=False)
        assert run_installed(plain_wheel, tmp_path / "a", code).stdout.startswith("0.6")
