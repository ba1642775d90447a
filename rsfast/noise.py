"""WHAT to draw: noise distributions as frozen values, and the table of random streams.

HOW they are drawn is the business of `rsfast.backends`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .checks import number, shown, whole
from .errors import InvalidArgumentError, RsfastError
from .hints import explained_class

STREAMS = {
    "selection": 0,  # n0 draws that choose the class
    "estimation": 1,  # n draws that bound its probability
    "prediction": 2,  # n draws of the two-sided test
}
"""Fourth word of every counter: draws of different purposes never share words.  Part j of a split image adds PART_STREAMS * j.
All streams are below 2^31; the top bit marks the extra radius bits of rare large draws (docs/rng.md)."""

PART_STREAMS = 256

SIGMA_RANGE = (1e-6, 1e6)


def _level(name: str, value: object) -> float:
    """A noise level, or InvalidArgumentError."""
    try:
        return number(name, value, *SIGMA_RANGE, "")
    except InvalidArgumentError:
        raise InvalidArgumentError(
            f"{name}={shown(value)} is not a noise level: give a positive number, from {SIGMA_RANGE[0]:g} to "
            f"{SIGMA_RANGE[1]:g}, in the units of the image (0.25 is customary for images in [0, 1])."
        ) from None


@explained_class
@dataclasses.dataclass(frozen=True)
class Gaussian:
    """This is isotropic Gaussian noise N(0, sigma² I) (Cohen, Rosenfeld & Kolter 2019, eq. 1).

    Parameters
    ----------
    sigma : float
        Standard deviation per pixel, in the units of the image (images in [0, 1]).  The noise that is drawn has
        `sigma` rounded *up* to float32, so that radii stated for `sigma` stay below the true ones.

    Raises
    ------
    InvalidArgumentError
        If sigma is not a finite number from 1e-6 to 1e6.
    """

    sigma: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", _level("sigma", self.sigma))

    @property
    def level(self) -> float:
        return self.sigma

    def to_dict(self) -> dict[str, Any]:
        return {"name": "gaussian", "sigma": self.sigma}


@explained_class
@dataclasses.dataclass(frozen=True)
class Laplace:
    """This is independent Laplace noise of density ~ exp(-|z| / scale) per pixel, which certifies in l1 (Teng et al. 2020).

    Parameters
    ----------
    scale : float
        b of each pixel's noise, in the units of the image; its standard deviation is sqrt(2) b.

    Raises
    ------
    InvalidArgumentError
        If scale is not a finite number from 1e-6 to 1e6.
    """

    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", _level("scale", self.scale))

    @property
    def level(self) -> float:
        return self.scale

    @property
    def shape(self) -> float:
        return 1.0

    def to_dict(self) -> dict[str, Any]:
        return {"name": "laplace", "scale": self.scale}


@explained_class
@dataclasses.dataclass(frozen=True)
class GeneralizedGaussian:
    """This is independent noise of density ~ exp(-|z / scale|^shape) per pixel (Hayes 2020, §5; Kumar et al. 2020, §4).

    Parameters
    ----------
    scale : float
        In the units of the image; shape 2 is a Gaussian of standard deviation scale / sqrt(2).
    shape : float
        s, from 1 (Laplace) to 100.

    Raises
    ------
    InvalidArgumentError
        If scale is not a finite number from 1e-6 to 1e6, or shape not one from 1 to 100.
    """

    scale: float
    shape: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", _level("scale", self.scale))
        try:
            object.__setattr__(self, "shape", number("shape", self.shape, 1.0, 100.0, ""))
        except InvalidArgumentError:
            raise InvalidArgumentError(
                f"shape={shown(self.shape)} is not a shape: give a number from 1 (Laplace) to 100."
            ) from None

    @property
    def level(self) -> float:
        return self.scale

    def to_dict(self) -> dict[str, Any]:
        return {"name": "generalized-gaussian", "scale": self.scale, "shape": self.shape}


@explained_class
@dataclasses.dataclass(frozen=True)
class Uniform:
    """This is independent uniform noise on [-half_width, half_width] per pixel, which certifies in l1 (Lee et al. 2019).

    Parameters
    ----------
    half_width : float
        In the units of the image; the standard deviation is half_width / sqrt(3).

    Raises
    ------
    InvalidArgumentError
        If half_width is not a finite number from 1e-6 to 1e6.
    """

    half_width: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "half_width", _level("half_width", self.half_width))

    @property
    def level(self) -> float:
        return self.half_width

    def to_dict(self) -> dict[str, Any]:
        return {"name": "uniform", "half_width": self.half_width}


@explained_class
@dataclasses.dataclass(frozen=True)
class LatticeGaussian:
    """This is Gaussian noise rounded to the lattice of 8-bit images: smoothing that is sound in the arithmetic that is performed.

    Images are k / levels with whole k.  Rounding commutes with whole shifts, round(k + levels * e) = k + round(levels * e), so
    that the classifier of k + J, J = round(levels * e), e ~ N(0, sigma²), is a Gaussian-smoothed classifier in exact arithmetic,
    and its radii hold around lattice images whatever the network's own rounding does (Voráček & Hein 2023).  J is drawn by
    comparing whole numbers; one conversion at the end makes (k + J) / levels, normalised, the model's input.  Radii subtract the
    total variation between the whole numbers drawn and the rounded Gaussian, about 1e-11 for an ImageNet image.

    Parameters
    ----------
    sigma : float
        Standard deviation per pixel, images being in [0, 1].
    levels : int
        Steps of the lattice in one unit, 1 to 65535; 255 for 8-bit images.

    Raises
    ------
    InvalidArgumentError
        sigma or levels out of range, or sigma * levels not from 0.05 to 4096.
    """

    sigma: float
    levels: int = 255

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", _level("sigma", self.sigma))
        object.__setattr__(self, "levels", whole("levels", self.levels, 1, 65535))
        if not 0.05 <= self.sigma * self.levels <= 4096:
            raise InvalidArgumentError(
                f"sigma={self.sigma:g} is {self.sigma * self.levels:g} steps of a lattice of {self.levels} levels: give noise "
                "of 0.05 to 4096 steps."
            )

    @property
    def level(self) -> float:
        return self.sigma

    def to_dict(self) -> dict[str, Any]:
        return {"name": "lattice-gaussian", "sigma": self.sigma, "levels": self.levels}

    @property
    def total_variation(self) -> float:
        """Bound one pixel's distance from the rounded Gaussian: 63-bit thresholds, rounded to nearest, up to 9.25 sigma."""
        return (9.25 * self.sigma * self.levels + 8.0) * 2.0**-64


