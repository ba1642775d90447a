"""What to do when a batch does not fit in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from ..errors import ModelError

SIGNS = (
    "defaultcpuallocator: can't allocate memory",
    "defaultcpuallocator: not enough memory",
    "cuda out of memory",
    "cudnn_status_alloc_failed",
    "cublas_status_alloc_failed",
    "std::bad_alloc",
)

Result = TypeVar("Result")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, says that memory ran out.

    torch raises its own class for a GPU and a bare RuntimeError for a CPU; Python raises MemoryError.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
            return True
        if isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS):
            return True
        error = error.__cause__
    return False


def halving(call: Callable[[int], Result], batch: int) -> tuple[Result, int]:
    """`call(batch)`, or with half the batch, a quarter, … until it fits in memory; the result and the batch that did.

    The batch is part of the base classifier: what was computed with the larger one is not to be mixed with this result, and
    the caller says which batch it was.

    Raises
    ------
    ModelError
        Not even a batch of one fits.  Any other error of `call` is passed on.
    """
    first = batch
    while True:
        try:
            return call(batch), batch
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if batch <= 1:
                raise ModelError(
                    f"the model does not fit in memory with a batch of 1 (first tried: {first}): use a smaller dtype or "
                    "another device."
                ) from error
        batch = batch // 2  # outside the handler: its traceback would keep the tensors of the failed pass alive
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
