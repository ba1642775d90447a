"""Probability bounds → certified radii.  Pure float64 functions, vectorised, rounded down."""

from .gaussian import cohen_l2, gaussian_lp

CERTIFICATES = {"cohen_l2": cohen_l2, "gaussian_lp": gaussian_lp}

__all__ = ["CERTIFICATES", "cohen_l2", "gaussian_lp"]
