"""Special functions in Numba, float64: SciPy's names and argument order where SciPy has the function.

Outside its domain a function returns NaN; nothing here raises.  Imports numpy, numba and the standard library only.
"""

from . import caching  # noqa: F401  before the functions are defined
