"""How many noisy copies go through the model at a time: by size, or by measurement."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import torch

from .. import checks, walk
from ..errors import ModelError
from .devices import on
from .memory import is_out_of_memory
from .probe import DTYPES, Model, Rows, evaluating, logits_of

PIXELS_PER_BATCH = {"cpu": 2**18, "cuda": 2**26}
MEASURED_PIXELS = {"cpu": 2**22, "cuda": 2**28}
"""Largest input that is tried.  A CPU's memory must not run out in earnest: Linux ends processes rather than refuse."""

TIE = 0.03
HOPELESS = 0.6
MOST_ROUNDS = 25

clock = time.perf_counter
Key = TypeVar("Key", bound=Hashable)


def default_batch(dim: int, total: int, device: str) -> int:
    """Noisy copies per forward pass for images of `dim` pixels of which `total` copies are drawn.

    At most 1024, 2^18 pixels on a CPU and 2^26 on a GPU; then as many equal batches as that takes, so that little or nothing
    of the last one is padding.
    """
    most = min(max(PIXELS_PER_BATCH.get(device, 2**22) // max(dim, 1), 8), 1024)
    batches = -(-max(total, 1) // most)
    return -(-max(total, 1) // batches)


def candidate_batches(dim: int, total: int | None, device: str) -> list[int]:
    """Powers of two worth trying, ascending: 8 to 512 on a CPU, 16 to 4096 elsewhere, fewer for large images."""
    least, most = (8, 512) if device == "cpu" else (16, 4096)
    room = max(MEASURED_PIXELS.get(device, 2**26) // max(dim, 1), 1)
    least = least if room >= least else 1
    powers = [2**i for i in range(13) if least <= 2**i <= min(most, room)]
    return powers if total is None else sorted({min(power, total) for power in powers})


def best_batch(
    model: Model,
    shape: Sequence[int],
    *,
    dtype: str = "float32",
    device: str | torch.device = "cpu",
    channels_last: bool = False,
    candidates: Sequence[int] | None = None,
    seconds: float = 1.0,
    total: int | None = None,
) -> int:
    """The batch that a model classifies the most images per second with.

    Parameters
    ----------
    model : callable
        [N, C, H, W] → [N, K].
    shape : (C, H, W)
        Of one image.
    dtype, device, channels_last
        Of its input.
    candidates : sequence of int, optional
        Default: powers of two by image size and device.
    seconds : float
        Roughly how long to measure; every candidate that is not hopeless gets one pass to warm up and one that counts.
    total : int, optional
        Copies drawn per image.  No larger batch is tried, and what the last batch is filled up with counts as lost.

    Returns
    -------
    int
        Of those within 3 % of the fastest, the smallest.

    Raises
    ------
    ModelError
        Not even the smallest candidate fits in memory, or the model raises.
    """
    checks.choice("dtype", dtype, DTYPES)
    where = torch.device(device)
    rows = Rows(shape, None)
    chosen = candidates or candidate_batches(rows.values[0].numel(), total, where.type)
    sizes = sorted({min(checks.whole("candidates", size, 1, 2**24), total or 2**24) for size in chosen})

    def passes(size: int) -> Callable[[], object]:
        x = rows.take(size, DTYPES[dtype], where, channels_last=channels_last)
        return lambda: logits_of(model, x)

    with on(where), evaluating(walk.modules(model)):
        return fastest_batch(batch_rates(passes, sizes, total=total, seconds=seconds, device=where))


def fastest_batch(rates: Mapping[int, float]) -> int:
    return min(size for size, rate in rates.items() if rate >= (1 - TIE) * max(rates.values()))


def batch_rates(
    passes: Callable[[int], Callable[[], object]],
    sizes: Sequence[int],
    *,
    total: int | None,
    seconds: float,
    device: torch.device,
) -> dict[int, float]:
    """Images per second of every batch that fits and is not far from the best; `passes(size)` gives a pass of that size.

    Sizes ascend.  Two hopeless ones in a row, or one that does not fit, end the list.
    """
    calls: dict[int, Callable[[], object]] = {}
    rates: dict[int, float] = {}

    def rate(size: int, elapsed: float) -> float:
        useful = 1.0 if total is None else total / (-(-total // size) * size)
        return size * useful / max(elapsed, 1e-9)

    hopeless = 0
    for size in sizes:
        try:
            call = passes(size)
            first = duration({size: call}, 0.0, device)[size]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if device.type == "cuda":
                torch.cuda.empty_cache()
            break
        rates[size] = rate(size, first)
        hopeless = hopeless + 1 if rates[size] < HOPELESS * max(rates.values()) else 0
        if not hopeless:
            calls[size] = call
        if hopeless == 2:
            break
    if not rates:
        raise ModelError(f"the model does not fit in memory with a batch of {sizes[0]}: use a smaller dtype or another device.")
    rounds = duration(calls, seconds, device, warm=True)
    return rates | {size: max(rates[size], rate(size, elapsed)) for size, elapsed in rounds.items()}


def duration(
    calls: Mapping[Key, Callable[[], object]], seconds: float, device: torch.device, *, warm: bool = False
) -> dict[Key, float]:
    """Shortest time of each call in seconds: one to warm up unless `warm`, then in turns until about `seconds` have passed."""
    found: dict[Key, float] = {}
    with torch.inference_mode():
        if not warm:
            for call in calls.values():
                call()
        began = clock()
        for _ in range(MOST_ROUNDS):
            for key, call in calls.items():
                found[key] = min(_once(call, device), found.get(key, float("inf")))
            if clock() - began >= seconds:
                break
    return found


def _once(call: Callable[[], Any], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = clock()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began
