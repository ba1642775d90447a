"""What a callable is made of: modules, tensors, numbers and code that its answers depend on, as far as Python shows them."""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size, slice, range, enum.Enum)
MODULE_STATE = {"_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks"}
MODULE_INTERNALS = set(torch.nn.Module().__dict__) - MODULE_STATE  # training mode and bookkeeping, which change with torch
LIBRARIES = tuple(
    str(Path(folder).resolve())
    for folder in {
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(torch.__file__).parents[1]),
    }
)
DEEPEST = 40

Leaf = torch.Tensor | np.ndarray | str
"""A tensor, an array, or a description in words."""


def parts(value: object) -> Iterator[tuple[str, Leaf]]:
    """(path, tensor, array or text) for everything that `value` is made of, in an order that does not change.

    Goes through modules (parameters, buffers, attributes, hooks, the source of their classes), functions (code, defaults,
    closures, the globals they name), bound methods, partial functions, instances and containers.  Library code counts by its
    name.  What cannot be looked into counts by its type alone.
    """
    for path, item in _walk(value, "", set(), 0):
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
    return [item for _, item in _walk(value, "", set(), 0) if isinstance(item, torch.nn.Module)]


def first_parameter(found: list[torch.nn.Module]) -> torch.Tensor | None:
    """The first floating-point parameter or buffer of some modules."""
    for module in found:
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                return tensor
    return None


def _walk(value: Any, path: str, seen: set[int], depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        yield path, value
        return
    if isinstance(value, PLAIN):
        yield path, repr(value)
        return
    if id(value) in seen or depth > DEEPEST:
        yield path, "seen before"
        return
    seen.add(id(value))
    if isinstance(value, torch.nn.Module):
        yield path, value
    if isinstance(value, types.ModuleType):
        yield path, f"module {value.__name__}"
    elif isinstance(value, type):
        yield path, _code(value)
    elif inspect.isfunction(value):
        yield from _function(value, path, seen, depth)
    elif inspect.ismethod(value):
        yield from _walk(value.__func__, f"{path}.__func__", seen, depth + 1)
        yield from _walk(value.__self__, f"{path}.__self__", seen, depth + 1)
    elif isinstance(value, functools.partial):
        for name, item in (("func", value.func), ("args", value.args), ("keywords", value.keywords)):
            yield from _walk(item, f"{path}.{name}", seen, depth + 1)
    elif isinstance(value, Mapping):
        yield path, type(value).__qualname__
        for key in value:
            yield from _walk(value[key], f"{path}[{key!r}]" if isinstance(key, (str, int)) else f"{path}[]", seen, depth + 1)
    elif isinstance(value, (list, tuple)):
        yield path, f"{type(value).__qualname__} of {len(value)}"
        for i, item in enumerate(value):
            yield from _walk(item, f"{path}[{i}]", seen, depth + 1)
    elif isinstance(value, (set, frozenset)):
        plain = sorted(repr(item) for item in value if isinstance(item, PLAIN))
        yield path, f"{type(value).__qualname__} of {len(value)}: {plain}"
    else:
        yield path, _code(type(value))
        internal = MODULE_INTERNALS if isinstance(value, torch.nn.Module) else set()
        for name, item in sorted(_attributes(value).items()):
            if name not in internal:
                yield from _walk(item, f"{path}.{name}", seen, depth + 1)


def _function(value: types.FunctionType, path: str, seen: set[int], depth: int) -> Iterator[tuple[str, Any]]:
    yield path, _code(value)
    if _in_library(value):
        return
    for code in _nested(value.__code__):
        yield (
            f"{path}.code",
            code.co_code.hex() + repr(code.co_names) + repr([c for c in code.co_consts if isinstance(c, PLAIN)]),
        )
    for name, item in (("defaults", value.__defaults__), ("keywords", value.__kwdefaults__)):
        yield from _walk(item, f"{path}.{name}", seen, depth + 1)
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        try:
            held = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        yield from _walk(held, f"{path}.{name}", seen, depth + 1)
    names = {name for code in _nested(value.__code__) for name in code.co_names}
    for name in sorted(names & value.__globals__.keys()):
        yield from _walk(value.__globals__[name], f"{path}.{name}", seen, depth + 1)


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
    if file is not None and str(Path(file).resolve()).startswith(LIBRARIES):
        return True, ""
    try:
        return False, "\n" + inspect.getsource(value)
    except (OSError, TypeError):
        return False, ""
