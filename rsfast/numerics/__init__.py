"""Special functions in Numba, float64: SciPy's names and argument order where SciPy has the function.

Outside its domain a function returns NaN; only what is no number is refused.  Imports numpy, numba and rsfast.checks only.
"""

from . import caching  # noqa: F401  before the functions are defined