class LevelFunction(Protocol):
    """A level function gives sigma(x) of input-dependent smoothing: images [B, C, H, W] to noise levels, float64 [B].

    It may bring its own `rate` and `proven` (that the rate is a theorem) and `describe()` (a JSON-able dict).
    """

    def __call__(self, x: Any, /) -> Any: ...


@explained_class
@dataclasses.dataclass(frozen=True, init=False)
class InputDependentGaussian:
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
        own = getattr(function, "rate", None)
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
                f"rate={shown(rate)} is not a semi-elasticity: give a number from 0 to 10 with "
                "abs(log sigma(x) - log sigma(y)) <= rate ||x - y|| for all x and y."
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
        return f"Gaussian, sigma(x) = {self.description}, semi-elasticity {self.rate:g} ({'' if self.proven else 'not '}proven)"

    @classmethod
    def stored(cls, rate: float, proven: bool, function: dict[str, Any]) -> InputDependentGaussian:
        """Return the noise as read from a run: it can be certified with, not drawn from."""
        noise = object.__new__(cls)
        noise._fill(rate, proven, function, None)
        return noise

    def to_dict(self) -> dict[str, Any]:
        function = json.loads(self.description)
        return {"name": "input-dependent", "rate": self.rate, "proven": self.proven, "function": function}


Noise = Gaussian | LatticeGaussian | Laplace | GeneralizedGaussian | Uniform | InputDependentGaussian | tuple[Gaussian, ...]
"""What is drawn: one noise, or for parts of different noise levels one Gaussian each."""

NOISES: dict[str, Any] = {
    "gaussian": Gaussian,
    "lattice-gaussian": LatticeGaussian,
    "laplace": Laplace,
    "generalized-gaussian": GeneralizedGaussian,
    "uniform": Uniform,
    "input-dependent": InputDependentGaussian,
}


def is_noise(value: object) -> bool:
    """Say whether this is a noise that is known here; a subclass may draw something else."""
    if isinstance(value, tuple):
        return len(value) > 0 and all(type(item) is Gaussian for item in value)
    return type(value) in NOISES.values()


