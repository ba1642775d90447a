"""Certificates by name, with the literature's own parameter names: `get("cohen_l2")(p1=0.9, p2=0.05, sigma=0.5)`.

The functions of this package speak p_lower, p_upper, q_upper, dim and order; this table is the one place where the formulas'
letters (p1, p2, d, p, N, …) are kept, so that tables of values and other people's scripts can be used as they are.  p1 and p2 are
probabilities here, not bounds that may cross: p1 < p2 is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import checks
from ..confidence import clopper_pearson_lower, clopper_pearson_upper, prediction_pvalue
from ..errors import InvalidArgumentError
from . import counts, divergences, dual, generalized_gaussian, input_dependent, l1, limits, renyi_input_dependent
from .dual_multiclass import dual_multiclass_l2
from .gaussian import cohen_l2, gaussian_lp
from .partitions import partition_l2

Certificate = Callable[..., Any]


def _order(p: Any) -> Any:
    return np.inf if isinstance(p, str) and p == "inf" else p  # as JSON tables write it


def _two(function: Certificate, **renamed: str) -> Certificate:
    """A function of (p_lower, p_upper=…, more) as one of (p1, p2, renamed…)."""

    def call(**given: Any) -> Any:
        p1 = checks.floats("p1", given.pop("p1"), 0.0, 1.0, "probabilities from 0 to 1")
        p2 = checks.floats("p2", given.pop("p2"), 0.0, 1.0, "probabilities from 0 to 1")
        one, two = checks.together(p1=p1, p2=p2)
        if (one < two).any():
            index = np.unravel_index(int(np.argmax(one < two)), one.shape)
            raise InvalidArgumentError(
                f"p1{checks.at(index)}={one[index]} is below p2={two[index]}: give the top class's probability first."
            )
        more = {renamed[key]: _order(value) if renamed[key] == "order" else value for key, value in given.items()}
        return function(p1, p_upper=p2, **more)

    return _with_signature(call, ("p1", "p2", *renamed))


def _with_signature(call: Certificate, names: tuple[str, ...]) -> Certificate:
    """`call`, refusing wrong parameter names with one sentence."""

    def checked(*unnamed: Any, **given: Any) -> Any:
        if unnamed:
            raise InvalidArgumentError(f"the certificate takes its parameters by name: {', '.join(names)}.")
        missing, unknown = [n for n in names if n not in given], [n for n in given if n not in names]
        if missing or unknown:
            what = f"lacks {', '.join(missing)}" if missing else f"does not know {', '.join(unknown)}"
            raise InvalidArgumentError(f"the certificate {what}: its parameters are {', '.join(names)}.")
        with np.errstate(all="ignore"):
            return call(**given)

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    checked.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return checked


def _named(function: Certificate, **renamed: str) -> Certificate:
    """A function whose keywords are renamed: _named(f, d="dim")."""
    return _with_signature(
        lambda **given: function(**{renamed[key]: _order(v) if renamed[key] == "order" else v for key, v in given.items()}),
        tuple(renamed),
    )


_SIGMA = {"sigma": "sigma"}
_SIGMA_D_P = {"sigma": "sigma", "d": "dim", "p": "order"}
_B = {"b": "scale"}
_DUAL = {"pl": "p_left", "pr": "p_right"}

CERTIFICATES: dict[str, Certificate] = {
    "cohen_l2": _two(cohen_l2, **_SIGMA),
    "gaussian_lp": _two(gaussian_lp, **_SIGMA_D_P),
    "renyi_l2_fixed": _two(divergences.renyi_l2_fixed, sigma="sigma", alpha="order"),
    "renyi_l2": _two(divergences.renyi_l2, **_SIGMA),
    "renyi_l2_all": _two(divergences.renyi_l2_all, **_SIGMA),
    "kl_l2": _two(divergences.kl_l2, **_SIGMA),
    "chi2_l2": _two(divergences.chi2_l2, **_SIGMA),
    "hellinger_l2": _two(divergences.hellinger_l2, **_SIGMA),
    "bhattacharyya_l2": _two(divergences.bhattacharyya_l2, **_SIGMA),
    "tv_l2": _two(divergences.tv_l2, **_SIGMA),
    "lecuyer_l2": _two(divergences.lecuyer_l2, **_SIGMA),
    "gn_l1": _two(l1.generalized_gaussian_l1, sigma="scale", s="shape"),
    "laplace_l1": _two(l1.laplace_l1, **_B),
    "teng_l1": _two(l1.teng_l1, **_B),
    "lecuyer_l1": _two(l1.lecuyer_l1, **_B),
    "uniform_l1": _two(l1.uniform_l1, b="half_width"),
    "uniform_ball": _two(l1.uniform_ball, b="scale", d="dim"),
    "uniform_lp": _two(l1.uniform_lp, b="half_width", d="dim", p="order"),
    "gn_kl": _named(generalized_gaussian.generalized_gaussian_kl, delta="delta", sigma="scale", s="shape"),
    "gn_kl_bound14": _named(generalized_gaussian.generalized_gaussian_kl_bound, delta="delta", sigma="scale", s="shape"),
    "gn_hayes_radius": _two(generalized_gaussian.generalized_gaussian_hayes, sigma="scale", s="shape", d="dim"),
    "gn_kl_radius": _two(generalized_gaussian.generalized_gaussian_kl_lp, sigma="scale", s="shape", p="order", d="dim"),
    "gn_tradeoff": _two(generalized_gaussian.generalized_gaussian_tradeoff, sigma="scale", s="shape", eps_high="eps_high"),
    "gg_sigma_from_b": _named(limits.std_of_scale, b="scale", q="shape"),
    "kumar_iid_ub": _two(limits.kumar_iid, **_SIGMA_D_P),
    "unimodal_iid_ub": _two(limits.unimodal_iid, **_SIGMA_D_P),
    "kumar_gg_ub": _two(limits.kumar_generalized_gaussian, **_SIGMA_D_P),
    "kumar_linf_uniform_ub": _named(limits.kumar_uniform_cube, b="half_width", d="dim", p="order"),
    "kumar_l1_uniform_ub": _named(limits.kumar_uniform_l1_ball, b="scale", d="dim"),
    "wu_ub": _named(limits.wu_l2, p1="p_lower", sigma="sigma", d="dim"),
    "drs_wu_ub": _named(limits.dual_wu_l2, **_DUAL, sigma="sigma", m="dim_left", n="dim_right"),
    "drs_l2": _named(dual.dual_l2, **_DUAL, sigma="sigma_left"),
    "drs_hetero_l2": _named(dual.dual_l2, **_DUAL, sigma_l="sigma_left", sigma_r="sigma_right"),
    "drs_lp": _named(
        dual.dual_lp, **_DUAL, sigma_l="sigma_left", sigma_r="sigma_right", m="dim_left", n="dim_right", p="order"
    ),
    "drs_multiclass_l2": _named(
        dual_multiclass_l2,
        pA_l="p_left", pA_r="p_right", pB_l="p_upper_left", pB_r="p_upper_right", sigma_l="sigma_left", sigma_r="sigma_right",
    ),
    "drs_k_l2": _named(partition_l2, p="p_lower", sigma="sigma"),
    "input_dependent_l2": _named(input_dependent.input_dependent_l2, pA="p_lower", sigma0="sigma", N="dim", r="rate"),
    "renyi_gauss_div": _named(
        renyi_input_dependent.renyi_gaussian_divergence,
        alpha="order", dist="distance", sigma1="sigma1", sigma0="sigma0", N="dim",
    ),
    "idrs_renyi_l2": _named(
        renyi_input_dependent.input_dependent_renyi_l2, pA="p_lower", pB="p_upper", sigma0="sigma0", sigma1="sigma1", N="dim"
    ),
    "idrs_renyi_fixed": _named(
        renyi_input_dependent.input_dependent_renyi_fixed,
        pA="p_lower", pB="p_upper", sigma0="sigma0", sigma1="sigma1", N="dim", alpha="order",
    ),
    "cp_lower": _named(clopper_pearson_lower, k="count", n="n", alpha="alpha"),
    "cp_upper": _named(clopper_pearson_upper, k="count", n="n", alpha="alpha"),
    "predict_pvalue": _named(prediction_pvalue, nA="count_a", nB="count_b"),
    "cohen_certify": _named(counts.cohen_certify, nA="count", n="n", alpha="alpha", sigma="sigma"),
    "cohen_certify_multiclass": _named(
        counts.cohen_certify_multiclass, nA="count", nB="count_other", n="n", alpha="alpha", sigma="sigma"
    ),
    "drs_certify_bonferroni": _named(
        counts.dual_certify_bonferroni, k_l="count_left", k_r="count_right", n="n", alpha="alpha", sigma="sigma"
    ),
    "drs_certify_fisher": _named(
        counts.dual_certify_product, k_l="count_left", k_r="count_right", n="n", alpha="alpha", sigma="sigma"
    ),
}  # fmt: skip


@checks.public
def get(name: str) -> Certificate:
    """Return the certificate, limit or bound of that name; it takes the formula's parameters as keywords.

    Raises
    ------
    InvalidArgumentError
        For an unknown name (the known ones are listed), and, when called, for missing or unknown parameters.

    Examples
    --------
    >>> float(get("cohen_l2")(p1=0.99, p2=0.01, sigma=0.5)).__round__(6)
    1.163174
    """
    return CERTIFICATES[checks.choice("name", name, CERTIFICATES)]
