"""How a network is trained: frozen values, defined once, stored with what came of them."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from typing import Any

from .. import checks, names
from ..errors import InvalidArgumentError
from ..hints import explained_class
from . import OBJECTIVES


@explained_class
@dataclasses.dataclass(frozen=True)
class Recipe:
    """This is everything of a training run but network, data and noise.

    Parameters
    ----------
    objective : str
        One of `rsfast.training.OBJECTIVES`.
    options : dict
        The objective's own, such as {"weight": 10.0}; default its docstring's.
    ramp : dict
        Options that grow, and the epochs in which they do: {"epsilon": 10} as in SmoothAdv, {"weight": 10} as in SmoothMix.
    epochs, batch : int
        Passes over the data, and images in a step.
    optimizer : str
        "sgd" (with Nesterov momentum) or "adamw".
    learning_rate, momentum, weight_decay : float
    schedule : str
        "cosine" falls to 0; "step" multiplies by `factor` every `every` epochs.
    every, factor
        Of steps.
    warmup : float
        Epochs in which the learning rate grows from 0.
    accumulate : int
        A step's images are shown in so many forward passes.
    ema : float
        Decay of an exponential moving average of the weights, which is then what is saved; 0 for none.
    amp : bool
        Compute in bfloat16 where torch's autocast does.
    channels_last : bool
        Memory layout of the weights.
    seed : int
        Of first weights, order, noise and random starts.

    Raises
    ------
    InvalidArgumentError
        A value outside its range, or options that the objective does not have.
    """

    objective: str = "noise-augmentation"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    ramp: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    epochs: int = 30
    batch: int = 128
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    every: int = 30
    factor: float = 0.1
    warmup: float = 0.0
    accumulate: int = 1
    ema: float = 0.0
    amp: bool = False
    channels_last: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("objective", names.OBJECTIVES), ("optimizer", names.OPTIMIZERS), ("schedule", names.SCHEDULES)):
            checks.choice(name, getattr(self, name), known)
        for name, least, most in (
            ("epochs", 1, 2**16), ("batch", 1, 2**24), ("every", 1, 2**16), ("accumulate", 1, self.batch), ("seed", 0, 2**63 - 1),
        ):  # fmt: skip
            object.__setattr__(self, name, checks.whole(name, getattr(self, name), least, most))
        for name, high in (("learning_rate", 1e3), ("weight_decay", 1e3), ("warmup", float(self.epochs)), ("factor", 1.0)):
            object.__setattr__(self, name, checks.number(name, getattr(self, name), 0.0, high, f"a number from 0 to {high:g}"))
        for name in ("momentum", "ema"):
            object.__setattr__(self, name, checks.number(name, getattr(self, name), 0.0, 0.999999, "a number from 0 to below 1"))
        object.__setattr__(self, "options", check_options(self.objective, self.options))
        object.__setattr__(self, "ramp", self._checked_ramp())

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, 0 … epochs * steps - 1, with so many steps an epoch."""
        epoch = step / steps
        falling = 0.5 * (1.0 + math.cos(math.pi * epoch / self.epochs))
        rate = self.learning_rate * (falling if self.schedule == "cosine" else self.factor ** (int(epoch) // self.every))
        return rate * min(1.0, (epoch + 1 / steps) / self.warmup) if self.warmup else rate

    def options_at(self, epoch: int) -> dict[str, Any]:
        """Return the objective's options in an epoch, 0 … epochs - 1."""
        known = defaults(self.objective) | dict(self.options)
        growing = {name: known[name] * min(1.0, (epoch + 1) / span) for name, span in self.ramp.items()}
        return dict(self.options) | growing

    def _checked_ramp(self) -> dict[str, float]:
        known, found = defaults(self.objective), {}
        for name, span in self.ramp.items():
            if not isinstance(known.get(name), float):
                wanted = ", ".join(one for one, value in known.items() if isinstance(value, float)) or "none"
                raise InvalidArgumentError(f"{self.objective} has no option {checks.shown(name)} that can grow: give {wanted}.")
            try:
                found[name] = checks.number("ramp", float(span), 1.0, float(2**16), "epochs, at least 1")
            except (TypeError, ValueError):
                raise InvalidArgumentError(f"ramp {name}={checks.shown(span)} is no number of epochs: give at least 1.") from None
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON."""
        return dataclasses.asdict(self) | {"options": dict(self.options), "ramp": dict(self.ramp)}


def defaults(objective: str) -> dict[str, Any]:
    """Return the options of an objective that are numbers or names, with their defaults."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(OBJECTIVES[objective]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and isinstance(parameter.default, (int, float, str))
    }


def check_options(objective: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an objective, each as what its default is: text becomes a number where a number is wanted."""
    known = defaults(objective)
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise InvalidArgumentError(f"{objective} has no option {checks.shown(name)}: give {', '.join(known) or 'none'}.")
        try:
            found[name] = type(known[name])(value)
        except (TypeError, ValueError):
            raise InvalidArgumentError(
                f"{name}={checks.shown(value)} is no {type(known[name]).__name__}, which {objective} takes for it."
            ) from None
    return found
