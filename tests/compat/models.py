"""Base classifiers for the shims."""

import numpy as np
import torch
from torch import nn


def linear(inputs=64, classes=10, seed=7):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes))


def cuts(probabilities, sigma=1.0):
    """Class k of an image of zeros has about probabilities[k] under noise of level sigma on its first pixel."""
    edges = torch.special.ndtri(torch.tensor(np.cumsum(probabilities)[:-1])) * sigma

    def model(x):
        place = torch.bucketize(x.flatten(1)[:, 0].double(), edges)
        return nn.functional.one_hot(place, len(probabilities)).float()

    return model


class Watched(nn.Module):
    """Remembers the largest batch that it was shown, and what it was shown where asked to."""

    def __init__(self, inside, keep=False):
        super().__init__()
        self.inside, self.keep, self.largest, self.shown = inside, keep, 0, []

    def drawn(self):
        """What it was shown but for the second batch, which asks whether copies are classified by themselves."""
        return [*self.shown[:1], *self.shown[2:]]

    def forward(self, x):
        self.largest = max(self.largest, len(x))
        if self.keep:
            self.shown.append(x.clone())
        return self.inside(x)
