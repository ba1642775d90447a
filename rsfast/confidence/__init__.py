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
from .finite import population_interval, population_lower
from .growing import population_lower_sequence, population_sequence

__all__ = [
    "BOUNDS",
    "Bound",
    "bound",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "failure_upper",
    "least_samples",
    "population_interval",
    "population_lower",
    "population_lower_sequence",
    "population_sequence",
    "prediction_pvalue",
]
