"""Integer arithmetic: its scales come from the calibrating copies, its labels are compared on others, its file is what runs."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from torch import nn

import rsfast as rs
from rsfast import inference
from rsfast.errors import InvalidArgumentError, ModelError
from rsfast.inference import quantized
from rsfast.noise import GaussianParts

for name in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(name)

NOISE = rs.Gaussian(0.25)
SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    x = torch.from_numpy(data.images[:, None].astype(np.float32) / 16)
    return x, torch.from_numpy(data.target)


@pytest.fixture(scope="module")
def network(digits):
    """A small network that has learnt digits under noise."""
    x, y = digits
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(144, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        chosen = torch.randint(0, 1200, (128,))
        loss = nn.functional.cross_entropy(model(x[chosen] + 0.25 * torch.randn(128, *SHAPE)), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def calibration(digits):
    return rs.Calibration(digits[0][1200:1264], NOISE)


def classifier(network, calibration, **options):
    return rs.Classifier(network, num_classes=10, dtype="int8", runtime="onnxruntime", calibration=calibration, **options)


def test_it_chooses_nearly_the_same_classes_and_says_in_how_many_copies(network, calibration, digits):
    prepared = inference.prepare(
        network, SHAPE, dtype="int8", runtime="onnxruntime", fold=True, batch=200, calibration=calibration
    )
    card = prepared.record["int8"]
    assert prepared.dtype == "int8" and prepared.record["folded"] == 1
    assert 0.9 <= card["agreement"] <= 1 and card["calibration"]["compared"] == 2000
    x = digits[0][1300:1500] + 0.25 * torch.randn(200, *SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        integer, plain = prepared.model(x), network(x)
    assert float((integer.argmax(1) == plain.argmax(1)).float().mean()) > 0.9
    assert not torch.allclose(integer, plain, atol=1e-5)


def test_the_agreement_is_that_of_the_copies_that_set_no_scale(network, calibration):
    prepared = inference.prepare(network, SHAPE, dtype="int8", runtime="onnxruntime", batch=16, calibration=calibration)
    copies = torch.cat([*calibration.others(16)])
    assert len(copies) == calibration.compared
    with torch.inference_mode():
        same = [prepared.model(x).argmax(1) == network(x).argmax(1) for x in copies.split(16)]
    assert abs(float(torch.cat(same).float().mean()) - prepared.record["int8"]["agreement"]) <= 2 / 2000  # torch rounds otherwise


def test_the_file_holds_integers():
    import onnx

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    given = rs.Calibration(torch.rand(4, *SHAPE), NOISE, least=0.0)
    prepared = inference.prepare(model, SHAPE, dtype="int8", runtime="onnxruntime", batch=4, calibration=given)
    assert prepared.onnx is not None
    graph = onnx.load_model_from_string(prepared.onnx).graph
    assert sum(node.op_type == "DequantizeLinear" for node in graph.node) >= 4
    assert {one.data_type for one in graph.initializer} >= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}


def test_the_file_that_runs_is_read_back_with_the_same_logits(network, calibration, digits, tmp_path):
    prepared = inference.prepare(network, SHAPE, dtype="int8", runtime="onnxruntime", batch=32, calibration=calibration)
    (tmp_path / "net.onnx").write_bytes(prepared.onnx)
    x = digits[0][:32]
    assert torch.equal(rs.models.from_onnx(tmp_path / "net.onnx")(x), prepared.model(x))
    assert quantized.card_of(prepared.onnx) == prepared.record["int8"]


def test_calibrating_and_compared_copies_are_of_different_images(calibration):
    images = calibration.images
    quiet = rs.Calibration(images, rs.Gaussian(1e-6))
    seen = [min(range(64), key=lambda i, copy=copy: float((images[i] - copy).abs().max())) for copy in quiet.inputs()]
    others = [min(range(64), key=lambda i, copy=copy: float((images[i] - copy).abs().max())) for copy in next(quiet.others(64))]
    assert set(seen) == set(range(0, 64, 2)) and set(others) == set(range(1, 64, 2))


def test_a_calibration_keeps_its_images_when_those_that_were_given_change():
    images = torch.rand(4, 1, 2, 2)
    calibration = rs.Calibration(images, rs.Gaussian(0.25))
    before = calibration.sha256
    images.zero_()
    assert calibration.sha256 == before


def test_copies_are_normalised_and_split_as_the_model_is_shown_them():
    images, split = torch.rand(4, 1, 8, 8), rs.DiagonalSplit()
    given = rs.Calibration(images, GaussianParts((0.1, 0.2)), split, mean=(0.5,), std=(2.0,), copies=4, part=1)
    found = given.inputs()
    for row, image in enumerate([0, 2, 0, 2]):
        from rsfast.torch import add_noise

        expected = add_noise(
            images[image : image + 1], GaussianParts((0.1, 0.2)), seed=0, ids=[image], first=row // 2, copies=1,
            stream="calibration", transform=split, part=1, mean=(0.5,), std=(2.0,),
        )  # fmt: skip
        assert torch.equal(found[row], expected[0, 0])


def test_certificates_are_those_of_the_integer_network(network, calibration, digits):
    x, y = digits[0][1300:1306], digits[1][1300:1306]
    integer = classifier(network, calibration, batch=100)
    found = rs.certify(integer, x, noise=NOISE, n=1000, seed=0)
    assert found.counts.dtype == "int8" and json.loads(found.counts.versions["inference"])["int8"]
    prepared = inference.prepare(network, SHAPE, dtype="int8", runtime="onnxruntime", batch=100, calibration=calibration)
    given = rs.Classifier(prepared.model, num_classes=10, batch=100)
    by_hand = rs.certify(given, x, noise=NOISE, n=1000, seed=0, ids=range(6))
    assert (found.counts.estimation == by_hand.counts.estimation).all()
    assert (found.label == y.numpy()).mean() > 0.6


def test_normalisation_of_the_classifier_is_that_of_the_calibration(network, digits):
    shifted = nn.Sequential(rs.models.normalized.Normalized(nn.Identity(), [-0.03125], [0.25]), network)  # undoes it
    x = digits[0][1300:1304]
    plain = classifier(network, rs.Calibration(digits[0][1200:1264], NOISE), batch=50)
    normalised = classifier(shifted, rs.Calibration(digits[0][1200:1264], NOISE), batch=50, mean=[0.125], std=[4.0])
    votes = [rs.sample_counts(one, x, noise=NOISE, n=500, seed=0).estimation for one in (plain, normalised)]
    assert (abs(votes[0] - votes[1]).sum(axis=1) < 50).all()


def test_a_network_that_disagrees_is_refused_with_its_figure_unless_accepted():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 512), nn.Linear(512, 512), nn.Linear(512, 500))
    with torch.no_grad():
        model[2].weight[0] *= 3000  # one outlier takes all the scale of its tensor
    given = rs.Calibration(torch.rand(4, *SHAPE), NOISE)
    with pytest.raises(ModelError, match=r"chooses the same class in \d+\.\d% of 2000 noisy copies and 90% are asked for"):
        inference.prepare(model, SHAPE, dtype="int8", runtime="onnxruntime", batch=16, calibration=given)
    accepted = rs.Calibration(torch.rand(4, *SHAPE), NOISE, least=0.0)
    prepared = inference.prepare(model, SHAPE, dtype="int8", runtime="onnxruntime", batch=16, calibration=accepted)
    assert prepared.record["int8"]["agreement"] < 0.9 and prepared.record["int8"]["float_layers"] in (0, 2)


def test_what_was_quantized_is_read_by_the_next_process(network, calibration, monkeypatch, tmp_path):
    monkeypatch.setenv("RSFAST_CACHE_DIR", str(tmp_path))
    options = {"dtype": "int8", "runtime": "onnxruntime", "batch": 8, "fold": True, "calibration": calibration}
    first = inference.prepare(network, SHAPE, **options)

    def never(*_, **__):
        raise AssertionError("it was made again")

    monkeypatch.setattr(quantized, "made", never)
    monkeypatch.setattr(inference.preparation, "fold_batch_norms", never)
    monkeypatch.setattr(inference.preparation, "examine", never)
    again = inference.prepare(network, SHAPE, **options)
    assert again.onnx == first.onnx and again.record["int8"] == first.record["int8"]


def test_two_preparations_make_the_same_file(network, calibration, monkeypatch, tmp_path):
    found = []
    for name in "ab":
        monkeypatch.setenv("RSFAST_CACHE_DIR", str(tmp_path / name))
        found.append(inference.prepare(network, SHAPE, dtype="int8", runtime="onnxruntime", batch=8, calibration=calibration))
    assert found[0].record["int8"]["sha256"] == found[1].record["int8"]["sha256"]


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
def test_openvino_runs_the_same_file(network, calibration, digits):
    found = [
        inference.prepare(network, SHAPE, dtype="int8", runtime=runtime, batch=100, calibration=calibration)
        for runtime in ("onnxruntime", "openvino")
    ]
    assert found[0].onnx == found[1].onnx
    labels = [one.model(digits[0][:100]).argmax(1) for one in found]
    assert float((labels[0] == labels[1]).float().mean()) > 0.95


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"runtime": "onnxruntime"}, "dtype='int8' needs images that set its scales: give calibration=rsfast.Calibration"),
        ({"runtime": "torch", "calibration": True}, "dtype='int8' is nothing that runtime='torch' computes in: give runtime="),
        ({"runtime": "compile", "calibration": True}, "dtype='int8' is nothing that runtime='compile' computes in"),
    ],
)
def test_what_int8_lacks_is_said(network, calibration, options, sentence):
    options = {name: calibration if value is True else value for name, value in options.items()}
    with pytest.raises(InvalidArgumentError, match=sentence):
        inference.prepare(network, SHAPE, dtype="int8", **options)


@pytest.mark.parametrize(
    ("images", "options", "sentence"),
    [
        (torch.zeros(1, 1, 8, 8), {}, "give at least 2 floating-point images"),
        (torch.zeros(4, 8, 8), {}, r"calibration images are torch.float32 \[4, 8, 8\]"),
        (torch.zeros(4, 1, 8, 8, dtype=torch.uint8), {}, "calibration images are torch.uint8"),
        (torch.full((4, 1, 8, 8), torch.nan), {}, "hold NaN or infinity"),
        (torch.zeros(4, 1, 8, 8), {"compared": 100}, "compared=100"),
        (torch.zeros(4, 1, 8, 8), {"least": 1.5}, "least=1.5"),
    ],
)
def test_bad_calibrations_are_refused(images, options, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        rs.Calibration(images, NOISE, **options)


def test_a_calibration_of_something_else_is_refused(network):
    with pytest.raises(InvalidArgumentError, match="calibration is Tensor"):
        rs.Classifier(network, num_classes=10, dtype="int8", runtime="onnxruntime", calibration=torch.zeros(4, *SHAPE))


def test_auto_takes_what_runs_the_file_fastest(network, calibration):
    prepared = inference.prepare(network, SHAPE, dtype="int8", runtime="auto", batch=64, calibration=calibration)
    assert prepared.dtype == "int8" and prepared.record["runtime"] in ("onnxruntime", "openvino")
    assert set(prepared.record["measured"]["runtimes"]) == {"onnxruntime", "openvino"}
