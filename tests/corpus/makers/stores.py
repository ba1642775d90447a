"""Runs that are damaged, edited, or hold what no run can."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..cases import FOLDER, PIPE, Case, _command, _in
from .damage import canonical, line, npz

SHARD, ASKED = "run/counts-000-of-001.jsonl", "run/asked-000-of-001.jsonl"
PIXELS = ["--model", "tests.reference.factories:pixels", "--data", "a.npz", "--sigma", "0.25", "--num-classes", "10"]
FEW = ["--n0", "5", "--n", "20", "--alpha", "0.01", "--seed", "5", "--quiet", "--out", "run"]
IMAGES = npz(x=(np.arange(3 * 16) * 5).astype(np.uint8).reshape(3, 1, 4, 4), y=np.array([0, 1, 2]))
VERSIONS = {"rsfast": "0.1.0", "torch": "2.13.0"}


@functools.cache
def whole(*more: str) -> dict[str, str]:
    """A run of three images, with nothing in it that a clock or this machine's versions decide."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.npz").write_bytes(IMAGES)
        with _in(folder):
            code, said = _command(["certify", *PIXELS, *FEW, *more])
        assert code == 0, said
        manifest = json.loads((folder / "run" / "run.json").read_text())
        manifest["versions"] = VERSIONS
        counts = [json.loads(text) for text in (folder / SHARD).read_text().splitlines()]
        asked = [json.loads(text) for text in (folder / ASKED).read_text().splitlines()]
    rows = [line({**record, "seconds": 0.25, "versions": VERSIONS} if "versions" in record else {**record, "seconds": 0.25})
            for record in counts]  # fmt: skip
    calls = [line({**record, "at": 1.7e9}) for record in asked]
    return {"run/run.json": json.dumps(manifest), SHARD: "".join(rows), ASKED: "".join(calls)}


def edited(change: Callable[[dict[str, Any]], Any], *, sealed: bool = True, **files: Any) -> dict[str, Any]:
    """A run of which run.json is changed, its fingerprint with it."""
    from rsfast.runs.store.manifest import digest

    run = dict(whole(*files.pop("more", ())))
    manifest = json.loads(run["run/run.json"])
    manifest = change(manifest) or manifest
    if sealed and isinstance(manifest, dict):
        try:
            parts = [manifest["kind"], manifest["settings"], manifest["model"]["sha256"], manifest["data"]["fingerprint"]]
            manifest["fingerprint"] = digest(parts)
        except (KeyError, TypeError, ValueError):
            pass
    return {**run, "run/run.json": json.dumps(manifest), **files}


def setting(name: str, value: Any, *more: str) -> dict[str, Any]:
    return edited(lambda manifest: manifest["settings"].__setitem__(name, value), more=more)


def without(*path: str) -> dict[str, Any]:
    def change(manifest: dict[str, Any]) -> None:
        for name in path[:-1]:
            manifest = manifest[name]
        del manifest[path[-1]]

    return edited(change, sealed=path[0] == "settings")


MANIFESTS: dict[str, str | bytes] = {
    "empty": "",
    "cut": "run.json",
    "a list": "[1, 2]",
    "a number": "7",
    "null": "null",
    "text": "hello",
    "not UTF-8": b'{"format": 1, "kind": "\xff\xfe"}',
    "UTF-16": json.dumps({"format": 1}).encode("utf-16"),
    "a byte order mark": "\ufeff{}",
    "100,000 brackets": "[" * 100_000,
    "an open string": '{"format": 1, "kind": "certi',
    "a key twice": '{"format": 1, "format": 1}',
    "NaN": '{"format": 1, "settings": NaN}',
    "only a kind": '{"kind": "certify"}',
    "format 0": '{"format": 0}',
    "format 99": '{"format": 99}',
    "format true": '{"format": true}',
    "format as text": '{"format": "1"}',
    "a number of 10,000 digits": '{"format": ' + "9" * 10_000 + "}",
}  # fmt: skip

