"""Draws of many images in full batches: an image is a job that wants segments of draws and is told their votes.

A job lists its segments in order; its judge sees the votes of each finished segment and says whether the image is done.  Images
are taken in when a batch has room for them and leave when they are done, so that small segments and images that finish early
leave no batch half empty.  Where nothing else is left to draw, a batch is filled up with the next draws of images that may yet
need them; their votes count only if they do.  Noise depends on image and draw alone, so none of this changes a vote.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..backends.base import sent
from ..errors import ModelError
from ..inference import evaluating, on
from ..noise import PART_STREAMS, Noise
from ..stopping.rules import Segment
from .ready import Model, Ready

Judge = Callable[[int, np.ndarray], bool]


@dataclasses.dataclass(eq=False)
class Job:
    """One image and what is to be drawn of it.

    Parameters
    ----------
    image : float32 Tensor [C, H, W]
        Copied to the device once; one that lies there already must have been there when `run` began.
    sigma : sequence of float
        Noise level of each part.
    id : int
        Of the noise.
    segments : sequence of (stream, first, count)
        In the order in which they are judged; count may be 0.
    judge : callable
        (index of the segment, its votes int64 [parts, K]) → whether the image is done.  Called in order, never again once it
        has said so; after the last segment the image is done in any case.
    wanted : int
        Segments to draw before the first judgement is known.
    about : object
        The caller's own.
    """

    image: torch.Tensor
    sigma: Sequence[float] | np.ndarray
    id: int
    segments: Sequence[Segment]
    judge: Judge
    wanted: int = 1
    about: Any = None
    seconds: float = 0.0  # its share of the batches that it was in
    done: bool = False

    def __post_init__(self) -> None:
        self.judged = 0
        self.votes: dict[int, np.ndarray] = {}
        self.missing: dict[int, int] = {}


@dataclasses.dataclass
class _Piece:
    """Draws first … end - 1 of one part of a job's segment; x is its image on the device."""

    job: Job
    segment: int
    part: int
    first: int
    end: int
    x: torch.Tensor

    @property
    def size(self) -> int:
        return self.end - self.first


class _Flight(NamedTuple):
    """A batch whose votes are on their way: of each piece its votes [pieces, K], and how many of its copies have none.

    `absent` is None where it is known that every copy has voted.
    """

    pieces: list[_Piece]
    votes: torch.Tensor
    absent: torch.Tensor | None
    arrived: Any

    def check(self) -> None:
        """Raise ModelError unless every copy has voted once, or has a NaN among its logits."""
        if self.absent is None:
            return
        for piece, votes, none in zip(self.pieces, _of_pieces(self.votes), self.absent.tolist(), strict=True):
            if votes + none != piece.size:
                raise ModelError(
                    f"{piece.size} copies of image id {piece.job.id} have {votes} votes, and {none} of them have a NaN for a "
                    "logit: the logits or the votes were written over while they were counted. Let the model return when its "
                    "logits are written, on the stream that it was called on; if it does, do not trust this device."
                )


class _Lane:
    """One model, and the pieces that wait for it."""

    def __init__(self, model: Any, parts: list[int]) -> None:
        self.model, self.parts = model, parts
        self.waiting: deque[_Piece] = deque()
        self.rows = 0
        self.next_segment: dict[Job, int] = {}

    def push(self, job: Job, x: torch.Tensor, through: int) -> None:
        """Queue the job's segments up to `through`."""
        for segment in range(self.next_segment.get(job, 0), through):
            _, first, count = job.segments[segment]
            for part in self.parts:
                if count:
                    self.waiting.append(_Piece(job, segment, part, first, first + count, x))
                    self.rows += count
        self.next_segment[job] = max(through, self.next_segment.get(job, 0))

    def drop(self, job: Job) -> None:
        """Forget what is left of a job that is done."""
        kept = [piece for piece in self.waiting if piece.job is not job]
        if len(kept) < len(self.waiting):
            self.waiting = deque(kept)
            self.rows = sum(piece.size for piece in kept)
        self.next_segment.pop(job, None)

    def take(self, room: int) -> list[_Piece]:
        """Pieces of at most `room` rows, from the front."""
        taken: list[_Piece] = []
        while room and self.waiting:
            piece = self.waiting[0]
            size = min(room, piece.size)
            taken.append(dataclasses.replace(piece, end=piece.first + size))
            piece.first += size
            room -= size
            self.rows -= size
            if piece.first == piece.end:
                self.waiting.popleft()
        return taken


