"""Arguments that forks of the shimmed code have and the shims have not: what to do instead, in a sentence."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from ..errors import CallError
from ..hints import explained

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=type)

DENOISED = (
    "rsfast adds the noise itself and calls the model with the images alone: give rsfast.models.Denoised(denoiser, "
    "classifier, …) as the model (docs/migrate.md)"
)
INSTEAD = {
    "return_details": "rsfast.certify returns votes, bounds and radii together (counts, p_lower, radius)",
    "return_counts": "rsfast.certify returns the votes as well (counts)",
    "return_pabar": "rsfast.certify returns the lower bound as well (p_lower)",
    "return_bound": "rsfast.certify returns the lower bound as well (p_lower)",
    "label": "compare it with the class that is returned",
    "y": "compare it with the class that is returned",
    "target": "compare it with the class that is returned",
    "sample_correct_predictions": "give certify the label= of an image, and it draws n copies only where the class is right",
    "t": DENOISED,
    "timestep": DENOISED,
    "noise_added": DENOISED,
    "device": "the model runs where it is: move it there",
    "verbose": "nothing is printed: leave it out",
    "sigma": "it is given to Smooth(base_classifier, num_classes, sigma): make one for each sigma",
    "noise_type": "rsfast.certify takes other noises (noise=rsfast.Laplace(…))",
    "norm": "rsfast.certify takes norm=",
    "bs": "it is called batch_size",
    "batch": "it is called batch_size",
}


def forked(function: F) -> F:
    """Return the function, which answers arguments of forks with what to do instead."""
    known = inspect.signature(function).parameters
    plain = explained(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for name in kwargs:
            if name not in known and name in INSTEAD:
                raise CallError(f"{function.__name__}() has no argument {name!r}: {INSTEAD[name]}.")
        return plain(*args, **kwargs)

    return cast(F, call)


def forked_class(kind: T) -> T:
    """Do the same for a class's constructor."""
    original = kind.__init__  # type: ignore[misc]
    signature = inspect.signature(original)

    @functools.wraps(original)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            signature.bind(self, *args, **kwargs)
        except TypeError as error:
            takes = ", ".join(name for name in signature.parameters if name != "self")
            unknown = next((name for name in kwargs if name not in signature.parameters), None)
            if unknown is not None:
                raise CallError(
                    f"{kind.__name__}() has no argument {unknown!r}: {INSTEAD.get(unknown, f'it takes {takes}')}."
                ) from None
            more = f" A fourth one is t of diffusion denoised smoothing: {DENOISED}." if "positional" in str(error) else ""
            raise CallError(f"{kind.__name__}(): {error}. It takes {takes}.{more}") from None
        original(self, *args, **kwargs)

    cast(Any, kind).__init__ = construct
    return kind
