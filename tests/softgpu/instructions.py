"""An instruction as a function of the machine and of the threads that run it (None: all)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .arithmetic import FOLDS, Array, UnsupportedError, arithmetic, dtype_of
from .memory import WARP, Access
from .text import ENDS, Address, Instruction, Program

if TYPE_CHECKING:
    from .machine import Machine

Mask = np.ndarray | None
Step = Callable[["Machine", Mask], None]
Read = Callable[["Machine"], Array]
Write = Callable[["Machine", Array, Mask], None]
SPECIAL = re.compile(r"%(laneid|warpid|n?(tid|ctaid)\.[xyz])$")
WHOLE_WARP = np.array([0xFFFFFFFF])


def compiled(program: Program) -> list[list[Step]]:
    """The steps of every segment; branches and barriers among them do nothing, the machine sees to them."""
    return [[_guarded(instruction, program) for instruction in segment] for segment in program.segments]


def reader(operand: str, kind: str, program: Program) -> Read:
    """How a register, a special register, a shared array's address or a number is read as a PTX type."""
    dtype = dtype_of(kind)
    if SPECIAL.match(operand):
        return lambda machine: machine.special(operand).astype(dtype)
    if operand[0] == "%":
        width = program.width(operand)
        if width == 8 * dtype.itemsize or kind == "pred":
            return lambda machine: machine.registers[operand].view(dtype)
        if width < 8 * dtype.itemsize:
            raise UnsupportedError(f"{operand} read as {kind}")
        return lambda machine: machine.registers[operand].astype(f"u{dtype.itemsize}").view(dtype)
    if operand in program.shared:
        bits = program.shared[operand]
    else:
        bits = int(operand[2:], 16) if operand[:2] in ("0f", "0d") else int(operand.rstrip("U"), 0)
    if kind == "pred":
        bits = int(bits != 0)
    constant = np.array([bits & (2 ** (8 * dtype.itemsize) - 1)], dtype=f"u{dtype.itemsize}").view(dtype)
    return lambda machine: constant


def writer(operand: str, program: Program) -> Write:
    """How a result goes into a register; a narrower one is extended by its sign or by zeros."""
    if operand == "_":
        return lambda machine, value, mask: None
    if "|" in operand:
        raise UnsupportedError(f"two results, {operand}")
    width = program.width(operand)

    def write(machine: Machine, value: Array, mask: Mask) -> None:
        if width == 1:
            value = value.astype(bool)
        elif value.dtype.itemsize * 8 != width:
            value = value.astype(f"{'i' if value.dtype.kind == 'i' else 'u'}{width // 8}").view(f"u{width // 8}")
        else:
            value = value.view(f"u{width // 8}")
        if mask is not None:
            before = machine.registers.get(operand)
            value = np.where(mask, value, value.dtype.type(0) if before is None else before)
        machine.registers[operand] = value

    return write


def _guarded(instruction: Instruction, program: Program) -> Step:
    body = _body(instruction, program)
    if instruction.guard is None:
        return body
    guard = reader(instruction.guard, "pred", program)

    def step(machine: Machine, mask: Mask) -> None:
        chosen = guard(machine) ^ instruction.negated
        chosen = np.broadcast_to(chosen if mask is None else chosen & mask, machine.lanes)
        if not chosen.all():
            machine.kept_off.add(instruction.text)
        if chosen.any():
            body(machine, chosen)
        else:
            machine.define(instruction)

    return step


def _body(instruction: Instruction, program: Program) -> Step:
    base, operands = instruction.base, instruction.operands
    if base in ENDS or instruction.is_barrier:
        return lambda machine, mask: None
    if base in _FAMILIES:
        return _FAMILIES[base](instruction, program)
    if instruction.parts[:3] == ("bar", "warp", "sync"):
        return lambda machine, mask: machine.warp_barrier(instruction, mask)
    if base == "mov" and (isinstance(operands[0], tuple) or isinstance(operands[1], tuple)):
        return _packing(instruction, program)
    known = arithmetic(instruction.parts, len(operands) - 1)
    if known is None:
        raise UnsupportedError(instruction.text)
    sources = [reader(operand, kind, program) for operand, kind in zip(operands[1:], known.takes, strict=True)]
    write = writer(operands[0], program)

    def step(machine: Machine, mask: Mask) -> None:
        write(machine, known.function(*(source(machine) for source in sources)), mask)

    return step


