"""Where compiled Numba code of this package is kept, and when it is too old to be used.

Numba judges a cached function by the date of its own file and does not notice that a function it calls has changed in another;
after an update, old machine code could answer.  Here every compiled function depends on all of the package's compiled sources.
Numba also refuses to define a cached function when neither the package's folder nor the user's cache can be written; here a
private temporary folder is the last resort.

Imported before any compiled function is defined.  Functions of other packages are not affected.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

PACKAGE = Path(__file__).resolve().parents[1]
COMPILED = ("numerics/*.py", "backends/numba.py", "certificates/*.py", "plans/*.py", "kernels/coefficients.py")


@functools.cache
def sources_stamp() -> str:
    """Hash of everything that compiled functions of this package are made of."""
    digest = hashlib.sha256()
    for pattern in COMPILED:
        for file in sorted(PACKAGE.glob(pattern)):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@functools.cache
def _private_folder() -> Path:
    """A folder for this user alone: what is loaded from it is executed."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir(), f"rsfast-numba-{user}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        if state.st_uid == user and folder.is_dir() and not folder.is_symlink() and state.st_mode & 0o077 == 0:
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="rsfast-numba-"))


def folder_for(file: Path) -> Path:
    """NUMBA_CACHE_DIR if it is set, the package's __pycache__, the user's cache, or a private temporary folder."""
    part = Path(f"rsfast-{hashlib.sha256(str(file.parent).encode()).hexdigest()[:16]}")
    if numba.config.CACHE_DIR:
        return Path(numba.config.CACHE_DIR) / part
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    for folder in (file.parent / "__pycache__", home / "numba" / part):
        if _usable(folder):
            return folder
    return _private_folder() / part


class PackageLocator(caching._CacheLocator):  # type: ignore[misc]
    """Tells Numba where functions of this package are cached, and by what their cache is outdated."""

    def __init__(self, function: Any, file: str) -> None:
        self._line = function.__code__.co_firstlineno
        self._folder = folder_for(Path(file))

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return sources_stamp()

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, function: Any, file: str) -> PackageLocator | None:
        if PACKAGE not in Path(file).resolve().parents:
            return None
        locator = cls(function, file)
        locator.ensure_cache_path()
        return locator


_implementation = getattr(caching, "CacheImpl", None) or caching._CacheImpl
if PackageLocator not in _implementation._locator_classes:
    _implementation._locator_classes.insert(0, PackageLocator)
