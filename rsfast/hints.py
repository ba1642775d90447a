"""What someone meant who gave an argument or an option that is not known."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, ParamSpec, TypeVar, cast

from .errors import CallError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=type)

RUN = (
    "batch", "dtype", "device", "channels_last", "fold", "runtime", "backend", "mean", "std", "calibration",
    "value_range", "progress",
)  # fmt: skip
"""Arguments of `rsfast.Classifier`, which people give to what takes one."""

CLAIM = ("alpha", "norm", "bound", "joint", "multiclass")
"""The same of `rsfast.Claim`."""

SYNONYMS = {  # names that other libraries and the field's scripts give; words are joined by _
    "ids": "image_ids idx indices index",
    "x": "images image inputs input data batch_x",
    "n": "N num_samples samples n_samples sample_size",
    "n0": "N0 num_samples_selection n0_samples",
    "batch": "batch_size bs batchsize batches micro_batch",
    "alpha": "confidence failure_probability p_fail conf",
    "num_classes": "classes n_classes nb_classes k",
    "noise": "sigma sigmas noise_sd noise_std noise_level std_dev scale distribution",
    "sigma": "sd std stddev std_dev noise_sd noise_std noise_level noise_scale scale level",
    "half_width": "width lam sigma scale",
    "norm": "p lp order ord norm_order",
    "value_range": "clip_values bounds range",
    "device": "gpu cuda",
    "dtype": "precision amp half fp16",
    "threads": "num_threads workers num_workers jobs",
    "model": "base_classifier classifier network net arch architecture base_model f",
    "checkpoint": "weights ckpt state_dict model_path",
    "data": "dataset data_dir images input test_data",
    "out": "outfile output outdir out_dir output_dir save_dir",
    "count": "max limit num_images images",
    "images": "count max limit num_images",
    "every": "skip stride",
    "start": "offset first begin",
    "radii": "radius eps epsilon",
    "bound": "confidence_bound interval",
    "transform": "split smoothing view",
    "labels": "y targets target true_labels",
    "mean": "means",
    "std": "stds",
    "seed": "random_seed rng",
    "earlier": "counts previous resume",
    "plan": "curtail early_stop early_stopping stopping sequential adaptive",
    "run": "pilot",
    "file": "path",
}


def meant(given: str, known: Iterable[str]) -> str | None:
    """The known name that is most like the given one; None if none is."""
    known = list(known)
    name = given.strip("-").replace("-", "_")
    by_lower = {one.lower().replace("-", "_"): one for one in known}
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    for one in known:
        if name.lower() in SYNONYMS.get(one.replace("-", "_"), "").lower().split():
            return one
    near = difflib.get_close_matches(name.lower(), by_lower, 1, 0.7)
    return by_lower[near[0]] if near else None


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose wrong calls are answered with what was meant: CallError instead of a bare TypeError."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise _wrong_call(function.__name__, signature, kwargs, error) from None
        return function(*args, **kwargs)

    return call


def explained_class(kind: T) -> T:
    """The same for a class's constructor."""
    original = kind.__init__  # type: ignore[misc]
    signature = inspect.signature(original)

    @functools.wraps(original)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise _wrong_call(kind.__name__, signature, kwargs, error) from None
        original(self, *args, **kwargs)

    cast(Any, kind).__init__ = construct
    return kind


def outside() -> int:
    """The stacklevel at which a warning points at the first caller outside this package."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "rsfast":
        frame, level = frame.f_back, level + 1
    return level


def _wrong_call(name: str, signature: inspect.Signature, given: dict[str, Any], error: TypeError) -> CallError:
    known = [one for one in signature.parameters if one != "self"]
    unknown = [one for one in given if one not in known]
    if not unknown:
        needed = ", ".join(known)
        return CallError(f"{name}(): {error}. It takes {needed}.")
    first = unknown[0]
    hint = meant(first, [one for one in known if one not in given])
    run = meant(first, RUN) if "classifier" in known and hint is None else None
    said = meant(first, CLAIM) if "claim" in known and hint is None else None
    if said is not None:
        return CallError(f"{name}() has no argument {first!r}: say it in claim, such as claim=rsfast.Claim({said}=…).")
    if run is not None:
        return CallError(
            f"{name}() has no argument {first!r}: {run} says how the model is run: give rsfast.Classifier(model, num_classes=…, "
            f"{run}=…) in the model's place."
        )
    if hint == "noise":
        return CallError(f"{name}() has no argument {first!r}: say it in noise, such as noise=rsfast.Gaussian(sigma=0.25).")
    if hint == "plan":
        return CallError(f"{name}() has no argument {first!r}: say it in plan, such as plan=rsfast.plans.Curtail().")
    what = f"did you mean {hint!r}?" if hint else f"it takes {', '.join(known)}."
    return CallError(f"{name}() has no argument {first!r}: {what}")
