"""A small run on disk, without anything drawn."""

import json

from rsfast.runs import store
from rsfast.runs.store.lines import encoded


def settings(**changes):
    fields = {
        "n": 100,
        "n0": 10,
        "seed": 3,
        "noise": {"name": "gaussian", "sigma": 0.25},
        "alpha": 0.01,
        "num_classes": 4,
        "bound": "clopper-pearson",
        "norm": 2.0,
        "batch": 110,
        "device": "cpu",
        "dtype": "float32",
        "shape": [1, 2, 2],
    }
    return {"settings": fields | changes}  # fmt: skip


def manifest(**changes):
    fields = {
        "kind": "certify",
        "settings": settings()["settings"],
        "model": {"name": "a", "sha256": "ab" * 32},
        "data": {"name": "d", "fingerprint": "cd" * 32, "images": 20},
        "versions": {"rsfast": "0.1.0"},
    }
    return store.Manifest(**(fields | changes))


def record(image, votes=90, of=None, **changes):
    """A line's fields, of the run `of`."""
    fields = {"id": image, "label": 1, "selection": {"1": 10}, "estimation": {"1": votes, "0": 100 - votes}, "seconds": 0.5,
              "n0": 10, "n": 100, "seed": 3, "image": "0123456789abcdef", "backend": "native", "versions": {},
              "model": "ab" * 8, "config": (of or manifest()).fingerprint[:16]}  # fmt: skip
    return fields | changes


def begun(path, **changes):
    """Begin a run and close its shard again."""
    there, shard = store.begin(path, manifest(**changes), seed=77)
    shard.close()
    return there


def written(run, *images, **shard):
    with store.Shard(run, **shard) as out:
        for image in images:
            out.append(record(image))


def shard_file(run):
    return run / "counts-000-of-001.jsonl"


def put_lines(run, *records, file="counts-000-of-001.jsonl"):
    """Lines with checksums that fit, whatever they say."""
    (run / file).write_bytes(b"".join(encoded(one) for one in records))


def put_manifest(run, one):
    """A run.json whose fingerprint fits."""
    (run / "run.json").write_text(json.dumps(one.to_dict()))