SETTINGS: dict[str, dict[str, Any]] = {
    "alpha": {"zero": 0, "one": 1.0, "text": "0.01", "null": None, "true": True},
    "batch": {"zero": 0, "a fraction": 0.5, "a list": [1]},
    "device": {"a number": 0},
    "dtype": {"a list": ["float32"]},
    "n": {"zero": 0, "beyond 32 bits": 2**40, "a fraction": 20.0, "null": None},
    "n0": {"below zero": -1, "text": "5"},
    "num_classes": {"zero": 0, "huge": 10**9},
    "seed": {"below zero": -1, "beyond 64 bits": 2**64},
    "shape": {"two numbers": [4, 4], "a zero": [1, 0, 4], "text": "1x4x4", "an overflow": [2**30, 2**30, 2**30]},
    "norm": {"zero": 0.0, "a word": "two", "below zero": -2},
    "bound": {"a number": 3, "unknown": "bayes"},
    "noise": {
        "empty": {}, "text": "gaussian", "of no kind": {"name": "pink", "sigma": 1.0}, "sigma zero": {"name": "gaussian", "sigma": 0},
        "sigma text": {"name": "gaussian", "sigma": "0.25"}, "with another key": {"name": "gaussian", "sigma": 0.25, "x": 1},
    },
    "transform": {"empty": {}, "unknown": {"name": "swirl"}},
    "plan": {"empty": {}, "unknown": {"name": "guess"}},
    "curtail": {"text": "yes"},
    "multiclass": {"a number": 1},
    "sample": {"empty": {}, "too many": {"images": 10**6, "seed": 0}},
    "joint": {"null": None},
}  # fmt: skip


