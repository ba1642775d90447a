"""ONNX files and exported programs as base classifiers."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import models
from rsfast.errors import BackendUnavailableError, InvalidArgumentError, ModelError

from .models import linear

NEEDED = ("onnx", "onnxruntime", "onnxscript")
with_onnx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, NEEDED)), reason="ONNX Runtime and its exporter are an extra"
)
X = torch.full((2, 1, 8, 8), 0.5)


def votes(model, **more):
    return rs.sample_counts(model, X, noise=rs.Gaussian(0.5), num_classes=10, n=200, seed=3, batch=20, **more).estimation


def test_an_exported_program_votes_as_its_module():
    model = linear().eval()
    program = torch.export.export(model, (X[:1].expand(3, -1, -1, -1),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    np.testing.assert_array_equal(votes(models.from_exported(program)), votes(model))


def test_an_exported_program_of_a_fixed_batch_takes_that_batch(tmp_path):
    model = linear().eval()
    program = torch.export.export(model, (X[:1].expand(20, -1, -1, -1).contiguous(),))
    torch.export.save(program, tmp_path / "m.pt2")
    np.testing.assert_array_equal(votes(models.from_exported(tmp_path / "m.pt2")), votes(model))


def test_what_is_no_program_is_refused(tmp_path):
    with pytest.raises(InvalidArgumentError, match="program is Sequential"):
        models.from_exported(linear())
    with pytest.raises(ModelError, match="cannot be read"):
        models.from_exported(tmp_path / "none.pt2")
    (tmp_path / "bad.pt2").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="is not a torch.export file"):
        models.from_exported(tmp_path / "bad.pt2")


def test_without_onnx_runtime_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match="pip install onnxruntime"):
        models.from_onnx(b"")
    with pytest.raises(ModelError, match="missing.onnx cannot be read"):
        models.from_onnx("missing.onnx")


@pytest.fixture
def onnx_file(tmp_path):
    def export(model, dynamic=True):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter
            example = torch.rand(20, 1, 8, 8)
            torch.onnx.export(model, (example,), tmp_path / "m.onnx", dynamo=True, verbose=False,
                              dynamic_shapes=({0: torch.export.Dim("batch")},) if dynamic else None)  # fmt: skip
        return tmp_path / "m.onnx"

    return export


@with_onnx
@pytest.mark.parametrize("dynamic", [True, False])
def test_an_onnx_file_votes_as_its_module(onnx_file, dynamic):
    model = linear().eval()
    file = onnx_file(model, dynamic)
    assert np.abs(votes(models.from_onnx(file)) - votes(model)).max() <= 1
    loaded = models.load(str(file))
    np.testing.assert_array_equal(votes(loaded.model), votes(models.from_onnx(str(file))))


@with_onnx
def test_an_onnx_files_fingerprint_is_of_its_weights_too(onnx_file):
    found = [models.load(str(onnx_file(linear(seed=seed)))).sha256 for seed in (1, 2, 1)]
    assert found[0] == found[2] != found[1]


@with_onnx
def test_a_serialized_onnx_model_is_taken(onnx_file):
    import onnx

    file = onnx_file(linear())
    x = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(models.from_onnx(onnx.load(file).SerializeToString())(x), linear().eval()(x))


@with_onnx
def test_an_onnx_file_of_another_batch_says_which(onnx_file):
    with pytest.raises(ModelError, match="exported for batches of 20 and was given 7: give batch=20"):
        models.from_onnx(onnx_file(linear(), dynamic=False))(torch.zeros(7, 1, 8, 8))


@with_onnx
def test_several_outputs_need_a_name(onnx_file):
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = linear()

        def forward(self, x):
            return self.inside(x), x.flatten(1)[:, :10]

    file = onnx_file(Two())
    with pytest.raises(ModelError, match="has the outputs .* and none was named: give output=NAME"):
        models.from_onnx(file)
    import onnxruntime

    names = [one.name for one in onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).get_outputs()]
    x = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(models.from_onnx(file, output=names[1])(x), x.flatten(1)[:, :10])
    with pytest.raises(ModelError, match="'logits' is none of them"):
        models.from_onnx(file, output="logits")


@with_onnx
def test_what_is_no_onnx_file_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        models.load(str(tmp_path / "m.onnx"))
