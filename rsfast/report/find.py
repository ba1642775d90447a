"""What lies in a folder: runs, logs, and what is neither."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from ..errors import DataError
from ..files import as_path, kind_of, printable, shown
from .correct import listed
from .logs import is_log

MOST = 100_000  # entries of a folder and all that lie in it


@dataclasses.dataclass
class Found:
    """This holds runs and logs, sorted, names of what was passed over, by reason, and what could not be looked into, with the
    reason.
    """

    runs: list[Path] = dataclasses.field(default_factory=list)
    logs: list[Path] = dataclasses.field(default_factory=list)
    others: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    unreadable: list[str] = dataclasses.field(default_factory=list)

    def sentences(self, path: Path) -> list[str]:
        """Say what was passed over, in one sentence for each reason."""
        return [f"{printable(str(path))}: passed over {what}: {listed(sorted(names))}." for what, names in self.others.items()]


def is_run(folder: Path) -> bool:
    return os.path.lexists(folder / "run.json")


def find(path: str | Path) -> Found:
    """Find runs and logs at or below a path.  What lies inside a run is the run's; hidden names are passed over.

    Links are followed; each folder is looked at once.

    Raises
    ------
    DataError
        The path does not exist or cannot be looked at, is neither a file nor a folder, or holds more than 100,000 entries.
    """
    path = as_path(path, "path")
    where = shown(path)
    try:
        kind = kind_of(path)
    except FileNotFoundError:
        raise DataError(f"{where} does not exist: give a run directory, a log, or a folder of runs and logs.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{where} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if kind is None:
        return Found(logs=[path])
    if kind != "a directory":
        raise DataError(f"{where} is {kind}, and neither a file nor a folder: write it into a file, and give that.")
    found = Found(runs=[path]) if is_run(path) else _below(path, where)
    found.runs.sort()
    found.logs.sort()
    return found


def _below(top: Path, where: str) -> Found:
    found, waiting, seen, entries = Found(), [top], set(), 0
    links: list[Path] = []  # after everything else, so that what a link leads to is shown under its own name
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        name = printable(str(folder.relative_to(top)))
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                found.others.setdefault("links to what was seen already", []).append(name)
                continue
            seen.add((status.st_dev, status.st_ino))
            if is_run(folder):
                found.runs.append(folder)
                continue
            inside = sorted(folder.iterdir())
        except OSError as error:
            found.unreadable.append(f"{printable(str(folder))} cannot be read: {error.strerror or error}.")
            continue
        entries += len(inside)
        if entries > MOST:
            raise DataError(f"{where} holds more than {MOST:,} files: give the run directories, the logs, or a smaller folder.")
        for entry in inside:
            _sort(entry, top, found, links if entry.is_symlink() else waiting)
    return found


def _sort(entry: Path, top: Path, found: Found, folders: list[Path]) -> None:
    name = printable(str(entry.relative_to(top)))
    try:
        if entry.name.startswith("."):
            found.others.setdefault("hidden names", []).append(name)
            return
        kind = kind_of(entry)
        if kind == "a directory":
            folders.append(entry)
        elif kind is not None:
            found.others.setdefault("names that are neither file nor folder", []).append(f"{name}, {kind}")
        elif is_log(entry):
            found.logs.append(entry)
        else:
            found.others.setdefault("files that are no logs", []).append(name)
    except OSError as error:
        found.unreadable.append(f"{printable(str(entry))} cannot be read: {error.strerror or error}.")


def find_logs(path: str | Path) -> list[Path]:
    """Find the logs at or below a path, sorted; those that lie inside runs are left out.

    Raises
    ------
    DataError
        As `find` says.
    """
    return find(path).logs
