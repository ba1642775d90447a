"""Calls with all options side by side, for tests that vary them: those of a Classifier and of a Claim find their place here."""

from __future__ import annotations

from typing import Any

import rsfast as rs

RUN = (
    "batch", "dtype", "device", "channels_last", "fold", "runtime", "backend", "mean", "std", "calibration", "value_range", "progress",
)  # fmt: skip
CLAIM = ("alpha", "norm", "bound", "joint", "multiclass")


def _taken(names: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    return {name: options.pop(name) for name in names if name in options}


def classifier(model: Any, options: dict[str, Any]) -> Any:
    """The model itself where nothing says how it is run; takes what it uses out of `options`."""
    run = _taken(RUN, options)
    return rs.Classifier(model, num_classes=options.pop("num_classes"), **run) if run else model


def sample_counts(model: Any, x: Any, **options: Any) -> rs.VoteCounts:
    claim = _taken(CLAIM, options)
    known = classifier(model, options)
    return rs.sample_counts(known, x, **options, **({"claim": rs.Claim(**claim)} if claim else {}))


def certify(model: Any, x: Any, **options: Any) -> rs.Certificate:
    if "earlier" in options:
        claim = {name: options[name] for name in CLAIM if name in options}
        return rs.certify_counts(sample_counts(model, x, **options), **claim)
    return rs.certify(classifier(model, options), x, **options)


def predict(model: Any, x: Any, **options: Any) -> Any:
    return rs.predict(classifier(model, options), x, **options)


def predict_details(model: Any, x: Any, **options: Any) -> rs.Prediction:
    return rs.predict_details(classifier(model, options), x, **options)
