"""WHAT to draw: noise distributions as frozen values, and the table of random streams.

HOW they are drawn is the business of `rsfast.backends`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import number, shown, whole
from ..errors import InvalidArgumentError
from ..hints import explained_class
from .facts import SIGMA_RANGE as SIGMA_RANGE
from .facts import Noise as Noise
from .facts import check_level
from .input_dependent import InputDependentGaussian as InputDependentGaussian
from .input_dependent import LevelFunction as LevelFunction

STREAMS = {
    "selection": 0,  # n0 draws that choose the class
    "estimation": 1,  # n draws that bound its probability
    "prediction": 2,  # n draws of the two-sided test
    "training": 3,  # copies of training images; sample 2^16 e + s is copy s of epoch e
    "start": 4,  # random starts and mixing weights in training
    "attack": 5,  # copies that an attack's gradients are averaged over
    "calibration": 6,  # copies that set and check the scales of integer arithmetic
}
"""Fourth word of every counter: draws of different purposes never share words.  Part j of a split image adds PART_STREAMS * j.
All streams are below 2^31; the top bit marks the extra radius bits of rare large draws (docs/rng.md)."""

PART_STREAMS = 256


@explained_class
@dataclasses.dataclass(frozen=True)
class Gaussian(Noise):
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

    name = "gaussian"
    title = "Gaussian"
    draw = "normal"
    family = "gaussian"
    options = ("sigma",)

    sigma: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", check_level("sigma", self.sigma))

    @property
    def fixed_levels(self) -> tuple[float, ...]:
        return (self.sigma,)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Noise:
        if not set(fields) <= {"sigma"}:
            raise InvalidArgumentError(f"Gaussian noise is described by {shown(fields)}: give sigma alone.")
        return GaussianParts(fields["sigma"]) if isinstance(fields.get("sigma"), list) else cls(**fields)


@explained_class
@dataclasses.dataclass(frozen=True)
class Laplace(Noise):
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

    name = "laplace"
    title = "Laplace"
    draw = "quantile"
    family = "log-concave"
    options = ("scale",)

    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", check_level("scale", self.scale))

    @property
    def fixed_levels(self) -> tuple[float, ...]:
        return (self.scale,)

    @property
    def shape(self) -> float:
        return 1.0

    @property
    def quantile_shape(self) -> float:
        return self.shape


@explained_class
@dataclasses.dataclass(frozen=True)
class GeneralizedGaussian(Noise):
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

    name = "generalized-gaussian"
    title = "generalised Gaussian"
    draw = "quantile"
    family = "log-concave"
    options = ("scale", "shape")

    scale: float
    shape: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", check_level("scale", self.scale))
        try:
            object.__setattr__(self, "shape", number("shape", self.shape, 1.0, 100.0, ""))
        except InvalidArgumentError:
            raise InvalidArgumentError(
                f"shape={shown(self.shape)} is not a shape: give a number from 1 (Laplace) to 100."
            ) from None

    @property
    def fixed_levels(self) -> tuple[float, ...]:
        return (self.scale,)

    @property
    def quantile_shape(self) -> float:
        return self.shape


@explained_class
@dataclasses.dataclass(frozen=True)
class Uniform(Noise):
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

    name = "uniform"
    title = "uniform"
    draw = "uniform"
    family = "uniform"
    options = ("scale",)

    half_width: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "half_width", check_level("half_width", self.half_width))

    @property
    def fixed_levels(self) -> tuple[float, ...]:
        return (self.half_width,)


@explained_class
@dataclasses.dataclass(frozen=True)
class LatticeGaussian(Noise):
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

    name = "lattice-gaussian"
    title = "lattice Gaussian"
    draw = "lattice"
    family = "gaussian"
    options = ("sigma",)

    sigma: float
    levels: int = 255

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", check_level("sigma", self.sigma))
        object.__setattr__(self, "levels", whole("levels", self.levels, 1, 65535))
        if not 0.05 <= self.sigma * self.levels <= 4096:
            raise InvalidArgumentError(
                f"sigma={self.sigma:g} is {self.sigma * self.levels:g} steps of a lattice of {self.levels} levels: give noise "
                "of 0.05 to 4096 steps."
            )

    @property
    def fixed_levels(self) -> tuple[float, ...]:
        return (self.sigma,)

    @property
    def quantile_shape(self) -> float:
        return 2.0  # for a first guess of the whole number

    @property
    def lattice(self) -> int:
        return self.levels

    @property
    def total_variation(self) -> float:
        """Bound one pixel's distance from the rounded Gaussian: 63-bit thresholds, rounded to nearest, up to 9.25 sigma."""
        return (9.25 * self.sigma * self.levels + 8.0) * 2.0**-64


