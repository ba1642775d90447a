"""The noise as a library: `add_noise` for torch, NumPy and every array that speaks DLPack (JAX, CuPy, …)."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.utils.dlpack

from . import backends, checks, names
from .backends import base
from .counting.images import as_tensor, check_ids, check_seed
from .errors import InvalidArgumentError, reason
from .hints import explained
from .noise import PART_STREAMS, STREAMS, Noise
from .noise import check as check_noise
from .transforms import Identity, Transform
from .transforms import check as check_transform

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in names.DTYPES}
WHOLE = Identity()

Draw = Callable[[torch.Tensor], torch.Tensor]


@explained
def add_noise(
    x: Any,
    noise: Noise,
    *,
    seed: int | None = None,
    ids: Iterable[int] | None = None,
    copies: int | None = None,
    first: int = 0,
    stream: str | int = "estimation",
    transform: Transform = WHOLE,
    part: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dtype: str | None = None,
    channels_last: bool = False,
    backend: str = "auto",
) -> Any:
    """Return x plus noise, in one pass: the copies that `rsfast.sample_counts` would show a model, bit for bit.

    Parameters
    ----------
    x : torch tensor, NumPy array, or anything with `__dlpack__`
        Floating point [B, C, H, W], or [B, …] of any shape (text embeddings [B, T, D], features [B, D]), on any device that
        rsfast can draw on.  It is not changed.
    noise : Noise
        `rsfast.Gaussian(0.25)`, for instance; levels in the units of x.
    seed : int, optional
        0 … 2^64 - 1; None draws a fresh one, which is then not known.
    ids : iterable of int, optional
        One distinct id below 2^32 for each of the B inputs, default 0 … B - 1.
    copies : int, optional
        Noisy copies of each input; None gives one, without an axis for it.
    first : int
        Number of the first copy: copy s is the same in whatever call it is drawn.
    stream : str or int
        What the copies are for: "selection", "estimation", "prediction", or a number of your own below 2^31; streams share
        no noise.
    transform, part
        Show one part of split images instead of whole ones; then x is [B, C, H, W] and keeps that shape.
    mean, std : sequence of float, optional
        Per channel (second axis of [B, C, H, W]); the result is (x + noise - mean) / std.
    dtype : str, optional
        "float32", "bfloat16" or "float16"; default that of x (float64 is computed in float32).
    channels_last : bool
        Memory layout of a result [N, C, H, W].
    backend : str
        Who draws; never changes a bit.

    Returns
    -------
    What x is: a tensor, a NumPy array, or an array of x's own library (a tensor if that library has no `from_dlpack`), [B, …] or
    [B, copies, …].  For a tensor x that requires a gradient the result has that of (x + noise - mean) / std.

    Raises
    ------
    InvalidArgumentError
        Arguments out of range, x that is no such array, or a gradient asked for where the noise depends on x or x is split.

    Notes
    -----
    Draws are functions of (seed, stream, id, copy, position) alone; docs/rng.md says of what quality.

    Examples
    --------
    >>> import numpy as np, rsfast
    >>> from rsfast.torch import add_noise
    >>> x = np.zeros((2, 3, 8, 8), dtype=np.float32)
    >>> one = add_noise(x, rsfast.Gaussian(0.25), seed=0, ids=[7, 9])
    >>> both = add_noise(x[1:], rsfast.Gaussian(0.25), seed=0, ids=[9], copies=2)
    >>> one.shape, both.shape, bool((both[0, 0] == one[1]).all())
    ((2, 3, 8, 8), (1, 2, 3, 8, 8), True)
    """
    given = _tensor(x)
    parts = check_transform(transform).parts
    noise = check_noise(noise, parts)
    part = checks.whole("part", part, 0, parts - 1)
    if given.ndim < 1 or (parts > 1 and given.ndim != 4):
        wanted = "[B, C, H, W], which the transform splits" if parts > 1 else "[B, …], the inputs on the first axis"
        raise InvalidArgumentError(f"x has shape {tuple(given.shape)}: give {wanted}.")
    if 0 in given.shape:
        raise InvalidArgumentError(f"x has shape {tuple(given.shape)} and holds no numbers: give at least one input.")
    number = 1 if copies is None else checks.whole("copies", copies, 1, 2**32 - 1)
    first = checks.whole("first", first, 0, 2**32 - number)
    if isinstance(stream, str):
        stream = STREAMS[checks.choice("stream", stream, STREAMS)]
    stream = checks.whole("stream", stream, 0, 2**31 - 1) + PART_STREAMS * part
    kind = given.dtype if given.dtype in (*DTYPES.values(), torch.float64) else torch.float32
    drawn = DTYPES[checks.choice("dtype", dtype, DTYPES)] if dtype is not None else kind
    if drawn == torch.bfloat16 and isinstance(x, np.ndarray):
        raise InvalidArgumentError("dtype='bfloat16' is none of NumPy's: give a torch tensor, or float32 or float16.")
    layout = torch.channels_last if checks.flag("channels_last", channels_last) else torch.contiguous_format
    seed, image_ids = check_seed(seed), check_ids(ids, len(given))
    differentiated = given.requires_grad and torch.is_grad_enabled()
    if differentiated and (parts > 1 or noise.depends_on_input):
        raise InvalidArgumentError(
            "x requires a gradient, which is known for whole inputs and a constant level: give x.detach()."
        )

    def draw(tensor: torch.Tensor) -> torch.Tensor:
        shape = _as_images(tensor.shape)
        images = tensor.detach().reshape(shape)
        if noise.lattice is not None and images.device.type != "cpu":  # where `perturb` waits for nothing
            base.check_lattice(images, noise.lattice)
        out = _space(images, number, torch.float32 if drawn == torch.float64 else drawn, layout)
        backends.choose(backend, images, noise, transform).perturb(
            images, noise, transform, part=part, sigma=noise.levels_of(images, parts)[:, part], mean=mean, std=std, seed=seed,
            stream=stream, ids=image_ids, first=first, count=number, out=out,
        )  # fmt: skip
        repeats = () if copies is None else (number,)
        return out.to(drawn).reshape(len(images), *repeats, *tensor.shape[1:])

    noisy: torch.Tensor = _Differentiable.apply(given, draw, copies is not None, std) if differentiated else draw(given)  # type: ignore[no-untyped-call]
    return _like(x, noisy)


def _space(images: torch.Tensor, copies: int, dtype: torch.dtype, layout: torch.memory_format) -> torch.Tensor:
    """Room for so many noisy copies of each image."""
    size = (len(images) * copies, *images.shape[1:])
    try:
        return torch.empty(size, dtype=dtype, device=images.device, memory_format=layout)
    except RuntimeError as error:
        raise InvalidArgumentError(
            f"{copies} copies make a result of {list(size)}, which does not fit in memory ({reason(error, 200)}): give fewer "
            "copies a call, with first."
        ) from None


class _Differentiable(torch.autograd.Function):
    """x -> (x + noise - mean) / std, whose derivative is 1 / std."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, draw: Draw, repeated: bool, std: Sequence[float] | None) -> torch.Tensor:
        ctx.repeated, ctx.std, ctx.dtype = repeated, std, x.dtype
        return draw(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        gradient = gradients[0].to(ctx.dtype)
        gradient = gradient.sum(dim=1) if ctx.repeated else gradient
        if ctx.std is not None:
            divisor = torch.tensor(tuple(ctx.std), dtype=gradient.dtype, device=gradient.device)
            gradient = gradient / divisor.reshape(-1, *(1,) * (gradient.ndim - 2))
        return gradient, None, None, None


def _tensor(x: Any) -> torch.Tensor:
    """x as a tensor on its own device, without a copy where that is possible."""
    try:
        if isinstance(x, torch.Tensor):
            tensor = x
        elif isinstance(x, np.ndarray):
            tensor = as_tensor(x)
        elif hasattr(x, "__dlpack__"):
            tensor = torch.utils.dlpack.from_dlpack(x)
        else:
            raise TypeError
        if tensor.layout != torch.strided or tensor.device.type == "meta":
            raise TypeError
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        why = f" ({error})" if str(error) else ""
        raise InvalidArgumentError(
            f"x is {type(x).__name__}{why}: give a torch tensor, a NumPy array, or an array with __dlpack__."
        ) from None
    if not tensor.is_floating_point():
        raise InvalidArgumentError(f"x is {tensor.dtype}: give floating-point numbers (of 8-bit images x / 255).")
    return tensor


def _like(x: Any, noisy: torch.Tensor) -> Any:
    """The result as what x is."""
    if isinstance(x, torch.Tensor):
        return noisy
    if isinstance(x, np.ndarray):
        return noisy.numpy()
    if hasattr(x, "__array_namespace__"):
        return x.__array_namespace__().from_dlpack(noisy)
    take = getattr(sys.modules.get(type(x).__module__.partition(".")[0]), "from_dlpack", None)
    return noisy if take is None else take(noisy)


def _as_images(shape: Sequence[int]) -> tuple[int, ...]:
    """[B, …] as [B, C, H, W]: missing axes in front, more than three as one."""
    inputs, rest = shape[0], tuple(shape[1:])
    if len(rest) > 3:
        rest = (math.prod(rest),)
    return (inputs, *(1,) * (3 - len(rest)), *rest)


__all__ = ["add_noise"]
