"""Whatever is given for an argument of a public function: a result, or one sentence of ours."""

import inspect
import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rsfast as rs
import rsfast.torch
from rsfast.errors import CallError
from rsfast.runs.estimate import images_needed
from rsfast.stopping import forecast
from tests import flat

X = torch.full((2, 1, 4, 4), 0.5)


def model(x):
    return x.flatten(1)[:, :2]


class Contrary:
    """Everything that is asked of it raises something of its own."""

    def _fails(self, *_, **__):
        raise RuntimeError("not with me")

    __repr__ = __array__ = __iter__ = __float__ = __len__ = __eq__ = _fails
    __hash__ = object.__hash__


CALL = {"noise": rs.Gaussian(0.25), "num_classes": 2, "n": 20, "alpha": 0.1, "seed": 0}
COUNTS = flat.sample_counts(model, X, n0=5, **CALL)
VOTES = {"selection": [[5, 1]], "estimation": [[90, 10]], "n0": 10, "n": 100, "ids": [0], "noise": rs.Gaussian(1.0), "seed": 0, "dim": 4}  # fmt: skip
TABLES = rs.plans.tables(rs.plans.Grid([0.1]), [0.3], alpha=0.1, n=100)

PUBLIC = {
    "certify": (rs.certify, {"model": model, "x": X, "n0": 5} | CALL),
    "sample_counts": (rs.sample_counts, {"model": model, "x": X, "n0": 5} | CALL),
    "predict": (rs.predict, {"model": model, "x": X} | CALL),
    "predict_details": (rs.predict_details, {"model": model, "x": X} | CALL),
    "certify_counts": (rs.certify_counts, {"counts": COUNTS, "alpha": 0.1}),
    "predict_counts": (rs.predict_counts, {"counts": COUNTS}),
    "VoteCounts": (rs.VoteCounts, VOTES),
    "Gaussian": (rs.Gaussian, {"sigma": 1.0}),
    "Laplace": (rs.Laplace, {"scale": 1.0}),
    "Uniform": (rs.Uniform, {"half_width": 1.0}),
    "GeneralizedGaussian": (rs.GeneralizedGaussian, {"scale": 1.0, "shape": 2}),
    "LatticeGaussian": (rs.LatticeGaussian, {"sigma": 0.5}),
    "InputDependentGaussian": (rs.InputDependentGaussian, {"function": model, "rate": 0.1}),
    "DiagonalSplit": (rs.DiagonalSplit, {}),
    "Partition": (rs.Partition, {"masks": np.ones((1, 2, 2), dtype=bool)}),
    "Grid": (rs.plans.Grid, {"radii": [0.1]}),
    "Radius": (rs.plans.Radius, {}),
    "Betting": (rs.plans.Betting, {}),
    "plans.from_dict": (rs.plans.from_dict, {"fields": {"name": "grid", "radii": [0.1]}}),
    "plans.tables": (rs.plans.tables, {"plan": rs.plans.Grid([0.1]), "failure": [0.3], "alpha": 0.1, "n": 100}),
    "plans.expected": (rs.plans.expected, {"tables": TABLES, "successes": [5], "drawn": [10]}),
    "plans.check": (rs.plans.check, {"plan": rs.plans.Grid([0.1])}),
    "forecast.needs": (forecast.needs, {"noise": rs.Gaussian(0.5), "wanted": [0.1], "alpha": 0.01}),
    "forecast.waterfall": (forecast.waterfall, {"noise": rs.Gaussian(0.5), "n": 100, "alpha": 0.01}),
    "forecast.forecast": (forecast.forecast, {"pilot": COUNTS, "plan": rs.plans.Grid([0.1]), "n": 100, "claim": rs.Claim(0.1)}),
    "images_needed": (images_needed, {"population": 100, "precision": 0.1, "confidence_level": 0.9}),
    "population_interval": (rs.confidence.population_interval, {"certified": 1, "drawn": 5, "population": 10, "delta": 0.1}),
    "population_sequence": (rs.confidence.population_sequence, {"certified": 1, "drawn": 5, "population": 10, "delta": 0.1}),
    "noise.from_dict": (rs.noise.from_dict, {"fields": {"name": "gaussian", "sigma": 1.0}}),
    "transforms.from_dict": (rs.transforms.from_dict, {"fields": {"name": "identity"}}),
    "strided_masks": (rs.transforms.strided_masks, {"rows": 1, "columns": 1, "height": 2, "width": 2}),
    "NearestNeighbors": (rs.sigma.NearestNeighbors, {"training": X[:, :, :2, :2], "base": 0.25, "rate": 0.01, "k": 1}),
    "add_noise": (rs.torch.add_noise, {"x": X, "noise": rs.Gaussian(0.5), "copies": 2, "seed": 1}),
    "split": (rs.inner.split, {"model": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2)), "layer": "0"}),
    "models.load": (rs.models.load, {"spec": "small-cnn"}),
}

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    NESTED = torch.nested.nested_tensor([torch.ones(1, 2, 2), torch.ones(1, 3, 3)])

anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(2**31, 2**80), st.just(10**400), st.floats(), st.complex_numbers(),
    st.text(max_size=8), st.sampled_from(["auto", "cuda", "cpu", "0.5", "\x00", "é" * 1000, "float16", "two-sided", "product"]),
    st.binary(max_size=4), st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=2)), max_size=3),
    st.builds(list, st.just([[1], [1, 2]])), st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.sets(st.integers(0, 3)), st.builds(Contrary), st.builds(object), st.builds(itertools.count), st.builds(lambda: iter([1, 2])),
    st.builds(lambda: iter([])),
    st.sampled_from([
        np.zeros(0), np.ones(2), np.array(["a"]), np.array([1j]), np.float32(1), np.bool_(True), np.datetime64("2020"), np.ones((2, 2)),
        np.ma.array([1.0, 2.0], mask=[True, False]), np.array([None]), np.arange(2).astype(np.uint64) + 2**63, np.longdouble(0.1),
        torch.ones(2), torch.ones(2, requires_grad=True), torch.eye(2).to_sparse(), torch.empty(2, device="meta"), torch.tensor(0.5),
        X.to(torch.complex64), X.to_sparse(), X.to("meta"), X.to(torch.bfloat16), X.to(torch.float8_e4m3fn), X[0], X.int(), [X[0], X[1]],
        NESTED, torch.nn.Parameter(X), X.numpy().astype(">f4"),
        torch.device("meta"), rs.Gaussian(0.5), [rs.Gaussian(0.5)] * 2, rs.Uniform(1.0), rs.plans.Grid([0.1]), rs.plans.Betting(),
        rs.DiagonalSplit(), COUNTS, slice(1), Exception("e"), Ellipsis, type, rs, "resnet",
    ]),
)  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PUBLIC)
@settings(max_examples=60)
@given(data=st.data())
def test_whatever_is_given_is_answered_by_a_result_or_by_one_sentence(name, data):
    function, good = PUBLIC[name]
    argument = data.draw(
        st.sampled_from([one for one in inspect.signature(function).parameters if one not in ("progress", "cache")])
    )
    try:
        function(**(good | {argument: data.draw(anything)}))
    except rs.RsfastError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 800


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "gaussian", "sigma": 1.0, "mean": 0.0},
        {"name": "gaussian", "sigma": [0.5, "a"]},
        {"name": "laplace"},
        {"name": "input-dependent"},
        {"name": "input-dependent", "rate": 0.1, "proven": True, "function": object()},
        {"name": ["gaussian"]},
    ],
)
def test_a_damaged_description_of_noise_is_refused(fields):
    refused(lambda: rs.noise.from_dict(fields), ".")


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": "!"},
        {"owner": None},
        {"owner": "eJwDAAAAAAE="},
        {"shape": [2, 3]},
        {"shape": None},
        {"shape": [2**15, 2**15]},
        {"parts": 2},
    ],
)
def test_a_damaged_description_of_a_partition_is_refused(changes):
    good = rs.Partition(rs.transforms.strided_masks(1, 2, 2, 2)).to_dict()
    assert rs.transforms.from_dict(good).parts == 2
    refused(lambda: rs.transforms.from_dict(good | changes), ".")


def test_a_few_packed_bytes_are_not_made_into_gigabytes():
    import base64
    import tracemalloc
    import zlib

    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    fields = {"name": "partition", "interpolation": "frame", "shape": [2, 2], "owner": base64.b64encode(bomb).decode()}
    tracemalloc.start()
    refused(lambda: rs.transforms.from_dict(fields), "a partition is described by")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_copies_that_do_not_fit_in_memory_are_refused():
    refused(lambda: rs.torch.add_noise(X.expand(2, 64, 4, 4), rs.Gaussian(0.5), copies=2**32 - 1), "does not fit in memory")


