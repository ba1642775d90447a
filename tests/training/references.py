"""The objectives once more, each from its paper's formula, on copies that were drawn before: slow and obvious."""

import math

import torch
from torch.nn import functional


def augmentation(model, copies, y):
    return sum(functional.cross_entropy(model(copy), y) for copy in copies) / len(copies)


def stability(model, x, copies, y, gamma):
    clean = model(x).softmax(1)
    pulled = sum(-(clean * model(copy).log_softmax(1)).sum(1).mean() for copy in copies) / len(copies)
    return functional.cross_entropy(model(x), y) + gamma * pulled


def consistency(model, copies, y, lam, eta):
    softmax = [model(copy).softmax(1) for copy in copies]
    mean = sum(softmax) / len(softmax)
    kl = sum((mean * (mean.log() - one.log())).sum(1) for one in softmax) / len(softmax)
    entropy = -(mean * mean.log()).sum(1)
    return augmentation(model, copies, y) + (lam * kl + eta * entropy).mean()


def macer(model, copies, y, sigma, lam, gamma, beta):
    normal = torch.distributions.Normal(0.0, 1.0)
    logits = torch.stack([model(copy) for copy in copies], 1)
    total = -logits.softmax(2).mean(1)[range(len(y)), y].log().sum()
    for probabilities, label in zip((beta * logits).softmax(2).mean(1), y, strict=True):
        (first, second), (answer, _) = probabilities.topk(2)
        gap = normal.icdf(first) - normal.icdf(second)  # twice the radius over sigma
        if answer == label and math.isfinite(gap.item()) and gap <= gamma:
            total = total + lam * sigma / 2 * (gamma - gap)
    return total / len(y)


def soft_loss(model, x, noises, y):
    """-log of the averaged probability, summed over the batch."""
    return -(sum(model(x + noise).softmax(1) for noise in noises) / len(noises))[range(len(y)), y].log().sum()


def slope(loss, x):
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(loss(x), x)[0]


def unit(g):
    return g / g.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)


def smooth_pgd(model, x, noises, y, epsilon, steps):
    delta = torch.zeros_like(x)
    for _ in range(steps):
        delta = delta + 2 * epsilon / steps * unit(slope(lambda at: soft_loss(model, at, noises, y), x + delta))
        delta = ((x + delta).clamp(0, 1) - x).renorm(p=2, dim=0, maxnorm=epsilon)
    return augmentation(model, [x + delta + noise for noise in noises], y)


def smooth_ddn(model, x, noises, y, epsilon, steps, gamma):
    best = torch.zeros_like(x)
    for b in range(len(x)):
        image, label, delta, norm, least = x[b : b + 1], y[b : b + 1], torch.zeros_like(x[:1]), epsilon, math.inf
        for i in range(1, steps + 1):
            here = image + delta
            votes = torch.stack([model(here + noise[b : b + 1]).argmax(1) for noise in noises]).mode(0).values
            wrong, length = bool(votes != label), float(delta.norm())
            if wrong and length < least:
                best[b : b + 1], least = delta, length
            g = slope(lambda at, b=b, label=label: soft_loss(model, at, [noise[b : b + 1] for noise in noises], label), here)
            delta = delta + (0.01 + 0.99 / 2 * (1 + math.cos(math.pi * i / steps))) * unit(g)
            norm = min(norm * (1 - gamma if wrong else 1 + gamma), float(torch.maximum(image, 1 - image).norm()))
            delta = (image + delta * norm / delta.norm()).clamp(0, 1) - image
    attacked = x + best.renorm(p=2, dim=0, maxnorm=epsilon)
    return augmentation(model, [attacked + noise for noise in noises], y)


def smooth_mix(model, x, noises, y, eta, alpha, steps, share):
    far = x
    for _ in range(steps):
        far = (far + alpha * unit(slope(lambda at: soft_loss(model, at, noises, y), far))).clamp(0, 1)
    mean = sum(model(x + noise).softmax(1) for noise in noises) / len(noises)
    u = share.reshape(-1, 1)
    target = (1 - u) * mean + u / mean.shape[1]
    mixed = (1 - u[..., None, None]) * x + u[..., None, None] * far
    right = (mean.argmax(1) == y).float()
    kl = sum((target * (target.log() - model(mixed + noise).log_softmax(1))).sum(1) for noise in noises) / len(noises)
    return augmentation(model, [x + noise for noise in noises], y) + eta * (right * kl).mean()


def trades(model, x, y, start, weight, epsilon, steps, step):
    clean, there = model(x).softmax(1).detach(), x + start
    for _ in range(steps):
        g = slope(lambda at: (clean * (clean.log() - model(at).log_softmax(1))).sum(), there)
        there = torch.clamp(torch.minimum(torch.maximum(there + step * g.sign(), x - epsilon), x + epsilon), 0, 1)
    p = model(x).softmax(1)
    return functional.cross_entropy(model(x), y) + weight * (p * (p.log() - model(there).log_softmax(1))).sum(1).mean()


def madry(model, x, y, start, epsilon, steps, step):
    there = (x + start).clamp(0, 1)
    for _ in range(steps):
        g = slope(lambda at: functional.cross_entropy(model(at), y, reduction="sum"), there)
        there = torch.clamp(torch.minimum(torch.maximum(there + step * g.sign(), x - epsilon), x + epsilon), 0, 1)
    return functional.cross_entropy(model(there), y)