def row(
    change: Callable[[dict[str, Any]], Any], number: int = 1, *, sealed: bool = True, more: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A run of which one line is changed, its checksum with it."""
    run = dict(whole(*more))
    lines = run[SHARD].splitlines(keepends=True)
    record = json.loads(lines[number])
    record = change(record) or record
    lines[number] = line(record) if sealed else canonical(record) + "\n"
    return {**run, SHARD: "".join(lines)}


def field(name: str, value: Any) -> dict[str, Any]:
    return row(lambda record: record.__setitem__(name, value))


def lines_of(change: Callable[[list[str]], list[str]]) -> dict[str, Any]:
    run = dict(whole())
    return {**run, SHARD: "".join(change(run[SHARD].splitlines(keepends=True)))}


FIELDS: dict[str, dict[str, Any]] = {
    "id": {"below zero": -1, "beyond 32 bits": 2**33, "of no image": 17, "text": "1", "a fraction": 1.0, "true": True, "null": None},
    "label": {"below -1": -2, "beyond the classes": 10, "text": "1", "a fraction": 0.5},
    "n": {"of another run": 21, "zero": 0, "text": "20"},
    "n0": {"of another run": 6, "null": None},
    "seed": {"of another run": 6, "text": "5"},
    "model": {"of another run": "0" * 16, "a number": 1},
    "config": {"of another run": "0" * 16, "null": None},
    "selection": {"a list": [5], "too many": {"0": 6}, "below zero": {"0": -1}, "of class ten": {"10": 5}, "of a word": {"cat": 5},
                  "a fraction": {"0": 2.5}, "of class 00": {"00": 5}},
    "estimation": {"null": None, "too many together": {"0": 15, "1": 15}, "text": "0:20", "huge": {"0": 10**30},
                   "of a class of 5,000 digits": {"1" * 5000: 5}},
    "image": {"a number": 7},
    "backend": {"null": None},
    "seconds": {"below zero": -1.0, "text": "soon", "huge": 1e300},
    "rounding": {"text": "none", "too short": [0.0], "below zero": [-1.0, 0.0, 0.0]},
}  # fmt: skip


def cases() -> Iterator[Case]:
    good = whole()
    for what, content in MANIFESTS.items():
        content = good["run/run.json"][:200] if what == "cut" else content
        yield Case(f"run.json: {what}", {**good, "run/run.json": content}, "read_run(Path('run'))")
    for name in ("format", "fingerprint", "kind", "settings", "model", "data", "versions"):
        yield Case(f"run.json: no {name}", without(name), "read_run(Path('run'))")
    for name in json.loads(good["run/run.json"])["settings"]:
        if name in SETTINGS:
            yield Case(f"run.json: no {name} in settings", without("settings", name), "read_run(Path('run'))")
    for place in (("model", "sha256"), ("model", "name"), ("data", "fingerprint"), ("data", "name"), ("data", "images")):
        yield Case(f"run.json: no {place[1]} of {place[0]}", without(*place), "read_run(Path('run'))")
    for name, values in SETTINGS.items():
        for what, value in values.items():
            yield Case(f"run.json: {name}, {what}", setting(name, value), "read_run(Path('run'))")
    grid = ("--plan", "grid", "--radii", "0.1,0.2")
    for what, value in {"rising": ["0x1p-3", "0x1p-2"], "no numbers": ["a"], "of one": ["0x1p+0"], "a word": "0x1p-2"}.items():
        yield Case(f"run.json: thresholds, {what}", setting("thresholds", value, *grid), "read_run(Path('run'))")
    other = edited(lambda manifest: manifest.__setitem__("kind", "guess"))
    yield Case("run.json: another kind", other, "read_run(Path('run'))")
    other = edited(lambda manifest: manifest.__setitem__("extra", 1))
    yield Case("run.json: another key", other, "read_run(Path('run'))")
    other = edited(lambda manifest: manifest["settings"].__setitem__("n", 40), sealed=False)
    yield Case("run.json: edited by hand", other, "read_run(Path('run'))")
    for what, content in {"a folder": FOLDER, "a pipe": PIPE, "a link to itself": {"link": "run.json"}}.items():
        yield Case(f"run.json: {what}", {"run/run.json": content}, "read_run(Path('run'))")
    yield Case("run.json: not there", {"run": FOLDER}, "read_run(Path('run'))")
    yield Case("run.json: no folder", {}, "read_run(Path('run'))")

    for name, values in FIELDS.items():
        for what, value in values.items():
            yield Case(f"shard: {name}, {what}", field(name, value), "read_run(Path('run'))")
        yield Case(f"shard: no {name}", row(lambda record, name=name: record.pop(name) and None), "read_run(Path('run'))") \
            if name not in ("rounding", "label") else Case(f"shard: {name}, a list in a list", field(name, [[1]]), "read_run(Path('run'))")  # fmt: skip
    changed: dict[str, dict[str, Any]] = {
        "a wrong checksum": row(lambda record: record.__setitem__("crc", 1), sealed=False),
        "no checksum": row(lambda record: record.pop("crc") and None, sealed=False),
        "a checksum that is text": row(lambda record: record.__setitem__("crc", "x"), sealed=False),
        "a list": lines_of(lambda lines: [lines[0], "[1, 2]\n", lines[2]]),
        "a word": lines_of(lambda lines: [lines[0], "hello\n", lines[2]]),
        "an empty line": lines_of(lambda lines: [lines[0], "\n", *lines[1:]]),
        "a line cut in the middle": lines_of(lambda lines: [lines[0], lines[1][:50] + "\n", lines[2]]),
        "two lines run together": lines_of(lambda lines: [lines[0].rstrip("\n") + lines[1], lines[2]]),
        "100,000 brackets": lines_of(lambda lines: [lines[0], "[" * 100_000 + "\n", lines[2]]),
        "zeros in the middle": lines_of(lambda lines: [lines[0], "\0" * 100 + "\n", lines[2]]),
        "one image with two counts": row(lambda record: record.__setitem__("id", 0)),
        "NaN": lines_of(lambda lines: [lines[0], '{"id": NaN}\n', lines[2]]),
        "a key twice": lines_of(lambda lines: [lines[0], lines[1].replace("{", '{"id":1,', 1), lines[2]]),
    }
    for what, files in changed.items():
        yield Case(f"shard: {what}", files, "read_run(Path('run'))")
    yield Case(
        "shard: not UTF-8", {**good, SHARD: good[SHARD].encode().replace(b"native", b"nati\xff\xfe")}, "read_run(Path('run'))"
    )
    yield Case("shard: UTF-16", {**good, SHARD: good[SHARD].encode("utf-16")}, "read_run(Path('run'))")
    for what, content in {"a folder": FOLDER, "a pipe": PIPE}.items():
        yield Case(f"shard: {what}", {**good, SHARD: content}, "read_run(Path('run'))")
    for name in ("counts-000-of-000", "counts-002-of-001", "counts-0-of-1", "counts-000-of-001 (copy)", "counts-٠٠٠-of-٠٠١"):
        yield Case(f"shard: named {name}", {**good, f"run/{name}.jsonl": good[SHARD]}, "read_run(Path('run'))")

    asked: dict[str, Any] = {
        "a word": "hello\n" * 2, "no checksum": '{"at":1.0}\n' * 2, "no time": line({"asked": {}}) * 2,
        "a start below zero": line({"asked": {"start": -1, "count": 1, "every": 1, "sample": None}, "at": 1.0}) * 2,
        "another key": line({"asked": {"start": 0, "count": 1, "every": 1, "sample": None, "x": 1}, "at": 1.0}) * 2,
        "an image below zero": line({"id": -1, "problem": "torn"}) * 2, "a problem that is a number": line({"id": 1, "problem": 7}) * 2,
    }  # fmt: skip
    for what, content in asked.items():
        yield Case(f"asked: {what}", {**good, ASKED: content}, ["status", "run"])
    yield Case("asked: a pipe", {**good, ASKED: PIPE}, ["status", "run"])
    yield Case("asked: another name", {**good, "run/asked-x.jsonl": ""}, ["status", "run"])

    damaged = field("n", 21)
    for command in (["status", "run"], ["report", "run"], ["recertify", "run"], ["export", "run", "a.tsv"],
                    ["plan", "--run", "run", "--radii", "0.1"]):  # fmt: skip
        yield Case(f"run: {command[0]} of a damaged one", damaged, command)
        yield Case(f"run: {command[0]} of none", {}, command)
        yield Case(f"run: {command[0]} of a file", {"run": "hello"}, command)
    more: dict[str, list[str]] = {
        "recertified at alpha 0": ["recertify", "run", "--alpha", "0"],
        "recertified at alpha nan": ["recertify", "run", "--alpha", "nan"],
        "recertified in norm -1": ["recertify", "run", "--norm", "-1"],
        "recertified in a norm that is a word": ["recertify", "run", "--norm", "big"],
        "recertified by an unknown bound": ["recertify", "run", "--bound", "hoeffding"],
        "recertified as parts": ["recertify", "run", "--joint", "sum"],
        "recertified at a radius below zero": ["recertify", "run", "--radii", "-0.5"],
        "recertified into another format": ["recertify", "run", "--out", "a.xlsx"],
        "recertified into a missing folder": ["recertify", "run", "--out", "d/a.tsv"],
        "exported without a name": ["export", "run"],
        "exported to the empty name": ["export", "run", ""],
        "exported to another format": ["export", "run", "a.json"],
        "exported into a folder": ["export", "run", "run"],
        "exported below a file": ["export", "run", "a.npz/a.tsv"],
        "reported twice by one name": ["report", "run", "--radii", "1,x"],
        "planned for radius 0": ["plan", "--run", "run", "--radii", "-1"],
        "planned for too many draws": ["plan", "--run", "run", "--radii", "0.1", "--n", "99999999999"],
    }  # fmt: skip
    for what, command in more.items():
        yield Case(f"run: {what}", {**good, "a.npz": IMAGES}, command)

    different: dict[str, list[str]] = {
        "sigma": ["--sigma", "0.5"], "n": ["--n", "40"], "n0": ["--n0", "6"], "alpha": ["--alpha", "0.02"], "seed": ["--seed", "6"],
        "model": ["--model", "tests.reference.factories:exits"], "number of classes": ["--num-classes", "11"], "norm": ["--norm", "1"],
        "noise": ["--noise", "laplace"], "batch": ["--batch", "3"], "dtype": ["--dtype", "float16"], "mean": ["--mean", "0.5"],
        "bound": ["--bound", "two-sided"], "plan": ["--plan", "betting"], "transform": ["--transform", "diagonal"],
    }  # fmt: skip
    for what, option in different.items():
        yield Case(f"run: continued with another {what}", {**good, "a.npz": IMAGES}, ["certify", *PIXELS, *FEW, *option])
    brighter = npz(x=(np.arange(3 * 16) * 5 + 1).astype(np.uint8).reshape(3, 1, 4, 4), y=np.array([0, 1, 2]))
    yield Case("run: continued with other pixels", {**good, "a.npz": brighter}, ["certify", *PIXELS, *FEW])
    yield Case("run: continued with a label of another class", {**good, "a.npz": npz(x=np.zeros((3, 1, 4, 4), np.uint8), y=np.array([0, 1, 9]))},
               ["certify", *PIXELS, *FEW])  # fmt: skip
    yield Case(
        "run: continued by predict", {**good, "a.npz": IMAGES}, ["predict", *PIXELS, "--n", "20", "--seed", "5", "--out", "run"]
    )
    yield Case("run: into a file", {"run": "hello", "a.npz": IMAGES}, ["certify", *PIXELS, *FEW])
