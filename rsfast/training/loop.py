"""The training loop: it can be stopped at any moment, and ends with the same bits as if it had not been."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from .. import files
from ..errors import ModelError, StoreError, reason
from ..keyed_noise import KeyedNoise
from . import OBJECTIVES
from .processes import Processes
from .recipe import Recipe

STATE, LOG = "state.pt", "log.jsonl"
IN_MEMORY = 2**31  # bytes of images that are read once


class Images(Protocol):
    """What is trained on: a data source with labels."""

    def __len__(self) -> int: ...
    def image(self, index: int) -> np.ndarray: ...
    def label(self, index: int) -> int | None: ...


class StoppedError(KeyboardInterrupt):
    """A signal asked to stop; what was trained is stored.  `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


Evaluate = Callable[[torch.nn.Module], dict[str, Any]]


@dataclasses.dataclass
class _State:
    """Where training is: `step` counts steps of this epoch that are done, `total` is their loss, images counted."""

    epoch: int = 0
    step: int = 0
    total: float = 0.0
    seconds: float = 0.0


class Training:
    """This trains a network in a folder, continuing where an earlier call stopped.

    The folder holds `state.pt` (weights, optimizer, average, generator, place), written after every epoch and when a signal asks
    to stop, and `log.jsonl` (one line an epoch).  In several processes (`processes.joined`) each shows the network its share of
    every batch, and the first one writes.

    Parameters
    ----------
    network : torch.nn.Module
        Images [N, C, H, W] → logits [N, K]; trained in place, where it is.
    images : Images
        What it is trained on; an image's position is its id.
    noise : KeyedNoise
    recipe : Recipe
    folder : Path
    about : str
        What else the run is of (network, data, noise): a call with another text does not continue it.

    Raises
    ------
    StoreError
        The folder cannot be written, or holds another run.
    """

    def __init__(
        self, network: torch.nn.Module, images: Images, noise: KeyedNoise, recipe: Recipe, folder: Path, about: str = ""
    ) -> None:
        self.network, self.images, self.noise, self.recipe, self.folder = network, images, noise, recipe, folder
        self.about = json.dumps([recipe.to_dict(), about], sort_keys=True)
        self.device = next(network.parameters()).device
        self.processes = Processes()
        if recipe.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.parameters = parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
            if recipe.optimizer == "adamw"
            else torch.optim.SGD(
                parameters, lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay,
                nesterov=recipe.momentum > 0,
            )
        )  # fmt: skip
        self.average = {name: value.clone() for name, value in network.state_dict().items()} if recipe.ema else {}
        self.state = _State()
        self.lines: list[dict[str, Any]] = []
        self.cached = _cached(images)
        files.make_folder(folder)
        self._continue()

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.images) // self.recipe.batch)

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """What is to be saved: the average, if there is one."""
        return self.average or self.network.state_dict()

    def run(self, evaluate: Evaluate | None = None, done: Callable[[dict[str, Any]], None] = lambda line: None) -> None:
        """Train until all epochs are done; `evaluate` is asked for more of an epoch's line, and `done` is told it.

        Raises
        ------
        StoppedError
            SIGTERM or SIGINT came; the state is stored.
        ModelError
            The loss is no number any more.
        """
        with _signals() as stop:
            while self.state.epoch < self.recipe.epochs:
                self._epoch(stop)
                line = {
                    "epoch": self.state.epoch + 1, "loss": self.state.total / len(self.images),
                    "learning_rate": self.optimizer.param_groups[0]["lr"], "seconds": round(self.state.seconds, 3),
                }  # fmt: skip
                self.processes.share_buffers(self.network)
                self.lines.append(line | (evaluate(self._evaluated()) if evaluate is not None and self.processes.first else {}))
                self.state = _State(self.state.epoch + 1)
                self._store()
                if self.processes.first:
                    done(self.lines[-1])
        self.network.load_state_dict(self.weights)
        self.network.eval()

    def _epoch(self, stop: list[int]) -> None:
        self.network.train()
        order = self._order()
        while self.state.step < self.steps:
            began = time.perf_counter()
            rows = order[self.state.step * self.recipe.batch : (self.state.step + 1) * self.recipe.batch]
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.rate(self.state.epoch * self.steps + self.state.step, self.steps)
            loss, asked = self.processes.sums(self._step(rows), float(stop[0] if stop else 0))
            self._check(loss)
            self.state.total += loss * len(rows)
            self.state.step += 1
            self.state.seconds += time.perf_counter() - began
            if asked:
                self.processes.share_buffers(self.network)
                self._store()
                raise StoppedError(stop[0] if stop else signal.SIGTERM)

    def _step(self, rows: torch.Tensor) -> float:
        """One step; this process's part of the mean loss of its images."""
        self.optimizer.zero_grad(set_to_none=True)
        objective, loss = OBJECTIVES[self.recipe.objective], 0.0
        options = self.recipe.options_at(self.state.epoch)
        mine = self.processes.share(rows)
        for some in torch.tensor_split(mine, min(self.recipe.accumulate, len(mine))) if len(mine) else ():
            x, y = self._batch(some)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.amp):
                part = objective(self.network, x, y, self.noise.at(self.state.epoch, some.tolist()), **options)
            part = part * (len(some) / len(rows))
            part.backward()
            loss += float(part.detach())
        self.processes.add_gradients(self.parameters)
        self.optimizer.step()
        if self.average:
            for name, value in self.network.state_dict().items():
                kept = self.average[name]
                if value.is_floating_point():
                    kept.lerp_(value, 1.0 - self.recipe.ema)
                else:
                    kept.copy_(value)
        return loss

    def _check(self, loss: float) -> None:
        if not np.isfinite(loss):
            raise ModelError(
                f"the loss of epoch {self.state.epoch + 1} is {loss}: train with a smaller learning rate; the state of the epoch "
                f"before is in {self.folder}."
            )

    def _order(self) -> torch.Tensor:
        """The images of this epoch, a function of (seed, epoch)."""
        seed = int(np.random.SeedSequence([self.recipe.seed, self.state.epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.randperm(len(self.images), generator=torch.Generator().manual_seed(seed))

    def _batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.cached is not None:
            x, y = self.cached[0][rows], self.cached[1][rows]
        else:
            x, y = _read(self.images, rows.tolist())
        return x.to(self.device), y.to(self.device)

    def _evaluated(self) -> torch.nn.Module:
        """The network with the weights that would be saved, in eval mode."""
        if not self.average:
            return self.network.eval()
        import copy

        network = copy.deepcopy(self.network)
        network.load_state_dict(self.average)
        return network.eval()

    def _store(self) -> None:
        held = {
            "about": self.about, "place": dataclasses.asdict(self.state), "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(), "average": self.average, "lines": json.dumps(self.lines),
            "generators": self.processes.gathered(torch.get_rng_state()),
        }  # fmt: skip
        if self.device.type == "cuda":
            held["cuda"] = torch.cuda.get_rng_state(self.device)
        if not self.processes.first:
            return
        buffer = io.BytesIO()
        torch.save(held, buffer)
        files.write(self.folder / STATE, buffer.getvalue())
        files.write(self.folder / LOG, "".join(json.dumps(line) + "\n" for line in self.lines))

    def _continue(self) -> None:
        file = self.folder / STATE
        if not file.exists():
            return
        try:
            held = torch.load(file, weights_only=True, map_location=self.device)
            about = held["about"]
        except Exception as error:
            raise StoreError(f"{file} is no state of training ({reason(error, 200)}): use another folder.") from None
        if about != self.about:
            raise StoreError(
                f"{self.folder} holds a training of another kind ({_difference(about, self.about)}): use another folder."
            )
        self.network.load_state_dict(held["network"])
        self.optimizer.load_state_dict(held["optimizer"])
        self.average = held["average"]
        self.state, self.lines = _State(**held["place"]), json.loads(held["lines"])
        if self.processes.rank < len(held["generators"]):
            torch.set_rng_state(held["generators"][self.processes.rank].cpu())
        if "cuda" in held and self.device.type == "cuda":
            torch.cuda.set_rng_state(held["cuda"].cpu(), self.device)


def _difference(there: str, here: str) -> str:
    """The first thing that differs between two descriptions."""
    (old, more), (new, other) = json.loads(there), json.loads(here)
    for name in new:
        if old.get(name) != new[name]:
            return f"{name}={old.get(name)}, this call has {name}={new[name]}"
    return f"{more}, this call is of {other}"


def _cached(images: Images) -> tuple[torch.Tensor, torch.Tensor] | None:
    """All images and labels in memory, where they fit."""
    if len(images) * images.image(0).size * 4 > IN_MEMORY:
        return None
    return _read(images, range(len(images)))


def _read(images: Images, rows: Any) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(np.stack([np.asarray(images.image(row), dtype=np.float32) for row in rows]))
    labels = [images.label(row) for row in rows]
    missing = next((row for row, label in zip(rows, labels, strict=True) if label is None), None)
    if missing is not None:
        raise StoreError(f"image {missing} has no label: train on images with labels.")
    return x, torch.tensor(labels, dtype=torch.int64)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals that came and ask to stop after the step; a second one stops at once."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note(number: int, frame: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
