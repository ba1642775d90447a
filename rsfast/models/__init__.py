"""Base classifiers: built-in architectures, loading what users bring, and fingerprints."""

from .checkpoints import load_checkpoint
from .cifar_resnet import CifarResNet
from .denoised import Denoised
from .exported import from_exported, from_onnx
from .fingerprint import fingerprint
from .loading import ARCHITECTURES, LoadedModel, build, load, named, together, warn_of_what_came_before
from .normalized import Normalized
from .own_classes import own_classes
from .small_cnn import SmallCNN

__all__ = [
    "ARCHITECTURES",
    "CifarResNet",
    "Denoised",
    "LoadedModel",
    "Normalized",
    "SmallCNN",
    "build",
    "fingerprint",
    "from_exported",
    "from_onnx",
    "load",
    "load_checkpoint",
    "named",
    "own_classes",
    "together",
    "warn_of_what_came_before",
]
