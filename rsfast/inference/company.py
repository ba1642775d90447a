"""Whether a classifier answers for every copy by itself: asked once, beside the first batch that it is shown.

The votes of a batch are independent draws only if a copy's logits depend on that copy alone: not on its neighbours, on its
place, on the batch before, or on the memory in which it lies.  One more forward pass tells, of the same copies elsewhere in the
batch beside others; further ones find out why where logits come out differently.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from ..errors import ModelError
from .probe import INPUTS, SAME

COMPANY = (
    "the model's logits of one input depend on the others in its batch (batch norm on batch statistics does that, also in a "
    "model that was exported in training mode): each copy must be classified by itself. Use running statistics, export in "
    "eval mode, or give batch=1."
)
PLACE = (
    "the model's logits of one input depend on its place in the batch: each copy must be classified by itself. Change that, or "
    "give batch=1."
)
MEMORY = (
    "the model answers a new batch with the logits of an earlier one: it remembers a batch by its object or its address, and all "
    "batches are shown in the same memory. Let it remember contents, or nothing."
)
STATE = (
    "the model answers the same batch otherwise than before: it keeps state, and a certificate is for one classifier. Let a "
    "forward pass leave the model as it was."
)
SHARED = (
    "the model gives different logits for the same batch, and the same ones for equal copies in it: random numbers or a state "
    "that all copies of a batch share make their votes depend on each other. Draw anew for every copy, leave it out, or give "
    "batch=1."
)
RANDOM = (
    "The model gives different logits for the same batch: it draws random numbers or keeps state. A certificate is for the "
    "average over random numbers that are drawn anew for every copy, and its votes cannot be repeated."
)

FAR = 12.0
"""Pixels of neighbours are multiplied by this where labels, which say little, are to show that they matter."""

CLASSES_AT_ONCE = 2**16

Call = Callable[[torch.Tensor], torch.Tensor]


def examine(call: Call, refill: Callable[[], torch.Tensor], again: torch.Tensor, logits: torch.Tensor, dtype: str) -> str | None:
    """Raise ModelError unless a classifier answers for every copy by itself.

    Parameters
    ----------
    call : callable
        A batch → its logits [N, K].
    refill : callable
        Writes the batch that was answered into its memory once more, and returns it.
    again : Tensor
        Another object of the same memory, to be shown with other contents.
    logits : Tensor [N, K]
        The answer, in memory of its own.
    dtype : str
        Of the classifier: it says how far apart answers may be that only rounding tells apart.

    Returns
    -------
    str or None
        A caveat where the classifier draws random numbers.
    """
    with _random_numbers_kept(logits.device):
        for change in (_inverted, _mirrored):
            _move(refill(), change)
            try:
                found = call(again).clone()
                break
            except ModelError:  # of unusual inputs; what it says of real ones is told when it is run on them
                continue
        else:
            return None
        if found.shape != logits.shape:
            raise ModelError(STATE)
        alike, half = _Alike(found, logits, dtype), len(logits) // 2
        by_itself = not half or alike(found[half:], logits[:-half])
        if torch.equal(found, logits):  # all the same, or remembered
            fresh = refill().clone()
            _move(fresh, change)
            if not alike(call(fresh), found):
                raise ModelError(MEMORY)
        elif not half:
            by_itself = alike(call(refill().detach()), logits)
        if half and by_itself and _says_little(logits):
            by_itself = _beside_others(call, refill, logits, alike, 1 if torch.equal(found, logits) else 2)
        return None if by_itself else _diagnosis(call, refill().clone(), logits, alike)


def _says_little(logits: torch.Tensor) -> bool:
    """Whether answers are labels rather than scores, and so few that by chance they are the same beside any others."""
    some = logits[:, :CLASSES_AT_ONCE]
    return len(logits) < 32 and torch.unique(some).numel() < some.numel() // 2


def _beside_others(call: Call, refill: Callable[[], torch.Tensor], logits: torch.Tensor, alike: _Alike, halves: int) -> bool:
    """Whether one half of a batch, or each, is answered as before where the other one is far from all that is usual."""
    half = len(logits) // 2
    turns = ((slice(half, None), slice(half), -FAR), (slice(half), slice(half, None), FAR))
    for kept, others, factor in turns[:halves]:
        batch = refill()
        batch[others] *= factor
        try:
            if not alike(call(batch.detach())[kept], logits[kept]):
                return False
        except ModelError:
            continue
    return True


def _diagnosis(call: Call, batch: torch.Tensor, logits: torch.Tensor, alike: _Alike) -> str | None:
    """Why the copies of a batch were answered otherwise at other places beside other ones; raises unless it is by chance."""
    shown: list[torch.Tensor] = []  # kept, so that no two have an address in common
    half = len(batch) // 2

    def answer(x: torch.Tensor, seed: int) -> torch.Tensor:
        shown.append(x)
        _seed(x.device, seed)
        return call(x).clone()

    first, second, third = (answer(batch.clone(), seed) for seed in (0, 0, 1))
    repeats, by_chance = alike(second, first), not alike(third, first)
    if repeats and half:
        kept = slice(max(len(batch) // 4, 1), len(batch) - len(batch) // 4)
        for others in (_inverted(batch), FAR * batch, -FAR * batch):
            others[kept] = batch[kept]
            try:
                same = alike(answer(others, 0)[kept], first[kept])
            except ModelError:  # of unusual inputs
                continue
            if not same:
                raise ModelError(COMPANY)
    if by_chance or not repeats:
        equal = batch[:1].expand_as(batch)
        one, other = (answer(torch.empty_like(batch).copy_(equal), seed) for seed in (2, 3))
        if half and alike(one[1:], one[:-1]) and alike(other[1:], other[:-1]) and not alike(one, other):
            raise ModelError(SHARED)
        return RANDOM
    if not alike(first, logits):
        raise ModelError(STATE)
    if not half:
        return None
    moved = batch.clone()
    _move(moved, _inverted)
    last = answer(moved, 0)
    raise ModelError(MEMORY if alike(last[half:], first[:-half]) or torch.equal(last, first) else PLACE)


class _Alike:
    """Whether two answers differ by no more than rounding, class by class, given the spread of two answers to other batches."""

    def __init__(self, found: torch.Tensor, logits: torch.Tensor, dtype: str) -> None:
        self.room = []
        for values in _in_pieces(torch.cat([found, logits])):
            finite = values.isfinite()
            most, least = values.double().where(finite, -torch.inf).amax(0), values.double().where(finite, torch.inf).amin(0)
            size = torch.maximum(most, -least).clamp(min=0.0)
            self.room.append(SAME[dtype] * (most - least).clamp(min=0.0) + 4 * torch.finfo(INPUTS[dtype]).eps * size)

    def __call__(self, one: torch.Tensor, other: torch.Tensor) -> bool:
        pairs = zip(_in_pieces(one), _in_pieces(other), self.room, strict=True)
        return all(_within(a.double(), b.double(), room) for a, b, room in pairs)


def _in_pieces(logits: torch.Tensor) -> list[torch.Tensor]:
    return [logits[:, first : first + CLASSES_AT_ONCE] for first in range(0, logits.shape[1], CLASSES_AT_ONCE)]


def _within(one: torch.Tensor, other: torch.Tensor, room: torch.Tensor) -> bool:
    same = (one == other) | (one.isnan() & other.isnan()) | ((one - other).abs() <= room)
    return bool(same.all())


def _inverted(rows: torch.Tensor) -> torch.Tensor:
    return 1 - 3 * rows


def _mirrored(rows: torch.Tensor) -> torch.Tensor:
    return rows.flip(-1, -2)


def _move(batch: torch.Tensor, change: Call) -> None:
    """Shift the first half of a batch, and more, down by half a batch; the last half goes to the top, changed."""
    half = len(batch) // 2
    if not half:
        batch.copy_(change(batch))
        return
    upper = batch[:-half].clone()
    batch[:half] = change(batch[-half:])
    batch[half:] = upper


@contextlib.contextmanager
def _random_numbers_kept(device: torch.device) -> Iterator[None]:
    """torch's generators go on afterwards as if nothing had been drawn."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def _seed(device: torch.device, seed: int) -> None:
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
