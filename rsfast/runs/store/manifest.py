"""run.json: what a run is, strictly read."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from ... import files
from ...errors import StoreError
from ..canonical import digest, is_whole, parse, shown
from ..settings import MOST_IMAGES, Checks, check_settings, is_text, meaning, refuse, texts

FORMAT = 1
LARGEST = 2**28  # bytes of a run.json or of a line; anything that long was not written here


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A manifest says what a run is: everything that a count depends on, and the level it was planned for."""

    kind: str  # "certify" or "predict"
    settings: dict[str, Any]
    model: dict[str, str]  # name, sha256
    data: dict[str, Any]  # name, fingerprint, images
    versions: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """Return the hex digits of kind, settings, model and data (names and versions may change)."""
        return digest([self.kind, self.settings, self.model["sha256"], self.data["fingerprint"]])

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "fingerprint": self.fingerprint, **dataclasses.asdict(self)}


def is_run(path: Path) -> bool:
    """Say whether a run.json lies there, readable or not."""
    try:
        return os.path.lexists(path / "run.json")
    except ValueError:  # a NUL in the name
        return False


def _runs_in(path: Path) -> str:
    """A sentence that names the runs directly in a folder; nothing if there are none, or they cannot be listed."""
    try:
        names = sorted(one.name for one in path.iterdir() if (one / "run.json").is_file())
    except (OSError, ValueError):  # a NUL in the name
        return ""
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f" It holds runs: name one of {', '.join(map(files.shown, names[:5]))}{more}, as {files.shown(path / names[0])}."


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a run directory; it is a StoreError if there is none, or it is damaged or of a newer format."""
    file = path / "run.json"
    try:
        with files.open_regular(file) as opened:
            content = opened.read(LARGEST + 1)
    except FileNotFoundError:
        raise StoreError(f"{path} is not a run directory: it has no run.json.{_runs_in(path)}") from None
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror or error}.") from None
    try:
        if len(content) > LARGEST:
            raise ValueError(f"it is longer than {LARGEST} bytes")
        fields = parse(content)
        version = fields["format"] if isinstance(fields, dict) and "format" in fields else None
        if type(version) is not int or version < 1:
            raise ValueError("it has no format number")
        if version > FORMAT:
            raise StoreError(f"{file} was written by a newer rsfast: upgrade to read it.")
        manifest = _manifest(fields)
        if manifest.fingerprint != fields["fingerprint"]:
            raise StoreError(f"{file} was edited: its fingerprint does not fit; restore it, or start a new run.")
        check_settings(manifest.kind, manifest.settings, manifest.data["images"])
        meaning(manifest.settings)
    except (ValueError, RecursionError) as error:  # a StoreError is none
        raise StoreError(f"{file} is damaged ({error}): restore it, or start a new run with another --out.") from None
    return manifest


_FIELDS: Checks = {
    "kind": lambda value: value in ("certify", "predict"),
    "settings": lambda value: isinstance(value, dict),
    "model": texts("name", "sha256"),
    "data": lambda value: texts("name", "fingerprint")(value) and is_whole(value.get("images"), 0, MOST_IMAGES),
    "versions": lambda value: isinstance(value, dict) and all(isinstance(version, str) for version in value.values()),
}


def _manifest(fields: dict[str, Any]) -> Manifest:
    names = {field.name for field in dataclasses.fields(Manifest)}
    others = sorted(set(fields) - names - {"format", "fingerprint"})
    if others:
        raise ValueError(f"it holds {shown(others[0])}, which no run has")
    refuse(fields, {**_FIELDS, "fingerprint": is_text})
    return Manifest(**{name: fields[name] for name in names})
