"""The smallest flip that attacks find around each image, each one checked by fresh noise."""

from __future__ import annotations

import dataclasses
import math
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from .. import checks
from ..api import certify, predict
from ..counting.classifier import Classifier
from ..counting.count import sample_counts
from ..errors import InvalidArgumentError
from ..hints import explained
from ..names import ATTACKS
from ..request import ABSTAIN
from . import steps as moves
from .gradients import carlini_wagner, check_norm, ddn, pgd
from .smoothed import Smoothed
from .steps import Range

IN_L2 = ("ddn", "cw")
LOOKS = (0.005, 0.005, 0.01, 0.01, 0.02, 0.02, 0.04, 0.08, 0.1, 0.1)
"""Votes at each halving of the way to a flip, as shares of the check's n: the nearer to the boundary, the more."""
LEAST = 500
"""Votes at every look, at least."""
BALLS = ((1.0, 2.0, 4.0), (0.98,))  # of PGD, times the distance guessed, and then times that found
MOST_CANDIDATES = 6  # four balls of PGD, DDN, C&W
OUTWARD = (1.0, 1.01, 1.02, 1.04, 1.08, 1.16, 1.32)
"""How far beyond the boundary that was found a flip is checked, until one is sure."""
FARTHEST = 8.0


@dataclasses.dataclass(frozen=True, eq=False)
class Flips:
    """Flips are the nearest images found that the smoothed classifier answers otherwise.

    Attributes
    ----------
    distance : float64 [B]
        From x, in `norm`; inf where no attack found a flip that its check confirmed.
    label : int64 [B]
        The answer there; ABSTAIN (-1) where none was found.
    images : float32 [B, C, H, W]
        The flips; x where none was found.
    attack : tuple of str
        Which attack found each; "" for none.
    norm : float
    n, alpha
        The check: each flip is one but for a probability alpha, from n draws that no attack has seen.
    seed : int
        From which the seed of each check is counted.
    """

    distance: np.ndarray
    label: np.ndarray
    images: torch.Tensor
    attack: tuple[str, ...]
    norm: float
    n: int
    alpha: float
    seed: int

    def __len__(self) -> int:
        return len(self.distance)

    def inside(self, radius: object) -> np.ndarray:
        """Say which flips lie inside of balls of these radii [B]: each is a certificate that failed."""
        return np.asarray(self.distance < np.asarray(radius, dtype=np.float64))