def _packing(instruction: Instruction, program: Program) -> Step:
    """mov of a register into its parts, or of parts into a register."""
    target, source = instruction.operands
    whole = int(instruction.parts[-1][1:])
    wide = np.dtype(f"u{whole // 8}")
    if isinstance(target, tuple):
        bits = whole // len(target)
        read, writes = reader(source, f"b{whole}", program), [writer(part, program) for part in target]

        def unpack(machine: Machine, mask: Mask) -> None:
            value = read(machine)
            for i, write in enumerate(writes):
                write(machine, (value >> wide.type(bits * i)).astype(f"u{bits // 8}"), mask)

        return unpack
    bits = whole // len(source)
    reads, write = [reader(part, f"b{bits}", program) for part in source], writer(target, program)

    def pack(machine: Machine, mask: Mask) -> None:
        value = reads[0](machine).astype(wide)
        for i, read in enumerate(reads[1:], 1):
            value = value | read(machine).astype(wide) << wide.type(bits * i)
        write(machine, value, mask)

    return pack


def _memory(instruction: Instruction, program: Program) -> Step:
    parts, operands = instruction.parts, instruction.operands
    dtype = dtype_of(parts[-1])
    if parts[:2] == ("ld", "param"):
        name, offset, write = operands[1].base, operands[1].offset, writer(operands[0], program)
        return lambda machine, mask: write(
            machine, np.frombuffer(machine.params[name][offset : offset + dtype.itemsize], dtype=dtype), mask
        )
    if "param" in parts or "local" in parts or not {"global", "shared"} & set(parts):
        raise UnsupportedError(instruction.text)
    space = "global" if "global" in parts else "shared"
    where = next(operand for operand in operands if isinstance(operand, Address))
    base, size = reader(where.base, "b64" if space == "global" else "b32", program), np.uint64 if space == "global" else np.uint32
    offset = size(where.offset % 2 ** (8 * size().itemsize))

    def access(machine: Machine, mask: Mask) -> Access:
        return Access(machine, instruction, base(machine) + offset, machine.all_of(mask))

    if parts[0] == "ld":
        return _load(instruction, program, space, access)
    if parts[0] == "st":
        sources = operands[1] if isinstance(operands[1], tuple) else (operands[1],)
        reads = [reader(source, parts[-1], program) for source in sources]
        return lambda machine, mask: machine.memory(space).store(access(machine, mask), [read(machine) for read in reads])
    change = next((FOLDS[part] for part in parts if part in FOLDS), None)
    if change is None or space == "shared" or dtype.kind == "f":
        raise UnsupportedError(instruction.text)
    read, write = reader(operands[-1], parts[-1], program), writer(operands[0] if parts[0] == "atom" else "_", program)
    return lambda machine, mask: write(machine, machine.memory(space).atomic(access(machine, mask), read(machine), change), mask)


def _load(instruction: Instruction, program: Program, space: str, access: Callable[[Machine, Mask], Access]) -> Step:
    targets = instruction.operands[0] if isinstance(instruction.operands[0], tuple) else (instruction.operands[0],)
    writes, dtype = [writer(target, program) for target in targets], dtype_of(instruction.parts[-1])

    def load(machine: Machine, mask: Mask) -> None:
        loaded = machine.memory(space).load(access(machine, mask), dtype, len(writes))
        for write, value in zip(writes, loaded, strict=True):
            write(machine, value, mask)

    return load


def _reduction(instruction: Instruction, program: Program) -> Step:
    """redux.sync over all threads of a warp."""
    parts, operands = instruction.parts, instruction.operands
    if parts[2] not in FOLDS or parts[3:-1]:
        raise UnsupportedError(instruction.text)
    write, read, members = (
        writer(operands[0], program),
        reader(operands[1], parts[-1], program),
        reader(operands[-1], "b32", program),
    )
    fold = FOLDS[parts[2]]

    def reduce(machine: Machine, mask: Mask) -> None:
        machine.whole_warps(instruction, mask, members(machine))
        value = np.broadcast_to(read(machine), machine.lanes).reshape(-1, WARP)
        total = value[:, 0]
        for i in range(1, WARP):
            total = fold(total, value[:, i])
        write(machine, np.repeat(total, WARP), mask)

    return reduce


