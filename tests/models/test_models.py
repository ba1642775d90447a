"""Architectures, checkpoints, exported programs, fingerprints."""

import collections
import copy
import functools

import pytest
import torch
from safetensors.torch import save_file

from rsfast import models
from rsfast.errors import InvalidArgumentError, ModelError
from rsfast.models import build, fingerprint, load
from tests import flat


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("small-cnn", (1, 8, 8), None),
        ("cifar-resnet20", (3, 32, 32), 272_000),
        ("cifar-resnet110", (3, 32, 32), 1_730_000),
        ("resnet50", (3, 64, 64), 23_528_522),
    ],
)
def test_architectures_give_logits(name, shape, parameters):
    model = build(name, num_classes=7, channels=shape[0]).eval()
    with torch.inference_mode():
        assert model(torch.rand(2, *shape)).shape == (2, 7)
    if parameters is not None:
        assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters, rel=0.02)


def test_resnet_parameters_are_named_as_in_published_checkpoints():
    names = set(build("cifar-resnet20", num_classes=10, channels=3).state_dict())
    assert {"conv1.weight", "layer2.0.downsample.0.weight", "layer3.2.bn2.running_var", "fc.bias"} <= names


def states(model):
    state = model.state_dict()
    yield "plain.pt", state
    yield "nested.pth", {"arch": "x", "epoch": 3, "state_dict": state}
    yield "parallel.pt", {"state_dict": {f"module.{key}": value for key, value in state.items()}}
    yield "normalised.pt", {"state_dict": {f"1.module.{key}": value for key, value in state.items()}}


def test_checkpoints_in_their_usual_wrappings(tmp_path):
    torch.manual_seed(3)
    model = build("small-cnn", num_classes=4, channels=2)
    x = torch.rand(3, 2, 8, 8)
    save_file(model.state_dict(), tmp_path / "m.safetensors")
    files = ["m.safetensors"]
    for name, state in states(model):
        torch.save(state, tmp_path / name)
        files.append(name)
    loaded = [load("small-cnn", checkpoint=tmp_path / name, num_classes=4, channels=2) for name in files]
    for one in loaded:
        assert torch.equal(one.model(x), model(x))
        assert one.sha256 == loaded[0].sha256 == fingerprint(model)


def test_checkpoints_that_do_not_fit_are_refused(tmp_path):
    save_file(build("small-cnn", num_classes=4, channels=2).state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="does not fit small-cnn"):
        load("small-cnn", checkpoint=tmp_path / "m.safetensors", num_classes=5, channels=2)
    (tmp_path / "bad.safetensors").write_bytes(b"12345678nothing")
    with pytest.raises(ModelError, match="cannot be loaded as a checkpoint"):
        load("small-cnn", checkpoint=tmp_path / "bad.safetensors", num_classes=4, channels=2)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ModelError, match="does not hold a state dict"):
        load("small-cnn", checkpoint=tmp_path / "list.pt", num_classes=4, channels=2)


def test_a_pickle_with_code_in_it_is_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the checkpoint was executed",))

    torch.save({"state_dict": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load("small-cnn", checkpoint=tmp_path / "trap.pt", num_classes=4, channels=2)


def test_an_exported_program_runs(tmp_path):
    torch.manual_seed(0)
    model = build("small-cnn", num_classes=3, channels=1).eval()
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(model, (torch.rand(4, 1, 8, 8),), dynamic_shapes={"x": {0: batch}})
    torch.export.save(program, tmp_path / "m.pt2")
    loaded = load(str(tmp_path / "m.pt2"))
    x = torch.rand(7, 1, 8, 8)
    torch.testing.assert_close(loaded.model(x), model(x))
    (tmp_path / "bad.pt2").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="not a torch.export file"):
        load(str(tmp_path / "bad.pt2"))
    with pytest.raises(InvalidArgumentError, match="holds its own weights"):
        load(str(tmp_path / "m.pt2"), checkpoint="x")


def test_a_factory_takes_num_classes_if_it_wants_it():
    loaded = load("tests.reference.factories:pixels", num_classes=3)
    assert loaded.model(torch.rand(2, 1, 4, 4)).shape == (2, 3)
    assert load("tests.reference.factories:linear", num_classes=3).model(torch.rand(1, 1, 8, 8)).shape == (1, 10)


def test_fingerprints_change_with_weights_buffers_and_structure():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    same, weight, buffer = (copy.deepcopy(model) for _ in range(3))
    with torch.no_grad():
        weight[0].weight[0, 0, 0, 0] += 1e-6
        buffer[1].running_mean[1] += 1e-6
    wider = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.BatchNorm2d(2))
    wider.load_state_dict(model.state_dict())
    prints = [fingerprint(m) for m in (model, weight, buffer, wider, copy.deepcopy(model).to(torch.bfloat16))]
    assert fingerprint(same) == prints[0]
    assert len(set(prints)) == len(prints)


def test_fingerprints_of_functions_follow_their_code():
    assert fingerprint(lambda x: x + 1) != fingerprint(lambda x: x - 1)
    assert fingerprint(len, "a") != fingerprint(len, "b")


