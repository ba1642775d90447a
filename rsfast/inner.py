"""Noise on an inner activation: a network cut at a layer, so that the layer's output is the image and the rest the classifier.

    head, tail = rs.inner.split(model, "embedding")
    rest = rs.Classifier(tail(tokens), num_classes=2, value_range=None)
    cert = rs.certify(rest, head(tokens), noise=rs.Gaussian(0.5))

The certificate is about perturbations of the layer's output, in its units, over all its numbers together; everything else that
the network computes from the input (masks, lengths, other branches) stays as it is for that input.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from . import checks
from .errors import InvalidArgumentError, ModelError, RsfastError, reason
from .hints import explained
from .inference import evaluating


@explained
def split(model: nn.Module, layer: str | nn.Module) -> tuple[Head, Tail]:
    """Cut a network behind one of its layers.

    Parameters
    ----------
    model : torch.nn.Module
        Maps inputs of any kind (token ids, keyword arguments, several tensors) to logits [N, K], N the first axis of all tensors.
    layer : str or torch.nn.Module
        The layer, or its name in `model.named_modules()`.  A forward pass must call it exactly once, and it must return one
        floating-point tensor [N, …].

    Returns
    -------
    Head
        `head(*inputs, **more)`: the layer's output as images, float [N, C, H, W]; embeddings [N, T, D] become [N, 1, T, D].
    Tail
        `tail(*inputs, **more)` of one input (first axis 1): a base classifier [N, C, H, W] → [N, K] that runs the network with
        the layer's output replaced.

    Raises
    ------
    InvalidArgumentError
        No module, or a layer that it does not have.

    Notes
    -----
    A smoothed classifier of the activation h is certified as any other (Cohen, Rosenfeld & Kolter 2019, Theorem 1, with h for x).
    A change of the input that moves h by less than the radius and leaves the other branches alone is covered: a word that is
    replaced moves an embedding by the distance of two rows of the table.  Noise falls on every position, padding included.
    The layer itself is not computed again for noisy copies; layers before it are, unless the model is a Sequential.  While a base
    classifier of `tail` runs, the layer's `forward` is exchanged: do not run the model in another thread.
    """
    if not isinstance(model, nn.Module):
        raise InvalidArgumentError(f"model is {type(model).__name__}: give a torch module, whose layers have names.")
    found: nn.Module | None
    if isinstance(layer, str):
        found = dict(model.named_modules()).get(layer)
        given = checks.shown(layer)
    else:
        found = layer if any(layer is module for module in model.modules()) else None
        given = type(layer).__name__
    if found is None or found is model:
        names = [name for name, _ in model.named_modules() if name]
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        raise InvalidArgumentError(f"layer {given} is not inside the model: give one of {shown or 'its layers (it has none)'}.")
    return Head(model, found), Tail(model, found)


class Head:
    """A head takes inputs to the layer's output as images [N, C, H, W]; see `split`."""

    def __init__(self, model: nn.Module, layer: nn.Module) -> None:
        self.model, self.layer = model, layer

    def __call__(self, *inputs: Any, **more: Any) -> torch.Tensor:
        activation = _activation(self.model, self.layer, inputs, more)
        return activation.reshape(len(activation), *_as_image(activation.shape[1:]))


class Tail:
    """A tail takes one input to the base classifier of its activation; see `split`."""

    def __init__(self, model: nn.Module, layer: nn.Module) -> None:
        self.model, self.layer = model, layer

    def __call__(self, *inputs: Any, **more: Any) -> Callable[[torch.Tensor], torch.Tensor]:
        """A base classifier.

        Raises
        ------
        InvalidArgumentError
            Tensors whose first axis is not 1.
        ModelError
            The network does not call the layer exactly once, or the layer returns something else than one tensor.
        """
        for value in (*inputs, *more.values()):
            if isinstance(value, torch.Tensor) and (value.ndim == 0 or len(value) != 1):
                raise InvalidArgumentError(
                    f"an input has shape {tuple(value.shape)}: give one input, first axis 1 (tokens[i : i + 1], for instance)."
                )
        shape = _activation(self.model, self.layer, inputs, more).shape[1:]
        after = _after(self.model, self.layer)
        if after is not None:
            return _Rest(after, shape)
        return _Replaced(self.model, self.layer, inputs, more, shape)


