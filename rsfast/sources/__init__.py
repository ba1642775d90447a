"""Where images come from.  A source gives images [C, H, W] in [0, 1] with labels, and a fingerprint."""

from .base import Source, blocks, write_npy
from .files import kind_of
from .loading import KINDS, SOURCES, WITH_SPLITS, has_class_folders, is_folder, load

__all__ = [
    "KINDS",
    "SOURCES",
    "WITH_SPLITS",
    "Source",
    "blocks",
    "has_class_folders",
    "is_folder",
    "kind_of",
    "load",
    "write_npy",
]
