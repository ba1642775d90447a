"""PTX text as instructions: straight-line segments that end at branches, barriers and labels."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

ENDS = ("bra", "ret", "exit")


@dataclasses.dataclass(frozen=True)
class Address:
    """An operand in brackets."""

    base: str
    offset: int


@dataclasses.dataclass(frozen=True)
class Instruction:
    text: str
    guard: str | None  # the predicate register behind @
    negated: bool
    parts: tuple[str, ...]  # the opcode, split at its dots
    operands: tuple[Any, ...]  # registers and numbers as text, {a, b} as tuples, [a+4] as Address

    @property
    def base(self) -> str:
        return self.parts[0]

    @property
    def is_barrier(self) -> bool:
        """Whether all threads of a block wait for one another here."""
        return self.parts[:2] in (("bar", "sync"), ("barrier", "sync"))


@dataclasses.dataclass
class Program:
    name: str
    params: list[tuple[str, str]]  # name and PTX type, in order
    widths: dict[str, int]  # prefix of register names -> bits; 1 of predicates
    shared: dict[str, int]  # names of shared arrays -> offset
    shared_bytes: int
    segments: list[list[Instruction]]
    labels: dict[str, int]  # -> number of a segment

    def width(self, register: str) -> int:
        return self.widths[re.match(r"%[a-z]+", register)[0]]  # type: ignore[index]


def parse(text: str) -> Program:
    """The one kernel that a PTX file of Triton's has."""
    text = re.sub(r"//[^\n]*", "", text)
    found = re.search(r"\.entry\s+(\w+)\s*\((.*?)\)[^{]*\n\{(.*?)\n\}", text, re.S)
    if found is None:
        raise ValueError("no kernel in this text")
    name, header, body = found.groups()
    params = [(words[-1], words[1].lstrip(".")) for words in (part.split() for part in header.split(",")) if words]
    shared, shared_bytes = {}, 0
    for array, size in re.findall(r"\.shared\s+\.align\s+\d+\s+\.b8\s+(\w+)\[(\d*)\]", text):
        shared[array] = shared_bytes
        shared_bytes += int(size or 0)  # without a size: what the launch gives
    program = Program(name, params, {}, shared, shared_bytes, [[]], {})
    for line in body.split("\n"):
        for statement in filter(None, (part.strip() for part in line.split(";"))):
            _add(program, statement)
    return program


def _add(program: Program, statement: str) -> None:
    segments = program.segments
    if match := re.match(r"\.reg\s+\.(\w+)\s+(%\w+)<", statement):
        program.widths[match[2]] = 1 if match[1] == "pred" else int(match[1][1:])
    elif statement[0] == ".":
        return  # .loc and .pragma
    elif match := re.match(r"([$\w]+):$", statement):
        if segments[-1]:
            segments.append([])
        program.labels[match[1]] = len(segments) - 1
    else:
        instruction = _instruction(statement)
        segments[-1].append(instruction)
        if instruction.base in ENDS or instruction.is_barrier:
            segments.append([])


def _instruction(statement: str) -> Instruction:
    match = re.match(r"(?:@(!?)(%\w+)\s+)?([\w.:]+)\s*(.*)$", statement, re.S)
    if match is None:
        raise ValueError(f"not an instruction: {statement}")
    negated, guard, opcode, rest = match.groups()
    operands = tuple(_operand(part) for part in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^\s,{}\[\]]+", rest))
    return Instruction(statement, guard, negated == "!", tuple(opcode.split(".")), operands)


def _operand(text: str) -> Any:
    if text[0] == "{":
        return tuple(part.strip() for part in text[1:-1].split(","))
    if text[0] == "[":
        base, _, offset = text[1:-1].replace(" ", "").partition("+")
        return Address(base, int(offset or 0))
    return text
