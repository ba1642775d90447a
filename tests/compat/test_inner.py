"""Networks cut at a layer: certificates of an inner activation."""

import numpy as np
import pytest
import torch
from torch import nn

import rsfast as rs
from rsfast.errors import InvalidArgumentError, ModelError
from tests import flat

SIGMA = 0.5


class Text(nn.Module):
    """Embeds tokens [N, T] and classifies their masked mean; the length of the text adds to the logits by another branch."""

    def __init__(self, words=50, width=16, classes=3):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(words, width)
        self.body = nn.Sequential(nn.Linear(width, 32), nn.Tanh(), nn.Linear(32, classes))
        self.seen = []

    def forward(self, tokens, mask=None, scale=1.0):
        weight = torch.ones(tokens.shape) if mask is None else mask
        self.seen.append(tokens.shape)
        h = self.embedding(tokens)
        mean = (h * weight[..., None]).sum(dim=1) / weight.sum(dim=1, keepdim=True)
        return scale * self.body(mean) + 0.01 * weight.sum(dim=1, keepdim=True)


@pytest.fixture
def tokens(rng):
    return torch.from_numpy(rng.integers(0, 50, (4, 7)))


def test_head_and_tail_are_the_model(tokens):
    model = Text().eval()
    mask = (torch.arange(7) < torch.tensor([[7], [5], [3], [1]])).float()
    head, tail = rs.inner.split(model, "embedding")
    x = head(tokens, mask=mask)
    assert x.shape == (4, 1, 7, 16)
    for i in range(4):
        base = tail(tokens[i : i + 1], mask=mask[i : i + 1], scale=2.0)
        copies = x[i : i + 1].expand(5, -1, -1, -1)
        expected = model(tokens[i : i + 1], mask=mask[i : i + 1], scale=2.0).expand(5, -1)
        torch.testing.assert_close(base(copies), expected)


def test_certificates_of_a_text_are_sound_and_nearly_exact(tokens):
    """A linear body: the exact radius of the smoothed classifier is the distance of the embedding to the boundary."""
    model = Text(classes=2)
    model.body = nn.Linear(16, 2)
    head, tail = rs.inner.split(model, "embedding")
    normal = (model.body.weight[0] - model.body.weight[1]).detach().double() / 7  # of each position
    radii = []
    for i in range(4):
        x = head(tokens[i : i + 1])
        margin = float((x.double().sum(dim=(0, 1, 2)) @ normal) + (model.body.bias[0] - model.body.bias[1]).detach())
        exact = abs(margin) / float(normal.norm() * 7**0.5)
        cert = flat.certify(tail(tokens[i : i + 1]), x, noise=rs.Gaussian(SIGMA), num_classes=2, n=20_000, seed=1, ids=[i],
                          value_range=None, batch=2000)  # fmt: skip
        if not cert.abstained[0]:
            assert cert.label[0] == int(margin < 0)
            assert cert.radius[0] <= exact
            radii.append(cert.radius[0] / min(exact, 1.6))
    assert len(radii) >= 3
    assert max(radii) > 0.8


def test_a_replaced_word_within_the_radius_keeps_the_answer(tokens):
    model = Text(classes=2)
    head, tail = rs.inner.split(model, model.embedding)
    with torch.no_grad():
        model.embedding.weight[1] = model.embedding.weight[0] + 0.01  # a synonym
    text = tokens[:1].clone()
    text[0, 2] = 0
    other = text.clone()
    other[0, 2] = 1
    cert = flat.certify(tail(text), head(text), noise=rs.Gaussian(SIGMA), num_classes=2, n=2000, seed=1, value_range=None)
    assert not cert.abstained[0]
    assert float((head(other) - head(text)).norm()) < cert.radius[0]
    answer = flat.predict(tail(other), head(other), noise=rs.Gaussian(SIGMA), num_classes=2, n=2000, seed=2, value_range=None)
    assert answer[0] == cert.label[0]