def refused(call, message):
    with pytest.raises(rs.InvalidArgumentError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), {}, "no", 1, 0.0, None, [True], np.array([True, False])])
@pytest.mark.parametrize("flag", ["multiclass", "fold", "channels_last"])
def test_a_flag_is_true_or_false(flag, value):
    if flag == "channels_last" and value is None:
        return
    refused(lambda: flat.certify(model, X, n0=5, **CALL, **{flag: value}), f"{flag}=.* is neither True nor False")
    if flag == "multiclass":
        refused(lambda: rs.certify_counts(COUNTS, alpha=0.1, multiclass=value), "is neither True nor False")


def test_flags_of_numpy_are_taken():
    plain = flat.certify(model, X, n0=5, **CALL)
    for flags in ({"multiclass": np.bool_(False)}, {"fold": np.False_}, {"channels_last": np.bool_(True)}):
        np.testing.assert_array_equal(flat.certify(model, X, n0=5, **CALL, **flags).radius, plain.radius)


def test_what_are_no_votes_is_refused():
    for wrong in (None, {}, [[1, 2]], np.ones((1, 2))):
        refused(lambda wrong=wrong: rs.certify_counts(wrong), "counts is .*: give the VoteCounts of sample_counts")
        refused(lambda wrong=wrong: rs.predict_counts(wrong), "counts is .*: give the VoteCounts of sample_counts")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"selection": [[5.5, 1]]}, r"selection\[0, 0\]=5.5 is not a whole number"),
        ({"selection": [["5", "1"]]}, "selection is not numeric"),
        ({"n": "100"}, "n='100' is not allowed"),
        ({"n0": np.array([10])}, "n0=array.* is not allowed"),
        ({"ids": 0}, "give a list of one id"),
        ({"seed": -1}, "seed=-1 is not allowed"),
        ({"dim": 0}, "dim=0 is not allowed"),
        ({"stopping": "early"}, "stopping='early' is not a rule"),
        ({"transform": None}, "transform=None is not a transform"),
        ({"images": 3}, "images=3 is not a tuple"),
    ],
)
def test_votes_are_whole_numbers_of_the_right_kind(changes, message):
    refused(lambda: rs.VoteCounts(**VOTES | changes), message)


@pytest.mark.parametrize("value", [2**70, -1, True, "tpu:0", "meta", [1], 1.5, torch.device("meta"), "é" * 1000])
def test_a_device_that_is_none_is_refused(value):
    refused(lambda: flat.certify(model, X, n0=5, device=value, **CALL), "device")


def test_a_model_on_no_real_device_is_refused():
    layer = torch.nn.Linear(16, 2, device="meta")
    refused(lambda: flat.certify(layer, X, n0=5, **CALL), "the model's device is 'meta': models are run on cpu and cuda")


