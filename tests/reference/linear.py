"""A base classifier of which everything is known: two classes, split by a hyperplane."""

import math

import torch


class Halfspace(torch.nn.Module):
    """Class 0 where w·x > threshold.  Smoothing does not move the boundary, so the exact radius is the distance to it."""

    def __init__(self, w, threshold):
        super().__init__()
        self.w = torch.nn.Parameter(torch.as_tensor(w, dtype=torch.float32))
        self.threshold = float(threshold)

    def forward(self, x):
        score = x.flatten(1) @ self.w - self.threshold
        return torch.stack([score, torch.zeros_like(score)], dim=1)

    def distance(self, x):
        """Signed distance of each image to the boundary, float64 [B]; positive on the side of class 0."""
        w = self.w.detach().double()
        return (x.double().flatten(1) @ w - self.threshold) / w.norm()

    def probability(self, x, sigma):
        """Exact probability of class 0 under N(0, sigma²) noise."""
        return torch.special.ndtr(self.distance(x) / sigma)


def random_halfspace(rng, dim):
    """Through the centre of the unit cube, so that images fall on both sides and near it."""
    w = rng.normal(size=dim)
    w /= math.sqrt((w**2).sum())
    return Halfspace(w, 0.5 * w.sum())