@explained_class
@dataclasses.dataclass(frozen=True)
class GaussianParts(Noise):
    """This is isotropic Gaussian noise of a level of its own for each part of a split image (Xia et al. 2024).

    A list of Gaussians, where a noise is asked for, becomes this value.

    Parameters
    ----------
    sigmas : sequence of float
        Standard deviation per pixel of each part, as for `Gaussian`.

    Raises
    ------
    InvalidArgumentError
        If there is none, or one is not a finite number from 1e-6 to 1e6.
    """

    name = Gaussian.name
    title = Gaussian.title
    draw = Gaussian.draw
    family = Gaussian.family

    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        sigmas = tuple(self.sigmas) if isinstance(self.sigmas, Iterable) else ()
        if not sigmas:
            raise InvalidArgumentError(f"sigmas={shown(self.sigmas)} are no noise levels: give one number for each part.")
        object.__setattr__(self, "sigmas", tuple(check_level("sigma", sigma) for sigma in sigmas))

    @property
    def parts(self) -> int:
        return len(self.sigmas)

    @property
    def fixed_levels(self) -> tuple[float, ...]:
        return self.sigmas

    def levels_of(self, images: Any, parts: int = 1) -> NDArray[np.float64]:
        return np.tile(np.array(self.sigmas), (len(images), 1))

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "sigma": list(self.sigmas)}


KINDS = (Gaussian, LatticeGaussian, Laplace, GeneralizedGaussian, Uniform, InputDependentGaussian)
NOISES: dict[str, type[Noise]] = {kind.name: kind for kind in KINDS}
"""The noises by name."""


def is_noise(value: object) -> bool:
    """Say whether this is a noise that is known here; a subclass may draw something else."""
    return type(value) in (*KINDS, GaussianParts)


def check(noise: object, parts: int = 1) -> Noise:
    """Return `noise` as one for an image in so many parts, a list of Gaussians as one value, or raise InvalidArgumentError."""
    given = tuple(noise) if isinstance(noise, (list, tuple)) else noise
    if isinstance(given, tuple) and given and all(type(one) is Gaussian for one in given):
        given = GaussianParts(tuple(one.sigma for one in given))
    if not isinstance(given, (*KINDS, GaussianParts)):
        raise InvalidArgumentError(
            f"noise={shown(given)} is not a noise: give rsfast.Gaussian(sigma=0.25), for instance, or for parts "
            "one each in a list."
        )
    if given.parts not in (None, parts):
        raise InvalidArgumentError(f"{given.parts} noises were given and the transform shows {parts} part(s): give one each.")
    if given.depends_on_input and parts > 1:
        raise InvalidArgumentError(
            "noise is input-dependent and the transform splits the image: no certificate covers both; give rsfast.Gaussian."
        )
    return Gaussian(*given.fixed_levels) if given.parts == 1 else given


LARGEST_IN_RANGES = 8.0


def check_scale(noise: Noise, low: float, high: float, otherwise: str = "give value_range=None if it is meant so") -> None:
    """Raise InvalidArgumentError for noise so much larger than the images' range that it must be meant for pixels 0 … 255."""
    for level in noise.fixed_levels:
        if level > LARGEST_IN_RANGES * (high - low):
            raise InvalidArgumentError(
                f"a noise level of {level:g} leaves nothing of an image in [{low:g}, {high:g}]: levels are in its units. For "
                f"pixels from 0 to 255 give {level:g} / 255 = {level / 255:.4g}; {otherwise}."
            )


def from_dict(fields: dict[str, Any]) -> Noise:
    """Return the noise that `to_dict` described."""
    if not isinstance(fields, Mapping):
        raise InvalidArgumentError(f"a noise is described by {shown(fields)}: give the dict of to_dict().")
    fields = dict(fields)
    name = fields.pop("name", None)
    if not isinstance(name, str) or name not in NOISES:
        raise InvalidArgumentError(f"noise {shown(name)} is not known: give one of {', '.join(NOISES)}.")
    return NOISES[name].from_dict(fields)
