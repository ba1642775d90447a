"""Global and shared memory, and what they notice: accesses outside tensors, races, what is read and was never written."""

from __future__ import annotations

import collections
import ctypes
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .arithmetic import Array

if TYPE_CHECKING:
    from .machine import Machine
    from .text import Instruction

WARP = 32
NOBODY, EVERYBODY = -1, 2**30  # below and above every thread
GAP = 40  # tensors lie 2^40 fake bytes apart: no arithmetic from one reaches another
SECTOR = 32  # bytes that memory moves at once
HARMLESS = "write of the same value as another thread, no barrier between"


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a GPU would not forgive."""

    what: str
    instruction: str
    detail: str


@dataclasses.dataclass
class Access:
    """One execution of an instruction that goes to memory."""

    machine: Machine
    instruction: Instruction
    address: Array
    mask: Array  # [lanes]

    def find(self, what: str, detail: str) -> None:
        self.machine.findings[Finding(what, self.instruction.text, detail)] += 1

    def count(self, what: str, bad: Array) -> None:
        """A finding for every byte that is `bad`."""
        if bad.any():
            self.machine.findings[Finding(what, self.instruction.text, "bytes")] += int(np.count_nonzero(bad))


class Global:
    """The tensors of one launch."""

    def __init__(self) -> None:
        self.spans: list[Array] = []  # their bytes, where they lie in this process
        self.skews: list[int] = []
        self.written: dict[tuple[int, int], Array] = {}  # (tensor, width): which elements
        self.sectors = 0  # that stores of warps touch, each store counted by itself
        self.stored: list[tuple[Array, Array]] = []  # (block, address of the sector), bytes: what programs wrote

    def add(self, pointer: int, size: int) -> int:
        """The fake address, equally aligned, of `size` bytes at `pointer`."""
        buffer = (ctypes.c_uint8 * size).from_address(pointer) if size else b""
        self.spans.append(np.frombuffer(buffer, dtype=np.uint8))
        self.skews.append(pointer % 4096)
        return (len(self.spans) << GAP) + self.skews[-1]

    def _places(self, access: Access, width: int) -> list[tuple[int, Array, Array]]:
        """(tensor, lanes, offsets in bytes) of the accesses that are allowed; the others are findings."""
        lanes = np.flatnonzero(access.mask)
        address = np.broadcast_to(access.address, access.mask.shape)[lanes]
        which = (address >> np.uint64(GAP)).astype(np.int64) - 1
        found = []
        for tensor in np.unique(which):
            mine = which == tensor
            if not 0 <= tensor < len(self.spans):
                access.find("address outside every tensor", f"{np.count_nonzero(mine)} threads, as {address[mine][0]:#x}")
                continue
            offset = (address[mine] & np.uint64(2**GAP - 1)).astype(np.int64) - self.skews[tensor]
            inside = (offset >= 0) & (offset + width <= len(self.spans[tensor]))
            if not inside.all():
                bad = offset[~inside]
                where = f"{bad.min()} … {bad.max()} of argument {tensor} with {len(self.spans[tensor])}"
                access.find("address outside its tensor", f"{len(bad)} threads, at bytes {where}")
            aligned = (offset + self.skews[tensor]) % width == 0
            if not aligned.all():
                access.find("misaligned address", f"{np.count_nonzero(~aligned)} threads")
            good = inside & aligned
            found.append((int(tensor), lanes[mine][good], offset[good]))
        return found

    def load(self, access: Access, kind: np.dtype, count: int) -> list[Array]:
        size = kind.itemsize
        out = np.full((count, len(access.mask)), 0xCDCDCDCDCDCDCDCD & (2 ** (8 * size) - 1), dtype=f"u{size}")
        for tensor, lanes, offset in self._places(access, size * count):
            for i in range(count):
                at = (offset + i * size)[:, None] + np.arange(size)
                out[i, lanes] = self.spans[tensor][at].reshape(-1).view(f"u{size}")
        return list(out.view(kind))

    def store(self, access: Access, values: list[Array]) -> None:
        size = values[0].dtype.itemsize
        for tensor, lanes, offset in self._places(access, size * len(values)):
            self._note(access.machine, tensor, lanes, offset, size * len(values))
            written = self.written.setdefault((tensor, size), np.zeros(len(self.spans[tensor]) // size + 1, dtype=bool))
            for i, value in enumerate(values):
                at = offset + i * size
                chosen = np.ascontiguousarray(np.broadcast_to(value, access.mask.shape)[lanes])
                twice = np.count_nonzero(written[at // size]) + len(at) - len(np.unique(at))
                if twice:
                    access.find("global element written twice", f"{twice} times")
                written[at // size] = True
                self.spans[tensor][at[:, None] + np.arange(size)] = chosen.view(np.uint8).reshape(-1, size)

    def _note(self, machine: Machine, tensor: int, lanes: Array, offset: Array, width: int) -> None:
        """Sectors of a store, in addresses that are aligned as the tensor is."""
        sector = ((tensor + 1 << GAP) + self.skews[tensor] + offset) // SECTOR
        self.sectors += len(np.unique(sector.astype(np.uint64) | (lanes // WARP).astype(np.uint64) << np.uint64(42)))
        self.stored.append((np.stack([machine.block[lanes], sector], axis=1), np.full(len(lanes), width)))

    def partial_sectors(self, programs: int = 1) -> int:
        """Sectors of which `programs` neighbours in the grid's order, together, wrote a part only."""
        if not self.stored:
            return 0
        place = np.concatenate([place for place, _ in self.stored])
        width = np.concatenate([width for _, width in self.stored])
        place[:, 0] //= programs
        _, which = np.unique(place, axis=0, return_inverse=True)
        return int(np.count_nonzero(np.bincount(which.reshape(-1), weights=width) < SECTOR))

    def atomic(self, access: Access, value: Array, change: Callable[..., Array]) -> Array:
        """One thread after the other; what each found."""
        old = np.zeros(len(access.mask), dtype=value.dtype)
        value = np.broadcast_to(value, access.mask.shape)
        for tensor, lanes, offset in self._places(access, value.dtype.itemsize):
            for lane, at in zip(lanes, offset, strict=True):
                cell = self.spans[tensor][at : at + value.dtype.itemsize].view(value.dtype)
                old[lane] = cell[0]
                cell[:] = change(cell, value[lane : lane + 1])
        return old


