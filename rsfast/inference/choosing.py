"""runtime="auto": what is installed here is tried within a budget, and the fastest whose logits agree is taken."""

from __future__ import annotations

import dataclasses
import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from ..errors import BackendUnavailableError, InvalidArgumentError, ModelError, reason
from .memory import is_out_of_memory

BUDGET = 45.0
"""Seconds that all trials may take; more where they are SHARE of the run."""

SHARE = 0.05
"""What trials may take of the time that all draws take with the model as it was given."""

LEAST_GAIN = 1.1
"""Another classifier than the one that was given is taken where it is so many times faster."""

clock = time.perf_counter


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to run a model: arguments of `prepare`, the libraries that it needs, and about how long preparing it takes."""

    name: str
    options: dict[str, Any]
    needs: tuple[str, ...] = ()
    seconds: float = 1.0

    @property
    def missing(self) -> str | None:
        """The first library that is not here."""
        return next((name for name in self.needs if importlib.util.find_spec(name) is None), None)


AS_GIVEN = Way("as given", {"runtime": "torch", "fold": False})
FOLDED = [
    Way("folded", {"runtime": "torch", "fold": True, "channels_last": False}),
    Way("folded, channels last", {"runtime": "torch", "fold": True, "channels_last": True}),
]
WAYS = {
    "cpu": [
        *FOLDED,
        Way("onnxruntime", {"runtime": "onnxruntime", "fold": True}, ("onnxruntime", "onnx", "onnxscript"), 8.0),
        Way("openvino", {"runtime": "openvino", "fold": True}, ("openvino", "onnx", "onnxscript"), 3.0),
        Way("compile", {"runtime": "compile", "fold": True}, (), 60.0),
    ],
    "cuda": [
        *FOLDED,
        Way("cudagraph", {"runtime": "cudagraph", "fold": True, "channels_last": True}, (), 3.0),
        Way("compile", {"runtime": "compile", "fold": True, "channels_last": True}, (), 60.0),
    ],
}
"""What is tried on a device beside the model as it was given, the cheapest to prepare first."""


INTEGERS = [
    Way("onnxruntime", {"runtime": "onnxruntime", "fold": True}, ("onnxruntime", "onnx", "onnxscript"), 8.0),
    Way("openvino", {"runtime": "openvino", "fold": True}, ("openvino",), 3.0),
]
"""What runs a model in int8."""


class Candidate(Protocol):
    """What preparation returns."""

    @property
    def record(self) -> dict[str, Any]: ...


P = TypeVar("P", bound=Candidate)


def fastest(
    prepare: Callable[[Way], P],
    rate: Callable[[P], float],
    *,
    ways: list[Way],
    draws: int | None,
    agree: Callable[[P], bool],
    budget: float = BUDGET,
) -> P:
    """The fastest of the ways to run a model, and in its record what was tried.

    Parameters
    ----------
    prepare : callable
        A way → what is prepared so.  Raises ModelError, BackendUnavailableError or InvalidArgumentError where that cannot be.
    rate : callable
        What is prepared → images a second.
    ways : list of Way
        The first one is the model as it was asked for: another is taken where it is LEAST_GAIN times faster.
    draws : int or None
        How many copies are to come, None for any number: a way that takes longer to prepare than the model as given needs for all
        of them is not tried.
    agree : callable
        Whether the logits of what is prepared are those of the model as it was given.
    budget : float
        Seconds that all trials may take: what would not be ready by then is not tried.
    """
    began = clock()
    best = prepare(ways[0])
    plain = fast = rate(best)
    budget = max(budget, SHARE * (draws or 0) / plain)
    rows: dict[str, dict[str, Any]] = {ways[0].name: {"images_per_second": plain}}
    for way, row in _worth(rows, ways[1:], draws, plain, lambda way: clock() - began + way.seconds > budget):
        start = clock()
        try:
            found = prepare(way)
        except (ModelError, BackendUnavailableError, InvalidArgumentError) as error:
            row["skipped"] = reason(error)
            continue
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            row["skipped"] = "it does not fit in memory"
            continue
        row |= {"prepared_in_seconds": clock() - start, "images_per_second": rate(found)}
        if not agree(found):
            row["skipped"] = f"its logits differ by {found.record['difference']} of their spread"
        elif row["images_per_second"] > max(fast, LEAST_GAIN * plain):
            best, fast = found, row["images_per_second"]
    best.record["measured"] = best.record["measured"] | {"runtimes": rows, "seconds": clock() - began}
    return best


def _worth(
    rows: dict[str, dict[str, Any]], ways: list[Way], draws: int | None, plain: float, over: Callable[[Way], bool]
) -> Iterator[tuple[Way, dict[str, Any]]]:
    """The ways that are worth a trial, each with its row; of the others the row says why not."""
    for way in ways:
        row = rows[way.name] = {}
        if way.missing is not None:
            row["skipped"] = f"{way.missing} is not installed"
        elif draws is not None and draws / plain < way.seconds:
            row["skipped"] = f"{draws} copies take {draws / plain:.1f} s as it is, and preparing it about {way.seconds:g} s"
        elif over(way):
            row["skipped"] = f"preparing it takes about {way.seconds:g} s, for which no time is left"
        else:
            yield way, row
