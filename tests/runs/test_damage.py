"""Damaged run directories: one sentence from whoever reads them, and the same one."""

import json
import os
import subprocess
import sys

import pytest

from rsfast.errors import StoreError
from rsfast.runs import store
from rsfast.runs.read import read_run
from rsfast.runs.store.lines import encoded

from .runs import begun, manifest, put_lines, put_manifest, record, settings, shard_file, written


@pytest.fixture
def run(tmp_path):
    begun(tmp_path / "run")
    return tmp_path / "run"


def refused(run, *, writer=True):
    """What every reader says of a run: one and the same sentence."""
    said = []
    for read in (store.records, store.standing, read_run):
        with pytest.raises(StoreError) as caught:
            read(run)
        said.append(str(caught.value))
    if writer:
        with pytest.raises(StoreError):
            store.begin(run, manifest(), seed=77)
    assert len(set(said)) == 1
    assert "\n" not in said[0]
    assert len(said[0]) < 600
    return said[0]


def edited(**changes):
    """run.json with some fields changed or (None) left out, its fingerprint as it was."""
    fields = manifest().to_dict()
    for path, value in changes.items():
        *above, name = path.split("__")
        place = fields
        for step in above:
            place = place[step]
        if value is None:
            del place[name]
        else:
            place[name] = value
    return json.dumps(fields)


CONTENTS = {
    "empty": b"", "binary": bytes(range(256)), "zeros": b"\0" * 500, "half": edited().encode()[:200], "a list": b"[]", "a number": b"7",
    "null": b"null", "text": b'"run"', "nothing in it": b"{}", "brackets": b"[" * 100_000, "objects": b'{"a":' * 100_000,
    "closed brackets": b"[" * 100_000 + b"]" * 100_000, "not UTF-8": edited(data__name="\xff").encode("latin-1").replace(b"\\u00ff", b"\xff"),
    "a byte-order mark": b"\xef\xbb\xbf" + edited().encode(), "UTF-16": edited().encode("utf-16"), "two documents": edited().encode() * 2,
    "NaN": edited(settings__alpha=float("nan")).encode(), "infinity": edited(settings__alpha=float("inf")).encode(),
    "a number beyond floats": edited().replace("0.01", "1e999").encode(),
    "a number of 5000 digits": edited().replace('"seed": 3', '"seed": ' + "9" * 5000).encode(),
    "a number of 4000 digits": edited().replace('"seed": 3', '"seed": ' + "9" * 4000).encode(),
    "a key twice": edited().replace('"seed": 3', '"seed": 3, "seed": 3').encode(),
}  # fmt: skip


@pytest.mark.parametrize("what", CONTENTS)
def test_a_run_json_that_is_none_is_refused(run, what):
    written(run, 1)
    (run / "run.json").write_bytes(CONTENTS[what])
    assert "run.json" in refused(run)


@pytest.mark.parametrize("key", ["format", "fingerprint", "kind", "settings", "model", "data", "versions", "model__sha256",
                                 "model__name", "data__images", "data__fingerprint", "data__name"])  # fmt: skip
@pytest.mark.parametrize("value", [None, [], -1, True, {"a": {}}])
def test_a_run_json_without_a_field_or_with_another_thing_there_is_refused(run, key, value):
    if (key, value) == ("format", True):
        value = "1"
    written(run, 1)
    (run / "run.json").write_text(edited(**{key: value}))
    assert "run.json" in refused(run)


def is_a_value(name, value):
    return (name, value) in [("alpha", 0.5), ("norm", 0.5)] or (name in ("bound", "device", "dtype") and value == "x")


MEANINGLESS = [None, [], {}, "x", -1, 10**400, 0.5, True, [1] * 10_000]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in sorted(settings()["settings"]) for value in MEANINGLESS if not is_a_value(name, value)],
)
def test_settings_that_mean_nothing_are_refused_though_the_fingerprint_fits(run, name, value):
    fields = dict(settings()["settings"])
    if value is None:
        del fields[name]
    else:
        fields[name] = value
    put_manifest(run, manifest(settings=fields))
    assert "run.json is damaged" in refused(run)


@pytest.mark.parametrize(
    "changes",
    [
        {"noise": {"name": "gaussian"}}, {"noise": {"name": "gaussian", "sigma": 0.25, "more": 1}}, {"noise": {"name": ["gaussian"]}},
        {"noise": {"name": "gaussian", "sigma": [0.25, 0.5]}}, {"noise": {"name": "input-dependent"}},
        {"transform": {"name": "partition"}}, {"transform": {"name": "partition", "owner": "AAAA", "shape": [2, 2]}},
        {"transform": {"name": "diagonal-split"}, "shape": [1, 3, 3]}, {"plan": {}}, {"plan": {"name": "grid"}},
        {"plan": {"name": "grid", "radii": ["a"]}}, {"plan": {"name": "betting"}, "thresholds": ["0x1p-1", "0x1p-1"]},
        {"plan": {"name": "betting"}, "thresholds": ["half"]}, {"curtail": 1}, {"labels": "yes"}, {"sample": {"images": 5}},
        {"sample": {"images": 21, "seed": 0}}, {"shape": [2**31, 2**31, 2**31]}, {"n": None},
    ],
)  # fmt: skip
def test_settings_that_name_nothing_that_exists_are_refused(run, changes):
    put_manifest(run, manifest(**settings(**changes)))
    assert "run.json is damaged" in refused(run)


