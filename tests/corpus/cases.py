"""Cases: how they are written down, put into a folder, and run."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
import os
import re
import sys
import types
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import rsfast as rs
from rsfast.errors import RsfastError
from tests import flat

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "corpus"
FOLDER, PIPE = "a folder", "a pipe"
ANYTHING = "⟨…⟩"
"""In a sentence: whatever stands there."""


@dataclasses.dataclass
class Case:
    """A malformed input.

    Attributes
    ----------
    name : str
        "room: what is wrong".
    files : dict
        Content (bytes or text) by name, or FOLDER, PIPE, or {"link": target}.
    call : str or list of str
        Python to be run in a folder with these files, or arguments of `rsfast`.
    leaves : tuple of str
        Names that may be there afterwards besides the files.
    gets : str or int
        The exception's class, or the exit code.
    says : str
        The whole message; ANYTHING stands for what differs from run to run.
    """

    name: str
    files: dict[str, Any]
    call: str | list[str]
    leaves: tuple[str, ...] = ()
    gets: str | int = ""
    says: str = ""

    def line(self) -> str:
        """As it is stored."""
        fields: dict[str, Any] = {"case": self.name, "call": self.call, "gets": self.gets, "says": self.says}
        if self.leaves:
            fields["leaves"] = self.leaves
        if self.files:
            fields["files"] = {name: _packed(content) for name, content in self.files.items()}
        return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace").decode() + "\n"


def _packed(content: Any) -> Any:
    if isinstance(content, str) and len(content) > 400:
        content = content.encode()
    if isinstance(content, bytes):
        return {"z": base64.b85encode(zlib.compress(content, 9)).decode()}
    return {"is": content} if content in (FOLDER, PIPE) else content


def _unpacked(content: Any) -> Any:
    if isinstance(content, dict) and "z" in content:
        return zlib.decompress(base64.b85decode(content["z"]))
    return content["is"] if isinstance(content, dict) and "is" in content else content


def stored() -> Iterator[Case]:
    """All cases, room by room."""
    for file in sorted(DATA.glob("*.jsonl")):
        for line in file.read_text("utf-8").splitlines():
            fields = json.loads(line)
            files = {name: _unpacked(content) for name, content in fields.get("files", {}).items()}
            leaves = tuple(fields.get("leaves", ()))
            yield Case(fields["case"], files, fields["call"], leaves, fields["gets"], fields["says"])


def put(case: Case, folder: Path) -> None:
    """Write a case's files into a folder."""
    for name, content in case.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if content == FOLDER:
            file.mkdir()
        elif content == PIPE:
            os.mkfifo(file)
        elif isinstance(content, dict):
            file.symlink_to(content["link"])
        else:
            file.write_bytes(content.encode() if isinstance(content, str) else content)


def listing(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with the contents of its files."""
    found = sorted(folder.rglob("*"))
    return {str(entry.relative_to(folder)): entry.read_bytes() if entry.is_file() else None for entry in found}


def run(case: Case, folder: Path) -> tuple[str | int, str]:
    """What a case gets and says, run in a folder that holds its files; what is no answer of ours is raised."""
    with _in(folder), warnings.catch_warnings():
        warnings.simplefilter("error")
        if isinstance(case.call, list):
            code, said = _command(case.call)
            return code, said.replace(str(folder), "{folder}")
        try:
            exec(case.call, _names())
        except RsfastError as error:
            return type(error).__name__, str(error).replace(str(folder), "{folder}")
    return "", "it is taken"


@contextlib.contextmanager
def _in(folder: Path) -> Iterator[None]:
    before, path, threads = Path.cwd(), sys.path.copy(), torch.get_num_threads()
    os.chdir(folder)
    sys.path.insert(0, str(ROOT))
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = path
        torch.set_num_threads(threads)


def _command(arguments: list[str]) -> tuple[int, str]:
    from rsfast.cli import main

    argv, sys.argv = sys.argv, ["rsfast", *arguments]
    started, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")  # usage names what was started
    out, err = io.StringIO(), io.StringIO()
    code: Any = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv, sys.modules["__main__"] = argv, started
    if isinstance(code, str):
        code, err = 1, io.StringIO(err.getvalue() + code)
    return code or 0, err.getvalue().strip()


def _names() -> dict[str, Any]:
    """What the Python of a case may use."""
    from rsfast import sources
    from rsfast.report import read_log
    from rsfast.runs import read as stored
    from rsfast.runs import store

    x = torch.full((2, 1, 4, 4), 0.5)
    few: dict[str, Any] = {"noise": rs.Gaussian(0.25), "num_classes": 3, "n0": 5, "n": 20, "seed": 0}
    counts = {"selection": [[4, 1]], "estimation": [[18, 2]], "n0": 5, "n": 20, "ids": [0], "noise": few["noise"], "seed": 0}
    return {
        "rs": rs, "np": np, "torch": torch, "Path": Path, "sources": sources, "store": store, "read_run": stored.read_run,
        "read_log": read_log, "load": rs.models.load, "x": x, "few": few, "c": rs.certificates, "bounds": rs.confidence,
        "model": lambda x: x.flatten(1)[:, :3], "counts": counts | {"dim": 16},
        "certified": lambda loaded, images=x, **more: flat.certify(loaded.model, images, **(few | more)),
        "every_image": lambda source: [(source.image(i), source.label(i)) for i in range(len(source))],
    }  # fmt: skip


def matches(says: str, text: str) -> bool:
    """Whether a text is what a case says."""
    pattern = ".*".join(re.escape(part) for part in says.split(ANYTHING))
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def flaws(case: Case, gets: str | int, text: str) -> list[str]:
    """What is wrong with an answer, whatever it says."""
    found = []
    if gets in ("", 0):
        found.append("it is taken")
    if re.search(r"\x1b|Traceback.*\n  File|object at 0x", text):
        found.append("it shows what is inside")
    if len(text) > 900:
        found.append(f"it has {len(text)} characters")
    if isinstance(case.call, str) and not text.rstrip(")'\"").endswith((".", "?", "!", ANYTHING)):
        found.append("it ends without a full stop")
    if isinstance(case.call, str) and "\n" in text:
        found.append("it has several lines")
    return found