@dataclasses.dataclass
class _Bytes:
    """Bytes of shared memory that an access touches."""

    lanes: Array  # [accesses]
    place: Array  # [bytes]
    thread: Array  # [bytes], in its block
    epoch: Array  # [bytes], bar.warp.syncs of its warp so far

    @property
    def warp(self) -> Array:
        return self.thread // WARP


class Shared:
    """Shared memory of every block, and who touched each byte since the last barrier.

    bar.sync orders the threads of a block; bar.warp.sync those of a warp with one another.
    """

    def __init__(self, blocks: int, threads: int, size: int) -> None:
        self.threads, self.size = threads, size
        self.data = np.full(blocks * size, 0xCD, dtype=np.uint8)
        self.ever = np.zeros(blocks * size, dtype=bool)
        self.writer = np.full(blocks * size, NOBODY)
        self.first_reader, self.last_reader = np.full(blocks * size, EVERYBODY), np.full(blocks * size, NOBODY)
        self.write_epoch, self.read_epoch = np.zeros(blocks * size, dtype=np.int64), np.zeros(blocks * size, dtype=np.int64)
        self.epoch = np.zeros(blocks * threads // WARP, dtype=np.int64)

    def _bytes(self, access: Access, width: int) -> _Bytes:
        lanes = np.flatnonzero(access.mask)
        offset = np.broadcast_to(access.address, access.mask.shape)[lanes].astype(np.int64)
        good = (offset + width <= self.size) & (offset % width == 0)
        if not good.all():
            access.find("shared address outside or misaligned", f"{np.count_nonzero(~good)} threads of {self.size} bytes")
            lanes, offset = lanes[good], offset[good]
        place = ((lanes // self.threads * self.size + offset)[:, None] + np.arange(width)).reshape(-1)
        return _Bytes(lanes, place, np.repeat(lanes % self.threads, width), np.repeat(self.epoch[lanes // WARP], width))

    def _unordered_write(self, at: _Bytes) -> Array:
        writer = self.writer[at.place]
        ordered = (writer // WARP == at.warp) & (self.write_epoch[at.place] < at.epoch)
        return (writer != NOBODY) & (writer != at.thread) & ~ordered

    def _readers_ordered(self, at: _Bytes) -> Array:
        """Whether all who read are of this warp and did so before its last bar.warp.sync."""
        first, last = self.first_reader[at.place], self.last_reader[at.place]
        return (first // WARP == at.warp) & (last // WARP == at.warp) & (self.read_epoch[at.place] < at.epoch)

    def load(self, access: Access, kind: np.dtype, count: int) -> list[Array]:
        width = kind.itemsize * count
        at = self._bytes(access, width)
        access.count("read of what another thread wrote, no barrier between", self._unordered_write(at))
        access.count("read of what was never written", ~self.ever[at.place])
        old = at.place[self._readers_ordered(at)]
        self.first_reader[old], self.last_reader[old] = EVERYBODY, NOBODY
        np.minimum.at(self.first_reader, at.place, at.thread)
        np.maximum.at(self.last_reader, at.place, at.thread)
        self.read_epoch[at.place] = at.epoch
        out = np.zeros((len(access.mask), width), dtype=np.uint8)
        out[at.lanes] = self.data[at.place].reshape(-1, width)
        return list(np.ascontiguousarray(out.view(kind).T))

    def store(self, access: Access, values: list[Array]) -> None:
        at = self._bytes(access, values[0].dtype.itemsize * len(values))
        columns = [np.broadcast_to(value, access.mask.shape)[at.lanes] for value in values]
        new = np.ascontiguousarray(np.stack(columns, axis=1)).view(np.uint8).reshape(-1)
        changes, unordered = new != self.data[at.place], self._unordered_write(at)
        access.count("write over what another thread wrote, no barrier between", unordered & changes)
        access.count(HARMLESS, unordered & ~changes)
        first, last = self.first_reader[at.place], self.last_reader[at.place]
        read = (last != NOBODY) & ((first != at.thread) | (last != at.thread)) & ~self._readers_ordered(at)
        access.count("write over what another thread read, no barrier between", read)
        self.data[at.place] = new
        access.count("write of two threads at once with different values", self.data[at.place] != new)
        self.ever[at.place] = True
        self.writer[at.place], self.write_epoch[at.place] = at.thread, at.epoch
        self.first_reader[at.place], self.last_reader[at.place] = EVERYBODY, NOBODY

    def barrier(self, blocks: Array) -> None:
        """All threads of these blocks have come to a bar.sync."""
        if self.size:
            for array, value in ((self.writer, NOBODY), (self.first_reader, EVERYBODY), (self.last_reader, NOBODY)):
                array.reshape(-1, self.size)[blocks] = value


def serious(findings: collections.Counter[Finding]) -> dict[Finding, int]:
    """Without the race whose outcome is the same either way."""
    return {finding: count for finding, count in findings.items() if finding.what != HARMLESS}
