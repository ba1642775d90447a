"""Probability bounds → certified radii.  Pure float64 functions, vectorised, rounded down."""

from .gaussian import cohen_l2, gaussian_lp
from .input_dependent import (
    input_dependent_l2,
    input_dependent_rule,
    sigma_ratio_at_half,
    sigma_ratio_limit,
    sigma_ratio_limit_simple,
    xi_greater,
    xi_less,
)

CERTIFICATES = {"cohen_l2": cohen_l2, "gaussian_lp": gaussian_lp, "input_dependent_l2": input_dependent_l2}

__all__ = [
    "CERTIFICATES",
    "cohen_l2",
    "gaussian_lp",
    "input_dependent_l2",
    "input_dependent_rule",
    "sigma_ratio_at_half",
    "sigma_ratio_limit",
    "sigma_ratio_limit_simple",
    "xi_greater",
    "xi_less",
]
