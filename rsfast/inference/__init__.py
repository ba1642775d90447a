"""Prepares a base classifier to run at its best: batch norms folded, dtype, memory layout and batch by measurement, runtimes.

Whatever is chosen here is part of the classifier that is certified, so every choice is recorded, and the same choices given
explicitly make the same classifier again without measuring anything.
"""

from ..names import RUNTIMES
from .batching import best_batch, default_batch
from .calibration import Calibration, check_integers
from .company import examine
from .devices import arithmetic, on
from .fold import Folded, fold_batch_norms
from .memory import halving, is_out_of_memory
from .outputs import ONE_LOGIT, checked, taken
from .placing import has_vnni
from .preparation import Prepared, prepare
from .probe import DTYPES, INPUTS, Rows, evaluating, rows_keep_their_bits

__all__ = [
    "DTYPES",
    "INPUTS",
    "ONE_LOGIT",
    "RUNTIMES",
    "Calibration",
    "Folded",
    "Prepared",
    "Rows",
    "arithmetic",
    "best_batch",
    "check_integers",
    "checked",
    "default_batch",
    "evaluating",
    "examine",
    "fold_batch_norms",
    "halving",
    "has_vnni",
    "is_out_of_memory",
    "on",
    "prepare",
    "rows_keep_their_bits",
    "taken",
]
