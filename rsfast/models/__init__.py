"""Base classifiers: built-in architectures, loading what users bring, and fingerprints."""

from .cifar_resnet import CifarResNet
from .exported import from_exported, from_onnx
from .fingerprint import fingerprint
from .loading import ARCHITECTURES, LoadedModel, build, load, named, together
from .small_cnn import SmallCNN

__all__ = [
    "ARCHITECTURES",
    "CifarResNet",
    "LoadedModel",
    "SmallCNN",
    "build",
    "fingerprint",
    "from_exported",
    "from_onnx",
    "load",
    "named",
    "together",
]
