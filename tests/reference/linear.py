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


class HalfspaceOfPart(torch.nn.Module):
    """Class 0 where the kept pixels v of a part have w·v > threshold.

    For "nearest" diagonals, whose shown image repeats each kept pixel twice along the row.  The sum of two such halves'
    probabilities of class 0 exceeds 1 exactly as long as distance_l / sigma_l + distance_r / sigma_r > 0, so that everything about
    dual smoothing of them is known.
    """

    def __init__(self, w, threshold):
        super().__init__()
        self.w = torch.nn.Parameter(torch.as_tensor(w, dtype=torch.float32))
        self.threshold = float(threshold)

    def forward(self, x):
        score = x[..., ::2].flatten(1) @ self.w - self.threshold
        return torch.stack([score, torch.zeros_like(score)], dim=1)

    def distance(self, v):
        """Signed distance of kept pixels v to the boundary."""
        w = self.w.detach().double()
        return float((v.double().flatten() @ w - self.threshold) / w.norm())


def dual_halves(rng, x, split, sigma, p):
    """(models, normals) for image x [C, H, W] whose two halves have class 0 with probabilities p under noise of levels sigma."""
    models, normals = [], []
    for part in (0, 1):
        v = x.flatten(1)[:, split.view(part, *x.shape[1:]).kept].double().flatten()
        w = rng.normal(size=len(v))
        w /= math.sqrt((w**2).sum())
        distance = sigma[part] * float(torch.special.ndtri(torch.tensor(p[part], dtype=torch.float64)))
        models.append(HalfspaceOfPart(w, float(v @ torch.from_numpy(w)) - distance))
        normals.append(torch.from_numpy(w))
    return models, normals


def moved(x, split, normals, steps):
    """x [C, H, W] moved against the normals of both halves by the given distances."""
    moved = x.double().flatten(1).clone()
    for part in (0, 1):
        kept = torch.from_numpy(split.view(part, *x.shape[1:]).kept).long()
        moved[:, kept] -= steps[part] * normals[part].reshape(len(x), -1)
    return moved.reshape(x.shape)
