"""rsfast: the fast, sound backend for certifying classifiers by randomized smoothing.

    import rsfast as rs
    cert = rs.certify(model, x, noise=rs.Gaussian(sigma=0.5), num_classes=1000, n0=100, n=100_000, alpha=1e-3, seed=0,
                      ids=range(len(x)))
    cert.label, cert.radius, cert.p_lower, cert.abstained

Names are imported at first use, so that `import rsfast` and `rsfast --help` stay quick.
"""

from __future__ import annotations

import importlib
from typing import Any

from .version import VERSION

_HOME = {
    "certify": "api",
    "certify_counts": "certifying.from_counts",
    "predict": "api",
    "predict_counts": "certifying.from_counts",
    "predict_details": "api",
    "sample_counts": "counting.count",
    "Gaussian": "noise",
    "GeneralizedGaussian": "noise",
    "Laplace": "noise",
    "LatticeGaussian": "noise",
    "Uniform": "noise",
    "InputDependentGaussian": "noise",
    "DiagonalSplit": "transforms",
    "Partition": "transforms",
    "ABSTAIN": "request",
    "Claim": "request",
    "Calibration": "inference.calibration",
    "Classifier": "counting.classifier",
    "Certificate": "result",
    "Prediction": "result",
    "VoteCounts": "result",
    "RsfastError": "errors",
    "InvalidArgumentError": "errors",
    "BackendUnavailableError": "errors",
    "NumericalError": "errors",
    "ModelError": "errors",
    "DataError": "errors",
    "StoreError": "errors",
    "SoundnessWarning": "errors",
}
_MODULES = {
    "attacks": "attacks",
    "backends": "backends",
    "certificates": "certificates",
    "compat": "compat",
    "confidence": "confidence",
    "inference": "inference",
    "inner": "inner",
    "models": "models",
    "ncx2": "numerics.ncx2",
    "noise": "noise",
    "numerics": "numerics",
    "plans": "plans",
    "sigma": "sigma",
    "torch": "torch",
    "training": "training",
    "transforms": "transforms",
}

__all__ = [
    "ABSTAIN",
    "BackendUnavailableError",
    "Calibration",
    "Certificate",
    "Claim",
    "Classifier",
    "DataError",
    "DiagonalSplit",
    "Gaussian",
    "GeneralizedGaussian",
    "InputDependentGaussian",
    "InvalidArgumentError",
    "Laplace",
    "LatticeGaussian",
    "ModelError",
    "NumericalError",
    "Partition",
    "Prediction",
    "RsfastError",
    "SoundnessWarning",
    "StoreError",
    "Uniform",
    "VoteCounts",
    "attacks",
    "backends",
    "certificates",
    "certify",
    "certify_counts",
    "compat",
    "confidence",
    "inference",
    "inner",
    "models",
    "ncx2",
    "noise",
    "numerics",
    "plans",
    "predict",
    "predict_counts",
    "predict_details",
    "sample_counts",
    "sigma",
    "training",
    "transforms",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{_MODULES[name]}", __name__)
    if name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    if name == "__version__":
        return VERSION
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "torch", "__version__"])  # `from rsfast import *` must not hide torch itself