def check(noise: object, parts: int = 1) -> Noise:
    """Return `noise` if it is one for an image in so many parts, and raise InvalidArgumentError otherwise."""
    if isinstance(noise, list):
        noise = tuple(noise)
    if not (isinstance(noise, tuple(NOISES.values())) or is_noise(noise)):
        raise InvalidArgumentError(
            f"noise={shown(noise)} is not a noise: give rsfast.Gaussian(sigma=0.25), for instance, or for parts "
            "one each in a list."
        )
    if isinstance(noise, tuple) and len(noise) != parts:
        raise InvalidArgumentError(f"{len(noise)} noises were given and the transform shows {parts} part(s): give one each.")
    if isinstance(noise, InputDependentGaussian) and parts > 1:
        raise InvalidArgumentError(
            "noise is input-dependent and the transform splits the image: no certificate covers both; give rsfast.Gaussian."
        )
    if isinstance(noise, tuple) and parts == 1:
        return noise[0]
    return noise  # type: ignore[return-value]


LARGEST_IN_RANGES = 8.0


def check_scale(noise: Noise, low: float, high: float, otherwise: str = "give value_range=None if it is meant so") -> None:
    """Raise InvalidArgumentError for noise so much larger than the images' range that it must be meant for pixels 0 … 255."""
    for one in noise if isinstance(noise, tuple) else (noise,):
        if not isinstance(one, InputDependentGaussian) and one.level > LARGEST_IN_RANGES * (high - low):
            raise InvalidArgumentError(
                f"a noise level of {one.level:g} leaves nothing of an image in [{low:g}, {high:g}]: levels are in its units. For "
                f"pixels from 0 to 255 give {one.level:g} / 255 = {one.level / 255:.4g}; {otherwise}."
            )


def levels(noise: Noise, images: Any, parts: int = 1) -> NDArray[np.float64]:
    """Return the noise level of each image and part: float64 [B, parts].

    Raises
    ------
    InvalidArgumentError
        An input-dependent function that fails, or returns something else than levels from 1e-6 to 1e6.
    """
    if isinstance(noise, tuple):
        return np.tile([one.sigma for one in noise], (len(images), 1))
    if not isinstance(noise, InputDependentGaussian):
        return np.full((len(images), parts), noise.level)
    if noise.function is None:
        raise InvalidArgumentError("this noise was read from a run and cannot be drawn: give InputDependentGaussian(function).")
    given = images.clone() if hasattr(images, "clone") else np.array(images)  # a function that works in place gets a copy
    try:
        found = np.asarray(noise.function(given), dtype=np.float64)
    except RsfastError:
        raise
    except Exception as error:
        raise InvalidArgumentError(
            f"sigma(x) raised {type(error).__name__}: {error}. It must take images [B, C, H, W] and return one level for each."
        ) from error
    if found.shape != (len(images),) or not ((found >= SIGMA_RANGE[0]) & (found <= SIGMA_RANGE[1])).all():
        shown = f"reach from {found.min():g} to {found.max():g}" if found.size else "are none"
        raise InvalidArgumentError(
            f"the levels that sigma(x) gives are float {found.shape} and {shown}: it must return one for each of {len(images)} "
            f"images, from {SIGMA_RANGE[0]:g} to {SIGMA_RANGE[1]:g}."
        )
    return found[:, None]


def to_dict(noise: Noise) -> dict[str, Any]:
    """Return a noise as JSON."""
    return {"name": "gaussian", "sigma": [one.sigma for one in noise]} if isinstance(noise, tuple) else noise.to_dict()


def from_dict(fields: dict[str, Any]) -> Noise:
    """Return the noise that `to_dict` described."""
    if not isinstance(fields, Mapping):
        raise InvalidArgumentError(f"a noise is described by {shown(fields)}: give the dict of to_dict().")
    fields = dict(fields)
    name = fields.pop("name", None)
    if not isinstance(name, str) or name not in NOISES:
        raise InvalidArgumentError(f"noise {shown(name)} is not known: give one of {', '.join(NOISES)}.")
    if name == "input-dependent":
        if set(fields) != {"rate", "proven", "function"}:
            raise InvalidArgumentError(f"input-dependent noise is described by {shown(fields)}: give rate, proven and function.")
        return InputDependentGaussian.stored(**fields)
    if name == "gaussian" and not set(fields) <= {"sigma"}:
        raise InvalidArgumentError(f"Gaussian noise is described by {shown(fields)}: give sigma alone.")
    if isinstance(fields.get("sigma"), list):
        return tuple(Gaussian(sigma) for sigma in fields["sigma"])
    return NOISES[name](**fields)
