"""Folding batch norms."""

import copy
import re

import pytest
import torch
from torch import nn

from rsfast import walk
from rsfast.inference import Folded, fold, fold_batch_norms
from rsfast.inference.joining import join
from rsfast.models import CifarResNet, SmallCNN

from . import networks

# float32, a few hundred terms a sum and at most 20 layers: 1e-5 of the spread is some 100 roundings
CLOSE = 1e-5


def inputs(shape=networks.SHAPE):
    return torch.randn(8, *shape, generator=torch.Generator().manual_seed(0))


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
        (networks.shared_layer, networks.SHAPE, 1),
        (networks.weights_read, networks.SHAPE, 1),
        (networks.functional, networks.SHAPE, 1),
        (networks.of_attributes, networks.SHAPE, 1),
        (networks.of_the_batch, networks.SHAPE, 1),
        (networks.of_its_dtype, networks.SHAPE, 1),
        (networks.takes_types_for_granted, networks.SHAPE, 1),
        (networks.Tokens, networks.SHAPE, 1),
        (lambda: networks.efficientnet_style(networks.StaticSame), networks.SHAPE, 4),
        (lambda: networks.efficientnet_style(networks.DynamicSame), networks.SHAPE, 4),
    ],
)
def test_a_folded_network_gives_the_same_logits(make, shape, count):
    torch.manual_seed(0)
    model = make()
    x = inputs(shape)
    folded = fold_batch_norms(model, x)
    assert (folded.count, folded.reason) == (count, None)
    with torch.inference_mode():
        for batch in (x, x[:1], torch.cat([x, -x[:3]]) + 1):
            expected, got = model(batch.clone()), folded.module(batch.clone())
            assert float((got - expected).abs().max()) <= CLOSE * spread(expected)
            assert not torch.equal(got, expected)
    assert not any("norm" in str(node.target) for node in folded.module.graph.nodes if node.op != "get_attr")


@pytest.mark.parametrize("follow", fold.WAYS.values())
@pytest.mark.parametrize(
    "make", [networks.depthwise, networks.transposed, networks.with_batch_norm_1d, networks.functional, networks.Tokens]
)
def test_either_way_to_follow_a_module_folds_it(follow, make, monkeypatch):
    monkeypatch.setattr(fold, "WAYS", {"this way": follow})
    torch.manual_seed(0)
    model, x = make(), inputs()
    folded = fold_batch_norms(model, x)
    assert (folded.count, folded.reason) == (1, None)
    with torch.inference_mode():
        assert float((folded.module(x) - model(x)).abs().max()) <= CLOSE * spread(model(x))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (SmallCNN, "no batch norm with running statistics"),
        (networks.without_statistics, "no batch norm with running statistics"),
        (networks.after_activation, "1 of 1 do not follow"),
        (networks.read_twice, "1 of 1 do not follow"),
        (networks.Rows, "1 of 1 do not follow"),
        (networks.named_like_methods, "1 of 1 do not follow"),
        (networks.untraceable, r"torch.fx cannot follow it \(TraceError: .*; torch.export cannot follow it \("),
        (lambda: nn.DataParallel(networks.depthwise()), "DataParallel"),
    ],
)
def test_what_cannot_be_folded_is_returned_as_it_was_with_the_reason(make, reason):
    model = make()
    folded = fold_batch_norms(model, inputs())
    assert folded.module is model and folded.count == 0
    assert re.search(reason, folded.reason)


def test_a_module_with_hooks_is_left_alone():
    model = networks.depthwise()
    model[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    assert fold_batch_norms(model, inputs()) == Folded(model, 0, "it has hooks, which following it would lose")


def test_a_batch_norm_that_stays_is_counted():
    model = nn.Sequential(networks.depthwise()[:2], nn.ReLU(), networks.settled(nn.BatchNorm2d(6)), networks.head(6))
    folded = fold_batch_norms(model, inputs())
    assert folded.count == 1
    assert folded.reason == "1 of 2 do not follow a convolution or linear layer of their own"


def test_a_layer_that_is_named_as_folded_ones_are_stays_itself(monkeypatch):
    """As in a network that was folded before, in part."""
    monkeypatch.setattr(fold, "WAYS", {"torch.fx": fold.WAYS["torch.fx"]})
    torch.manual_seed(0)
    model = networks.Custom(lambda self, x: self.folded_0(self.norm(self.conv(x))))
    model.folded_0 = nn.Conv2d(3, 3, 1)
    folded = fold_batch_norms(model, inputs())
    assert (folded.count, folded.reason) == (1, None)


def test_folding_leaves_the_module_alone():
    torch.manual_seed(0)
    model = networks.settled(CifarResNet(20)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modules = dict(model.named_modules())
    folded = fold_batch_norms(model, inputs((3, 32, 32)))
    folded.module(torch.randn(4, 3, 32, 32))
    assert dict(model.named_modules()) == modules
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in folded.module.modules())
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    ours = {parameter.data_ptr() for parameter in folded.module.parameters()}
    assert not ours & {parameter.data_ptr() for parameter in model.parameters()}


def test_a_network_that_following_changed_is_not_taken(monkeypatch):
    torch.manual_seed(0)
    model, x = networks.takes_types_for_granted(), inputs()
    monkeypatch.setattr(fold, "WAYS", {"torch.fx": fold.WAYS["torch.fx"]})
    folded = fold_batch_norms(model, x)
    assert folded.module is model and folded.count == 0
    assert re.match("torch.fx gives another network: its logits differ by .* of their spread", folded.reason)


@pytest.mark.parametrize(
    ("weights", "reason"), [(lambda own: own * torch.nan, "differ by inf"), (lambda own: own[:1], "raised RuntimeError")]
)
def test_a_network_that_folding_spoilt_is_not_taken(weights, reason, monkeypatch):
    def spoilt(traced, x):
        found = join(traced, x)
        first = next(traced.parameters())
        first.data = weights(first.data)
        return found

    monkeypatch.setattr(fold, "join", spoilt)
    model = networks.depthwise()
    folded = fold_batch_norms(model, inputs())
    assert folded.module is model and folded.count == 0
    assert reason in folded.reason


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_folded_network_can_be_cast(dtype):
    model, x = networks.of_its_dtype(), inputs()
    cast = fold_batch_norms(model, x).module.to(dtype)
    with torch.inference_mode():
        got, expected = cast(x.to(dtype)), model(x)
    assert got.dtype == dtype
    assert float((got - expected).abs().max()) <= 0.03 * spread(expected)  # of bfloat16, with 8 bits


def test_what_a_folded_network_is_made_of_is_the_same_in_each_copy_of_it():
    """Its name on disk is made from that."""
    folded = fold_batch_norms(networks.efficientnet_style(networks.DynamicSame), inputs())
    one, other = copy.deepcopy(folded.module), copy.deepcopy(folded.module)
    assert walk.digest(one) == walk.digest(other)
    assert not any(node.meta for node in one.graph.nodes)
