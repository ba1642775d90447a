"""Additions as patches.  A place is a stretch of neighbouring lines that a patch changes; a new file is one place.  Counted are
the files of rsfast/, kernels/, csrc/ and the settings beside them: not tests, bench, examples and documents."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .modules import ROOT

PATCHES = ROOT / "tests" / "house" / "patches"
NOT_SOURCE = ("tests/", "bench/", "docs/", "examples/")


@dataclasses.dataclass(frozen=True)
class Addition:
    """What ARCHITECTURE allows an addition to touch, and the tests that hold it."""

    patch: Path
    files: int
    places: int
    tests: tuple[str, ...]


OF_NOISES = (
    "tests/backends/test_conformance.py",
    "tests/noise",
    "tests/certifying",
    "tests/cli/test_choices.py",
    "tests/cli/test_smoothings.py",
)

TABLE = {
    "a noise of a known kind of draw": Addition(PATCHES / "noise.patch", 2, 3, (*OF_NOISES, "tests/statistical")),
    "a noise with a new kind of draw": Addition(
        PATCHES / "draw.patch",
        8,
        13,
        (*OF_NOISES, "tests/statistical", "tests/backends/test_coefficients.py", "tests/backends/test_simd.py"),
    ),
    "a certificate that certify uses": Addition(PATCHES / "certificate.patch", 2, 3, ("tests/certificates", "tests/certifying")),
    "a backend": Addition(PATCHES / "backend.patch", 2, 2, ("tests/backends",)),
    "a data source": Addition(PATCHES / "source.patch", 2, 2, ("tests/sources",)),
    "a kind of smoothing": Addition(PATCHES / "smoothing.patch", 4, 6, (*OF_NOISES, "tests/api")),
}
"""By what is added; `tests` are run with the patch applied."""


def places(patch: str) -> dict[str, int]:
    """The number of places of each file of the source that a patch changes."""
    found: dict[str, int] = {}
    for part in re.split(r"^diff --git ", patch, flags=re.MULTILINE)[1:]:
        header, *hunks = re.split(r"^@@.*$\n?", part, flags=re.MULTILINE)
        names = re.findall(r"^(?:---|\+\+\+) (?:[ab]/)?(\S+)", header, flags=re.MULTILINE)
        name = next(name for name in reversed(names) if name != "/dev/null")
        if not name.startswith(NOT_SOURCE) and not name.endswith(".md"):
            stretches = sum(len(re.findall(r"(?:^[-+].*\n?)+", hunk, flags=re.MULTILINE)) for hunk in hunks)
            found[name] = 1 if "/dev/null" in names else stretches
    return found


def copied(folder: Path, root: Path = ROOT) -> Path:
    """A copy of the working tree's files that git knows, and of the built extension."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout.decode()
    for name in [
        *filter(None, listed.split("\0")),
        *(str(file.relative_to(root)) for file in (root / "rsfast").glob("_[Cb]*.*o*")),
    ]:
        source, target = root / name, folder / name
        if not name.startswith(("bench/results/", "bench/fuzz/seeds/")) and (source.exists() or source.is_symlink()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return folder


def applies(patch: Path, tree: Path, check: bool = True) -> str:
    """Why a patch does not apply to a tree; "" if it does.  Without `check` it is applied."""
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)}
    command = ["git", "apply", *(["--check"] if check else []), str(patch)]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True).stderr


def tried(addition: Addition) -> str:
    """Apply a patch in a copy of the tree and run its conformance tests there: what failed, "" if nothing."""
    with tempfile.TemporaryDirectory() as folder:
        tree = copied(Path(folder))
        problem = applies(addition.patch, tree, check=False)
        if problem:
            return problem
        if any(name.startswith("csrc/") for name in places(addition.patch.read_text())):
            environment = {**os.environ, "RSFAST_BUILD_EXT": "1"}
            build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
            subprocess.run(build, cwd=tree, env=environment, check=True, capture_output=True)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *addition.tests]
        run = subprocess.run(command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, capture_output=True, text=True)
        return "" if run.returncode == 0 else (run.stdout + run.stderr)[-4000:]