def without(name):
    fields = record(3)
    del fields[name]
    return fields


NEEDED = ("id", "label", "selection", "estimation", "seconds", "n0", "n", "seed", "image", "backend", "model", "config")
LINES = {
    **{f"no {name}": without(name) for name in NEEDED},
    **{f"{name} is null": record(3) | {name: None} for name in NEEDED if name != "label"},
    **{f"{name} is a list": record(3) | {name: [1]} for name in NEEDED},
    **{f"{name} is true": record(3) | {name: True} for name in NEEDED},
    "id is text": record("3"), "id is negative": record(-1), "id is a float": record(3.0), "id is beyond the data": record(20),
    "id is huge": record(10**300), "label is no class": record(3, label=4), "label is 255": record(3, label=255),
    "label is negative": record(3, label=-1), "votes for no class": record(3, estimation={"4": 1}),
    "votes for a negative class": record(3, estimation={"-1": 1}), "votes for text": record(3, estimation={"cat": 1}),
    "votes for a class by two names": record(3, estimation={"1": 1, "01": 1}), "votes for a class in other digits": record(3, estimation={"١": 1}),
    "negative votes": record(3, estimation={"1": -1}), "half a vote": record(3, estimation={"1": 0.5}),
    "more votes than draws": record(3, votes=101), "too many votes altogether": record(3, estimation={"0": 60, "1": 60}),
    "more selection votes than draws": record(3, selection={"1": 11}), "votes by part of whole images": record(3, estimation=[{"1": 5}]),
    "other n": record(3, n=99), "no draws": record(3, n=0), "other n0": record(3, n0=9), "another seed": record(3, seed=4),
    "another model": record(3, model="00" * 8), "another run": record(3, config="00" * 8), "negative seconds": record(3, seconds=-1.0),
    "endless seconds": record(3, seconds=1e300), "rounding is text": record(3, rounding="far"), "rounding is negative": record(3, rounding=[0, 0, -1]),
    "rounding in one norm": record(3, rounding=[0.1]),
}  # fmt: skip


@pytest.mark.parametrize("what", LINES)
def test_a_line_whose_checksum_fits_and_that_says_what_cannot_be_is_refused_with_its_number(run, what):
    put_lines(run, record(1), LINES[what], record(2))
    said = refused(run, writer=False)
    assert "counts-000-of-001.jsonl line 2 is damaged" in said
    assert "remove that line" in said


@pytest.mark.parametrize("what", LINES)
def test_such_a_line_at_the_end_is_not_taken_for_one_that_was_cut_short(run, what):
    put_lines(run, record(1), LINES[what])
    assert "line 2 is damaged" in refused(run, writer=False)


PLAN = {"plan": {"name": "grid", "radii": [0.1, 0.2]}, "thresholds": ["0x1p-2", "0x1p-3"]}
PLANNED = {"tested": 1, "reached": 1, "spent": 0.005, "path": [[50, 45], [100, 90]]}


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"tested": 4}, {"tested": 2}, {"tested": "1"}, {"reached": 2}, {"reached": -2}, {"reached": True}, {"spent": "nothing"},
        {"spent": 2}, {"path": None}, {"path": {}}, {"path": [7]}, {"path": [[50]]}, {"path": [[50, 51]]}, {"path": [[50, 40], [50, 41]]},
        {"path": [[50, 40], [60, 39]]}, {"path": [[50, 40], [101, 41]]}, {"path": [["50", 40]]}, {"path": [[-1, -1]]}, {"selection": {}},
        {"tested": -1},
    ],
)  # fmt: skip
def test_what_a_plan_cannot_have_seen_is_refused(tmp_path, changes):
    one = manifest(**settings(**PLAN))
    run = tmp_path / "run"
    begun(run, **settings(**PLAN))
    put_lines(run, record(1, of=one, **PLANNED))
    assert list(store.records(run)) == [1]
    assert len(read_run(run).counts) == 1
    bad = record(2, of=one, **(PLANNED | changes if changes else {}))
    put_lines(run, record(1, of=one, **PLANNED), bad)
    assert "line 2 is damaged" in refused(run, writer=False)


@pytest.mark.parametrize("image", range(3))
def test_fields_that_are_not_known_are_left_alone(run, image):
    more = ({"future": {"deep": [1, 2]}}, {"tested": "by hand"}, {"path": 7, "spent": "all"})[image]
    put_lines(run, record(image, **more))
    assert read_run(run).counts.ids.tolist() == store.standing(run).finished.tolist() == [image]


