"""Base classifiers: built-in architectures, loading what users bring, and fingerprints."""

from .cifar_resnet import CifarResNet
from .fingerprint import fingerprint
from .loading import ARCHITECTURES, build, load
from .small_cnn import SmallCNN

__all__ = ["ARCHITECTURES", "CifarResNet", "SmallCNN", "build", "fingerprint", "load"]
