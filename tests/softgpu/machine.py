"""Threads, warps and blocks that run a program, many at once; a launch and its report.

Threads at the smallest place in the program go on first, which brings those that took different branches together again.
"""

from __future__ import annotations

import collections
import dataclasses

import numpy as np

from .arithmetic import Array, UnsupportedError
from .instructions import WHOLE_WARP, Mask, Step, compiled
from .memory import EVERYBODY, NOBODY, WARP, Finding, Global, Shared
from .text import Instruction, Program

AT_ONCE = 16384  # threads
MOST_SEGMENTS = 100_000  # that some blocks run: beyond them a program is taken for one that does not end


@dataclasses.dataclass(frozen=True)
class Code:
    program: Program
    steps: list[list[Step]]

    @classmethod
    def of(cls, program: Program) -> Code:
        return cls(program, compiled(program))


@dataclasses.dataclass(frozen=True)
class Shape:
    """This is the size of a launch."""

    grid: tuple[int, int, int]
    threads: int  # of a block
    shared_bytes: int = 0

    @property
    def blocks(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]


@dataclasses.dataclass
class Report:
    findings: collections.Counter[Finding]
    executed: collections.Counter[Instruction]  # by how many threads, those whose guard was false among them
    memory: Global
    kept_off: set[str] = dataclasses.field(default_factory=set)  # instructions that a guard kept some threads from

    @property
    def instructions(self) -> int:
        return sum(self.executed.values())

    @property
    def opcodes(self) -> collections.Counter[tuple[str, ...]]:
        counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        for instruction, count in self.executed.items():
            counts[instruction.parts] += count
        return counts


class Machine:
    """Some blocks of a launch.  A register is an array over their threads, or of one element where all agree."""

    def __init__(self, code: Code, shape: Shape, blocks: Array, params: dict[str, bytes], report: Report) -> None:
        self.program, self.steps, self.shape, self.params = code.program, code.steps, shape, params
        self.block, self.thread = np.repeat(blocks, shape.threads), np.tile(np.arange(shape.threads), len(blocks))
        self.lanes = len(self.block)
        self.tensors, self.findings, self.kept_off = report.memory, report.findings, report.kept_off
        self.shared = Shared(len(blocks), shape.threads, max(code.program.shared_bytes, shape.shared_bytes))
        self.registers: dict[str, Array] = {}
        self.executed = np.zeros(len(code.program.segments), dtype=np.int64)  # threads that ran each segment

    def memory(self, space: str) -> Global | Shared:
        return self.tensors if space == "global" else self.shared

    def find(self, what: str, instruction: Instruction) -> None:
        self.findings[Finding(what, instruction.text, "")] += 1

    def special(self, name: str) -> Array:
        """%tid.x and the like."""
        name, _, axis = name[1:].partition(".")
        i = "xyz".find(axis) if axis else 0
        x, y, _z = self.shape.grid
        if name == "ctaid":
            return (self.block % x, self.block // x % y, self.block // (x * y))[i]
        if name in ("nctaid", "ntid"):
            return np.array([self.shape.grid[i] if name == "nctaid" else self.shape.threads if i == 0 else 1])
        if name == "tid":
            return self.thread if i == 0 else np.zeros(1, dtype=np.int64)
        return self.thread % WARP if name == "laneid" else self.thread // WARP

    def all_of(self, mask: Mask) -> Array:
        return np.ones(self.lanes, dtype=bool) if mask is None else mask

    def define(self, instruction: Instruction) -> None:
        """What an instruction that no thread ran would have written exists, as zeros: it may be read where it does not matter."""
        if instruction.base in ("st", "red", "bar", "bra", "ret", "exit"):
            return
        targets = instruction.operands[0] if isinstance(instruction.operands[0], tuple) else instruction.operands[:1]
        for name in targets:
            if name != "_" and name not in self.registers:
                width = self.program.width(name)
                self.registers[name] = np.zeros(1, dtype=bool if width == 1 else f"u{width // 8}")

    def whole_warps(self, instruction: Instruction, mask: Mask, members: Array) -> None:
        """An operation of a warp waits for the threads that it names: here all of them."""
        if (members != WHOLE_WARP).any():
            raise UnsupportedError(f"{instruction.text}: not the whole warp")
        if mask is not None and (mask.reshape(-1, WARP).any(1) != mask.reshape(-1, WARP).all(1)).any():
            self.find("warp operation without all of its threads", instruction)

    def warp_barrier(self, instruction: Instruction, mask: Mask) -> None:
        self.whole_warps(instruction, mask, WHOLE_WARP)
        self.shared.epoch += self.all_of(mask).reshape(-1, WARP).any(1)

    def run(self) -> None:
        last = len(self.program.segments)
        at = np.zeros(self.lanes, dtype=np.int64)  # the segment that each thread runs next; `last`: it has ended
        waiting = np.zeros(self.lanes, dtype=bool)
        with np.errstate(all="ignore"):
            for _ in range(MOST_SEGMENTS):
                here = int(np.where(waiting, last, at).min())
                if here < last:
                    self._run_segment(here, at, waiting)
                elif waiting.any():
                    self._open_barriers(at, waiting)
                else:
                    return
        raise RuntimeError(f"{self.program.name} does not end within {MOST_SEGMENTS} segments")

    def _run_segment(self, here: int, at: Array, waiting: Array) -> None:
        chosen = (at == here) & ~waiting
        mask = None if chosen.all() else chosen
        self.executed[here] += np.count_nonzero(chosen)
        for step in self.steps[here]:
            step(self, mask)
        at[chosen] = here + 1
        segment = self.program.segments[here]
        if not segment:
            return
        end = segment[-1]
        if end.is_barrier:
            waiting |= chosen
        elif end.base in ("bra", "ret", "exit"):
            taken = chosen if end.guard is None else chosen & (self.registers[end.guard] ^ end.negated)
            at[taken] = self.program.labels[end.operands[0]] if end.base == "bra" else len(self.program.segments)

    def _open_barriers(self, at: Array, waiting: Array) -> None:
        """In each block [blocks, threads] all threads should wait, and at the same barrier."""
        at, waits = at.reshape(-1, self.shape.threads), waiting.reshape(-1, self.shape.threads)
        some, first = waits.any(1), np.where(waits, at, EVERYBODY).min(1)
        for what, bad in (
            ("a barrier that some threads of the block never reach", some & ~waits.all(1)),
            ("threads of a block wait at different barriers", some & (np.where(waits, at, NOBODY).max(1) != first)),
        ):
            for segment in np.unique(first[bad]):
                self.find(what, self.program.segments[segment - 1][-1])
        self.shared.barrier(np.flatnonzero(some))
        waiting[:] = False


def launch(code: Code, shape: Shape, params: dict[str, bytes], memory: Global) -> Report:
    """Run every block of a grid, some at once; they share global memory only."""
    step = max(1, AT_ONCE // shape.threads)
    report = Report(collections.Counter(), collections.Counter(), memory)
    for begin in range(0, shape.blocks, step):
        blocks = np.arange(begin, min(begin + step, shape.blocks))
        machine = Machine(code, shape, blocks, params, report)
        machine.run()
        for segment, count in zip(code.program.segments, machine.executed, strict=True):
            for instruction in segment:
                report.executed[instruction] += int(count)
    return report