class _Rest:
    """The layers of a Sequential behind the cut."""

    def __init__(self, after: nn.Module, shape: torch.Size) -> None:
        self.after, self.shape = after, shape

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(x.reshape(len(x), *self.shape))


class _Replaced:
    """The whole network on N copies of one input, with the layer returning what it is given."""

    def __init__(
        self, model: nn.Module, layer: nn.Module, inputs: tuple[Any, ...], more: dict[str, Any], shape: torch.Size
    ) -> None:
        self.model, self.layer, self.inputs, self.more, self.shape = model, layer, inputs, more, shape

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        copies = len(x)
        inputs = [_expanded(value, copies) for value in self.inputs]
        more = {name: _expanded(value, copies) for name, value in self.more.items()}
        with _returning(self.layer, x.reshape(copies, *self.shape)) as calls:
            logits = self.model(*inputs, **more)
        _once(len(calls))
        return logits


def _activation(model: nn.Module, layer: nn.Module, inputs: tuple[Any, ...], more: dict[str, Any]) -> torch.Tensor:
    """The layer's output for some inputs, [N, …]."""
    outputs: list[Any] = []
    hook = layer.register_forward_hook(lambda _, __, output: outputs.append(output), prepend=True)
    try:
        with evaluating(list(model.modules())), torch.no_grad():
            logits = model(*inputs, **more)
    except RsfastError:
        raise
    except Exception as error:
        raise ModelError(f"the model raised {type(error).__name__} on these inputs: {reason(error)}.") from error
    finally:
        hook.remove()
    _once(len(outputs))
    output = outputs[0]
    if not isinstance(output, torch.Tensor) or not output.is_floating_point() or output.ndim < 2 or output.numel() == 0:
        shown = f"{tuple(output.shape)} {output.dtype}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(f"the layer returns {shown}: cut behind a layer that returns one floating-point tensor [N, …].")
    if isinstance(logits, torch.Tensor) and (logits.ndim != 2 or len(logits) != len(output)):
        raise ModelError(
            f"the layer returns {tuple(output.shape)} and the model {tuple(logits.shape)}: both must have one row for each input."
        )
    return output


def _once(calls: int) -> None:
    if calls != 1:
        raise ModelError(f"the model calls the layer {calls} times in a forward pass: cut behind a layer that it calls once.")


@contextlib.contextmanager
def _returning(layer: nn.Module, value: torch.Tensor) -> Iterator[list[None]]:
    """While it lasts, `layer` returns `value` whatever it is given; the list grows by one with every call."""
    calls: list[None] = []

    def forward(*_: Any, **__: Any) -> torch.Tensor:
        calls.append(None)
        return value

    own = layer.__dict__.get("forward")
    object.__setattr__(layer, "forward", forward)
    try:
        yield calls
    finally:
        if own is None:
            object.__delattr__(layer, "forward")
        else:
            object.__setattr__(layer, "forward", own)


def _after(model: nn.Module, layer: nn.Module) -> nn.Module | None:
    """What a plain Sequential runs behind one of its own layers; None for other networks."""
    if type(model) is not nn.Sequential or model._forward_hooks or model._forward_pre_hooks or layer._forward_hooks:
        return None
    children = list(model)
    places = [i for i, child in enumerate(children) if child is layer]
    return model[places[0] + 1 :] if len(places) == 1 else None


def _expanded(value: Any, copies: int) -> Any:
    """A tensor's only row `copies` times, without memory for them."""
    return value.expand(copies, *value.shape[1:]) if isinstance(value, torch.Tensor) else value


def _as_image(shape: torch.Size) -> tuple[int, ...]:
    """Any shape as (C, H, W)."""
    rest = tuple(shape) if len(shape) <= 3 else (math.prod(shape),)
    return (1,) * (3 - len(rest)) + rest


__all__ = ["Head", "Tail", "split"]
