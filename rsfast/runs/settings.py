"""The settings of a run: how a request is written into run.json, and what is read from there again."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..errors import RsfastError
from ..noise import from_dict as noise_from_dict
from ..request import WHOLE, Claim, Request, Smoothing, Stopping
from ..transforms import from_dict as transform_from_dict
from .canonical import canonical, is_real, is_whole, shown

MOST_IMAGES = 2**32  # ids end there


class Arithmetic(NamedTuple):
    """How a classifier is run, as far as its answers depend on it; `how` is the `identity` of a `counting.ready.Running`."""

    batch: int
    channels_last: bool
    device: str
    dtype: str
    mean: list[float]
    std: list[float]
    how: dict[str, Any]


class Meant(NamedTuple):
    """What the settings of a run stand for."""

    smoothing: Smoothing
    claim: Claim
    stopping: Stopping | None


class Tables(NamedTuple):
    """Hashes of the tables that decide when drawing ends, and that the noise is drawn with; None where there are none."""

    plan: str | None
    draw: str | None


def written(
    request: Request, stopping: Stopping | None, arithmetic: Arithmetic, tables: Tables, shape: Sequence[int], num_classes: int
) -> dict[str, Any]:
    """The settings of a run over images of `shape` (C, H, W)."""
    settings: dict[str, Any] = {
        "alpha": request.claim.alpha,
        "batch": arithmetic.batch,
        "channels_last": arithmetic.channels_last,
        "device": arithmetic.device,
        "dtype": arithmetic.dtype,
        "mean": arithmetic.mean,
        "n": request.n,
        "noise": request.noise.to_dict(),
        "num_classes": num_classes,
        "seed": request.seed,
        "shape": list(shape),
        "std": arithmetic.std,
    }
    if request.kind == "certify":
        settings |= {"bound": request.claim.bound, "n0": request.n0, "norm": norm_of(request.claim)}
        if request.claim.multiclass:
            settings["multiclass"] = True
        settings |= _ending(request, stopping, tables.plan)
    if request.transform != WHOLE:
        settings |= {"transform": request.transform.to_dict(), "joint": request.claim.joint}
    if arithmetic.how:
        settings["inference"] = arithmetic.how
    if tables.draw is not None:
        settings["quantile_table"] = tables.draw
    return settings


def norm_of(claim: Claim) -> float | str:
    """The order of a norm in JSON."""
    return "inf" if math.isinf(claim.norm) else claim.norm


def plan_of(request: Request) -> dict[str, Any] | None:
    """A plan in JSON, None for all draws."""
    return None if request.plan is None else json.loads(canonical(request.plan.to_dict()))


def _ending(request: Request, stopping: Stopping | None, table: str | None) -> dict[str, Any]:
    """What a run says of when drawing stops; nothing for all draws."""
    if request.plan is None:
        return {}
    if not request.plan.sequential:
        return {request.plan.name: True}
    settings: dict[str, Any] = {"plan": plan_of(request)}
    if stopping is not None and stopping.failure:
        settings["thresholds"] = [q.hex() for q in stopping.failure]
    if request.labels:
        settings |= {"labels": True, "n0": 0}
    if request.continuable:  # n is where a call pauses
        return settings | {"n": None}
    return settings | ({"plan_table": table} if table is not None else {})


def failures_before(before: dict[str, Any] | None, request: Request, shape: Sequence[int]) -> tuple[float, ...] | None:
    """Thresholds of the run that is continued, where it was of the same request; None where they are to be computed."""
    here = {
        "plan": plan_of(request),
        "norm": norm_of(request.claim),
        "n": None if request.continuable else request.n,
        "alpha": request.claim.alpha,
        "noise": request.noise.to_dict(),
        "shape": list(shape),
    }
    if before is None or not before.get("thresholds") or any(before.get(name) != value for name, value in here.items()):
        return None
    return tuple(float.fromhex(text) for text in before["thresholds"])


def meaning(settings: dict[str, Any]) -> Meant:
    """Smoothing, claim and stopping rule of a run; ValueError if its settings name none."""
    try:
        transform = transform_from_dict(settings["transform"]) if "transform" in settings else WHOLE
        smoothing = Smoothing.of(noise_from_dict(settings["noise"]), transform, settings["shape"])
        claim = claim_of(settings)
        return Meant(smoothing, claim, _stopping(settings, claim))
    except RsfastError as error:
        raise ValueError(str(error).rstrip(".")) from None
    except Exception as error:  # whatever damaged values do to the classes that take them
        raise ValueError(f"its settings cannot be understood: {type(error).__name__} {error}") from None


def claim_of(settings: dict[str, Any]) -> Claim:
    """What a run was planned to claim."""
    given = {name: settings[name] for name in ("alpha", "bound", "joint", "multiclass") if name in settings}
    return Claim(norm=float(settings.get("norm", 2.0)), **given)


def _stopping(settings: dict[str, Any], claim: Claim) -> Stopping | None:
    """The rule that a run's settings describe."""
    if not settings.get("curtail") and "plan" not in settings:
        return None
    from .. import plans

    if settings.get(plans.Curtail.name):
        return Stopping(plans.Curtail(), claim)
    failure = tuple(float.fromhex(text) for text in settings.get("thresholds", []))
    if not all(0.0 < q < 1.0 for q in failure) or any(q <= following for q, following in itertools.pairwise(failure)):
        raise ValueError("thresholds are not falling failure probabilities")
    return Stopping(plans.from_dict(settings["plan"]), claim, failure, settings.get("labels", False))


