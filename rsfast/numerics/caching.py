"""Where compiled Numba code of this package is kept, and when it is too old to be used.

Numba judges a cached function by the date of its own file and does not notice that a function it calls has changed in another;
after an update, old machine code could answer.  Here every compiled function depends on all of the package's compiled sources.
Numba also refuses to define a cached function when neither the package's folder nor the user's cache can be written; here a
private temporary folder is the last resort.  And where two processes compile a function for different arguments at once, Numba
can keep the code of one under the signature of the other, or name old code in an index of new sources; here every piece of code
has a name of its own, and is named in the index once it is there.

Imported before any compiled function is defined.  Functions of other packages are not affected.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import tempfile
import uuid
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

PACKAGE = Path(__file__).resolve().parents[1]
COMPILED = (
    "numerics/*.py", "backends/numba.py", "backends/call.py", "certificates/*.py", "plans/*.py", "kernels/coefficients.py",
)  # fmt: skip


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


_NumbasFiles = caching.IndexDataCacheFile


class PackageFiles(_NumbasFiles):  # type: ignore[misc, valid-type]
    """Index and code of one function.  What was damaged, or written by several processes at once, is at worst compiled again."""

    def load(self, key: Any) -> Any:
        with contextlib.suppress(OSError, EOFError, ValueError, pickle.UnpicklingError):
            return super().load(key)
        return None

    def save(self, key: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk costs compiling again
            overloads = self._overloads()
            if not overloads and Path(self._index_path).exists():  # of other sources
                for file in Path(self._cache_path).glob(self._data_name_pattern.replace("{number:d}", "*")):
                    file.unlink(missing_ok=True)
            name = overloads.get(key) or self._data_name(uuid.uuid4().int)
            self._save_data(name, data)
            self._save_index({**self._overloads(), key: name})

    def _overloads(self) -> dict[Any, str]:
        with contextlib.suppress(OSError, EOFError, ValueError, pickle.UnpicklingError):
            return dict(self._load_index())
        return {}


def _files(cache_path: str, filename_base: str, source_stamp: Any) -> Any:
    kind = PackageFiles if source_stamp == sources_stamp() else _NumbasFiles
    return kind(cache_path=cache_path, filename_base=filename_base, source_stamp=source_stamp)


_implementation = getattr(caching, "CacheImpl", None) or caching._CacheImpl
if PackageLocator not in _implementation._locator_classes:
    _implementation._locator_classes.insert(0, PackageLocator)
    caching.IndexDataCacheFile = _files
