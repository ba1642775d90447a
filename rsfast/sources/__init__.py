"""Where images come from.  A source gives float32 images [C, H, W] in [0, 1] with labels, and a fingerprint."""

from .base import Source, blocks, write_npy
from .loading import KINDS, is_folder, load

__all__ = ["KINDS", "Source", "blocks", "is_folder", "load", "write_npy"]
