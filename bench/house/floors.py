"""Circles among modules, and imports that do not point down."""

from __future__ import annotations

import tomllib
from collections import deque
from collections.abc import Collection, Iterable
from pathlib import Path

from .modules import ROOT, Import


def circles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Groups of modules that import each other: a shortest circle of each."""
    graph: dict[str, list[str]] = {}
    for importer, imported in edges:
        graph.setdefault(importer, []).append(imported)
        graph.setdefault(imported, [])
    groups = [group for group in _connected(graph) if len(group) > 1]
    return sorted((_shortest(graph, set(group)) for group in groups), key=lambda circle: (len(circle), circle))


def _connected(graph: dict[str, list[str]]) -> list[list[str]]:
    """Strongly connected groups (Kosaraju): backwards from modules in the order in which a walk forwards leaves them last."""
    left: list[str] = []
    seen: set[str] = set()
    for start in graph:
        stack = [] if start in seen else [(start, iter(graph[start]))]
        seen.add(start)
        while stack:
            node, rest = stack[-1]
            following = next((name for name in rest if name not in seen), None)
            if following is None:
                left.append(node)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(graph[following])))
    back: dict[str, list[str]] = {name: [] for name in graph}
    for importer, imported in graph.items():
        for name in imported:
            back[name].append(importer)
    groups, placed = [], set[str]()
    for start in reversed(left):
        group, waiting = [], [] if start in placed else [start]
        placed.add(start)
        while waiting:
            group.append(waiting.pop())
            fresh = [name for name in dict.fromkeys(back[group[-1]]) if name not in placed]
            placed.update(fresh)
            waiting += fresh
        groups.append(group)
    return groups


def _shortest(graph: dict[str, list[str]], group: Collection[str]) -> list[str]:
    best: list[str] = []
    for start in sorted(group):
        came: dict[str, str] = {}
        waiting = deque([start])
        while waiting and start not in came:
            node = waiting.popleft()
            for name in graph[node]:
                if name in group and name not in came:
                    came[name] = node
                    waiting.append(name)
        path = [start]
        while (before := came[path[-1]]) != start:
            path.append(before)
        circle = [start, *reversed(path[1:]), start]
        if not best or len(circle) < len(best):
            best = circle
    return best


def layers(root: Path = ROOT) -> list[list[str]]:
    """The floors of import-linter's contract, the uppermost first; modules beside each other on one."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(contract for contract in settings["contracts"] if contract["type"] == "layers")
    return [[name.strip() for name in line.split("|")] for line in contract["layers"]]


def typed_imports_are_held(root: Path = ROOT) -> bool:
    """Whether import-linter sees imports for type checkers."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    return not settings.get("exclude_type_checking_imports", False)


def floor_of(module: str, floors: list[list[str]]) -> tuple[int, str] | None:
    """A module's floor, counted from the top, and its room there; None if it stands on none."""
    rooms = [(len(room), number, room) for number, floor in enumerate(floors) for room in floor if _in(module, room)]
    return max(rooms)[1:] if rooms else None


def upward(imports: Iterable[Import], floors: list[list[str]]) -> list[str]:
    """Imports that point up or to a room beside, also by way of modules that stand on no floor."""
    by_module: dict[str, list[Import]] = {}
    for one in imports:
        by_module.setdefault(one.importer, []).append(one)
    found = []
    for module in by_module:
        floor = floor_of(module, floors)
        if floor is None:
            continue
        waiting, seen = [(one, f"{one.importer}:{one.line}") for one in by_module[module]], {module}
        while waiting:
            one, way = waiting.pop()
            target = floor_of(one.imported, floors)
            way = f"{way} → {one.imported}"
            if target is None and one.imported not in seen:
                seen.add(one.imported)
                waiting += [(further, way) for further in by_module.get(one.imported, [])]
            elif target is not None and target[1] != floor[1] and target[0] <= floor[0]:
                found.append(f"{way} ({one.when})")
    return sorted(set(found))


def _in(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")
