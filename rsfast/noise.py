"""WHAT to draw: noise distributions as frozen values, and the table of random streams.

HOW they are drawn is the business of `rsfast.backends`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from .errors import InvalidArgumentError

STREAMS = {
    "selection": 0,  # n0 draws that choose the class
    "estimation": 1,  # n draws that bound its probability
    "prediction": 2,  # n draws of the two-sided test
}
"""Third word of every counter's meaning: draws of different purposes never share words.  All streams are below 2^31;
the top bit marks the extra radius bits of rare large draws (docs/rng.md)."""

SIGMA_RANGE = (1e-6, 1e6)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Isotropic Gaussian noise N(0, sigma² I) (Cohen, Rosenfeld & Kolter 2019, eq. 1).

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
        try:
            sigma = float(self.sigma)
        except (TypeError, ValueError):
            sigma = math.nan
        if not SIGMA_RANGE[0] <= sigma <= SIGMA_RANGE[1]:
            raise InvalidArgumentError(
                f"sigma={self.sigma!r} is not a noise level: give a positive number, from {SIGMA_RANGE[0]:g} to "
                f"{SIGMA_RANGE[1]:g}, in the units of the image (0.25 is customary for images in [0, 1])."
            )
        object.__setattr__(self, "sigma", sigma)

    def to_dict(self) -> dict[str, Any]:
        return {"name": "gaussian", "sigma": self.sigma}


NOISES = {"gaussian": Gaussian}


def check(noise: object) -> Gaussian:
    """`noise` if it is one, else InvalidArgumentError."""
    if not isinstance(noise, tuple(NOISES.values())):
        raise InvalidArgumentError(f"noise={noise!r} is not a noise: give rsfast.Gaussian(sigma=0.25), for instance.")
    return noise  # type: ignore[return-value]


def from_dict(fields: dict[str, Any]) -> Gaussian:
    """The noise that `to_dict` described."""
    fields = dict(fields)
    name = fields.pop("name", None)
    if name not in NOISES:
        raise InvalidArgumentError(f"noise {name!r} is not known: give one of {', '.join(NOISES)}.")
    return NOISES[name](**fields)
