"""What every noise says of itself."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import number, shown
from ..errors import InvalidArgumentError

SIGMA_RANGE = (1e-6, 1e6)


def check_level(name: str, value: object) -> float:
    """Return a noise level, or raise InvalidArgumentError."""
    try:
        return number(name, value, *SIGMA_RANGE, "")
    except InvalidArgumentError:
        raise InvalidArgumentError(
            f"{name}={shown(value)} is not a noise level: give a positive number, from {SIGMA_RANGE[0]:g} to "
            f"{SIGMA_RANGE[1]:g}, in the units of the image (0.25 is customary for images in [0, 1])."
        ) from None


class Noise:
    """This is what every noise says of itself: a frozen value, whose fields are the distribution's parameters.

    All else that rsfast has to know of a noise stands here, so that nothing asks which class it is of.

    Attributes
    ----------
    name : str
        The key of NOISES, of `to_dict` and of the command line.
    title : str
        The name in sentences, as in "Laplace noise".
    draw : str
        How words become variates of unit level: one of `kernels.coefficients.KINDS`.
    family : str
        Which certificates are about it: one of the families of `certifying.radii.CERTIFICATES`.
    options : tuple of str
        The options of the command line that give its parameters, in their order.
    depends_on_input : bool
        Whether each image has a level of its own, a function of the image.
    parts : int or None
        How many parts of an image it is for; None: any number, all at one level.
    fixed_levels : tuple of float
        The level of each of these parts, or the one of all; empty where it depends on the input.
    quantile_shape : float or None
        The shape s of the table exp(-|z|^s) that it is drawn with.
    lattice : int or None
        The images must be multiples of 1 / lattice.
    total_variation : float
        Of one pixel's draw from the distribution that the certificates are about, rounded up.
    caveats : tuple of str
        What the guarantee rests on beyond the draws, a sentence each.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    draw: ClassVar[str]
    family: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    depends_on_input: ClassVar[bool] = False

    @property
    def parts(self) -> int | None:
        return None

    @property
    def fixed_levels(self) -> tuple[float, ...]:
        raise NotImplementedError

    @property
    def quantile_shape(self) -> float | None:
        return None

    @property
    def lattice(self) -> int | None:
        return None

    @property
    def total_variation(self) -> float:
        return 0.0

    @property
    def caveats(self) -> tuple[str, ...]:
        return ()

    def levels_of(self, images: Any, parts: int = 1) -> NDArray[np.float64]:
        """Return the noise level of each image and part, float64 [B, parts], or raise InvalidArgumentError."""
        return np.tile(np.array(self.fixed_levels), (len(images), parts))

    def to_dict(self) -> dict[str, Any]:
        """Return the noise as JSON."""
        return {"name": self.name} | vars(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Noise:
        """Return the noise that `to_dict` described, given without its name."""
        return cls(**fields)