def is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(is_whole(n, 1, 2**31) for n in value) and math.prod(value) < 2**40


def _is_sample(value: object) -> bool:
    return isinstance(value, dict) and is_whole(value.get("images"), 1, MOST_IMAGES) and type(value.get("seed")) is int


def _is_norm(value: object) -> bool:
    return value == "inf" or is_real(value, 1e-300, 1e300)


def texts(*names: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and all(isinstance(value.get(name), str) for name in names)


Checks = dict[str, Callable[[Any], bool]]

_ALWAYS: Checks = {
    "alpha": lambda value: is_real(value, 0.0, 1.0) and 0 < value < 1,
    "batch": lambda value: is_whole(value, 1, 2**32),
    "device": is_text,
    "dtype": is_text,
    "n": lambda value: value is None or is_whole(value, 1, 2**32 - 1),
    "noise": lambda value: isinstance(value, dict),
    "num_classes": lambda value: is_whole(value, 1, 10**7),
    "seed": lambda value: is_whole(value, 0, 2**64 - 1),
    "shape": _is_shape,
}
_CERTIFY: Checks = {"bound": is_text, "n0": lambda value: is_whole(value, 0, 2**32 - 1), "norm": _is_norm}
_SOMETIMES: Checks = {
    "curtail": _is_flag,
    "inference": lambda value: isinstance(value, dict),
    "joint": is_text,
    "labels": _is_flag,
    "multiclass": _is_flag,
    "plan": lambda value: isinstance(value, dict),
    "sample": _is_sample,
    "thresholds": lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value),
    "transform": lambda value: isinstance(value, dict),
}


def check_settings(kind: str, settings: dict[str, Any], images: int) -> None:
    """Raise ValueError unless these can be the settings of a run of that kind over so many images."""
    refuse(settings, _ALWAYS | (_CERTIFY if kind == "certify" else {}))
    refuse(settings, {name: check for name, check in _SOMETIMES.items() if name in settings})
    if settings["n"] is None and "plan" not in settings:
        raise ValueError("n is null, and drawing by no plan")
    if "sample" in settings and settings["sample"]["images"] > images:
        raise ValueError("its sample has more images than its data")


def refuse(fields: dict[str, Any], checks: Checks) -> None:
    for name, check in checks.items():
        if name not in fields:
            raise ValueError(f"{name} is missing")
        if not check(fields[name]):
            raise ValueError(f"{name} cannot be {shown(fields[name])}")
