"""Whatever is given to a public numeric function: numbers of the right shape come back, or one sentence of our own."""

import inspect
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsfast import certificates, confidence
from rsfast.errors import RsfastError
from rsfast.numerics import beta, incomplete_gamma, ncx2, normal

USUAL = {
    "a": 0.1, "alpha": 0.01, "alpha_image": 0.001, "certified": 7, "count": 80, "count_a": 30, "count_b": 4, "count_left": 90,
    "count_other": 10, "count_right": 80, "delta": 0.1, "df": 3.0, "dim": 4, "dim_left": 2, "dim_right": 3, "distance": 0.2, "drawn": 9,
    "eps_high": 0.1, "half_width": 0.5, "k": 80, "log_p": -2.0, "n": 100, "name": "clopper-pearson", "nc": 2.0, "order": 1.5, "p": 0.3,
    "p_left": 0.9, "p_lower": 0.9, "p_right": 0.8, "p_upper_left": 0.05, "p_upper_right": 0.1, "population": 50, "q": 0.2, "radius": 0.3,
    "rate": 0.01, "scale": 0.5, "scale_left": 0.5, "shape": 3, "sigma": 0.5, "sigma0": 0.5, "sigma1": 0.49, "sigma_left": 0.5, "x": 1.0,
    "y": 0.7,
}  # fmt: skip
SPECIAL = {
    "xi_less": {"sigma1": 0.51},
    "ndtri_exp": {"y": -0.7},
    "kumar_generalized_gaussian": {"dim": 64},
    "partition_l2": {"p_lower": [0.9, 0.8]},
}
NUMERICS = {
    "beta": (beta, ("binomial_upper", "binomial_lower", "binom_logcdf", "binom_logsf")),
    "incomplete_gamma": (incomplete_gamma, ("gammainc", "gammaincc", "gammaincinv", "gammainccinv")),
    "ncx2": (ncx2, ("cdf", "sf", "logcdf", "logsf", "pdf", "logpdf", "ppf", "isf", "quantile")),
    "normal": (normal, ("ndtri", "ndtr", "log_ndtr", "ndtri_exp", "erfcx")),
}
FUNCTIONS = {
    **{
        f"certificates.{name}": getattr(certificates, name)
        for name in certificates.__all__
        if name not in ("CERTIFICATES", "get")
    },
    **{f"confidence.{name}": getattr(confidence, name) for name in confidence.__all__ if name not in ("BOUNDS", "Bound")},
    **{f"{room}.{name}": getattr(module, name) for room, (module, names) in NUMERICS.items() for name in names},
}
FORMULAS = {
    "N": 4, "alpha": 0.01, "b": 0.5, "d": 4, "delta": 0.1, "dist": 0.1, "eps_high": 0.1, "k": 80, "k_l": 90, "k_r": 80, "m": 2, "n": 100,
    "nA": 80, "nB": 10, "p": 1.5, "p1": 0.9, "p2": 0.05, "pA": 0.9, "pA_l": 0.9, "pA_r": 0.8, "pB": 0.05, "pB_l": 0.05, "pB_r": 0.1,
    "pl": 0.9, "pr": 0.8, "q": 3, "r": 0.01, "s": 3, "sigma": 0.5, "sigma0": 0.5, "sigma1": 0.49, "sigma_l": 0.5, "sigma_r": 0.4,
}  # fmt: skip
REGISTERED = {"drs_k_l2": {"p": 0.9}, "drs_certify_bonferroni": {"n": 100}, "renyi_gauss_div": {"alpha": 1.5}, "idrs_renyi_fixed": {"alpha": 1.5},
              "renyi_l2_fixed": {"alpha": 1.5}}  # fmt: skip


class Contrary:
    """Everything that is asked of it raises something of its own."""

    def __repr__(self):
        raise ZeroDivisionError

    def __float__(self):
        raise KeyError

    def __array__(self, *_, **__):
        raise LookupError

    def __iter__(self):
        raise AttributeError

    def __eq__(self, other):
        raise BufferError

    __hash__ = None


