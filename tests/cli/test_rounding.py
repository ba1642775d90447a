"""Images in float64 through the command line: what float32 moves is taken off, and stands in the run."""

import numpy as np
import pytest

from rsfast.runs.read import certificate, read_run
from rsfast.runs.store import records


@pytest.fixture
def float64_images(tmp_path, rng):
    """Five images in float64 of which none is a float32 number."""
    images = 0.2 + 0.6 * rng.random((5, 1, 8, 8))
    np.savez(tmp_path / "given.npz", x=images, y=np.zeros(5, dtype=np.int64))
    return tmp_path / "given.npz", images


@pytest.fixture
def model(tmp_path, monkeypatch):
    (tmp_path / "first_pixel_model.py").write_text(
        "import torch\ndef make():\n    return lambda x: torch.stack([x.flatten(1)[:, 0], x.flatten(1)[:, 0] * 0], 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "first_pixel_model:make"


@pytest.mark.parametrize("extra", [[], ["--plan", "grid", "--radii", "0,0.05,0.1"]])
def test_a_run_keeps_the_distance_of_each_image_and_takes_it_off(rsfast, tmp_path, float64_images, model, extra):
    data, images = float64_images
    out = tmp_path / "run"
    command = [
        "certify",
        "--model",
        model,
        "--num-classes",
        2,
        "--data",
        data,
        "--sigma",
        0.25,
        "--n",
        500,
        "--out",
        out,
        "--quiet",
        *extra,
    ]
    ended = rsfast(*command)
    assert ended.code == 0, ended.err
    for i, record in records(out).items():
        off = np.abs(images[i] - images[i].astype(np.float32))
        exact = np.array([off.sum(), np.sqrt((off**2).sum()), off.max()])
        assert ((record["rounding"] >= exact) & (record["rounding"] <= exact * (1 + 1e-8))).all()
    run = read_run(out)
    assert (run.counts.rounding > 0).all()
    radius = certificate(run).radius
    assert (radius <= images[run.counts.ids, 0, 0, 0]).all()
    assert radius.max() >= 0.1  # where a grid asked for it, rounding does not take it away
    shown = rsfast("report", out)
    assert shown.code == 0
    assert rsfast(*command).code == 0
