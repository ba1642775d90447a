"""ONNX files and exported programs as base classifiers."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import models
from rsfast.errors import BackendUnavailableError, InvalidArgumentError, ModelError
from tests import flat

from .models import linear

NEEDED = ("onnx", "onnxruntime", "onnxscript")
with_onnx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, NEEDED)), reason="ONNX Runtime and its exporter are an extra"
)
X = torch.full((2, 1, 8, 8), 0.5)


def votes(model, **more):
    return flat.sample_counts(model, X, noise=rs.Gaussian(0.5), num_classes=10, n=200, seed=3, batch=20, **more).estimation


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


def with_weights_at(onnx, location, model=None):
    """A model whose weights are said to lie in a file."""
    onnx_model = onnx.load_model_from_string(model) if model else None
    helper, kinds = onnx.helper, onnx.TensorProto
    if onnx_model is None:
        weight = onnx.numpy_helper.from_array(np.ones((64, 10), np.float32), "w")
        nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
        x, y = (helper.make_tensor_value_info(n, kinds.FLOAT, s) for n, s in (("x", ["N", 1, 8, 8]), ("y", ["N", 10])))
        opset = [helper.make_opsetid("", 17)]
        onnx_model = helper.make_model(helper.make_graph(nodes, "g", [x], [y], [weight]), opset_imports=opset, ir_version=8)
    tensor = onnx_model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = kinds.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return onnx_model.SerializeToString()


@with_onnx
def test_weights_beside_an_onnx_file_count_wherever_they_lie_in_its_folder(tmp_path):
    import onnx

    (tmp_path / "m.onnx").write_bytes(with_weights_at(onnx, "inside/w.bin"))
    (tmp_path / "inside").mkdir()
    found = []
    for value in (1.0, 2.0, 1.0):
        (tmp_path / "inside" / "w.bin").write_bytes(np.full((64, 10), value, np.float32).tobytes())
        loaded = models.load(str(tmp_path / "m.onnx"))
        np.testing.assert_allclose(loaded.model(X).numpy(), np.full((2, 10), 32.0 * value))
        found.append(loaded.sha256)
    assert found[0] == found[2] != found[1]
    with pytest.raises(ModelError, match="weights lie in other files: give the file's name"):
        models.from_onnx((tmp_path / "m.onnx").read_bytes())


@with_onnx
@pytest.mark.parametrize("location", ["../w.bin", "/etc/hostname", "a/../../w.bin", "..\\w.bin", "C:\\w.bin", "", "a\0b"])
def test_weights_outside_an_onnx_files_folder_are_not_read(tmp_path, location):
    import onnx

    (tmp_path / "w.bin").write_bytes(np.ones(640, np.float32).tobytes())
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "m.onnx").write_bytes(with_weights_at(onnx, location))
    with pytest.raises(ModelError, match="names weights outside its folder"):
        models.from_onnx(tmp_path / "inside" / "m.onnx")


@with_onnx
def test_weights_that_are_missing_or_no_file_are_named(tmp_path):
    import os

    import onnx

    (tmp_path / "m.onnx").write_bytes(with_weights_at(onnx, "w.bin"))
    with pytest.raises(ModelError, match="names weights in 'w.bin', which is not there"):
        models.from_onnx(tmp_path / "m.onnx")
    os.mkfifo(tmp_path / "w.bin")
    with pytest.raises(ModelError, match="which is a pipe"):
        models.from_onnx(tmp_path / "m.onnx")


@with_onnx
def test_operators_of_other_libraries_are_named(tmp_path, capfd):
    import onnx

    helper, kinds = onnx.helper, onnx.TensorProto
    x, y = (helper.make_tensor_value_info(name, kinds.FLOAT, ["N", 1, 8, 8]) for name in "xy")
    for operator, domain, said in (("Foo", "com.foo", "Foo"), ("EPContext", "com.microsoft", "compiled engine")):
        graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], domain=domain)], "g", [x], [y])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
        (tmp_path / "m.onnx").write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
        with pytest.raises(ModelError, match=said) as caught:
            models.from_onnx(tmp_path / "m.onnx")
        assert "\x1b" not in str(caught.value)
    assert capfd.readouterr().err == ""


@with_onnx
def test_every_way_of_cutting_an_onnx_file_short_is_one_sentence(onnx_file, tmp_path):
    whole = onnx_file(linear()).read_bytes()
    for length in range(0, len(whole) - 1, max(1, len(whole) // 40)):
        (tmp_path / "cut.onnx").write_bytes(whole[:length])
        with pytest.raises(ModelError):
            models.load(str(tmp_path / "cut.onnx"))


@with_onnx
def test_a_damaged_onnx_file_prints_nothing(onnx_file, capfd):
    file = onnx_file(linear())
    whole = file.read_bytes()
    place = whole.index(b"MatMul") if b"MatMul" in whole else whole.index(b"Gemm")
    capfd.readouterr()
    for damaged in (
        whole[:place] + b"\xff\xfe" + whole[place + 2 :],
        whole.replace(b"Gemm", b"Gemn").replace(b"MatMul", b"MatMal"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
            models.load(str(file))
    assert capfd.readouterr() == ("", "")


def training_network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 10)
    ).train()


def test_a_program_that_was_exported_in_training_mode_is_refused():
    program = torch.export.export(training_network(), (torch.rand(20, 1, 8, 8),))
    with pytest.raises(ModelError, match="depend on the others in its batch .* export in eval mode"):
        votes(models.from_exported(program))


@with_onnx
def test_an_onnx_file_that_was_exported_in_training_mode_is_refused(tmp_path):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter, which exports what is asked for
        torch.onnx.export(training_network(), (torch.rand(20, 1, 8, 8),), tmp_path / "m.onnx", dynamo=False,
                          training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False)  # fmt: skip
    with pytest.raises(ModelError, match="depend on the others in its batch .* export in eval mode"):
        votes(models.load(str(tmp_path / "m.onnx")).model)
