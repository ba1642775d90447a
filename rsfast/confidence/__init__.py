"""Counts → probability bounds.  Lower bounds are rounded down, upper bounds up."""

from .binomial import (
    BOUNDS,
    Bound,
    bound,
    clopper_pearson_lower,
    clopper_pearson_upper,
    failure_upper,
    least_samples,
    prediction_pvalue,
)

__all__ = [
    "BOUNDS",
    "Bound",
    "bound",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "failure_upper",
    "least_samples",
    "prediction_pvalue",
]
