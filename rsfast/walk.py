"""What a callable is made of: modules, tensors, numbers and code that its answers depend on, as far as Python shows them."""

from __future__ import annotations

import collections
import contextlib
import dis
import enum
import functools
import hashlib
import inspect
import logging
import operator
import sysconfig
import types
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

PLAIN = (
    bool, int, float, complex, str, bytes, bytearray, type(None), np.generic, torch.dtype, torch.device, torch.Size, slice, range,
    enum.Enum,
)  # fmt: skip
MODULE_STATE = {"_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks"}
MODULE_INTERNALS = set(torch.nn.Module().__dict__) - MODULE_STATE  # training mode and bookkeeping, which change with torch
LIBRARIES = tuple(
    str(Path(folder).resolve())
    for folder in {
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(torch.__file__).parents[1]),
    }
)
OF_A_VALUE = ".__class__"
SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)

Leaf = torch.Tensor | np.ndarray | str
"""A tensor, an array, or a description in words."""


def parts(value: object) -> Iterator[tuple[str, Leaf]]:
    """(path, tensor, array or text) for everything that `value` is made of, in an order that does not change.

    Goes through modules (parameters, buffers, attributes, hooks), the user's own classes with what they inherit (methods and
    attributes), functions (code, defaults, closures, the globals they name), bound methods, partial functions, instances and
    containers.  Library code counts by its name.  What cannot be looked into counts by its type alone.
    """
    for path, item in _walk(value, ""):
        if isinstance(item, (torch.Tensor, np.ndarray, str)):
            yield path, item


def digest(value: object, origin: str = "") -> str:
    """sha256, as 64 hex digits, of everything that `parts` finds in a value, and of `origin`."""
    found = hashlib.sha256(origin.encode())
    for path, part in parts(value):
        if isinstance(part, str):
            found.update(f"{path}: {part}\n".encode())
        else:
            data = part.detach().cpu() if isinstance(part, torch.Tensor) else part
            found.update(f"{path}: {data.dtype} {tuple(data.shape)}\n".encode())
            found.update(_bytes(data))
    return found.hexdigest()


def _bytes(data: torch.Tensor | np.ndarray) -> bytes:
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).tobytes()
    if data.numel() == 0:
        return b""
    if data.layout != torch.strided or data.is_quantized or data.device.type == "meta":
        return str(data).encode()
    return data.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def modules(value: object) -> list[torch.nn.Module]:
    """Every torch module that `value` is made of."""
    return [item for _, item in _walk(value, "") if isinstance(item, torch.nn.Module)]


def first_parameter(found: list[torch.nn.Module]) -> torch.Tensor | None:
    """The first floating-point parameter or buffer of some modules."""
    for module in found:
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                return tensor
    return None


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(path, tensor, array, text or module), depth first, however deep."""
    seen: dict[int, Any] = {}  # held, so that no two have an address in common
    left: list[tuple[str, Any]] = [(path, value)]
    while left:
        path, value = left.pop()
        if isinstance(value, (torch.Tensor, np.ndarray, _Said)):
            yield path, value
        elif isinstance(value, PLAIN):
            yield path, repr(value)
        elif id(value) in seen:
            if not _is_library_class_of_a_value(value, path):
                yield path, "seen before"
        else:
            seen[id(value)] = value
            if isinstance(value, torch.nn.Module):
                yield path, value
            left += reversed([*_inside(value, path)])


class _Said(str):
    """Text of this module's own, not a value that was found."""


