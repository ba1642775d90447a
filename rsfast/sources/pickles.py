"""Pickles of arrays, lists and dicts, read without unpickling: nothing is imported and nothing is called.

The opcodes that such a file consists of are followed by hand.  Of names, those by which NumPy writes an array are known and
stand for themselves; any other ends the reading.
"""

from __future__ import annotations

import dataclasses
import io
import math
import pickletools
import warnings
from typing import Any

import numpy as np

_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NAMES = {
    **{(core, "_reconstruct"): "array" for core in _CORES},
    ("numpy.core.numeric", "_frombuffer"): "buffer",
    ("numpy._core.numeric", "_frombuffer"): "buffer",
    ("numpy", "dtype"): "dtype",
    ("numpy", "ndarray"): "ndarray",
    ("_codecs", "encode"): "encode",
}
_NUMBERS = {"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"}
_LITERALS = {
    "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_STRINGS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}  # of Python 2: bytes
_IGNORED = {"PROTO", "FRAME"}
_MARK = object()


@dataclasses.dataclass
class _Name:
    """What stands for a name, and for what would be made by calling it."""

    kind: str
    arguments: tuple[Any, ...] = ()
    called: bool = False
    state: Any = None


def loads(data: bytes) -> Any:
    """What a pickle holds, made of None, numbers, str, bytes, lists, tuples, dicts and arrays.

    Python 2's strings become bytes.

    Raises
    ------
    ValueError
        Data that is no pickle, is torn, names anything but arrays, or holds what is not listed above.
    """
    machine = _Machine(budget=len(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are written oddly
        for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
            if opcode.name == "STOP":
                break
            machine.step(opcode.name, argument)
    if len(machine.stack) != 1:
        raise ValueError("it is torn")
    return _finished(machine.stack[0])


class _Machine:
    """`budget` is how many bytes may be made of text: no honest pickle makes more than it is long."""

    def __init__(self, budget: int) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.budget = budget

    def pop(self, many: int) -> list[Any]:
        if len(self.stack) < many or any(item is _MARK for item in self.stack[-many:]):
            raise ValueError("it is damaged")
        taken = self.stack[-many:]
        del self.stack[-many:]
        return taken

    def marked(self) -> list[Any]:
        """What lies above the last mark, which is taken off, too."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                taken = self.stack[place + 1 :]
                del self.stack[place:]
                return taken
        raise ValueError("it is damaged")

    def step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(_CONSTANTS.get(name, argument))
        elif name in _STRINGS:
            self.stack.append(argument.encode("latin1") if isinstance(argument, str) else argument)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            [top] = self.pop(1)
            self.stack.append(top)
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = top
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            if argument not in self.memo:
                raise ValueError("it is damaged")
            self.stack.append(self.memo[argument])
        elif name not in _IGNORED:
            self.build(name, argument)

    def build(self, name: str, argument: Any) -> None:
        if name == "MARK":
            self.stack.append(_MARK)
        elif name in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE"):
            self.stack.append({"L": [], "D": {}, "T": ()}[name[6]])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple(self.pop(int(name[5]))))
        elif name == "TUPLE":
            self.stack.append(tuple(self.marked()))
        elif name == "LIST":
            self.stack.append(self.marked())
        elif name == "DICT":
            self.stack.append(_filled({}, self.marked()))
        elif name in ("APPEND", "APPENDS"):
            items = self.pop(1) if name == "APPEND" else self.marked()
            self.top(list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self.pop(2) if name == "SETITEM" else self.marked()
            _filled(self.top(dict), items)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self.stack.append(_named(*(argument.split(" ", 1) if name == "GLOBAL" else self.pop(2))))
        elif name == "REDUCE":
            function, arguments = self.pop(2)
            self.stack.append(self.called(function, arguments))
        elif name == "BUILD":
            [state] = self.pop(1)
            made = self.top(_Name)
            if not made.called:
                raise ValueError("it is damaged")
            made.state = state
        else:
            raise ValueError(f"it asks for {name}, which arrays do not need")

    def called(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, _Name) or function.called or type(arguments) is not tuple:
            raise ValueError("it is damaged")
        if function.kind != "encode":
            return _Name(function.kind, arguments, called=True)
        text = arguments[0] if arguments else None  # how Python 3 writes bytes for Python 2
        self.budget -= len(text) if isinstance(text, str) else 0
        if not isinstance(text, str) or arguments[1:] != ("latin1",) or self.budget < 0:
            raise ValueError("it is damaged")
        return text.encode("latin1")

    def top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise ValueError("it is damaged")
        return self.stack[-1]


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def _filled(target: dict, items: list[Any]) -> dict:
    if len(items) % 2 or not all(type(key) in (str, bytes, int) for key in items[::2]):
        raise ValueError("it is damaged")
    target.update(zip(items[::2], items[1::2], strict=True))
    return target


def _named(module: Any, name: Any) -> _Name:
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("it is damaged")
    kind = _NAMES.get((module, name))
    if kind is None:
        raise ValueError(f"it names {module}.{name}, and only arrays are read")
    return _Name(kind)


def _finished(value: Any) -> Any:
    """Containers of arrays, one or two deep: deeper ones stay as they are."""
    if isinstance(value, dict):
        return {key: _array(item) if isinstance(item, _Name) else item for key, item in value.items()}
    return _array(value) if isinstance(value, _Name) else value


def _array(made: _Name) -> np.ndarray:
    """The array that calling would have made, from its checked parts."""
    if made.kind == "array" and made.called and type(made.state) is tuple and len(made.state) == 5:
        _, shape, kind, fortran, content = made.state
        return _from(content, kind, shape, "F" if fortran is True else "C")
    if made.kind == "buffer" and len(made.arguments) == 4:
        content, kind, shape, order = made.arguments
        return _from(content, kind, shape, order)
    raise ValueError("it holds something that is not a plain array")


def _from(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    named = kind.arguments[0] if isinstance(kind, _Name) and kind.kind == "dtype" and kind.arguments else None
    code = named.decode("latin1") if isinstance(named, bytes) else named
    if type(code) is not str or code not in _NUMBERS:
        raise ValueError("it holds an array of something else than numbers")
    if type(shape) is not tuple or not all(type(side) is int and 0 <= side < 2**40 for side in shape) or len(shape) > 8:
        raise ValueError("it holds an array of no shape")
    swapped = isinstance(kind.state, tuple) and len(kind.state) > 1 and kind.state[1] in (">", b">")
    dtype = np.dtype((">" if swapped else "<") + code)
    if (
        not isinstance(content, (bytes, bytearray))
        or len(content) != dtype.itemsize * math.prod(shape)
        or order not in ("C", "F")
    ):
        raise ValueError("it holds an array that is not as long as it says")
    return np.frombuffer(content, dtype).reshape(shape, order=order)
