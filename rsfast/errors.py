"""Every exception and warning that rsfast raises on purpose.

A message is one sentence or two: what was given · what is allowed · what to do.
"""


class RsfastError(Exception):
    """Base class; `except RsfastError` catches everything that rsfast refuses.

    Raised in the middle of a call over several images, `finished` is how many images were completed before and `counts`
    holds their votes (None if there are none).
    """

    finished: int = 0
    counts: object = None


class InvalidArgumentError(RsfastError, ValueError):
    """An argument is outside what the function is defined for."""


class BackendUnavailableError(RsfastError, RuntimeError):
    """A backend that was named cannot do what was asked, or no backend can."""


class NumericalError(RsfastError, ArithmeticError):
    """A computation could not be finished to its documented accuracy."""


class ModelError(RsfastError, RuntimeError):
    """The model could not be loaded, raised, or returned something that is not a batch of logits."""


class DataError(RsfastError, ValueError):
    """A data source or one of its images cannot be read."""


class StoreError(RsfastError, RuntimeError):
    """A run directory cannot be written, is damaged, or belongs to another model or setting."""


class SoundnessWarning(UserWarning):
    """A result rests on something that rsfast cannot check; the result and its report say what."""