class Draws(NamedTuple):
    """Whose copies are drawn: of which noise, from which seed."""

    noise: Noise
    seed: int


def run(
    ready: Ready, jobs: Iterable[Job], draws: Draws, progress: Callable[[int], None] | None = None
) -> Generator[Job, None, None]:
    """Draw, classify and judge until every job is done; yields each one as it finishes.

    What a batch does not fill is zeros that do not vote.  `progress` is called with the number of copies after each forward pass.
    """
    with on(ready.device):
        conveyor = _Conveyor(ready, draws, progress)
    try:
        with evaluating(ready.running.modules):
            yield from conveyor.run(iter(jobs))
    finally:
        if not conveyor.flying:  # else a GPU may still be reading them
            for slot in conveyor.slots:
                ready.running.give_back(slot.buffer)


class _Conveyor:
    """The state of one `run`.

    On a GPU the noise of a batch is drawn on a stream of its own into the other one of two buffers, while the model works on the
    batch before, and votes are looked at one batch later, so that the device never waits for the host.  It is the current device
    while something is done on it, but not while the caller has a job that is done.
    """

    def __init__(self, ready: Ready, draws: Draws, progress: Callable[[int], None] | None) -> None:
        self.ready, self.noise, self.seed = ready, draws.noise, draws.seed
        self.batch, self.together, self.progress = ready.batch, ready.together, progress
        self.lanes = [_Lane(model, parts) for model, parts in ready.sequences()]
        self.active: dict[Job, torch.Tensor] = {}
        self.source: Iterator[Job] = iter(())
        self.exhausted = False
        self.finished: deque[Job] = deque()
        self.asynchronous = ready.device.type == "cuda"
        self.late = int(self.asynchronous)  # batches whose votes are not looked at yet
        self.slots = [_Slot(ready.running.buffer(ready.batch, ready.shape), self.asynchronous) for _ in range(1 + self.late)]
        self.side: Any = torch.cuda.Stream(ready.device) if self.asynchronous else None  # type: ignore[no-untyped-call]
        if self.side is not None:
            self.side.wait_stream(torch.cuda.current_stream(ready.device))
        self.turn = 0
        self.flying: deque[_Flight] = deque()
        self.backend = ready.backend_for(self.slots[0].buffer[:1], self.noise)
        self.clock = time.perf_counter()

    def run(self, jobs: Iterator[Job]) -> Iterator[Job]:
        self.source = jobs
        goes_on = True
        while goes_on:
            with on(self.ready.device):
                goes_on = self._step()
            while self.finished:
                yield self.finished.popleft()

    def _step(self) -> bool:
        """Take in, launch or settle what there is; whether anything is left to do."""
        self._take_in()
        if self.finished:
            return True
        lane = max(self.lanes, key=lambda one: one.rows)
        if lane.rows < self.batch and self.flying:
            self._settle()
        elif lane.rows:
            if lane.rows < self.batch:
                self._look_ahead(lane)
            self._launch(lane)
            while len(self.flying) > self.late:
                self._settle()
        else:
            return bool(self.active) or not self.exhausted
        return True

    def _take_in(self) -> None:
        """New images, while no batch is full."""
        while not self.exhausted and all(lane.rows < self.batch for lane in self.lanes):
            if not self.together and self.active:
                return
            job = next(self.source, None)
            if job is None:
                self.exhausted = True
                return
            self.active[job] = self._on_device(job.image[None])
            self._want(job, job.wanted)
            self._judge(job)

    def _want(self, job: Job, through: int) -> None:
        for lane in self.lanes:
            lane.push(job, self.active[job], min(through, len(job.segments)))

    def _look_ahead(self, lane: _Lane) -> None:
        """Fill the batch with draws that images may need next, if they are not done by then."""
        for job, x in self.active.items():
            while lane.rows < self.batch and lane.next_segment[job] < len(job.segments):
                lane.push(job, x, lane.next_segment[job] + 1)

    def _launch(self, lane: _Lane) -> None:
        pieces = lane.take(self.batch)
        slot = self.slots[self.turn % len(self.slots)]
        self.turn += 1
        rows = np.full(self.batch, -1, dtype=np.int64)  # the row of votes that each copy goes to
        at = 0
        for index, piece in enumerate(pieces):
            rows[at : at + piece.size] = index
            at += piece.size
        with torch.inference_mode():
            self._draw(slot, pieces)
            votes = torch.zeros((len(pieces), self.ready.num_classes), dtype=torch.int64, device=self.ready.device)
            with self.ready.running.turns:
                absent = self._classify(lane.model, slot, pieces, votes, rows)
            slot.classified()
            self.flying.append(self._fetched(pieces, votes, absent))
        if self.progress is not None:
            self.progress(at)

    def _classify(
        self, model: Model, slot: _Slot, pieces: Sequence[_Piece], votes: torch.Tensor, rows: np.ndarray
    ) -> torch.Tensor | None:
        """Add the votes of the copies in the slot; the first batch of its kind also shows what the model does with its input.

        Returns how many copies of each piece have a NaN among their logits and so no vote, None where every copy has voted.
        """
        ids = [piece.job.id for piece in pieces]
        shown = slot.buffer.detach()  # another object for every batch: a model may remember those that it has seen
        logits = self.ready.logits(model, shown, ids)
        voting = sent(rows, self.ready.device)
        self.backend.count(logits, votes, voting)
        absent = None
        if self.asynchronous or _of_pieces(votes) != [piece.size for piece in pieces]:
            absent = _without_vote(logits, voting, len(pieces))
        if not self.ready.running.examined(model, slot.buffer):
            kept = logits.clone()
            del logits, shown
            again = slot.buffer.detach()  # Python gives it the address of the object that has just gone
            self.ready.examine(model, again, ids, kept, lambda: self._draw_again(slot, pieces))
        return absent

    def _draw(self, slot: _Slot, pieces: Sequence[_Piece]) -> torch.Tensor:
        """The noisy copies of some pieces in the slot's buffer, zeros behind them."""
        at = 0
        with self._drawing(slot):
            for piece in pieces:
                count = piece.size
                stream = piece.job.segments[piece.segment][0]
                self.backend.perturb(
                    piece.x, self.noise, self.ready.transform, part=piece.part,
                    sigma=np.array([piece.job.sigma[piece.part]]), mean=self.ready.mean, std=self.ready.std,
                    seed=self.seed, stream=stream + PART_STREAMS * piece.part, ids=np.array([piece.job.id]),
                    first=piece.first, count=count, out=slot.buffer[at : at + count],
                )  # fmt: skip
                at += count
            if at < self.batch:
                slot.buffer[at:].zero_()
            slot.drawn()
        slot.wait()
        return slot.buffer

    def _draw_again(self, slot: _Slot, pieces: Sequence[_Piece]) -> torch.Tensor:
        slot.classified()  # whatever was shown in the buffer until now
        return self._draw(slot, pieces)

    def _drawing(self, slot: _Slot) -> contextlib.AbstractContextManager[Any]:
        if self.side is None:
            return contextlib.nullcontext()
        self.side.wait_event(slot.free)
        return torch.cuda.stream(self.side)

    def _on_device(self, image: torch.Tensor) -> torch.Tensor:
        """An image where it is drawn; on a GPU it goes there in the stream that draws, which alone reads it."""
        if self.side is None:
            return image.to(self.ready.device)
        with torch.cuda.stream(self.side):
            held = image.pin_memory() if image.device.type == "cpu" else image
            return held.to(self.ready.device, non_blocking=True)

    def _fetched(self, pieces: list[_Piece], votes: torch.Tensor, absent: torch.Tensor | None) -> _Flight:
        if not self.asynchronous:
            return _Flight(pieces, votes, absent, None)
        arrived = _event()
        fetched = _Flight(pieces, _coming(votes), None if absent is None else _coming(absent), arrived)
        arrived.record()
        return fetched

    def _settle(self) -> None:
        """Give the votes of the oldest batch to its jobs."""
        flight = self.flying.popleft()
        if flight.arrived is not None:
            flight.arrived.synchronize()
        flight.check()
        now = time.perf_counter()
        per_row = (now - self.clock) / sum(piece.size for piece in flight.pieces)
        self.clock = now
        parts = self.ready.transform.parts
        for piece, row in zip(flight.pieces, flight.votes.numpy(), strict=True):
            job, count = piece.job, piece.size
            if job.done:
                continue
            job.seconds += per_row * count
            if piece.segment not in job.votes:
                job.votes[piece.segment] = np.zeros((parts, self.ready.num_classes), dtype=np.int64)
                job.missing[piece.segment] = job.segments[piece.segment][2] * parts
            job.votes[piece.segment][piece.part] += row
            job.missing[piece.segment] -= count
            self._judge(job)

    def _judge(self, job: Job) -> None:
        """Tell the job of every segment that is complete, in order."""
        parts = self.ready.transform.parts
        while not job.done and job.judged < len(job.segments):
            segment = job.judged
            if job.segments[segment][2] == 0:
                votes = np.zeros((parts, self.ready.num_classes), dtype=np.int64)
            elif job.missing.get(segment, 1) == 0:
                votes = job.votes.pop(segment)
            else:
                return
            job.judged += 1
            job.done = job.judge(segment, votes) or job.judged == len(job.segments)
            if not job.done:
                self._want(job, max(job.wanted, job.judged + 1))
        if job in self.active:
            del self.active[job]
            job.votes.clear()
            for lane in self.lanes:
                lane.drop(job)
            self.finished.append(job)


