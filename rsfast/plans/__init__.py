"""Plans: the same guarantee from a fraction of the draws.

`kinds` says what can be asked for, `tables` makes whole-number tables of it, `Tables` decides.  Statistics only: who draws, and
what a threshold's radius is, lies above.
"""

from .expected import Curve, Expected, curve, expected
from .kinds import PLANS, Betting, Curtail, Grid, Plan, Radius, Sequential, check, check_sequential, from_dict
from .table import Tables, tables

__all__ = [
    "PLANS",
    "Betting",
    "Curtail",
    "Curve",
    "Expected",
    "Grid",
    "Plan",
    "Radius",
    "Sequential",
    "Tables",
    "check",
    "check_sequential",
    "curve",
    "expected",
    "from_dict",
    "tables",
]
