"""What a model returns is understood, or refused with what to do, wherever a model is run."""

import collections
import dataclasses
import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

import rsfast as rs
from rsfast import inference
from rsfast.compat.locuslab.core import Smooth
from rsfast.errors import InvalidArgumentError, ModelError
from tests import flat

X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
CALL = {"noise": rs.Gaussian(0.25), "num_classes": 4, "n0": 10, "n": 90, "seed": 1, "batch": 20}


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    hidden: str = "more"


class Ordered(collections.OrderedDict):
    """As of the transformers library: a mapping that shows its keys as attributes."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


Named = collections.namedtuple("Named", ["logits", "aux"])

FORMS = {
    "object": Output,
    "mapping": lambda z: {"loss": None, "logits": z},
    "ordered": lambda z: Ordered(loss=z.sum(), logits=z),
    "named": lambda z: Named(z, z * 0),
    "tuple": lambda z: (z, torch.zeros(3)),
    "list": lambda z: [z],
    "distribution": lambda z: torch.distributions.Categorical(logits=z, validate_args=False),
}


class Wrapped(nn.Module):
    def __init__(self, form):
        super().__init__()
        torch.manual_seed(0)
        self.form = form
        self.inside = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4)).eval()

    def forward(self, x):
        return self.form(self.inside(x))


@pytest.fixture
def votes():
    return flat.sample_counts(Wrapped(lambda z: z), X, **CALL).estimation


@pytest.mark.parametrize("form", FORMS)
def test_logits_inside_something_else_are_taken(form, votes):
    model = Wrapped(FORMS[form])
    np.testing.assert_array_equal(flat.sample_counts(model, X, **CALL).estimation, votes)
    np.testing.assert_array_equal(flat.sample_counts(lambda x: model(x), X, **CALL).estimation, votes)
    assert rs.predict(model, X, noise=rs.Gaussian(0.25), num_classes=4, n=20, seed=1).shape == (2,)
    np.testing.assert_array_equal(
        Smooth(model, 4, 0.25, seed=1)._sample_noise(X[0], 90, 20),
        Smooth(Wrapped(lambda z: z), 4, 0.25, seed=1)._sample_noise(X[0], 90, 20),
    )


@pytest.mark.parametrize("form", ["object", "mapping", "tuple", "named"])
def test_logits_inside_something_else_are_taken_where_a_model_is_prepared(form, votes):
    folded = flat.sample_counts(Wrapped(FORMS[form]), X, fold=True, **CALL)
    assert np.abs(folded.estimation - votes).sum() <= 4
    prepared = inference.prepare(Wrapped(FORMS[form]), (3, 8, 8), fold=True, dtype="auto", batch="auto", seconds=0, total=40)
    assert prepared.record["folded"] == 1
    if form == "mapping" and importlib.util.find_spec("onnxscript") and importlib.util.find_spec("onnxruntime"):
        run = flat.sample_counts(Wrapped(FORMS[form]), X, runtime="onnxruntime", **CALL)
        assert np.abs(run.estimation - votes).sum() <= 4


@pytest.mark.skipif(not all(map(importlib.util.find_spec, ("onnxruntime", "onnxscript"))), reason="an extra")
def test_a_runtime_returns_float64_logits_as_they_are():
    class Close(nn.Module):
        def forward(self, x):
            one = x.flatten(1)[:, :1].double() * 0 + 1
            return torch.cat([one, one + one / 2**20 / 2**20], 1)  # exporters leave out what is tiny

    counts = flat.sample_counts(Close(), X, runtime="onnxruntime", **CALL | {"num_classes": 2})
    assert counts.estimation.tolist() == [[0, 90]] * 2


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        (lambda z: z.numpy(), r"returned a NumPy array \[20, 4\] for a batch of 20.* Return torch.from_numpy\(logits\)"),
        (lambda z: (z.sum(), z), r"returned tuple of \[\], \[20, 4\] for .* give lambda x: model\(x\)\[1\]"),
        (lambda z: {"loss": 0, "out": z}, r"returned dict with 'loss', 'out' for .* give lambda x: model\(x\)\['out'\]"),
        (lambda z: {}, "returned dict with nothing"),
        (lambda z: [], "returned list of nothing"),
        (lambda z: None, "returned NoneType for a batch of 20"),
        (lambda z: "ok", "returned str"),
        (lambda z: list(z), r"returned list of \[4\], \[4\], \[4\], …"),
        (
            lambda z: z[:, 0],
            r"returned \[20\] for .* return torch.stack\(\[-z, z\], 1\), of a probability p torch.stack\(\[1 - p",
        ),
        (lambda z: z[:3], r"returned \[3, 4\] for a batch of 20: it must return logits \[20, 4\]"),
        (lambda z: z[..., None], r"returned \[20, 4, 1\]"),
        (lambda z: z.argmax(1), r"returned \[20\]"),
        (lambda z: z.long(), "returned torch.int64: it must return floating-point logits"),
        (lambda z: z.to(torch.complex64), "returned torch.complex64"),
        (lambda z: z.to_sparse(), r"returned sparse logits: return logits.to_dense\(\)"),
        (lambda z: z.to("meta"), "logits on meta for input on cpu"),
        (lambda z: z[:, :3], "returns 3 logits an image and num_classes=4: give num_classes=3"),
        (lambda z: z[:, :1], r"returns 1 logits an image and num_classes=4: one logit is not two classes"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(form, sentence):
    inside = Wrapped(lambda z: z)
    with pytest.raises(ModelError, match=sentence):
        flat.certify(lambda x: form(inside(x)), X, **CALL)
    with pytest.raises(ModelError, match=sentence):
        Smooth(lambda x: form(inside(x)), 4, 0.25).certify(X[0].expand(3, 8, 8), 20, 20, 0.001, None)


@pytest.mark.parametrize("number", [1, np.int64(1), True])
def test_one_class_is_refused_with_how_to_return_two(number):
    model = lambda x: x.flatten(1)[:, :1]  # noqa: E731
    call = {"noise": rs.Gaussian(0.25), "num_classes": number}
    for function in (rs.certify, rs.sample_counts, rs.predict):
        with pytest.raises(InvalidArgumentError, match="num_classes="):
            function(model, X, n=100, **call)
    with pytest.raises(InvalidArgumentError, match="num_classes="):
        Smooth(model, number, 0.25).certify(X[0], 10, 100, 0.001, 20)


def test_what_the_sentence_about_one_class_says_works():
    inside = Wrapped(lambda z: z[:, :1])
    with pytest.raises(InvalidArgumentError, match=r"num_classes=1, .* torch.cat\(\[-z, z\], 1\)"):
        flat.certify(inside, X, **CALL | {"num_classes": 1})
    with pytest.raises(ModelError, match=r"1 logits an image and num_classes=2: .* torch.cat\(\[-z, z\], 1\)"):
        flat.certify(inside, X, **CALL | {"num_classes": 2})
    counts = flat.sample_counts(lambda x: torch.cat([-inside(x), inside(x)], 1), X, **CALL | {"num_classes": 2})
    assert counts.estimation.sum(axis=1).tolist() == [90, 90]


def test_a_property_that_raises_is_the_models_own_error():
    class Broken:
        @property
        def logits(self):
            raise RuntimeError("not computed yet")

    with pytest.raises(ModelError, match="not computed yet"):
        flat.certify(lambda x: Broken(), X, **CALL)
    with pytest.raises(ModelError, match="not computed yet"):
        inference.prepare(lambda x: Broken(), (3, 8, 8))
