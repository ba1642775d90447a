"""What a torch.export file may hold if it is to be opened without trusting it.

torch.export.load runs code that a file names: pickled weights, constants and inputs, compiled libraries, expressions that are
evaluated, names that are written into Python source, and every callable that can be reached from the module torch.  Therefore a
file is not given to it.  A new one is written from those parts of it that are known to be data: raw tensors, and a graph of
operators of ATen in which every string is a name.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from typing import Any

import torch

from .opening import UntrustedError, archive, entry
from .pickles import unpickled

NAMESPACES = "aten|prims|quantized_decomposed|torchvision"
HIGHER_ORDER = "cond|while_loop|map_impl|scan|associative_scan|wrap_with_set_grad_enabled|wrap_with_autocast"
DUNDER = "__(?:i?and|i?or|i?xor|i?lshift|i?rshift)__"
PYTHON = (
    "getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|xor|not_|invert|lshift|rshift|trunc|ceil|"
    "floor|index"
)
OPERATOR = re.compile(
    rf"torch\.ops\.(?:{NAMESPACES})\.(?!__)\w+(?:\.(?!_)\w+)?|torch\.ops\.aten\.{DUNDER}(?:\.(?!_)\w+)?"
    rf"|torch\.ops\.higher_order\.(?:{HIGHER_ORDER})|(?:_operator|math)\.(?:{PYTHON})|torch\._?sym_\w+",
    re.ASCII,
)
FILES = re.compile(r"torch\.ops\.aten\.from_file\b", re.ASCII)  # maps a file of the machine into memory, or makes one
NAME = re.compile(r"[\w.\-]*", re.ASCII)
TEXT = re.compile(r"[^\x00-\x1f\x7f\"'\\`]*")  # an argument of an operator: "bij,bjk->bik"
EXPRESSIONS = {
    "Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Mod", "Max", "Min", "Abs", "Eq", "Ne", "Lt", "Le", "Gt",
    "Ge", "Equality", "Unequality", "LessThan", "StrictLessThan", "GreaterThan", "StrictGreaterThan", "And", "Or", "Not",
    "Piecewise", "ExprCondPair", "floor", "ceiling", "FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv",
    "CeilToInt", "FloorToInt", "CeilDiv", "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv",
    "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity", "IsNonOverlappingAndDenseIndicator",
}  # fmt: skip
"""What expressions for sizes may call; every other name in them is a symbol."""
NODES = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.UnaryOp, ast.USub, ast.UAdd, ast.BinOp, ast.Add,
    ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
    ast.Tuple,
)  # fmt: skip
SHAPES = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None}
"""What inputs and outputs may be nested in."""
DROPPED = ("metadata", "guards_code", "custom")  # stack traces, and source code that would be compiled
OLD = {
    "serialized_exported_program.json": "graph", "serialized_state_dict.pt": "tensors", "serialized_constants.pt": "tensors",
    "serialized_example_inputs.pt": "inputs", "version": "as it is",
}  # fmt: skip
"""Entries of files of torch 2.4 to 2.7, flat."""
ENTRIES = {
    r"models/model\.json": "graph", r"data/(?:weights|constants)/model_(?:weights|constants)_config\.json": "payload",
    r"data/(?:weights|constants)/model\.pt": "tensors", r"data/sample_inputs/model\.pt": "inputs",
    r"data/weights/weight_\d+": "as it is", r"data/constants/tensor_\d+": "as it is",
    r"archive_format|archive_version|version|byteorder|\.format_version|\.storage_alignment|\.data/\w+": "as it is",
    r"extra/.*": "left out",
}  # fmt: skip
"""Entries of files of torch 2.8 and newer, under one folder, and what they hold."""


def rewritten(data: bytes) -> bytes:
    """Return a torch.export file with the graph and the tensors of `data`, in which nothing is pickled but plain tensors.

    Raises
    ------
    UntrustedError
        Something in it could run code.
    zipfile.BadZipFile
        No such file; the text completes "it is …".
    """
    found = archive(data)
    names = found.namelist()
    roots = {name.partition("/")[0] for name in names}
    old = "serialized_exported_program.json" in names
    root = "" if old else f"{next(iter(roots))}/" if len(roots) == 1 else None
    if root is None or (not old and f"{root}archive_format" not in names):
        raise zipfile.BadZipFile("a zip file without a program of torch.export")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as out:
        for name in names:
            kind = _kind(name, root, old)
            if kind != "left out":
                out.writestr(name, _checked(entry(found, name), kind, name))
    return made.getvalue()


def _kind(name: str, root: str, old: bool) -> str:
    if old:
        if name.startswith("extra_files/"):
            return "left out"
        if name in OLD:
            return OLD[name]
    else:
        for pattern, kind in ENTRIES.items():
            if re.fullmatch(pattern, name[len(root) :], re.ASCII):
                return kind
    if "/aotinductor/" in name or name.endswith((".so", ".dll", ".dylib")):
        raise UntrustedError("a compiled library")
    raise UntrustedError(f"the entry {_shown(name)}")


def _checked(content: bytes, kind: str, name: str) -> bytes:
    if kind == "as it is":
        return content
    if kind in ("tensors", "inputs"):
        return _tensors(content, name)
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        raise zipfile.BadZipFile("damaged: a part that should be JSON is none; copy or save it again") from None
    try:
        return json.dumps(_payload(parsed) if kind == "payload" else _data(parsed, "")).encode()
    except RecursionError:
        raise zipfile.BadZipFile("damaged: brackets are nested without end; copy or save it again") from None


def _tensors(content: bytes, name: str) -> bytes:
    """Pickled tensors, written anew: nothing of the pickle that was there is left."""
    if not content:
        return content
    try:
        value = unpickled(content)
    except (UntrustedError, zipfile.BadZipFile):
        raise UntrustedError(f"the pickle {_shown(name)} with more than tensors in it") from None
    made = io.BytesIO()
    torch.save(value, made)
    return made.getvalue()


def _payload(parsed: Any) -> Any:
    """Where each tensor lies and what its shape is."""
    for one in parsed.get("config", {}).values() if isinstance(parsed, dict) else ():
        name = str(one.get("path_name", "")) if isinstance(one, dict) else ""
        if not isinstance(one, dict) or one.get("use_pickle") or not re.fullmatch(r"(?:weight|tensor)_\d+", name, re.ASCII):
            raise UntrustedError(f"the pickled object {_shown(name)}")
    return _data(parsed, "")


def _data(value: Any, key: str) -> Any:
    """A graph as it stands in a file, without stack traces; every string in it has been looked at."""
    if isinstance(value, dict):
        return {_name(k, "name"): _emptied(v) if k in DROPPED else _data(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_data(one, key) for one in value]
    if isinstance(value, str):
        _string(value, key)
    return value


def _emptied(value: Any) -> Any:
    return type(value)() if isinstance(value, (dict, list)) else None


def _string(value: str, key: str) -> None:
    if key == "expr_str":
        _expression(value)
    elif key in ("in_spec", "out_spec"):
        _shape(value)
    elif key in ("target", "as_operator"):
        if not OPERATOR.fullmatch(value) or FILES.match(value):
            raise UntrustedError(f"a call of {_shown(value)}")
    elif key in ("as_string", "as_strings"):
        if not TEXT.fullmatch(value):
            raise UntrustedError(f"the text {_shown(value)}")
    elif key == "torch_version":
        if not re.fullmatch(r"[\w.+\-]*", value, re.ASCII):
            raise UntrustedError(f"the version {_shown(value)}")
    else:
        _name(value, key)


def _name(value: str, key: str) -> str:
    if NAME.fullmatch(value):
        return value
    if key == "name":
        try:
            _expression(value)  # of range_constraints: "2*s0"
        except UntrustedError:
            pass
        else:
            return value
    raise UntrustedError(f"the name {_shown(value)}")


def _expression(text: str) -> None:
    """An expression for a size, which torch has SymPy evaluate as Python."""
    try:
        if len(text) > 10_000:
            raise ValueError
        tree = ast.parse(text.strip(), mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                allowed = isinstance(node.func, ast.Name) and node.func.id in EXPRESSIONS
            elif isinstance(node, ast.Name):
                allowed = re.fullmatch(r"[A-Za-z]\w*", node.id, re.ASCII) is not None
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                allowed = re.fullmatch(r"[A-Za-z]\w*|[\d.+\-e]+", node.value, re.ASCII) is not None
            else:
                allowed = isinstance(node, NODES)
            if not allowed:
                raise ValueError
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UntrustedError(f"the expression {_shown(text)}") from None


def _shape(text: str) -> None:
    """How inputs or outputs are nested; types that torch would import are refused."""

    def check(spec: Any) -> bool:
        if not isinstance(spec, dict) or not isinstance(spec.get("children_spec"), list):
            return False
        if spec.get("type") not in SHAPES or not set(spec) <= {"type", "context", "children_spec"}:
            return False
        keys = json.loads(spec["context"]) if isinstance(spec.get("context"), str) else spec.get("context")
        if keys is not None and not (isinstance(keys, list) and all(isinstance(k, str) and k.isidentifier() for k in keys)):
            return False
        return all(check(child) for child in spec["children_spec"])

    try:
        if text:
            _, spec = json.loads(text)
            if not check(spec):
                raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise UntrustedError(f"inputs or outputs of the type {_shown(text)}") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}…")
