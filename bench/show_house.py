"""make show-house: how the code is built, counted from it; what commands import; additions as patches; times before and after.

AGAINST=REVISION compares the times with those of that revision, too (minutes); without it the stored comparison stays.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import sys
from collections.abc import Collection
from typing import Any

from bench import results_file
from bench.house import additions, asked, floors, functions, modules, start

DEFINITIONS = {
    "circles": "groups of modules that import each other (strongly connected); importing a parent package is no import",
    "up": "imports of a room above or beside in the layers of pyproject.toml, also by way of modules that stand on no floor",
    "parameters": "self and cls are none, *args and **kwargs are one each; constructors that dataclasses generate are not counted",
    "public": "names in __all__ of rsfast and of its public modules, with the constructors and methods of public classes",
    "lines": "of a function: from def to its end, without decorators and docstring; of a module: all",
    "asked": "isinstance, issubclass, type(x) is / == / in, __class__ and case patterns, outside rsfast/noise and rsfast/transforms",
    "places": additions.__doc__,
}


def figure(name: str, found: float, most: float | None, which: Collection[str] | dict[str, Any] = ()) -> dict[str, Any]:
    """One figure, printed, beside what is asked; what it counts is listed."""
    met = None if most is None else found <= most
    wanted = "" if most is None else f"  asked: at most {most}  {'met' if met else 'NOT MET'}"
    print(f"{name}: {found}{wanted}")
    for one in which:
        print(f"    {one}" + (f": {which[one]}" if isinstance(which, dict) else ""))
    return {
        "figure": name,
        "found": found,
        "asked_at_most": most,
        "met": met,
        "which": which if isinstance(which, dict) else [*which],
    }


def counted() -> list[dict[str, Any]]:
    """What is counted from the syntax trees of rsfast/ and kernels/."""
    read = modules.read()
    imports = modules.imports(read)
    rooms = floors.layers()
    inside = sorted(f"{one.importer}:{one.line} → {one.imported}" for one in imports if one.when == "function")
    homeless = [name for name in read if floors.floor_of(name, rooms) is None]
    lists = functions.parameters(read, {"public": 16, "inner": 8})
    large = functions.large_dataclasses(read)
    long = functions.long_functions(read, 60)
    modules_over = functions.long_modules(read, 500)
    by_class, by_text = asked.by_class(read), asked.by_text(read)
    rows = [figure("modules", len(read), None)]
    for name, kinds in {"runtime": {"runtime"}, "typed": {"runtime", "typed"}, "all": {"runtime", "typed", "function"}}.items():
        found = floors.circles((one.importer, one.imported) for one in imports if one.when in kinds)
        rows.append(figure(CIRCLES[name], len(found), 0, [" → ".join(circle) for circle in found]))
    between = floors.circles(between_rooms(imports))
    rows += [
        figure(
            "circles among rooms (folders and modules right below rsfast)", len(between), None, [" → ".join(c) for c in between]
        ),
        figure("imports inside functions", len(inside), None),
        figure("floors", len(rooms), None, [" | ".join(room) for room in rooms]),
        figure("modules on no floor", len(homeless), None, homeless),
        figure("imports for type checkers that import-linter does not see", int(not floors.typed_imports_are_held()), 0),
        figure("imports that point up", len(up := floors.upward(imports, rooms)), 0, up),
        figure("longest parameter list of a public function", lists["public"]["longest"], 16, lists["public"]["over"]),
        figure("longest parameter list of an inner function", lists["inner"]["longest"], 8, lists["inner"]["over"]),
        figure("longest parameter list of a Triton kernel", lists["kernel"]["longest"], None, lists["kernel"]["named"]),
        figure("longest parameter list of a command", lists["command"]["longest"], None, lists["command"]["named"]),
        figure("dataclasses of more than 16 fields", len(large), None, large),
        figure("functions of more than 60 lines", len(long), 0, long),
        figure("modules of more than 500 lines", len(modules_over), 0, modules_over),
        figure("questions of a noise's or transform's class", len(by_class), 6, by_class),
        figure("comparisons of a noise's or transform's name, draw or family with text", len(by_text), None, by_text),
    ]
    return rows


CIRCLES = {
    "runtime": "circles at run time",
    "typed": "circles, imports for type checkers included",
    "all": "circles, imports for type checkers and inside functions included",
}


def between_rooms(imports: list[modules.Import]) -> set[tuple[str, str]]:
    """Imports among what stands right below rsfast, at run time and for type checkers."""
    pairs = {(room(one.importer), room(one.imported)) for one in imports if one.when != "function"}
    return {(importer, imported) for importer, imported in pairs if importer != imported and "rsfast" not in (importer, imported)}


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def starts() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Import times, and which of these processes imported torch."""
    times = start.measure()
    for name, row in times.items():
        print(
            f"{name}: {row['seconds']:.3f} s, {row['above_python']:.3f} s above python -c pass; imports {', '.join(row['imports'])}"
        )
    heavy = [name for name, row in times.items() if "torch" in row["imports"]]
    return times, [figure("commands without a network that import torch", len(heavy), 0, heavy)]


def added() -> list[dict[str, Any]]:
    """Each kind of addition: files and places in the source of its patch, and whether its conformance tests pass."""
    rows = []
    made = {kind: addition for kind, addition in additions.TABLE.items() if addition.patch.exists()}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        tried = dict(zip(made, pool.map(additions.tried, made.values()), strict=True))
    for kind, addition in additions.TABLE.items():
        if not addition.patch.exists():
            print(f"to add {kind}: no patch yet")
            rows.append({"figure": f"to add {kind}", "found": None, "asked_at_most": None, "met": False, "which": []})
            continue
        changed = additions.places(addition.patch.read_text())
        failed = tried[kind]
        which = {file: f"{number} place{'s' * (number > 1)}" for file, number in changed.items()}
        rows += [
            figure(f"to add {kind}: files", len(changed), addition.files, which),
            figure(f"to add {kind}: places", sum(changed.values()), addition.places),
            figure(f"to add {kind}: conformance tests that fail", int(bool(failed)), 0, failed.splitlines()[-3:]),
        ]
    return rows


def main() -> None:
    revision = os.environ.get("AGAINST") or (sys.argv[2] if sys.argv[1:2] == ["--against"] else "")
    stored = results_file.ROOT / "bench" / "results" / results_file.machine() / "house.json"
    compared = json.loads(stored.read_text()).get("against") if stored.exists() else None
    rows = counted()
    times, no_torch = starts()
    rows += no_torch + added()
    if revision:
        from bench.house import against

        compared = against.compared(revision)
    if compared:
        rows.append(figure("slower than before, in percent", compared["slower_percent"], 2.0, compared["slower"]))
    results_file.write("house", {"definitions": DEFINITIONS, "figures": rows, "start": times, "against": compared})
    missed = [row["figure"] for row in rows if row["met"] is False]
    if missed:
        raise SystemExit(f"not met: {'; '.join(missed)}.")


if __name__ == "__main__":
    main()