def _shuffle(instruction: Instruction, program: Program) -> Step:
    """shfl.sync among all threads of a warp."""
    parts, operands = instruction.parts, instruction.operands
    write, read, members = (
        writer(operands[0], program),
        reader(operands[1], parts[-1], program),
        reader(operands[-1], "b32", program),
    )
    mode, lane, clamp = parts[2], reader(operands[2], "u32", program), reader(operands[3], "u32", program)

    def shuffle(machine: Machine, mask: Mask) -> None:
        machine.whole_warps(instruction, mask, members(machine))
        me = np.arange(machine.lanes) % WARP
        b, c = (np.broadcast_to(source(machine), machine.lanes).astype(np.int64) for source in (lane, clamp))
        b, segment = b & 31, c >> 8 & 31
        highest, lowest = (me & segment) | (c & 31 & ~segment), me & segment
        j = {"up": me - b, "down": me + b, "bfly": me ^ b, "idx": lowest | (b & ~segment)}[mode]
        valid = j >= highest if mode == "up" else j <= highest
        source = np.arange(machine.lanes) - me + np.where(valid, j, me)
        write(machine, np.broadcast_to(read(machine), machine.lanes)[source], mask)

    return shuffle


def _matrices(instruction: Instruction, program: Program) -> Step:
    """ldmatrix and stmatrix of 8x8 16-bit elements.

    Thread 8 k + i of a warp gives the address of row i of matrix k; thread t holds elements 2 (t % 4) and the next of row t / 4
    of each matrix, or (.trans) of column t / 4.
    """
    parts = instruction.parts
    if "m8n8" not in parts or parts[-1] != "b16":
        raise UnsupportedError(instruction.text)
    registers, where = sorted(instruction.operands, key=lambda operand: isinstance(operand, Address))
    transposed, base = "trans" in parts, reader(where.base, "b32", program)
    writes, reads = [writer(name, program) for name in registers], [reader(name, "b32", program) for name in registers]

    def access(machine: Machine, mask: Mask) -> Access:
        machine.whole_warps(instruction, mask, WHOLE_WARP)
        givers = machine.all_of(mask) & (np.arange(machine.lanes) % WARP < 8 * len(registers))
        return Access(machine, instruction, base(machine) + np.uint32(where.offset), givers)

    def elements_of(machine: Machine, k: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Where the two elements of matrix k that each thread holds are, as (thread with the row, column)."""
        lane = np.arange(machine.lanes)
        t = lane % WARP
        rows, columns = (2 * (t % 4), t // 4) if transposed else (t // 4, 2 * (t % 4))
        first = lane - t + 8 * k + rows
        return (first, columns), (first + transposed, columns + (not transposed))

    def load(machine: Machine, mask: Mask) -> None:
        words = np.stack(machine.shared.load(access(machine, mask), np.dtype("u4"), 4), axis=1)
        elements = words.view(np.uint16).astype(np.uint32)  # [lanes, 8]
        for k, write in enumerate(writes):
            low, high = elements_of(machine, k)
            write(machine, elements[low] | elements[high] << np.uint32(16), mask)

    def store(machine: Machine, mask: Mask) -> None:
        elements = np.zeros((machine.lanes, 8), dtype=np.uint16)
        for k, read in enumerate(reads):
            value, (low, high) = np.broadcast_to(read(machine), machine.lanes), elements_of(machine, k)
            elements[low], elements[high] = value.astype(np.uint16), (value >> np.uint32(16)).astype(np.uint16)
        machine.shared.store(access(machine, mask), list(np.ascontiguousarray(elements.view(np.uint32).T)))

    return load if parts[0] == "ldmatrix" else store


_FAMILIES: dict[str, Callable[[Instruction, Program], Step]] = {
    **dict.fromkeys(("ld", "st", "atom", "red"), _memory), "redux": _reduction, "shfl": _shuffle,
    **dict.fromkeys(("ldmatrix", "stmatrix"), _matrices),
}  # fmt: skip