class _Slot:
    """A buffer for one batch of noisy copies, and on a GPU the events that keep noise and model from overtaking each other."""

    def __init__(self, buffer: torch.Tensor, asynchronous: bool) -> None:
        self.buffer = buffer
        self.filled = _event() if asynchronous else None
        self.free = _event() if asynchronous else None

    def drawn(self) -> None:
        """The noise is in the buffer, says the stream that drew it."""
        if self.filled is not None:
            self.filled.record()

    def wait(self) -> None:
        """The model's stream waits for the noise."""
        if self.filled is not None:
            torch.cuda.current_stream(self.buffer.device).wait_event(self.filled)

    def classified(self) -> None:
        """The buffer has been read."""
        if self.free is not None:
            self.free.record()


def _of_pieces(votes: torch.Tensor) -> list[int]:
    """How many votes each piece has, of votes [pieces, K] on the CPU."""
    found: list[int] = votes.numpy().sum(axis=1).tolist()
    return found


def _without_vote(logits: torch.Tensor, rows: torch.Tensor, pieces: int) -> torch.Tensor:
    """How many copies of each piece have a NaN among their logits: int64 [pieces], of logits [N, K] and rows [N]."""
    into = torch.where(rows < 0, pieces, rows)  # what fills up the batch stands behind them
    found = torch.zeros(pieces + 1, dtype=torch.int64, device=logits.device)
    return found.index_add_(0, into, logits.isnan().any(dim=1).to(torch.int64))[:pieces]


def _coming(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of a GPU, on its way here."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def _event() -> Any:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]
