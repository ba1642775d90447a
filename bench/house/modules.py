"""Modules of rsfast as syntax trees, with everything that they import of rsfast."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Import:
    """One module of rsfast imports another: when it is imported, only for type checkers, or inside a function."""

    importer: str
    imported: str
    when: str  # "runtime", "typed" or "function"
    line: int


@dataclasses.dataclass(frozen=True)
class Module:
    name: str
    file: Path
    tree: ast.Module
    lines: int
    package: bool

    @property
    def place(self) -> str:
        """The file as rsfast/… or kernels/…."""
        return "/".join(self.file.parts[self.file.parts.index("rsfast" if "rsfast" in self.file.parts else "kernels") :])

    def resolved(self, node: ast.ImportFrom) -> str:
        """The absolute name of what `from … import` names."""
        if not node.level:
            return node.module or ""
        base = self.name.split(".")
        base = base[: len(base) - node.level + self.package]
        return ".".join([*base, node.module] if node.module else base)


def read(root: Path = ROOT) -> dict[str, Module]:
    """Every module of rsfast by name; the folder kernels is rsfast.kernels."""
    found = {}
    for folder, prefix in ((root / "rsfast", "rsfast"), (root / "kernels", "rsfast.kernels")):
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            if folder.name == "rsfast" and parts[0] == "kernels":
                continue  # the link; kernels/ is read itself
            package = parts[-1] == "__init__"
            name = ".".join([prefix, *(parts[:-1] if package else parts)])
            text = file.read_text()
            short = Path(folder.name, file.relative_to(folder))
            found[name] = Module(name, short, ast.parse(text), text.count("\n"), package)
    return found


def functions(module: Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, ast.AST]]:
    """Every function with its qualified name and what it stands in."""

    def within(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name = f"{prefix}.{child.name}"
            if isinstance(child, ast.Lambda):
                name = f"{prefix}.<lambda>"
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                yield name, child, node
            yield from within(child, name)

    return within(module.tree, module.name)


def imports(modules: dict[str, Module]) -> list[Import]:
    """All imports of rsfast's modules by each other; `from x import y` imports x.y where that is a module, else x.

    Parents, which Python imports too, are not counted, as import-linter does not.
    """
    return [found for module in modules.values() for found in _imports(module, modules)]


def _imports(module: Module, modules: dict[str, Module]) -> Iterator[Import]:
    def within(node: ast.AST, when: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.Import, ast.ImportFrom)):
                for name in _names(module, child, modules):
                    if name != module.name:
                        yield Import(module.name, name, when, child.lineno)
            elif isinstance(child, ast.If) and _type_checking(child.test):
                for inner in child.body:
                    yield from within(ast.Module([inner], []), "typed" if when == "runtime" else when)
                yield from within(ast.Module(child.orelse, []), when)
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                yield from within(child, "function")
            else:
                yield from within(child, when)

    return within(module.tree, "runtime")


def _names(module: Module, node: ast.Import | ast.ImportFrom, modules: dict[str, Module]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules)
        return
    source = module.resolved(node)
    if source.partition(".")[0] != "rsfast":
        return
    for name in dict.fromkeys(
        f"{source}.{alias.name}" if f"{source}.{alias.name}" in modules else source for alias in node.names
    ):
        if name in modules:  # the extension is none
            yield name


def _type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