def _inside(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What a value is made of: texts of its own, and what else is to be looked into."""
    if isinstance(value, (types.ModuleType, logging.Logger)):
        yield path, _Said(f"{type(value).__name__} {getattr(value, '__name__', '')}")
    elif isinstance(value, type):
        if not _is_library_class_of_a_value(value, path):
            yield path, _Said(_code(value))
        yield from _body(value, path)
    elif inspect.isfunction(value):
        yield from _function(value, path)
    elif inspect.ismethod(value):
        yield from ((f"{path}.{name}", getattr(value, name)) for name in ("__func__", "__self__"))
    elif isinstance(value, (types.BuiltinMethodType, types.MethodWrapperType)):
        yield path, _Said(value.__qualname__)
        yield f"{path}.__self__", value.__self__
    elif isinstance(value, functools.partial):
        yield from ((f"{path}.{name}", getattr(value, name)) for name in ("func", "args", "keywords"))
    elif isinstance(value, (property, staticmethod, classmethod)):
        yield from ((f"{path}.{name}", getattr(value, name, None)) for name in ("fget", "__func__"))
    elif isinstance(value, Mapping):
        yield path, _Said(type(value).__qualname__)
        yield from ((f"{path}[{_constant(key) if isinstance(key, (*PLAIN, tuple)) else ''}]", value[key]) for key in value)
        yield from _attributes_of_a_container(value, path)
    elif isinstance(value, (list, tuple, collections.deque)):
        yield path, _Said(f"{type(value).__qualname__} of {len(value)}")
        yield from ((f"{path}[{i}]", item) for i, item in enumerate(value))
        yield from _attributes_of_a_container(value, path)
    elif isinstance(value, (set, frozenset)):
        plain = sorted(repr(item) for item in value if isinstance(item, PLAIN))
        yield path, _Said(f"{type(value).__qualname__} of {len(value)}: {plain}")
    else:
        yield path, _Said(_code(type(value)))
        internal = MODULE_INTERNALS if isinstance(value, torch.nn.Module) else set()
        yield from ((f"{path}.{name}", item) for name, item in sorted(_attributes(value).items()) if name not in internal)
        yield f"{path}{OF_A_VALUE}", type(value)


def _is_library_class_of_a_value(value: object, path: str) -> bool:
    """Such a class is named with its value already; what counts is what the user has replaced in it."""
    return isinstance(value, type) and path.endswith(OF_A_VALUE) and _in_library(value)


def _attributes_of_a_container(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield from ((f"{path}.{name}", item) for name, item in sorted(getattr(value, "__dict__", {}).items()))


def _body(value: type, path: str) -> Iterator[tuple[str, Any]]:
    """Methods and attributes of a class and of what it inherits from; of library classes those that are the user's own."""
    for cls in value.__mro__:
        if cls is object or cls.__module__.startswith(__package__ + "."):
            continue
        for name in _put_into(cls) if _in_library(cls) else _written_in(cls):
            yield f"{path}.{cls.__qualname__}.{name}", vars(cls)[name]


def _written_in(cls: type) -> list[str]:
    """Methods and attributes of a class of the user's own."""
    return [
        name for name, item in sorted(vars(cls).items())
        if inspect.isfunction(item) or not (_is_internal(name) or isinstance(item, SLOTS))
    ]  # fmt: skip


def _put_into(cls: type) -> list[str]:
    """Methods that somebody has put into a library class; looked for again where anything in the class has changed."""
    there = [*vars(cls), *(getattr(item, "__code__", item) for item in vars(cls).values())]
    known = _known.get(cls)
    if known is None or len(known[0]) != len(there) or not all(map(operator.is_, known[0], there)):
        found = [
            name for name, item in sorted(vars(cls).items())
            if inspect.isfunction(item) and not (_is_internal(name) and name != "__call__") and not _in_library(item)
        ]  # fmt: skip
        known = _known[cls] = (there, found)
    return known[1]


_known: weakref.WeakKeyDictionary[type, tuple[list[Any], list[str]]] = weakref.WeakKeyDictionary()


def _is_internal(name: str) -> bool:
    return name[:2] == name[-2:] == "__"


def _function(value: types.FunctionType, path: str) -> Iterator[tuple[str, Any]]:
    yield path, _Said(_code(value))
    wrapped = getattr(value, "__wrapped__", None)
    if wrapped is not None:
        yield f"{path}.__wrapped__", wrapped
    if _in_library(value):
        return
    for code in _nested(value.__code__):
        constants = [_constant(one) for one in code.co_consts if not isinstance(one, types.CodeType)]
        yield f"{path}.code", _Said(code.co_code.hex() + repr(code.co_names) + repr(constants))
    for name, item in (("defaults", value.__defaults__), ("keywords", value.__kwdefaults__)):
        yield f"{path}.{name}", item
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not assigned yet
            yield f"{path}.{name}", cell.cell_contents
    for name in _globals(value.__code__):
        if name in value.__globals__:
            yield f"{path}.{name}", value.__globals__[name]


def _constant(value: object) -> str:
    """A constant of code as text that is the same in every process."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))},)"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    return repr(value) if isinstance(value, PLAIN) else type(value).__qualname__


@functools.lru_cache(maxsize=4096)
def _globals(code: types.CodeType) -> list[str]:
    """Names of globals that code, and code within it, reads."""
    reads = (
        one for inside in _nested(code) for one in dis.get_instructions(inside) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    )
    return sorted({one.argval for one in reads})


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _attributes(value: object) -> dict[str, Any]:
    found = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def _in_library(value: type | types.FunctionType) -> bool:
    return _described(_key(value))[0]


def _code(value: type | types.FunctionType) -> str:
    """Name, and the source where it is the user's own and can be found."""
    return f"{value.__module__}.{value.__qualname__}{_described(_key(value))[1]}"


def _key(value: type | types.FunctionType) -> type | types.CodeType:
    """What the source depends on; not the function, which would be kept alive with all that it holds."""
    return value.__code__ if isinstance(value, types.FunctionType) else value


@functools.lru_cache(maxsize=4096)
def _described(value: type | types.CodeType) -> tuple[bool, str]:
    """Whether this is library code, and its source if it is not."""
    try:
        file = inspect.getsourcefile(value)
    except TypeError:  # built in
        return True, ""
    except OSError:  # of a notebook, or typed in
        return False, ""
    if file is not None and str(Path(file).resolve()).startswith(LIBRARIES):
        return True, ""
    try:
        return False, "\n" + inspect.getsource(value)
    except (OSError, TypeError):
        return False, ""
