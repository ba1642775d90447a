"""Progress of a run: a line that is rewritten on a terminal, one line a minute otherwise."""

from __future__ import annotations

import sys
import time
from typing import TextIO

INTERVAL_TERMINAL, INTERVAL_LOG = 0.2, 60.0


def duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


class Progress:
    """Prints images done, samples per second and the time left.

    Where the samples per image are not known before, the time left is guessed from the images done.
    """

    def __init__(self, samples_per_image: int | None, out: TextIO | None = None, quiet: bool = False) -> None:
        self.out = out or sys.stderr
        self.terminal = self.out.isatty()
        self.quiet = quiet
        self.samples_per_image = samples_per_image
        self.total = self.done = self.before = self.samples = 0
        self.began = self.printed = time.monotonic()
        self.width = 0

    def begin(self, total: int, done: int) -> None:
        self.total, self.done, self.before = total, done, done
        self.began = self.printed = time.monotonic()
        if done and not self.quiet:
            self._line(f"{done} of {total} images are already stored; continuing.", final=True)

    def rows(self, count: int) -> None:
        self.samples += count
        self._tick()

    def image(self) -> None:
        self.done += 1
        self._tick()

    def problem(self, message: str) -> None:
        self._line(f"rsfast: {message}", final=True)

    def end(self) -> None:
        if not self.quiet:
            self._line(self._status(), final=True)

    def _tick(self) -> None:
        now = time.monotonic()
        if not self.quiet and now - self.printed >= (INTERVAL_TERMINAL if self.terminal else INTERVAL_LOG):
            self.printed = now
            self._line(self._status(), final=not self.terminal)

    def _status(self) -> str:
        elapsed = max(time.monotonic() - self.began, 1e-9)
        rate = self.samples / elapsed
        text = f"{self.done}/{self.total} images, {rate:,.0f} samples/s, {duration(elapsed)} elapsed"
        left = self._left(elapsed, rate)
        if left is not None:
            text += f", {duration(max(left, 0))} left"
        return text

    def _left(self, elapsed: float, rate: float) -> float | None:
        """Seconds, if anything is left and can be guessed."""
        if self.done >= self.total or rate <= 0:
            return None
        if self.samples_per_image is None:
            now = self.done - self.before
            return elapsed / now * (self.total - self.done) if now else None
        partial = self.samples % self.samples_per_image
        return ((self.total - self.done) * self.samples_per_image - partial) / rate

    def _line(self, text: str, *, final: bool) -> None:
        end = "\n" if final else ""
        if self.terminal:
            self.out.write("\r" + text.ljust(self.width) + end)
            self.width = 0 if final else len(text)
        else:
            self.out.write(text + end)
        self.out.flush()