def test_fingerprints_of_functions_follow_the_modules_they_hold():
    def around(module):
        return lambda x: module(x)

    torch.manual_seed(0)
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert fingerprint(around(one)) == fingerprint(around(copy.deepcopy(one))) != fingerprint(around(other))


def test_libraries_that_are_missing_are_named():
    assert "small-cnn" in models.ARCHITECTURES
    with pytest.raises(ModelError, match=r"needs timm: pip install timm"):
        build("timm:vit_base", num_classes=10, channels=3)


class Scaled(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x * self.scale


class Buffered(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.register_buffer("value", torch.tensor(value), persistent=False)

    def forward(self, x):
        return x + self.value


class Held:
    def __init__(self, weights):
        self.weights = torch.tensor(weights)

    def __call__(self, x):
        return x * self.weights


def through_list(net):
    nets = [net]
    return lambda x: nets[0](x)


def linear(seed):
    torch.manual_seed(seed)
    return torch.nn.Linear(2, 2)


GLOBAL_NET = linear(0)


def uses_a_global(x):
    return GLOBAL_NET(x)


@pytest.mark.parametrize(
    "make",
    [
        Scaled,
        Buffered,
        Held,
        lambda k: linear(k).forward,
        lambda k: functools.partial(linear(k)),
        lambda k: functools.partial(torch.add, alpha=k),
        lambda k: through_list(linear(k)),
        lambda k: lambda x, k=k: x * k,
        lambda k: Held([float(k)]).__call__,
    ],
    ids=["attribute", "buffer", "object", "method", "partial", "argument", "list", "default", "bound"],
)
def test_fingerprints_see_what_a_model_holds(make):
    assert fingerprint(make(1)) == fingerprint(make(1)) != fingerprint(make(2))


def test_fingerprints_see_globals(monkeypatch):
    before = fingerprint(uses_a_global)
    monkeypatch.setitem(globals(), "GLOBAL_NET", linear(1))
    assert fingerprint(uses_a_global) != before


def test_fingerprints_follow_the_order_of_layers_and_ignore_the_mode():
    relu, bias = torch.nn.ReLU(), linear(0)
    one, other = (
        torch.nn.Sequential(collections.OrderedDict(pairs)) for pairs in ((("a", relu), ("b", bias)), (("b", bias), ("a", relu)))
    )
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one.eval()) == fingerprint(one.train())


def test_fingerprints_of_odd_callables_exist():
    def recursive(x):
        return recursive(x) if later else x

    assert fingerprint(recursive)
    later = True
    assert fingerprint(len)


def test_names_that_begin_like_a_prefix_load_as_they_are(tmp_path):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    torch.save(model.state_dict(), tmp_path / "m.pt")
    assert load("tests.reference.factories:linear", checkpoint=tmp_path / "m.pt").sha256 == fingerprint(model)


def test_an_exported_program_of_one_batch_size_certifies(tmp_path):
    import rsfast as rs

    model = build("small-cnn", num_classes=3, channels=1).eval()
    torch.export.save(torch.export.export(model, (torch.rand(16, 1, 8, 8),)), tmp_path / "m.pt2")
    call = {"noise": rs.Gaussian(0.25), "num_classes": 3, "n0": 10, "n": 60, "alpha": 0.01, "seed": 0, "batch": 16}
    x = torch.rand(2, 1, 8, 8)
    cert = flat.certify(load(str(tmp_path / "m.pt2")).model, x, **call)
    assert (cert.counts.estimation == flat.certify(model, x, **call).counts.estimation).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spec": None}, "spec=None"),
        ({"spec": "small_cnn"}, "did you mean small-cnn"),
        ({"spec": "x" * 5000}, "is not known"),
        ({"checkpoint": 3}, "checkpoint=3"),
        ({"num_classes": 0}, "num_classes=0 is not allowed"),
        ({"num_classes": "3"}, "num_classes='3' is not allowed"),
        ({"num_classes": 10**7}, r"is \(4, 256\) instead of \(10000000, 256\)"),
        ({"channels": 0}, "channels=0 is not allowed"),
        ({"channels": None}, "give num_classes and channels"),
        ({"trust": "no"}, "trust"),
        ({"weights": "m.pt"}, "did you mean 'checkpoint'|no argument 'weights'"),
    ],
)  # fmt: skip
def test_bad_arguments_of_load_are_one_sentence(tmp_path, change, said):
    torch.save(build("small-cnn", num_classes=4, channels=3).state_dict(), tmp_path / "m.pt")
    given = {"spec": "small-cnn", "checkpoint": tmp_path / "m.pt", "num_classes": 4, "channels": 3, **change}
    with pytest.raises((InvalidArgumentError, ModelError), match=said) as caught:
        load(**given)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("make", "arguments"),
    [(models.SmallCNN, (-1,)), (models.SmallCNN, (3, "a")), (models.CifarResNet, (21,)), (models.CifarResNet, ("a",)),
     (models.CifarResNet, (20, 0)), (models.CifarResNet, (20, 3, -1))],
)  # fmt: skip
def test_bad_arguments_of_architectures_are_one_sentence(make, arguments):
    with pytest.raises(InvalidArgumentError, match=r"is not allowed|is not 6 k \+ 2"):
        make(*arguments)
