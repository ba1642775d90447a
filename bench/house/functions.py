"""The longest parameter lists, functions and modules."""

from __future__ import annotations

import ast
from typing import Any

from .modules import Module, functions

Function = ast.FunctionDef | ast.AsyncFunctionDef
BESIDE = ("rsfast.report", "rsfast.training", "rsfast.attacks")
"""Public modules that `rsfast.__all__` does not list; the submodules of compat are public, too."""


def public_names(modules: dict[str, Module]) -> set[str]:
    """The qualified names, where they are defined, of functions and classes that users are offered.

    These are the names in the `__all__` of rsfast and of its public modules (without an `__all__`: the names defined there that
    do not begin with an underscore).
    """
    listed = _listed(modules["rsfast"]) or []
    homes = _assigned(modules["rsfast"], "_HOME") or {}
    inside = _assigned(modules["rsfast"], "_MODULES") or {}
    found = {_defined(f"rsfast.{homes.get(name, name)}", name, modules) for name in listed if name in homes}
    public = {f"rsfast.{path}" for path in inside.values()} | set(BESIDE)
    public |= {name for name in modules if name.startswith("rsfast.compat.") and not name.split(".")[-1].startswith("_")}
    for name in sorted(public & modules.keys()):
        offered = _listed(modules[name])
        if offered is None:
            offered = [getattr(node, "name", "_") for node in modules[name].tree.body]
        found |= {_defined(name, each, modules) for each in offered if not each.startswith("_")}
    return {name for name in found if name}


def _listed(module: Module) -> list[str] | None:
    return _assigned(module, "__all__")


def _assigned(module: Module, name: str) -> Any:
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return ast.literal_eval(node.value)  # type: ignore[union-attr,arg-type]
    return None


def _defined(module: str, name: str, modules: dict[str, Module]) -> str:
    """Where a name of a module is defined: qualified, or "" if it is no function or class of rsfast."""
    if module not in modules:
        return ""
    for node in modules[module].tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name:
            return f"{module}.{name}"
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _defined(modules[module].resolved(node), alias.name, modules)
    return ""


def count_parameters(function: Function | ast.Lambda, owner: ast.AST) -> int:
    """How many parameters a function has, *args and **kwargs one each; self and cls are none."""
    given = function.args
    names = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    static = any(_decorator(each).endswith("staticmethod") for each in getattr(function, "decorator_list", []))
    return len(names) - (isinstance(owner, ast.ClassDef) and not static and not isinstance(function, ast.Lambda))


def _decorator(node: ast.expr) -> str:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)


def kind_of(module: Module, name: str, function: Function | ast.Lambda, public: set[str]) -> str:
    """ "command", "kernel", "public" or "inner"; public are also the constructors and methods of public classes."""
    decorators = [_decorator(each) for each in getattr(function, "decorator_list", [])]
    if module.name.startswith("rsfast.kernels") and any(each in ("triton.jit", "jit") for each in decorators):
        return "kernel"
    if module.name.startswith("rsfast.cli") and any(each in ("click.command", "click.group") for each in decorators):
        return "command"
    owner, _, last = name.rpartition(".")
    offered = last in ("__init__", "__call__", "__new__") or not last.startswith(("_", "<"))
    return "public" if name in public or (owner in public and offered and owner not in _functions(module)) else "inner"


def _functions(module: Module) -> set[str]:
    return {name for name, _, _ in functions(module)}


def parameters(modules: dict[str, Module], most: dict[str, int]) -> dict[str, dict[str, Any]]:
    """For each kind of function how many there are, the longest parameter list, and those longer than is asked."""
    public = public_names(modules)
    found: dict[str, dict[str, int]] = {kind: {} for kind in ("public", "inner", "command", "kernel")}
    for module in modules.values():
        for name, function, owner in functions(module):
            where = f"{module.place}:{function.lineno} {name.removeprefix(module.name + '.')}"
            found[kind_of(module, name, function, public)][where] = count_parameters(function, owner)
    rows = {}
    for kind, lists in found.items():
        longest = max(lists.values(), default=0)
        above = most.get(kind, longest - 1)
        over = {name: number for name, number in sorted(lists.items(), key=lambda item: -item[1]) if number > above}
        rows[kind] = {"functions": len(lists), "longest": longest, "over" if kind in most else "named": over}
    return rows


def large_dataclasses(modules: dict[str, Module], most: int = 16) -> dict[str, int]:
    """Dataclasses and NamedTuples with more fields than that; their constructors are generated, so none of the functions."""
    found = {}
    for module in modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and _has_fields(node):
                fields = [
                    one for one in node.body if isinstance(one, ast.AnnAssign) and "ClassVar" not in ast.unparse(one.annotation)
                ]
                if len(fields) > most:
                    found[f"{module.place}:{node.lineno} {node.name}"] = len(fields)
    return found


def _has_fields(node: ast.ClassDef) -> bool:
    named = any(ast.unparse(base).endswith("NamedTuple") for base in node.bases)
    return named or any("dataclass" in _decorator(each) for each in node.decorator_list)


def long_functions(modules: dict[str, Module], most: int) -> dict[str, int]:
    """Functions of more lines than that: from `def` to the end, without decorators and docstring."""
    found = {}
    for module in modules.values():
        for name, function, _ in functions(module):
            if (lines := length(function)) > most:
                found[f"{module.place}:{function.lineno} {name.removeprefix(module.name + '.')}"] = lines
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def length(function: Function | ast.Lambda) -> int:
    """Lines of a function from `def` to its end, without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if not isinstance(function, ast.Lambda) and ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
    return lines


def long_modules(modules: dict[str, Module], most: int) -> dict[str, int]:
    """Modules of more lines than that."""
    return {module.place: module.lines for module in modules.values() if module.lines > most}
