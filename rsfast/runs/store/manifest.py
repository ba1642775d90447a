"""run.json: what a run is, strictly read."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ... import files
from ...errors import RsfastError, StoreError
from ...noise import Noise
from ...noise import check as check_noise
from ...noise import from_dict as noise_from_dict
from ...result import Stopping
from ...transforms import Identity, Transform
from ...transforms import from_dict as transform_from_dict

FORMAT = 1
MOST_IMAGES = 2**32  # ids end there
LARGEST = 2**28  # bytes of a run.json or of a line; anything that long was not written here

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return _ENCODER.encode(value)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)


def parse(content: bytes) -> Any:
    """Read JSON, or raise ValueError, also for keys that occur twice, NaN, infinity, and nesting too deep to be ours."""
    try:
        return _DECODER.decode(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        if "int_max_str_digits" in str(error):
            raise ValueError("a number has thousands of digits") from None
        raise


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


@dataclasses.dataclass(frozen=True)
class Meaning:
    """This is what the settings of a run stand for."""

    noise: Noise
    transform: Transform
    part_dims: tuple[int, ...]
    stopping: Stopping | None


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
        _check_settings(manifest)
        meaning(manifest)
    except (ValueError, RecursionError) as error:  # a StoreError is none
        raise StoreError(f"{file} is damaged ({error}): restore it, or start a new run with another --out.") from None
    return manifest


def meaning(manifest: Manifest) -> Meaning:
    """Return noise, transform and stopping rule of a run; it is a ValueError if its settings name none."""
    settings = manifest.settings
    try:
        transform = transform_from_dict(settings["transform"]) if "transform" in settings else Identity()
        noise = check_noise(noise_from_dict(settings["noise"]), transform.parts)
        channels, height, width = settings["shape"]
        dims = tuple(channels * transform.pixels(part, height, width) for part in range(transform.parts))
        return Meaning(noise, transform, dims, _stopping(settings))
    except RsfastError as error:
        raise ValueError(str(error).rstrip(".")) from None
    except Exception as error:  # whatever damaged values do to the classes that take them
        raise ValueError(f"its settings cannot be understood: {type(error).__name__} {error}") from None


def _stopping(settings: dict[str, Any]) -> Stopping | None:
    """The rule that a run's settings describe."""
    if settings.get("curtail"):
        return Stopping(None, settings["alpha"])
    if "plan" not in settings:
        return None
    from ... import plans

    failure = tuple(float.fromhex(text) for text in settings.get("thresholds", []))
    if not all(0.0 < q < 1.0 for q in failure) or any(q <= following for q, following in itertools.pairwise(failure)):
        raise ValueError("thresholds are not falling failure probabilities")
    labels = settings.get("labels", False)
    how = (settings["bound"], settings.get("multiclass", False), settings.get("joint", "bonferroni"))
    plan = plans.from_dict(settings["plan"])
    return Stopping(plan, settings["alpha"], failure, float(settings["norm"]), labels, *how)


def is_whole(value: object, low: int, high: int) -> bool:
    """Say whether a JSON value is a whole number from low to high (True is none, 1.0 is none)."""
    return type(value) is int and low <= value <= high


def is_real(value: object, low: float, high: float) -> bool:
    """Say whether a JSON value is a finite number from low to high."""
    return type(value) in (int, float) and low <= value <= high and math.isfinite(value)  # type: ignore[operator, arg-type]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(is_whole(n, 1, 2**31) for n in value) and math.prod(value) < 2**40


def _is_sample(value: object) -> bool:
    return isinstance(value, dict) and is_whole(value.get("images"), 1, MOST_IMAGES) and type(value.get("seed")) is int


def _is_norm(value: object) -> bool:
    return value == "inf" or is_real(value, 1e-300, 1e300)


def _texts(*names: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and all(isinstance(value.get(name), str) for name in names)


_Checks = dict[str, Callable[[Any], bool]]

_FIELDS: _Checks = {
    "kind": lambda value: value in ("certify", "predict"),
    "settings": lambda value: isinstance(value, dict),
    "model": _texts("name", "sha256"),
    "data": lambda value: _texts("name", "fingerprint")(value) and is_whole(value.get("images"), 0, MOST_IMAGES),
    "versions": lambda value: isinstance(value, dict) and all(isinstance(version, str) for version in value.values()),
}
_ALWAYS: _Checks = {
    "alpha": lambda value: is_real(value, 0.0, 1.0) and 0 < value < 1,
    "batch": lambda value: is_whole(value, 1, 2**32),
    "device": _is_text,
    "dtype": _is_text,
    "n": lambda value: value is None or is_whole(value, 1, 2**32 - 1),
    "noise": lambda value: isinstance(value, dict),
    "num_classes": lambda value: is_whole(value, 1, 10**7),
    "seed": lambda value: is_whole(value, 0, 2**64 - 1),
    "shape": _is_shape,
}
_CERTIFY: _Checks = {"bound": _is_text, "n0": lambda value: is_whole(value, 0, 2**32 - 1), "norm": _is_norm}
_SOMETIMES: _Checks = {
    "curtail": _is_flag,
    "inference": lambda value: isinstance(value, dict),
    "joint": _is_text,
    "labels": _is_flag,
    "multiclass": _is_flag,
    "plan": lambda value: isinstance(value, dict),
    "sample": _is_sample,
    "thresholds": lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value),
    "transform": lambda value: isinstance(value, dict),
}


def _manifest(fields: dict[str, Any]) -> Manifest:
    names = {field.name for field in dataclasses.fields(Manifest)}
    others = sorted(set(fields) - names - {"format", "fingerprint"})
    if others:
        raise ValueError(f"it holds {_shown(others[0])}, which no run has")
    _refuse(fields, {**_FIELDS, "fingerprint": _is_text})
    return Manifest(**{name: fields[name] for name in names})


def _check_settings(manifest: Manifest) -> None:
    settings = manifest.settings
    _refuse(settings, _ALWAYS | (_CERTIFY if manifest.kind == "certify" else {}))
    _refuse(settings, {name: check for name, check in _SOMETIMES.items() if name in settings})
    if settings["n"] is None and "plan" not in settings:
        raise ValueError("n is null, and drawing by no plan")
    if "sample" in settings and settings["sample"]["images"] > manifest.data["images"]:
        raise ValueError("its sample has more images than its data")


def _refuse(fields: dict[str, Any], checks: _Checks) -> None:
    for name, check in checks.items():
        if name not in fields:
            raise ValueError(f"{name} is missing")
        if not check(fields[name]):
            raise ValueError(f"{name} cannot be {_shown(fields[name])}")


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else value
    return text if len(text) <= 60 else text[:57] + "…"
