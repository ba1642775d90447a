"""Public functions of arrays from compiled functions of doubles."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks


def apply(function: Callable[..., Any], threads: int = 1, dtype: type = np.float64, **arguments: ArrayLike) -> Any:
    """function of the broadcast arguments, its elements shared over threads; no warnings, whatever np.errstate says.

    What is no number, or would be rounded by float64, is an InvalidArgumentError that names the argument.
    """
    threads = checks.whole("threads", threads, 1, 1024)
    with np.errstate(all="ignore"):  # a flag raised on a branch not taken is nobody's business
        arrays = checks.together(**{name: checks.doubles(name, value, "numbers") for name, value in arguments.items()})
        if threads == 1:
            return function(*arrays)
    shape, size = arrays[0].shape, arrays[0].size
    flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    out: NDArray[Any] = np.empty(size, dtype)
    edges = [size * i // threads for i in range(threads + 1)]

    def job(a: int, b: int) -> None:
        with np.errstate(all="ignore"):
            function(*[array[a:b] for array in flat], out[a:b])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(job, edges, edges[1:]))
    return out.reshape(shape)
