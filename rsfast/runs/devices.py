"""One run by several processes, one for each device: the parent hands out images and alone writes the run.

A worker is this same command once more (`Crew` starts it), told by the environment which device is its own.  They talk in lines
of JSON over its standard input and output.  A worker asks for an image when a batch of its has room, and sends the image's line
when it is done, which the parent appends.  Images that a process held when it was killed go to the others: until its line has
come an image is nobody's result, and only the process that holds it can send one, so none is lost and none counted twice.  When
the parent ends, however it ends, its workers do.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import IO, Any, Protocol

from .. import errors
from ..errors import InvalidArgumentError, ModelError, RsfastError, reason

DEVICE = "RSFAST_WORKER_DEVICE"
MOST = 64
TELL_EVERY = 0.2  # seconds between messages about copies

Message = dict[str, Any]


def devices_of(text: str, gpus: Sequence[str]) -> list[str]:
    """The devices that `--devices` names, where GPUs are of these models; InvalidArgumentError if they cannot share a run."""
    allowed = "give all, GPUs by number (0,1,2), or cpu once for each process (cpu,cpu)"
    if text == "all" and not gpus:
        raise InvalidArgumentError("--devices all was asked for and torch sees no CUDA device: give --device cpu.")
    found = []
    for name in map(str, range(len(gpus))) if text == "all" else (one.strip() for one in text.split(",")):
        number = name.removeprefix("cuda:")
        if name != "cpu" and not (number.isdecimal() and number.isascii() and len(number) < 5):
            raise InvalidArgumentError(f"--devices {text!r} names no devices ({name!r}): {allowed}.")
        if name != "cpu" and int(number) >= len(gpus):
            raise InvalidArgumentError(
                f"--devices {text!r} names GPU {int(number)} and torch sees {len(gpus)} CUDA device(s): {allowed}."
            )
        found.append("cpu" if name == "cpu" else f"cuda:{int(number)}")
    if len({name[:3] for name in found}) > 1:
        raise InvalidArgumentError(f"--devices {text!r} mixes CPU and GPUs, whose logits differ in the last bit: {allowed}.")
    if found[0] != "cpu":
        if len(set(found)) < len(found):
            raise InvalidArgumentError(f"--devices {text!r} names a GPU twice: {allowed}.")
        models = sorted({gpus[int(name.removeprefix("cuda:"))] for name in found})
        if len(models) > 1:
            raise InvalidArgumentError(
                f"--devices {text!r} names GPUs of different models ({', '.join(models)}), whose logits differ in the last bit: "
                "give those of one model by number."
            )
    if len(found) > MOST:
        raise InvalidArgumentError(f"--devices names {len(found)} processes: give at most {MOST}.")
    return found


class Reporter(Protocol):
    """What is told of the work of others."""

    def rows(self, count: int) -> None: ...
    def problem(self, message: str) -> None: ...


class _Worker:
    """A process, and the images that it holds."""

    def __init__(self, device: str, number: int, news: queue.Queue[tuple[_Worker, Message | None]]) -> None:
        self.device, self.name, self.news = device, f"process {number} ({device})", news
        self.holds: set[int] = set()
        self.begun = self.idle = self.over = False
        self.said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # until `stop`
        # as this process finds modules, whatever started it
        code = f"import sys; sys.path[:] = {sys.path!r}; from rsfast.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *sys.argv[1:]], env={**os.environ, DEVICE: device}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.said, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self.process.stdout:
                if not line.endswith(b"\n"):  # cut short by a kill
                    break
                self.news.put((self, json.loads(line)))
        self.news.put((self, None))

    def tell(self, message: Message) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # one that has died says so by what it sends no more
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def last_words(self) -> str:
        """What it wrote last on its standard error."""
        self.said.seek(0, os.SEEK_END)
        self.said.seek(max(0, self.said.tell() - 4000))
        lines = self.said.read().decode(errors="replace").strip().splitlines()
        return reason(RuntimeError(lines[-1].removeprefix("rsfast: "))) if lines else "it said nothing"

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.said):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


class Crew:
    """Processes that share one run, a device each; `caveats` is what they found of the model."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices = list(devices)
        self.caveats: list[str] = []

    def lines(
        self, positions: Sequence[int], reporter: Reporter, unusable: Callable[[int, str], None]
    ) -> Generator[dict[str, Any], None, None]:
        """The line of every image as it is done, by whichever process; `unusable` is told of images that cannot be used.

        Raises
        ------
        RsfastError
            What a process raised.  ModelError if none is left.
        """
        self._todo, self._held = deque(positions), set[int]()
        if not positions:
            return
        news: queue.Queue[tuple[_Worker, Message | None]] = queue.Queue()
        workers: list[_Worker] = []
        try:
            for number, device in enumerate(self.devices[: len(positions)]):
                workers.append(_Worker(device, number, news))
            while not all(worker.over for worker in workers):
                worker, message = news.get()
                if message is None:
                    self._ended(worker, workers, reporter)
                elif "line" in message:
                    if self._let_go(worker, message["line"]["id"]):
                        yield message["line"]
                elif "unusable" in message:
                    if self._let_go(worker, message["unusable"]):
                        unusable(message["unusable"], message["problem"])
                else:
                    self._answer(worker, message, reporter)
                self._rouse(workers)
        finally:
            for worker in workers:
                worker.stop()

    def _answer(self, worker: _Worker, message: Message, reporter: Reporter) -> None:
        if "asks" in message:
            worker.begun = True
            if self._todo:
                worker.holds.add(self._todo[0])
                self._held.add(self._todo[0])
                worker.tell({"image": self._todo.popleft()})
            else:
                worker.tell({"none": True})
        elif "rows" in message:
            reporter.rows(message["rows"])
        elif "idle" in message:
            worker.idle = True
        elif "failed" in message:
            kind = getattr(errors, message["failed"], ModelError)
            raise (kind if isinstance(kind, type) and issubclass(kind, RsfastError) else ModelError)(message["sentence"])
        elif "caveats" in message:
            self.caveats += [caveat for caveat in message["caveats"] if caveat not in self.caveats]

    def _let_go(self, worker: _Worker, image: int) -> bool:
        """Whether the worker held the image, which it now does no longer."""
        held = image in worker.holds
        worker.holds.discard(image)
        self._held.discard(image)
        return held

    def _rouse(self, workers: list[_Worker]) -> None:
        """Send idle workers after what came back from one that died, and home when nothing can come back any more."""
        for worker in workers:
            if worker.idle and (self._todo or not self._held):
                worker.idle = False
                worker.tell({"goes_on": bool(self._todo)})

    def _ended(self, worker: _Worker, workers: list[_Worker], reporter: Reporter) -> None:
        """A worker's output has ended: at home, or killed, or by an error of its own before it could send one."""
        worker.over = True
        code = worker.process.wait()
        if code == 0 and not worker.holds:
            return
        if code > 0 and not worker.begun:
            raise ModelError(f"{worker.name} ended with code {code} before it had an image ({worker.last_words()}).")
        back = sorted(worker.holds)
        worker.holds.clear()
        self._held.difference_update(back)
        self._todo.extendleft(reversed(back))
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code} ({worker.last_words()})"
        if all(one.over for one in workers) and self._todo:
            raise ModelError(f"{worker.name} {how}, the last of {len(workers)}: run the same command again for what is left.")
        reporter.problem(f"{worker.name} {how}; {len(back)} image(s) that it held go to the others.")