@explained
def smallest_flips(
    smoothed: Smoothed, x: torch.Tensor, labels: Sequence[int] | np.ndarray, *, num_classes: int, norm: float = 2,
    attacks: Sequence[str] = ATTACKS, steps: int = 200, guess: float | Sequence[float] | np.ndarray = 0.5, n: int = 100_000,
    alpha: float = 1e-3, seed: int | None = None, value_range: Range = None, ids: Sequence[int] | None = None,
    classifier: Classifier | None = None,
) -> Flips:  # fmt: skip
    """Find the smallest flip of each image, by several attacks, and check it with fresh noise.

    Every attack gives a direction.  Along it the boundary is bisected by votes.  What lies just behind it is a flip if n fresh
    draws, of a seed that no attack has seen, say so at level alpha: `rsfast.predict`, or for split images `rsfast.certify`.

    Parameters
    ----------
    smoothed : Smoothed
        What is attacked.
    x : tensor, float [B, C, H, W]
        Images.
    labels : int [B]
        The smoothed classifier's answers, as certified: a flip is any other answer.
    num_classes : int
        K.
    norm : float
        1, 2 or inf: how distances are measured.
    attacks : sequence of str
        "pgd" in every norm; "ddn" and "cw" look in l2, and are left out in other norms.
    steps : int
        Of each attack, at least 200 for attacks that are to mean something.
    guess : float, or one for each image
        A distance to begin with, such as 1.2 times the certified radius.
    n, alpha
        The check.
    seed : int, optional
        Of the check; None draws a fresh one.
    value_range : (low, high), optional
        Where flips must lie.  Default: anywhere, as certificates hold anywhere.
    ids : sequence of int, optional
        Of the noise, default 0 … B - 1.
    classifier : Classifier, optional
        Who votes along the way and in the check, where what was certified runs in another way than `smoothed.model` does (in
        bfloat16, for instance).  Its value_range must be None.

    Returns
    -------
    Flips

    Raises
    ------
    InvalidArgumentError
        An attack or a norm that is not known; for noise on a lattice, images that are not on it.

    Notes
    -----
    An attack that finds nothing proves nothing.  A flip inside of a certified ball proves that the certificate is wrong, but for
    the probabilities alpha of the check and of the certificate.
    """
    norm, names = check_norm(norm), [checks.choice("attacks", name, ATTACKS) for name in attacks]
    x = x.detach().to(torch.float32)
    y = torch.as_tensor(np.asarray(labels, dtype=np.int64), device=x.device)
    if y.shape != (len(x),) or not bool(((y >= 0) & (y < num_classes)).all()):
        raise InvalidArgumentError(f"labels are not {len(x)} classes from 0 to {num_classes - 1}: leave out what abstained.")
    numbers = list(range(len(x))) if ids is None else [int(one) for one in ids]
    if classifier is None:
        models = smoothed.models if smoothed.transform.parts > 1 else smoothed.models[0]
        device = x.device if not len(smoothed.held) else None
        classifier = Classifier(
            models, num_classes=num_classes, mean=smoothed.mean, std=smoothed.std, value_range=None, device=device
        )
    search = _Search(smoothed, x, y, norm, classifier, numbers, value_range)
    near = np.broadcast_to(np.maximum(np.asarray(guess, dtype=np.float64), 1e-6), (len(x),)).copy()
    seed = secrets.randbits(63) if seed is None else checks.whole("seed", seed, 0, 2**64 - 1)
    found = Flips(
        np.full(len(x), math.inf), np.full(len(x), ABSTAIN, dtype=np.int64), x.clone(), ("",) * len(x), norm, n, alpha, seed
    )
    for name in names:
        if name in IN_L2 and norm != 2.0:
            continue
        for factors in BALLS if name == "pgd" else BALLS[:1]:
            for candidate in search.candidates(name, steps, near, factors):
                found = search.confirmed(name, search.shortened(candidate, n), found)
            near = np.where(np.isfinite(found.distance), found.distance, near)
    return found