LAYOUTS = {
    "columns reversed": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
    "channels reversed": lambda x: x[:, ::-1],
    "rows reversed": lambda x: x[:, :, ::-1][:, :, ::-1],
    "images reversed": lambda x: x[::-1].copy()[::-1],
    "transposed": lambda x: np.ascontiguousarray(x.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0),
    "broadcast": lambda x: np.broadcast_to(x, x.shape),
    "Fortran": np.asfortranarray,
    "big-endian": lambda x: x.astype(">f4"),
    "read-only": lambda x: np.frombuffer(x.tobytes(), dtype=np.float32).reshape(x.shape),
    "every second": lambda x: np.repeat(x, 2, axis=3)[..., ::2],
    "in a list": list,
    "tensors in a list": lambda x: list(torch.from_numpy(x)),
    "with gradient": lambda x: torch.from_numpy(x).requires_grad_(),
    "channels last": lambda x: torch.from_numpy(x).contiguous(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_of_any_memory_layout_are_taken(layout, rng):
    x = rng.uniform(size=(2, 1, 4, 4)).astype(np.float32)
    want = flat.sample_counts(model, x, n0=5, **CALL)
    got = flat.sample_counts(model, LAYOUTS[layout](x), n0=5, **CALL)
    np.testing.assert_array_equal(got.estimation, want.estimation)


def test_masked_pixels_are_not_taken_for_pixels():
    masked = np.ma.array(X.numpy(), mask=X.numpy() > 2)
    assert len(flat.sample_counts(model, masked, n0=5, **CALL)) == 2
    masked[0, 0, 0, 0] = np.ma.masked
    refused(lambda: flat.sample_counts(model, masked, n0=5, **CALL), "x is MaskedArray")


@pytest.mark.parametrize(
    "noise", [rs.Gaussian(64), rs.Laplace(32), rs.Uniform(255), rs.GeneralizedGaussian(9, 2), rs.LatticeGaussian(8.5)]
)
def test_a_level_for_pixels_up_to_255_is_refused_for_images_in_0_to_1(noise):
    for call in (flat.certify, flat.sample_counts, flat.predict):
        refused(
            lambda call=call: call(model, X, **CALL | {"noise": noise}),
            rf"give {noise.fixed_levels[0]:g}|{noise.fixed_levels[0]:g} / 255 = {noise.fixed_levels[0] / 255:.4g}",
        )


def test_a_large_level_is_taken_where_the_range_allows_it():
    for declared in ({"value_range": None}, {"value_range": (0, 255)}):
        assert len(flat.certify(model, X, n0=5, **CALL | {"noise": rs.Gaussian(64)} | declared)) == 2
    assert len(flat.certify(model, X, n0=5, **CALL | {"noise": rs.Gaussian(8)})) == 2


@pytest.mark.parametrize(
    ("function", "given", "meant"),
    [
        (
            rs.certify,
            {"batch_size": 5},
            r"batch says how the model is run: give rsfast.Classifier\(model, num_classes=…, batch=…\)",
        ),
        (rs.certify, {"sigma": 0.5}, r"say it in noise, such as noise=rsfast.Gaussian\(sigma=0.25\)"),
        (rs.certify, {"curtail": True}, r"say it in plan, such as plan=rsfast.plans.Curtail\(\)"),
        (rs.certify, {"N0": 5}, "did you mean 'n0'"),
        (rs.certify, {"clip_values": (0, 1)}, "value_range says how the model is run"),
        (rs.certify, {"nb_classes": 2}, "did you mean 'num_classes'"),
        (rs.predict, {"alhpa": 0.5}, "did you mean 'alpha'"),
        (rs.certify, {"p": 2}, "did you mean 'norm'"),
        (rs.sample_counts, {"p": 2}, r"say it in claim, such as claim=rsfast.Claim\(norm=…\)"),
        (rs.certify_counts, {"n": 2}, "it takes counts, alpha, norm"),
        (rs.Gaussian, {"std": 0.5}, "did you mean 'sigma'"),
        (rs.Uniform, {"lam": 0.5}, "did you mean 'half_width'"),
        (rs.plans.Grid, {"radius": 0.5}, "did you mean 'radii'"),
    ],
)
def test_an_argument_that_does_not_exist_is_answered_with_the_one_that_was_meant(function, given, meant):
    good = {"classifier": model, "x": X} if function in (rs.certify, rs.predict, rs.sample_counts) else {}
    with pytest.raises(CallError, match=meant) as caught:
        function(**good, **given)
    assert isinstance(caught.value, TypeError)


def test_an_argument_that_is_missing_is_named():
    with pytest.raises(CallError, match=r"certify\(\): missing a required argument: 'noise'"):
        rs.certify(model, X)
    with pytest.raises(CallError, match=r"Gaussian\(\): missing a required argument: 'sigma'"):
        rs.Gaussian()


def test_a_warning_points_at_the_callers_line():
    noise = rs.InputDependentGaussian(lambda x: np.full(len(x), 0.25), rate=0.01)
    for call in (
        lambda: rs.certify(model, X, n0=5, num_classes=2, noise=noise, n=100, alpha=0.1),
        lambda: rs.certify_counts(COUNTS_OF_LEVELS, alpha=0.1),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        assert [one.filename for one in caught] == [__file__]


COUNTS_OF_LEVELS = flat.sample_counts(
    model, X, n0=5, **CALL | {"noise": rs.InputDependentGaussian(lambda x: np.full(len(x), 0.25), rate=0.01)}
)
