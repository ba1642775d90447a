"""Folding batch norms."""

import pytest
import torch
from torch import nn

from rsfast.inference import Folded, fold_batch_norms, verify
from rsfast.models import CifarResNet, SmallCNN

from . import networks

# float32, a few hundred terms a sum and at most 20 layers: 1e-5 of the spread is some 100 roundings
CLOSE = 1e-5


def spread(logits):
    return float(logits.max() - logits.min())


@pytest.mark.parametrize(
    ("make", "shape", "count"),
    [
        (lambda: networks.settled(CifarResNet(20)), (3, 32, 32), 21),
        (networks.with_batch_norm_1d, networks.SHAPE, 1),
        (networks.depthwise, networks.SHAPE, 1),
        (networks.transposed, networks.SHAPE, 1),
        (networks.without_weights, networks.SHAPE, 1),
        (networks.shared_norm, networks.SHAPE, 2),
    ],
)
def test_a_folded_network_gives_the_same_logits(make, shape, count):
    torch.manual_seed(0)
    model = make()
    x = torch.randn(8, *shape)
    folded = fold_batch_norms(model)
    assert folded.count == count
    with torch.inference_mode():
        expected, got = model(x), folded.module(x)
    assert float((got - expected).abs().max()) <= CLOSE * spread(expected)
    assert not torch.equal(got, expected) or count == 0


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (SmallCNN, "no batch norm module"),
        (networks.without_statistics, "do not follow"),
        (networks.after_activation, "do not follow"),
        (networks.shared_layer, "do not follow"),
        (networks.read_twice, "do not follow"),
        (networks.weights_read, "do not follow"),
        (networks.functional, "do not run as modules"),
        (networks.untraceable, "torch.fx cannot trace it"),
        (lambda: nn.DataParallel(networks.depthwise()), "DataParallel"),
    ],
)
def test_what_cannot_be_folded_is_returned_as_it_was_with_the_reason(make, reason):
    model = make()
    folded = fold_batch_norms(model)
    assert folded.module is model and folded.count == 0
    assert reason in folded.reason


def test_a_module_with_hooks_is_left_alone():
    model = networks.depthwise()
    model[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    assert fold_batch_norms(model) == Folded(model, 0, "it has hooks, which tracing would lose")


def test_a_batch_norm_that_stays_is_counted():
    model = nn.Sequential(networks.depthwise(), networks.with_batch_norm_1d()[2:3])
    folded = fold_batch_norms(model)
    assert folded.count == 1
    assert folded.reason == "1 of 2 do not follow a convolution or linear layer of their own"


def test_folding_leaves_the_module_alone():
    torch.manual_seed(0)
    model = networks.settled(CifarResNet(20)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modules = dict(model.named_modules())
    folded = fold_batch_norms(model)
    folded.module(torch.randn(4, 3, 32, 32))
    assert dict(model.named_modules()) == modules
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in folded.module.modules())
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    ours = {parameter.data_ptr() for parameter in folded.module.parameters()}
    assert not ours & {parameter.data_ptr() for parameter in model.parameters()}


def test_a_folded_network_that_is_right_passes_verification():
    model = networks.depthwise()
    folded = fold_batch_norms(model)
    assert verify(folded, model, torch.randn(4, *networks.SHAPE)) is folded


def test_verification_finds_a_folded_network_that_tracing_changed():
    torch.manual_seed(0)
    model = networks.takes_types_for_granted()
    folded = fold_batch_norms(model)
    assert folded.count == 1
    verified = verify(folded, model, torch.randn(4, *networks.SHAPE))
    assert verified.module is model and verified.count == 0
    assert "folded logits differ by" in verified.reason


def test_verification_finds_a_folded_network_that_raises():
    model = networks.depthwise()
    verified = verify(Folded(nn.Linear(1, 1), 1), model, torch.randn(4, *networks.SHAPE))
    assert verified.module is model and verified.count == 0
    assert "raised RuntimeError" in verified.reason


def test_verification_finds_logits_that_are_not_numbers():
    model = networks.depthwise()
    folded = fold_batch_norms(model)
    with torch.no_grad():
        next(folded.module.parameters()).fill_(torch.nan)
    assert verify(folded, model, torch.randn(4, *networks.SHAPE)).count == 0
