"""Gaussian noise whose level is a function of the image."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..checks import number, shown
from ..errors import InvalidArgumentError, RsfastError
from ..hints import explained_class
from .facts import SIGMA_RANGE, Noise


class LevelFunction(Protocol):
    """A level function gives sigma(x) of input-dependent smoothing: images [B, C, H, W] to noise levels, float64 [B].

    It may bring its own `rate` and `proven` (that the rate is a theorem) and `describe()` (a JSON-able dict).
    """

    def __call__(self, x: Any, /) -> Any: ...


@explained_class
@dataclasses.dataclass(frozen=True, init=False)
class InputDependentGaussian(Noise):
    """This is isotropic Gaussian noise N(0, sigma(x)² I) whose level depends on the input (Súkeník et al. 2022, §3).

    Parameters
    ----------
    function : callable
        sigma(x): images [B, C, H, W] to float64 [B], for instance `rsfast.sigma.NearestNeighbors`.
    rate : float, optional
        Its semi-elasticity r, per unit of distance: abs(log sigma(x) - log sigma(y)) <= r ||x - y||_2 for all x and y, also
        outside [0, 1], and for the values that are computed (to 1e-11).  Default: `function.rate`.  Where `function.proven` is
        not True, results carry a SoundnessWarning.
    description : dict, optional
        What a stored run says of the function; default `function.describe()` or its name.

    Raises
    ------
    InvalidArgumentError
        No callable, or a rate that is not a number from 0 to 10.
    """

    name = "input-dependent"
    title = "input-dependent"
    draw = "normal"
    family = "input-dependent"
    options: ClassVar[tuple[str, ...]] = ("sigma",)
    depends_on_input = True

    regular: ClassVar[str] = "semi-elastic"
    constant: ClassVar[str] = "semi-elasticity"
    condition: ClassVar[str] = "abs(log sigma(x) - log sigma(y)) <= rate ||x - y||"
    stated_by: ClassVar[str] = "rate"  # the attribute of a function that states its constant

    rate: float
    proven: bool
    description: str  # canonical JSON
    function: LevelFunction | None = dataclasses.field(compare=False, repr=False)

    def __init__(
        self,
        function: LevelFunction,
        *,
        rate: float | None = None,
        description: dict[str, Any] | None = None,
    ) -> None:
        if not callable(function):
            raise InvalidArgumentError(
                f"function={shown(function)} is not callable: give sigma(x), images [B, C, H, W] to float [B]."
            )
        own = getattr(function, self.stated_by, None)
        if description is None:
            describe = getattr(function, "describe", None)
            named = getattr(function, "__qualname__", type(function).__qualname__)
            home = getattr(function, "__module__", type(function).__module__)
            description = describe() if callable(describe) else {"name": f"{home}.{named}"}
        self._fill(own if rate is None else rate, False, description, function)
        if getattr(function, "proven", False) is True:
            object.__setattr__(self, "proven", rate is None or (isinstance(own, (int, float)) and self.rate >= own))

    def _fill(self, rate: object, proven: bool, description: dict[str, Any], function: LevelFunction | None) -> None:
        try:
            object.__setattr__(self, "rate", number("rate", rate, 0.0, 10.0, ""))
        except InvalidArgumentError:
            raise InvalidArgumentError(
                f"rate={shown(rate)} is not a {self.constant}: give a number from 0 to 10 with {self.condition} for all x and y."
            ) from None
        object.__setattr__(self, "proven", bool(proven))
        try:
            object.__setattr__(self, "description", json.dumps(description, sort_keys=True))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArgumentError(
                f"description cannot be stored ({error}): give a dict of plain numbers and text."
            ) from None
        object.__setattr__(self, "function", function)

    def __str__(self) -> str:
        return f"Gaussian, sigma(x) = {self.description}, {self.constant} {self.rate:g} ({'' if self.proven else 'not '}proven)"

    @classmethod
    def stored(cls, rate: float, proven: bool, function: dict[str, Any]) -> InputDependentGaussian:
        """Return the noise as read from a run: it can be certified with, not drawn from."""
        noise = object.__new__(cls)
        noise._fill(rate, proven, function, None)
        return noise

    @property
    def fixed_levels(self) -> tuple[float, ...]:
        return ()

    @property
    def caveats(self) -> tuple[str, ...]:
        if self.proven:
            return ()
        return (
            f"The {self.constant} {self.rate:g} of sigma(x) is taken on trust: if it is not proven, neither are these radii.",
        )

    def levels_of(self, images: Any, parts: int = 1) -> NDArray[np.float64]:
        """Return what the function says of images [B, C, H, W], float64 [B, 1].

        Raises
        ------
        InvalidArgumentError
            A function that fails, or returns something else than levels from 1e-6 to 1e6.
        """
        if self.function is None:
            raise InvalidArgumentError(
                "this noise was read from a run and cannot be drawn: give InputDependentGaussian(function)."
            )
        given = images.clone() if hasattr(images, "clone") else np.array(images)  # a function that works in place gets a copy
        try:
            found = np.asarray(self.function(given), dtype=np.float64)
        except RsfastError:
            raise
        except Exception as error:
            raise InvalidArgumentError(
                f"sigma(x) raised {type(error).__name__}: {error}. It must take images [B, C, H, W] and return one level for "
                "each."
            ) from error
        if found.shape != (len(images),) or not ((found >= SIGMA_RANGE[0]) & (found <= SIGMA_RANGE[1])).all():
            reach = f"reach from {found.min():g} to {found.max():g}" if found.size else "are none"
            raise InvalidArgumentError(
                f"the levels that sigma(x) gives are float {found.shape} and {reach}: it must return one for each of "
                f"{len(images)} images, from {SIGMA_RANGE[0]:g} to {SIGMA_RANGE[1]:g}."
            )
        return found[:, None]

    def to_dict(self) -> dict[str, Any]:
        function = json.loads(self.description)
        return {"name": self.name, "rate": self.rate, "proven": self.proven, "function": function}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Noise:
        if set(fields) != {"rate", "proven", "function"}:
            raise InvalidArgumentError(f"{cls.title} noise is described by {shown(fields)}: give rate, proven and function.")
        return cls.stored(**fields)
