"""Plans: the same guarantee from a fraction of the draws.

`kinds` says what can be asked for, `tables` makes whole-number tables of it, `Tables` decides.  Statistics only: who draws, and
what a threshold's radius is, lies above.
"""

from .kinds import PLANS, Betting, Grid, Plan, Radius, check, from_dict
from .table import Tables, tables

__all__ = ["PLANS", "Betting", "Grid", "Plan", "Radius", "Tables", "check", "from_dict", "tables"]
