"""Attacks on smoothed classifiers: the other side of a certificate.

    smoothed = rsfast.attacks.Smoothed(model, rsfast.Gaussian(0.25), seed=1)
    flips = rsfast.attacks.smallest_flips(smoothed, x, cert.label, num_classes=10)
    assert not flips.inside(cert.radius).any()

`Smoothed` is a model that ART, foolbox and others can attack, too.
"""

from ..names import ATTACKS
from .flips import Flips, smallest_flips
from .gradients import carlini_wagner, ddn, pgd
from .smoothed import Smoothed

__all__ = ["ATTACKS", "Flips", "Smoothed", "carlini_wagner", "ddn", "pgd", "smallest_flips"]