RAW = {
    "no checksum": encoded(record(3)).replace(b'"crc"', b'"crd"'), "a checksum in text": b'{"crc":"1"}\n', "a list": b"[]\n", "a number": b"1\n",
    "nothing": b"\n", "spaces": b"   \n", "binary": b"\xff\xfe\n", "brackets": b"[" * 100_000 + b"\n", "a key twice": b'{"id":3,"id":3,"crc":1}\n',
    "a vote changed": encoded(record(3)).replace(b'"1":90', b'"1":91'), "NaN": encoded(record(3)).replace(b"0.5", b"NaN"),
    "a huge number": encoded(record(3)).replace(b'"id":3', b'"id":' + b"3" * 5000), "cut in the middle": encoded(record(3))[:40] + b"\n",
}  # fmt: skip


@pytest.mark.parametrize("what", RAW)
def test_a_line_that_is_damaged_is_refused_in_the_middle_and_dropped_at_the_end(run, what):
    shard_file(run).write_bytes(encoded(record(1)) + RAW[what] + encoded(record(2)))
    assert "line 2 is damaged" in refused(run)
    shard_file(run).write_bytes(encoded(record(1)) + RAW[what])
    assert store.standing(run).finished.tolist() == sorted(store.records(run)) == read_run(run).counts.ids.tolist() == [1]
    written(run, 2)
    assert sorted(store.records(run)) == [1, 2]


def test_duplicate_keys_are_refused_though_the_checksum_fits(run):
    import zlib

    line = json.dumps(record(3), sort_keys=True, separators=(",", ":")).replace('"id":3', '"id":4,"id":3')
    line = line.replace('"estimation"', f'"crc":{zlib.crc32(line.encode())},"estimation"')
    shard_file(run).write_bytes(line.encode() + b"\n" + encoded(record(1)))
    assert "occurs twice" in refused(run, writer=False)


def test_a_line_that_was_written_with_other_spaces_still_counts(run):
    spaced = json.dumps(json.loads(encoded(record(3))), indent=None, separators=(", ", ": "))
    shard_file(run).write_text(spaced + "\n")
    assert list(store.records(run)) == [3]


@pytest.mark.parametrize("name", ["run.json", "counts-000-of-001.jsonl", "asked-000-of-001.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "directory", "loop", "link to nowhere", "device"])
def test_what_is_no_file_is_refused_and_nobody_waits_for_it(run, name, kind):
    written(run, 1)
    (run / name).unlink(missing_ok=True)
    place = run / name
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    else:
        place.symlink_to({"loop": name, "link to nowhere": "nowhere", "device": "/dev/zero"}[kind])
    if name.startswith("asked"):
        with pytest.raises(StoreError, match="cannot be read"):
            store.standing(run)
    else:
        writer = (name, kind) != ("counts-000-of-001.jsonl", "link to nowhere")  # that link leads to a new file then
        assert "cannot be read" in refused(run, writer=writer) or (name, kind) == ("run.json", "link to nowhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["run.json", "counts-000-of-001.jsonl"])
def test_files_that_may_not_be_read_are_refused(run, name):
    written(run, 1)
    (run / name).chmod(0)
    assert "Permission denied" in refused(run)


@pytest.mark.parametrize("name", ["counts-5.jsonl", "counts-003-of-002.jsonl", "counts-000-of-000.jsonl", "counts-000-of-001 (1).jsonl",
                                  "counts-000-of-٠٠1.jsonl", "counts-.jsonl"])  # fmt: skip
def test_files_that_are_not_named_as_shards_are_refused(run, name):
    written(run, 1)
    (run / name).write_bytes(shard_file(run).read_bytes())
    assert "is not named as a shard is" in refused(run, writer=False)


def test_shards_of_two_splits_are_read_together_as_long_as_they_agree(run):
    written(run, 0, 2, index=0, of=2)
    written(run, 0, 3, index=0, of=3)
    assert store.standing(run).finished.tolist() == [0, 2, 3]
    put_lines(run, record(0, votes=80), file="counts-001-of-003.jsonl")
    assert "hold different counts for image 0" in refused(run, writer=False)


def test_a_directory_with_counts_and_no_run_json_says_how_to_get_one(run):
    written(run, 1)
    (run / "run.json").unlink()
    with pytest.raises(StoreError, match="no run.json, without which they cannot be used: put it back"):
        begun(run)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_names_that_no_directory_can_have_are_refused(tmp_path, name):
    with pytest.raises(StoreError, match="cannot be written"):
        begun(tmp_path / name)
    with pytest.raises(StoreError):
        store.standing(tmp_path / name)


def test_reading_how_far_a_run_is_imports_no_torch(run):
    code = "import sys; from rsfast.runs import store; from pathlib import Path; store.standing(Path(sys.argv[1])); print('torch' in sys.modules)"
    written(run, 1)
    said = subprocess.run([sys.executable, "-c", code, run], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"
