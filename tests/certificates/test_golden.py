"""The golden table: never above the exact value, and no more below it than documented."""

import json
from pathlib import Path

import numpy as np
import pytest

from rsfast import certificates, confidence

ROWS = [json.loads(line) for line in (Path(__file__).parents[1] / "data" / "certificates.jsonl").read_text().splitlines()]


def cohen_certify(nA, n, alpha, sigma):
    p, q = confidence.bound("clopper-pearson", nA, n, alpha)
    return certificates.cohen_l2(p, sigma=sigma, q_upper=q)


LOWER = {
    "cohen_l2": lambda p1, p2, sigma: certificates.cohen_l2(p1, sigma=sigma, p_upper=p2),
    "gaussian_lp": lambda p1, p2, sigma, d, p: certificates.gaussian_lp(p1, sigma=sigma, dim=d, order=float(p), p_upper=p2),
    "cp_lower": lambda k, n, alpha: confidence.clopper_pearson_lower(k, n, alpha),
    "cohen_certify": cohen_certify,
}
UPPER = {
    "cp_upper": lambda k, n, alpha: confidence.clopper_pearson_upper(k, n, alpha),
    "predict_pvalue": lambda nA, nB: confidence.prediction_pvalue(nA, nB),
}
TOLERANCE = 1e-13


def rows(names):
    return [pytest.param(row, id=f"{row['certificate']}-{i}") for i, row in enumerate(ROWS) if row["certificate"] in names]


@pytest.mark.parametrize("row", rows(LOWER))
def test_radii_and_lower_bounds(row):
    got, exact = float(LOWER[row["certificate"]](**row["params"])), row["value"]
    assert exact * (1 - TOLERANCE) <= got <= np.nextafter(exact, 0.0) or got == exact == 0.0


@pytest.mark.parametrize("row", rows(UPPER))
def test_upper_bounds(row):
    got, exact = float(UPPER[row["certificate"]](**row["params"])), row["value"]
    assert np.nextafter(exact, 2.0) <= got <= exact * (1 + TOLERANCE) or got == exact == 1.0


def test_every_implemented_name_has_rows():
    assert {row["certificate"] for row in ROWS} >= {*LOWER, *UPPER}
