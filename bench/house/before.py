"""The tasks of `against`, as revision 83a6a04 has them called; not to be changed with rsfast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def tasks(common: Any) -> dict[str, Callable[[], Any]]:
    import numpy as np

    import rsfast as rs
    from rsfast.cli import main

    noise, plan = rs.Gaussian(0.25), rs.plans.Grid([0.1, 0.2, 0.3])
    counts = rs.VoteCounts(
        selection=common.selection,
        estimation=common.estimation,
        n0=100,
        n=100_000,
        ids=np.arange(10_000),
        noise=noise,
        seed=0,
        dim=3072,
    )

    def certify_linear() -> Any:
        found = rs.certify(common.linear, common.small[:4], noise=noise, num_classes=10, n=1000, seed=0, ids=range(4))
        return found.label, found.radius

    def certify_cnn() -> Any:
        found = rs.certify(common.cnn, common.large, noise=noise, num_classes=10, n=10_000, seed=0, ids=[0])
        return found.label, found.radius

    def sample_counts_plan() -> Any:
        found = rs.sample_counts(
            common.linear, common.small, noise=noise, num_classes=10, n0=100, n=10_000, seed=0, ids=range(8), plan=plan
        )
        return found.estimation, found.drawn

    def certify_counts() -> Any:
        found = rs.certify_counts(counts)
        return found.label, found.radius

    def predict() -> Any:
        return rs.predict(common.linear, common.small[:4], noise=noise, num_classes=10, n=1000, seed=0, ids=range(4))

    return {
        "certify, linear, 4 images 1x8x8, n = 1,000": certify_linear,
        "certify, CNN, 1 image 3x32x32, n = 10,000": certify_cnn,
        "sample_counts, linear, 8 images, a grid plan of 10,000": sample_counts_plan,
        "certify_counts, 10,000 images": certify_counts,
        "predict, linear, 4 images, n = 1,000": predict,
        "rsfast certify, 50 images, continued to 60": lambda: common.run_and_continue(main),
        "rsfast recertify, 60 images": lambda: common.recertified(main, common.folder / "run-1", 0.01),
    }