class _Search:
    """Candidates, the way to each, and checks, for images that are attacked together."""

    def __init__(
        self,
        smoothed: Smoothed,
        x: torch.Tensor,
        y: torch.Tensor,
        norm: float,
        classifier: Classifier,
        ids: list[int],
        value_range: Range,
    ) -> None:
        self.smoothed, self.x, self.y, self.norm, self.ids, self.value_range = smoothed, x, y, norm, ids, value_range
        self.classifier = classifier
        self.looks = self.checks = 0

    def candidates(self, name: str, steps: int, near: np.ndarray, factors: Sequence[float]) -> Iterator[torch.Tensor]:
        """Attacked images; PGD's balls have `near` times the first factor for radius, times the next where that finds nothing."""
        common: dict[str, Any] = {"steps": steps, "value_range": self.value_range, "ids": self.ids}
        if name == "ddn":
            yield ddn(self.smoothed, self.x, self.y, first=float(np.median(near)), **common)
        elif name == "cw":
            yield carlini_wagner(self.smoothed, self.x, self.y, **common)
        else:
            radius, rows = torch.as_tensor(near, dtype=torch.float32, device=self.x.device), np.arange(len(near))
            for factor in factors:
                at, common["ids"] = self._rows(rows), [self.ids[i] for i in rows]
                made = pgd(self.smoothed, self.x[at], self.y[at], epsilon=factor * radius[at], norm=self.norm, **common)
                whole = self.x.clone()
                whole[at] = made
                yield whole
                rows = rows[~self.smoothed.slope(made, self.y[at], common["ids"]).wrong.cpu().numpy()]
                if not rows.size:
                    return

    def over(self, images: torch.Tensor, rows: np.ndarray, share: float, n: int) -> np.ndarray:
        """Whether most votes over images of some rows, not surely, are for another class than y: bool."""
        self.looks += 1
        seed = (self.smoothed.seed + self.looks) % 2**64
        votes = sample_counts(
            self.classifier, images[self._rows(rows)], noise=self.smoothed.noise, transform=self.smoothed.transform, n0=1,
            n=max(LEAST, int(share * n)), seed=seed, ids=[self.ids[i] for i in rows],
        ).estimation  # fmt: skip
        return np.asarray((votes if votes.ndim == 2 else votes.sum(axis=1)).argmax(axis=1) != self.y.cpu().numpy()[rows])

    def shortened(self, attacked: torch.Tensor, n: int) -> torch.Tensor:
        """For each image the perturbation that just reaches the boundary, on the straight line through the attacked one.

        Zero where the line does not reach it within FARTHEST times the way.
        """
        delta = (attacked - self.x).double()
        low, high = np.zeros(len(delta)), np.ones(len(delta))
        rows = np.flatnonzero(delta.flatten(1).any(dim=1).cpu().numpy())
        reached = np.zeros(len(delta), dtype=bool)
        while rows.size and high[rows].max() <= FARTHEST:
            beyond = self.over(self._at(delta, high), rows, LOOKS[0], n)
            reached[rows[beyond]] = True
            rows = rows[~beyond]
            low[rows], high[rows] = high[rows], 2 * high[rows]
        rows = np.flatnonzero(reached)
        for share in LOOKS if rows.size else ():
            middle = (low + high) / 2
            beyond = self.over(self._at(delta, middle), rows, share, n)
            high[rows[beyond]], low[rows[~beyond]] = middle[rows[beyond]], middle[rows[~beyond]]
        return delta * moves.per_image(torch.as_tensor(np.where(reached, high, 0.0), device=delta.device))

    def confirmed(self, name: str, delta: torch.Tensor, found: Flips) -> Flips:
        """What was found before, or what is nearer and sure."""
        best = found
        open_ = (moves.lengths(delta, 2.0) > 0).cpu().numpy()
        for factor in OUTWARD:
            images = self._at(delta, np.full(len(delta), factor))
            distance = moves.lengths(images.double() - self.x.double(), self.norm).cpu().numpy()
            rows = np.flatnonzero(open_ & (distance < best.distance))
            if not rows.size:
                break
            answers = self._sure(images[self._rows(rows)], [self.ids[i] for i in rows], best)
            flipped = (answers != ABSTAIN) & (answers != self.y.cpu().numpy()[rows])
            best = _with(best, rows[flipped], distance, answers[flipped], images, name)
            open_[rows[flipped]] = False
        return best

    def _sure(self, images: torch.Tensor, ids: list[int], check: Flips) -> np.ndarray:
        """Answers that hold at the check's level, ABSTAIN where it does not tell; an image may be checked at several places."""
        noise, transform = self.smoothed.noise, self.smoothed.transform
        alpha, seed = check.alpha / (MOST_CANDIDATES * len(OUTWARD)), (check.seed + self.checks) % 2**64
        self.checks += 1
        if transform.parts == 1:
            return predict(self.classifier, images, noise=noise, n=check.n, alpha=alpha, seed=seed, ids=ids)
        return certify(
            self.classifier,
            images,
            noise=noise,
            transform=transform,
            n0=1000,
            n=check.n,
            alpha=alpha,
            seed=seed,
            ids=ids,
        ).label

    def _rows(self, rows: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(rows, device=self.x.device)

    def _at(self, delta: torch.Tensor, factors: np.ndarray) -> torch.Tensor:
        """Images that many times the perturbation away, float32, in their range and on the noise's lattice."""
        moved = self.x.double() + moves.per_image(torch.as_tensor(factors, device=delta.device)) * delta
        moved = moves.inside(moved, self.value_range)
        levels = self.smoothed.noise.lattice
        if levels is None:
            return moved.float()
        return torch.round(moved * levels).float() / torch.full_like(moved, levels, dtype=torch.float32)


def _with(found: Flips, rows: np.ndarray, distance: np.ndarray, labels: np.ndarray, images: torch.Tensor, name: str) -> Flips:
    """The same flips with those of some rows replaced."""
    new, label, kept, by = found.distance.copy(), found.label.copy(), found.images.clone(), list(found.attack)
    new[rows], label[rows] = distance[rows], labels
    at = torch.as_tensor(rows, device=kept.device)
    kept[at] = images[at]
    for row in rows:
        by[row] = name
    return dataclasses.replace(found, distance=new, label=label, images=kept, attack=tuple(by))
