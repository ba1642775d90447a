"""The golden table through `get`: never above the exact value (limits: below), and no further off than documented."""

import json
from pathlib import Path

import numpy as np
import pytest

from rsfast.certificates import CERTIFICATES, get
from rsfast.errors import InvalidArgumentError
from tests.reference import errata

ROWS = [json.loads(line) for line in (Path(__file__).parents[1] / "data" / "certificates.jsonl").read_text().splitlines()]
UPPER = {name for name in CERTIFICATES if name.endswith("_ub")} | {"cp_upper", "predict_pvalue"}
NEITHER = {"gn_kl", "gn_kl_bound14", "gg_sigma_from_b", "renyi_gauss_div"}
TOLERANCE = {  # relative, as documented
    "gn_l1": 3e-13,  # its margin is of the quantiles, which cancel for p near one half
    "uniform_lp": 3e-14,
    "kumar_iid_ub": 2e-13, "unimodal_iid_ub": 2e-13, "kumar_gg_ub": 2e-13, "wu_ub": 2e-13, "drs_wu_ub": 2e-13,
    "kumar_linf_uniform_ub": 2e-13, "kumar_l1_uniform_ub": 2e-13,
    "drs_multiclass_l2": 2e-9,
    "drs_k_l2": 2e-9,
    "drs_certify_fisher": 3e-7,
    "idrs_renyi_l2": 4e-13, "idrs_renyi_fixed": 4e-13,
}  # fmt: skip


def rows(keep):
    return [pytest.param(row, id=f"{row['certificate']}-{i}") for i, row in enumerate(ROWS) if keep(row["certificate"])]


def call(row):
    value = np.asarray(get(row["certificate"])(**row["params"]))
    assert value.dtype == np.float64
    return float(value), row["value"], TOLERANCE.get(row["certificate"], 1e-13)


@pytest.mark.parametrize("row", rows(lambda name: name in CERTIFICATES and name not in UPPER | NEITHER))
def test_radii_and_lower_bounds(row):
    got, exact, tolerance = call(row)
    assert exact * (1 - tolerance) <= got <= exact


@pytest.mark.parametrize("row", rows(lambda name: name in UPPER))
def test_limits_and_upper_bounds(row):
    got, exact, tolerance = call(row)
    assert exact <= got <= exact * (1 + tolerance)


@pytest.mark.parametrize("row", rows(lambda name: name in NEITHER))
def test_divergences_and_scales(row):
    got, exact, _ = call(row)
    assert got == pytest.approx(exact, rel=2e-14)


@pytest.mark.parametrize("row", rows(lambda name: name == "drs_eq6_UNSOUND"))
def test_unsound_formulas_are_reproduced_in_the_tests_only(row):
    assert errata.dual_equation_6(*row["params"].values()) == pytest.approx(row["value"], rel=1e-12)
    with pytest.raises(InvalidArgumentError, match="name='drs_eq6_UNSOUND' is not known"):
        get("drs_eq6_UNSOUND")


def test_every_row_has_a_certificate_and_every_certificate_a_row():
    """input_dependent_l2 has its own table."""
    assert {row["certificate"] for row in ROWS} - {"drs_eq6_UNSOUND"} == set(CERTIFICATES) - {"input_dependent_l2"}


def test_wrong_parameters_are_named():
    with pytest.raises(InvalidArgumentError, match="lacks sigma: its parameters are p1, p2, sigma"):
        get("cohen_l2")(p1=0.9, p2=0.1)
    with pytest.raises(InvalidArgumentError, match="does not know s: its parameters"):
        get("cohen_l2")(p1=0.9, p2=0.1, sigma=1.0, s=3)


@pytest.mark.parametrize("name", [name for name in CERTIFICATES if "p2" in CERTIFICATES[name].__signature__.parameters])
def test_p1_below_p2_is_refused_by_name_and_index(name):
    row = next(row for row in ROWS if row["certificate"] == name)
    with pytest.raises(InvalidArgumentError, match=r"p1\[1\]=0.2 is below p2=0.3"):
        get(name)(**{**row["params"], "p1": [0.9, 0.2], "p2": [0.05, 0.3]})