def test_the_layer_is_not_computed_again_and_comes_back(tokens):
    model = Text()
    calls = []
    model.embedding.register_forward_hook(lambda *_: calls.append(None))
    original = model.embedding.weight.clone()
    base = rs.inner.split(model, "embedding")[1](tokens[:1])
    table, model.embedding.weight = model.embedding.weight, nn.Parameter(torch.full_like(original, float("nan")))
    assert torch.isfinite(base(torch.zeros(3, 1, 7, 16))).all()
    model.embedding.weight = table
    assert "forward" not in model.embedding.__dict__
    assert torch.equal(model.embedding(tokens), nn.functional.embedding(tokens, table))


def test_the_layer_comes_back_after_an_error(tokens):
    model = Text()
    base = rs.inner.split(model, "embedding")[1](tokens[:1])
    with pytest.raises(RuntimeError):
        base(torch.zeros(3, 1, 7, 15))
    assert "forward" not in model.embedding.__dict__


def test_hooks_on_the_layer_apply_once(tokens):
    model = Text().eval()
    model.embedding.register_forward_hook(lambda _, __, h: 2 * h)
    head, tail = rs.inner.split(model, "embedding")
    torch.testing.assert_close(tail(tokens[:1])(head(tokens[:1])), model(tokens[:1]))


def test_a_sequential_is_cut_so_that_layers_before_are_not_run_again():
    ran = []

    class Slow(nn.Identity):
        def forward(self, x):
            ran.append(len(x))
            return x

    model = nn.Sequential(Slow(), nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 4)).eval()
    x = torch.rand(2, 3, 2, 2)
    head, tail = rs.inner.split(model, "2")
    h = head(x)
    assert h.shape == (2, 1, 1, 5)
    base = tail(x[:1])
    ran.clear()
    torch.testing.assert_close(base(h[:1].expand(3, -1, -1, -1)), model(x[:1]).expand(3, -1))
    assert ran == [1]  # by the model itself, in this assertion


@pytest.mark.parametrize(("shape", "image"), [((6,), (1, 1, 6)), ((2, 3, 4), (2, 3, 4)), ((2, 2, 3, 2), (1, 1, 24))])
def test_activations_of_any_shape_become_images(shape, image):
    size = int(np.prod(shape))
    model = nn.Sequential(nn.Unflatten(1, shape) if len(shape) > 1 else nn.Identity(), nn.Flatten(), nn.Linear(size, 3)).eval()
    x = torch.rand(2, size)
    head, tail = rs.inner.split(model, "0")
    assert head(x).shape == (2, *image)
    torch.testing.assert_close(tail(x[1:])(head(x)[1:]), model(x[1:]))


def test_dropout_is_off_in_head_and_tail_and_modes_come_back(tokens):
    model = Text()
    model.body.insert(1, nn.Dropout(0.9))
    model.train()
    head, tail = rs.inner.split(model, "embedding")
    x = head(tokens[:1])
    counts = flat.sample_counts(tail(tokens[:1]), x, noise=rs.Gaussian(1e-6), num_classes=3, n=50, n0=0, seed=1, value_range=None)
    assert counts.estimation.max() == 50
    assert model.training


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.unused, self.pair = nn.Linear(4, 4), nn.Linear(4, 4), nn.LSTM(4, 4, batch_first=True)

    def forward(self, x):
        return self.layer(self.layer(x)) + self.pair(x[:, None])[0][:, 0]


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [("layer", "calls the layer 2 times"), ("unused", "calls the layer 0 times"), ("pair", "the layer returns tuple")],
)
def test_a_layer_that_cannot_be_cut_is_named(layer, sentence):
    head, _ = rs.inner.split(Shared(), layer)
    with pytest.raises(ModelError, match=sentence):
        head(torch.zeros(2, 4))


def test_mistakes_are_one_sentence(tokens):
    with pytest.raises(InvalidArgumentError, match="layer 'embed' is not inside the model: give one of embedding, body"):
        rs.inner.split(Text(), "embed")
    with pytest.raises(InvalidArgumentError, match="Linear is not inside the model"):
        rs.inner.split(Text(), nn.Linear(3, 3))
    with pytest.raises(InvalidArgumentError, match="model is function"):
        rs.inner.split(lambda x: x, "a")
    with pytest.raises(InvalidArgumentError, match="give one input, first axis 1"):
        rs.inner.split(Text(), "embedding")[1](tokens)
    with pytest.raises(ModelError, match="the model raised IndexError"):
        rs.inner.split(Text(), "embedding")[0](tokens + 1000)
