"""The package `ddsmoothing` (Alfarra et al. 2022, data-dependent randomized smoothing): `Smooth`, certificates, search of sigma.

`Smooth.certify` returns the class and the *gap*, as that package does: the radius is sigma times the gap, in l2 for
`L2Certificate` and in l1 for `L1Certificate`.

A sigma that was found for one image certifies the classifier smoothed with that sigma everywhere: nothing is said of a classifier
that chooses another sigma at the next image (Súkeník et al. 2022; the authors' memory-based procedure, or
`rsfast.InputDependentGaussian`, make one that can be certified).  Choose sigma before the certifying draws are seen.
"""

from __future__ import annotations

from .certificate import Certificate, L1Certificate, L2Certificate
from .optimization import optimize_isotropic_dds
from .optimize_dataset import OptimizeIsotropicSmoothingParameters, OptimizeSmoothingParameters
from .smooth import Smooth

__all__ = [
    "Certificate",
    "L1Certificate",
    "L2Certificate",
    "OptimizeIsotropicSmoothingParameters",
    "OptimizeSmoothingParameters",
    "Smooth",
    "optimize_isotropic_dds",
]
