"""Nearest neighbours by direct differences, and a training set that is only ever read in blocks."""

import numpy as np

from rsfast.sigma import NearestNeighbors


def pixels(training):
    training = np.asarray(training)
    return training.astype(np.float32) / np.float32(255) if training.dtype == np.uint8 else training


def brute(training, x, k):
    """Sorted distances [B, k] by direct differences in float64."""
    t, x = pixels(training).reshape(len(training), -1).astype(float), np.asarray(x).reshape(len(x), -1).astype(float)
    return np.sort([[np.sqrt(np.sum((row - image) ** 2)) for image in t] for row in x], axis=1)[:, :k]


def neighbours(training, **more):
    return NearestNeighbors(training, **{"base": 0.5, "k": 3, "m": 1.0, **more})


class Blocks:
    """A training set that is only ever read in blocks."""

    def __init__(self, images):
        self.images, self.shape, self.asked = images, images.shape[1:], 0

    def __len__(self):
        return len(self.images)

    def block(self, start, stop):
        self.asked = max(self.asked, stop - start)
        return self.images[start:stop]


def as_memory_map(images, folder):
    file = np.memmap(folder / "images", np.uint8, "w+", offset=5000, shape=images.shape)
    file[:] = images
    file.flush()
    return np.memmap(folder / "images", np.uint8, "r", offset=5000, shape=images.shape)
