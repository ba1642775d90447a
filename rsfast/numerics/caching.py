"""Where compiled Numba code is kept when neither the package's folder nor the user's cache can be written.

Imported before any compiled function is defined: Numba refuses to define a cached function that it has no place for.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numba


def _writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def choose() -> None:
    """Point Numba to a private temporary folder if it has nowhere else to write."""
    if numba.config.CACHE_DIR:
        return
    package = Path(__file__).parents[1]
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    if all(_writable(package / folder / "__pycache__") for folder in ("numerics", "backends")) or _writable(home / "numba"):
        return
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir(), f"rsfast-numba-{user}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        trusted = folder.stat().st_uid == user and not folder.is_symlink() and folder.stat().st_mode & 0o022 == 0
    except OSError:
        trusted = False
    numba.config.CACHE_DIR = str(folder if trusted else tempfile.mkdtemp(prefix="rsfast-numba-"))


choose()