NUMBERS = st.one_of(
    st.floats(width=64), st.floats(0, 1), st.integers(-3, 200), st.integers(2**52, 2**64), st.sampled_from([10**400, -(2**70), 5e-324]),
    st.booleans(), st.floats(0, 1, width=16).map(np.float16), st.floats(0, 1, width=32).map(np.float32), st.integers(0, 99).map(np.uint8),
    st.floats(0, 1).map(np.longdouble), st.sampled_from([math.nan, math.inf, -math.inf, 1.0, 0.5, 0.0, -0.0, 2**53, 1 - 2**-53, 1e-300, 1e300]),
)  # fmt: skip
SCALARS = st.one_of(
    NUMBERS, st.none(), st.text(max_size=5), st.binary(max_size=3), st.complex_numbers(), st.fractions(), st.just(Decimal("0.1"))
)
ARRAYS = st.one_of(
    st.lists(NUMBERS, max_size=4),
    st.lists(st.lists(SCALARS, max_size=3), max_size=3),
    st.lists(st.floats(0, 1), min_size=1, max_size=3).map(np.array),
    st.lists(st.floats(0, 1), min_size=1, max_size=3).map(lambda values: np.ma.array(values, mask=[True] + [False] * (len(values) - 1))),
    st.sampled_from(
        [np.zeros((0, 3)), np.empty((2, 0)), np.array(0.9), np.array([0.9, None]), np.array(["a"]), np.zeros(2, "M8[s]"),
         np.array([(1.0, 2)], dtype="f,i"), np.arange(6.0).reshape(2, 3)[:, ::-1], np.full(2, 0.9, dtype=">f8"), np.full((3, 1), 0.9)]
    ),
)  # fmt: skip
OBJECTS = st.sampled_from(
    [{}, {"p": 1}, {0.9}, object(), Contrary(), [Contrary()], len, slice(1), range(3), Fraction(9, 10), ...]
)
ANYTHING = st.one_of(SCALARS, ARRAYS, OBJECTS)


def usual(name, function):
    short = name.split(".")[-1]
    needed = [key for key, one in inspect.signature(function).parameters.items() if one.default is inspect.Parameter.empty]
    values = {key: {**USUAL, **SPECIAL.get(short, {})}[key] for key in needed}
    if "gamma" in short:
        values["a"] = 2.0
    return values


def assert_answered(name, function, given):
    """Numbers, or an RsfastError of one or two short sentences; never anything else, also where every floating-point flag is an error."""
    try:
        with np.errstate(all="raise"):
            got = function(**given)
    except RsfastError as error:
        assert 10 < len(str(error)) < 500, error
        return
    if name.endswith(("least_samples",)):
        assert isinstance(got, int)
        assert got > 0
        return
    aside = ("name", "threads", "upper", "increasing")
    values = [np.asarray(value, dtype=np.float64) for key, value in given.items() if key not in aside and value is not None]
    shape = np.broadcast_shapes(*[value.shape for value in values])
    for part in got if isinstance(got, tuple) else (got,):
        assert isinstance(part, (np.ndarray, float)), type(part)
        assert np.asarray(part).dtype == np.float64
        assert np.shape(part) == (shape[:-1] if name.endswith(("partition_l2", "drs_k_l2")) else shape), (np.shape(part), shape)
        if name.startswith(("certificates", "registry", "confidence")):
            assert not np.isnan(part).any()
            assert (np.asarray(part) >= 0).all()


SECONDS_A_CALL = ("certificates.dual_certify_product", "certificates.dual_wu_l2")  # tried with the slow tests only


def draw(data, parameters, given):
    for key in data.draw(st.lists(st.sampled_from(sorted(parameters)), min_size=1, max_size=3, unique=True), label="which"):
        given[key] = data.draw(ANYTHING, label=key)
    return given


def try_anything(name, data):
    function = FUNCTIONS[name]
    assert_answered(name, function, draw(data, inspect.signature(function).parameters, usual(name, function)))


def try_anything_by_formula(name, data):
    function = certificates.get(name)
    parameters = inspect.signature(function).parameters
    values = {key: {**FORMULAS, **REGISTERED.get(name, {})}[key] for key in parameters}
    assert_answered(f"registry.{name}", function, draw(data, parameters, values))


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in SECONDS_A_CALL])
@settings(max_examples=5)
@given(data=st.data())
def test_anything_given_is_answered(name, data):
    try_anything(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=1000)
@given(data=st.data())
def test_anything_given_a_thousand_times_is_answered(name, data):
    try_anything(name, data)


@settings(max_examples=60)
@given(name=st.sampled_from(sorted(certificates.CERTIFICATES)), data=st.data())
def test_anything_given_to_a_certificate_by_name_is_answered(name, data):
    try_anything_by_formula(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", certificates.CERTIFICATES)
@settings(max_examples=1000)
@given(data=st.data())
def test_anything_given_to_a_certificate_by_name_a_thousand_times_is_answered(name, data):
    try_anything_by_formula(name, data)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_usual_arguments_get_numbers_whatever_the_floating_point_flags(name):
    """One at a time and in lists; no flag of a branch that is not taken comes through."""
    function = FUNCTIONS[name]
    values = usual(name, function)
    with np.errstate(all="raise"):
        alone = function(**values)
        if name == "confidence.least_samples":
            return
        several = function(**{key: value if isinstance(value, str) else [value, value] for key, value in values.items()})
    for one, two in zip(*((part if isinstance(part, tuple) else (part,)) for part in (alone, several)), strict=True):
        assert np.isfinite(one)
        assert np.shape(two) == (2,)
        assert (np.asarray(two) == one).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_that_a_function_does_not_have_are_named(name):
    if name.startswith(("certificates", "confidence")):
        with pytest.raises(RsfastError, match="sigmaa"):
            FUNCTIONS[name](**usual(name, FUNCTIONS[name]), sigmaa=1.0)
