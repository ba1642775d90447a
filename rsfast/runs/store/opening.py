"""Beginning or continuing a run: its directory, its run.json, and the refusal of whatever does not belong to it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ... import files
from ...errors import StoreError
from ..canonical import canonical
from .lines import lines, shard_files
from .manifest import Manifest, is_run, read_manifest
from .shard import Shard, lock

FIRST_NAMED = ("noise", "n", "n0", "alpha", "seed", "num_classes", "dtype")  # others may follow from these
LAST_NAMED = ("batch",)  # by default it follows from others


def begin(path: Path, manifest: Manifest, index: int = 0, of: int = 1, **defaults: Any) -> tuple[Manifest, Shard]:
    """Create the run directory, or check that the one that is there belongs to the same run, and open a shard of it.

    Parameters
    ----------
    manifest : Manifest
        What is to be run.  A setting that is None takes the value of the run that is there, or of `defaults` for a new one.
    index, of : int
        The shard.

    Returns
    -------
    The manifest as it stands on disk, and the open shard.

    Raises
    ------
    StoreError
        Naming the first thing that differs.  A run that holds no image yet and is not being written may still be changed.
    """
    _make_directory(path)
    with _locked(path):
        there = read_manifest(path) if is_run(path) else None
        here = _adopting(manifest, there, defaults)
        if there is None or (there.fingerprint != here.fingerprint and not _begun(path)):
            files.write(path / "run.json", json.dumps(here.to_dict(), indent=1, sort_keys=True) + "\n")
            _forget_asked(path)
            there = here
        _refuse_difference(path, there, here)
        return there, Shard(path, index, of, there)


def join(path: Path, manifest: Manifest) -> Manifest:
    """Read the manifest of a run that has begun, for whoever works on it and writes nothing; `manifest` must be of that run."""
    there = read_manifest(path)
    _refuse_difference(path, there, _adopting(manifest, there, {}))
    return there


def _adopting(manifest: Manifest, there: Manifest | None, defaults: dict[str, Any]) -> Manifest:
    """A manifest whose settings that are None are those of the run that is there, or else of `defaults`."""
    adopted = {
        key: value if value is not None else (there.settings.get(key) if there is not None else defaults.get(key))
        for key, value in manifest.settings.items()
    }
    return dataclasses.replace(manifest, settings=adopted)


def _make_directory(path: Path) -> None:
    try:
        if os.path.lexists(path) and not is_run(path):
            if not path.is_dir():
                raise StoreError(f"{path} exists and is not a run directory: give another --out.")
            if shard_files(path):
                raise StoreError(
                    f"{path} holds counts and no run.json, without which they cannot be used: put it back (the same command with "
                    "the run's --seed and another --out writes the same one), or give another --out."
                )
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}.") from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time creates or changes run.json."""
    handle = -1
    try:
        handle = os.open(path, os.O_RDONLY)
        lock(handle, wait=True)
        yield
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        if handle >= 0:
            os.close(handle)


def _begun(path: Path) -> bool:
    """Whether any image is stored, or any shard is being written."""
    for _, _, file in shard_files(path):
        if any(True for _ in lines(file)):
            return True
        handle = os.open(file, os.O_RDONLY)
        try:
            if not lock(handle, wait=False):
                return True
        finally:
            os.close(handle)
    return False


def _forget_asked(path: Path) -> None:
    """What was asked of settings that have been corrected."""
    for file in path.glob("asked-*.jsonl"):
        file.unlink(missing_ok=True)


def _refuse_difference(path: Path, there: Manifest, here: Manifest) -> None:
    if there.kind != here.kind:
        raise StoreError(f"run '{path.name}' is a {there.kind} run, this call is {here.kind}. Use another --out.")
    others = {*there.settings, *here.settings} - {*FIRST_NAMED, *LAST_NAMED}
    for what in (*FIRST_NAMED, *sorted(others), *LAST_NAMED):
        old, new = there.settings.get(what), here.settings.get(what)
        if old != new:
            if what == "inference":
                what, old, new = _first_within(what, old or {}, new or {})
            raise StoreError(
                f"run '{path.name}' was started with {what}={_shown(old)}, this call has {what}={_shown(new)}; results of "
                "different settings are not mixed. Use another --out."
            )
    if there.model["sha256"] != here.model["sha256"]:
        raise StoreError(
            f"run '{path.name}' was started with model sha256 {there.model['sha256'][:8]}…, this model is "
            f"{here.model['sha256'][:8]}…; results of different models are not mixed. Use another --out."
        )
    if there.data["fingerprint"] != here.data["fingerprint"]:
        raise StoreError(
            f"run '{path.name}' was started on {there.data['name']} {there.data['fingerprint'][:8]}…, this is "
            f"{here.data['name']} {here.data['fingerprint'][:8]}…; results of different data are not mixed. "
            "Use another --out."
        )
    if there.fingerprint != here.fingerprint:
        raise StoreError(f"run '{path.name}' was started with other settings than this call's. Use another --out.")


def _first_within(what: str, old: dict[str, Any], new: dict[str, Any]) -> tuple[str, Any, Any]:
    """The first entry that differs, by its name."""
    name = next(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))
    return f"{what}.{name}", old.get(name), new.get(name)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 160 else text[:157] + "…"
