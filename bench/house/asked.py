"""Where code asks of which class a noise or transform is, outside the modules that define them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .modules import Module

HOMES = ("rsfast.noise", "rsfast.transforms")
TABLES = {"NOISES", "KINDS", "TRANSFORMS"}
NONE = {"View"}  # of the same modules, neither noise nor transform
SAYS = {"name", "title", "draw", "family"}  # text by which a noise says what it is


def classes(modules: dict[str, Module]) -> set[str]:
    """Names of the classes that noise and transforms define, and of the tables of them."""
    homes = [module for module in modules.values() if _home(module.name)]
    return {node.name for module in homes for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)} - NONE | TABLES


def by_class(modules: dict[str, Module]) -> list[str]:
    """isinstance and issubclass of such a class, `type(x) is`, `==` or `in`, `__class__`, and `case Class(…)`: file:line code."""
    names = classes(modules)
    found = []
    for module in modules.values():
        if _home(module.name):
            continue
        known = _known(module, names)
        found += [f"{module.place}:{node.lineno} {ast.unparse(node)}" for node in _asking(module.tree, known)]
    return found


def by_text(modules: dict[str, Module]) -> list[str]:
    """Comparisons of a noise's or transform's name, title, draw or family with text: the same question in other words."""
    found = []
    for module in modules.values():
        if _home(module.name):
            continue
        for node in ast.walk(module.tree):
            sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            said = [side for side in sides if isinstance(side, ast.Attribute) and side.attr in SAYS and _of_noise(side.value)]
            if said and any(_is_text(side) for side in sides):
                found.append(f"{module.place}:{node.lineno} {ast.unparse(node)}")
    return found


def _home(name: str) -> bool:
    return any(name == home or name.startswith(home + ".") for home in HOMES)


def _of_noise(node: ast.expr) -> bool:
    """Whether an expression is called noise, transform or the like."""
    text = ast.unparse(node).rpartition(".")[2]
    return "noise" in text or "transform" in text


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return any(_is_text(each) for each in node.elts)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _known(module: Module, names: set[str]) -> set[str]:
    """The names under which this module has such classes: imported, and put together from them."""
    known = set(names - TABLES)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and _home(module.resolved(node)):
            known |= {alias.asname or alias.name for alias in node.names if alias.name in names}
    known |= (
        TABLES & names
        if any(isinstance(node, ast.Attribute) and node.attr in TABLES for node in ast.walk(module.tree))
        else set()
    )
    for _ in range(3):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Assign) and _gathers(node.value, known):
                known |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return known


def _gathers(node: ast.expr, known: set[str]) -> bool:
    """Whether this is a class or a collection of classes, not an instance."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in ("tuple", "list", "set", "frozenset") and any(
            _gathers(each, known) for each in node.args
        )
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return any(_gathers(each.value if isinstance(each, ast.Starred) else each, known) for each in node.elts)
    if isinstance(node, ast.BinOp):
        return _gathers(node.left, known) or _gathers(node.right, known)
    if isinstance(node, ast.Subscript):
        return _gathers(node.value, known)
    return (isinstance(node, ast.Name) and node.id in known) or (isinstance(node, ast.Attribute) and node.attr in known)


def _mentions(node: ast.AST, known: set[str]) -> bool:
    inner = list(ast.walk(node))
    return any(
        (isinstance(each, ast.Name) and each.id in known) or (isinstance(each, ast.Attribute) and each.attr in known)
        for each in inner
    )


def _asking(tree: ast.AST, known: set[str]) -> Iterator[ast.expr | ast.pattern]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass") and len(node.args) == 2:
            if _mentions(node.args[1], known):
                yield node
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(_is_type(side) for side in sides) and any(_mentions(side, known) for side in sides if not _is_type(side)):
                yield node
        elif isinstance(node, ast.MatchClass) and _mentions(node.cls, known):
            yield node


def _is_type(node: ast.expr) -> bool:
    called = isinstance(node, ast.Call) and ast.unparse(node.func) == "type" and len(node.args) == 1
    return called or (isinstance(node, ast.Attribute) and node.attr == "__class__")