class Channel:
    """A worker's end: what it is told, and what it sends.  It stands in for the reporter and the shard of a call."""

    def __init__(self) -> None:
        self._told: queue.Queue[Message] = queue.Queue()
        self._in, self._out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # what a model prints is no message, and what it reads is none
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._copies, self._sent = 0, time.monotonic()
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._in:
            self._told.put(json.loads(line))
        os._exit(1)  # nobody is there to send anything to

    def send(self, **message: Any) -> None:
        with self._lock:
            self._out.write(json.dumps(message).encode() + b"\n")
            self._out.flush()

    def positions(self) -> Iterator[int]:
        """Images, until there are no more for now."""
        while True:
            self.send(asks=True)
            told = self._told.get()
            if "image" not in told:
                return
            yield told["image"]

    def goes_on(self) -> bool:
        """Whether there are images after all; waits until that is known."""
        self._flush()
        self.send(idle=True)
        return bool(self._told.get()["goes_on"])

    def rows(self, count: int) -> None:
        self._copies += count
        if time.monotonic() - self._sent >= TELL_EVERY:
            self._flush()

    def _flush(self) -> None:
        self.send(rows=self._copies)
        self._copies, self._sent = 0, time.monotonic()

    def problem(self, message: str) -> None:
        """The parent says it, who is sent the image's problem."""

    def unreadable(self, image: int, problem: str) -> None:
        self.send(unusable=image, problem=problem)


def own_device() -> str | None:
    """The device of this process, if it is a worker; its children are none."""
    return os.environ.pop(DEVICE, None)


@contextlib.contextmanager
def working_for_the_parent() -> Iterator[Channel]:
    """A worker's channel, to which what stops it is sent; the process ends with the block."""
    channel = Channel()
    try:
        yield channel
    except Exception as error:
        name, text = type(error).__name__, str(error)
        if not isinstance(error, RsfastError):
            name, text = "ModelError", f"{name}: {reason(error)}."
        channel.send(failed=name, sentence=text)
        os._exit(1)
    os._exit(0)  # at once: a thread waits for what the parent might say


__all__ = ["DEVICE", "Channel", "Crew", "devices_of", "own_device", "working_for_the_parent"]
