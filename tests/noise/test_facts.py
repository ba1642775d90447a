"""What each noise says of itself; the registry drives it."""

import numpy as np
import pytest

import rsfast as rs
from rsfast import noise as noises
from rsfast.backends import tables
from rsfast.certifying.radii import CERTIFICATES
from rsfast.kernels import coefficients
from rsfast.noise import NOISES, GaussianParts

EXAMPLES = {
    "gaussian": rs.Gaussian(0.25),
    "lattice-gaussian": rs.LatticeGaussian(0.25, 127),
    "laplace": rs.Laplace(0.25),
    "generalized-gaussian": rs.GeneralizedGaussian(0.25, 3.0),
    "uniform": rs.Uniform(0.25),
    "input-dependent": rs.InputDependentGaussian(lambda x: np.full(len(x), 0.25), rate=0.0),
}
IMAGES = np.zeros((3, 1, 2, 2))
EVERY = [*EXAMPLES.values(), GaussianParts((0.25, 0.5))]


def test_every_noise_has_an_example_here():
    assert set(EXAMPLES) == set(NOISES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_registry_knows_a_noise_by_the_name_that_it_states(name):
    assert NOISES[name].name == name == EXAMPLES[name].to_dict()["name"]


@pytest.mark.parametrize("noise", EVERY, ids=repr)
def test_a_noise_is_read_back_from_what_it_was_stored_as(noise):
    again = noises.from_dict(noise.to_dict())
    assert again == noise
    assert hash(again) == hash(noise)
    assert noises.is_noise(again)


@pytest.mark.parametrize("noise", EVERY, ids=repr)
def test_levels_are_stated_for_every_image_and_part(noise):
    parts = noise.parts or 1
    expected = np.full((3, parts), 0.25) if parts == 1 else np.array([[0.25, 0.5]] * 3)
    levels = noise.levels_of(IMAGES, parts)
    assert levels.dtype == np.float64
    np.testing.assert_array_equal(levels, expected)
    assert noise.depends_on_input == (noise.fixed_levels == ())


@pytest.mark.parametrize("noise", EVERY, ids=repr)
def test_a_noise_is_drawn_and_certified_by_what_there_is(noise):
    assert noise.draw in coefficients.KINDS
    assert (noise.family, noise.parts or 1) in CERTIFICATES


@pytest.mark.parametrize("noise", EVERY, ids=repr)
def test_the_kind_of_draw_and_its_table_go_together(noise):
    assert (noise.quantile_shape is not None) == (noise.draw in ("quantile", "lattice"))
    assert (noise.lattice is not None) == (noise.draw == "lattice")
    assert (noise.total_variation > 0.0) == (noise.draw == "lattice")


def test_a_run_records_the_table_that_a_noise_is_drawn_with():
    recorded = {name: tables.draw_hash(noise) for name, noise in EXAMPLES.items()}
    assert recorded == {
        "gaussian": None,
        "lattice-gaussian": tables.lattice_hash(0.25, 127),
        "laplace": tables.table_hash(1.0),
        "generalized-gaussian": tables.table_hash(3.0),
        "uniform": None,
        "input-dependent": None,
    }


def test_a_rate_that_is_not_proven_is_what_the_guarantee_rests_on():
    assert "0.01 of sigma(x) is taken on trust" in rs.InputDependentGaussian(lambda x: x, rate=0.01).caveats[0]
    assert all(noise.caveats == () for name, noise in EXAMPLES.items() if name != "input-dependent")
    assert noises.InputDependentGaussian.stored(0.01, True, {}).caveats == ()


def test_gaussians_in_a_list_are_one_value_with_a_level_for_each_part():
    for given in ([rs.Gaussian(0.25), rs.Gaussian(0.5)], (rs.Gaussian(0.25), rs.Gaussian(0.5)), GaussianParts([0.25, 0.5])):
        checked = noises.check(given, 2)
        assert checked == GaussianParts((0.25, 0.5)) != GaussianParts((0.5, 0.25))
        assert checked.to_dict() == {"name": "gaussian", "sigma": [0.25, 0.5]}
        assert repr(checked) == "GaussianParts(sigmas=(0.25, 0.5))"


def test_one_gaussian_in_a_list_is_that_gaussian():
    assert noises.check([rs.Gaussian(0.25)], 1) == rs.Gaussian(0.25)


class Louder(rs.Gaussian):
    """A subclass, which may draw something else."""


@pytest.mark.parametrize(
    ("given", "parts", "says"),
    [
        ("loud", 1, "noise='loud' is not a noise: give rsfast.Gaussian"),
        ([], 1, "is not a noise"),
        ([rs.Laplace(1.0), rs.Laplace(2.0)], 2, "is not a noise"),
        ([Louder(1.0)], 1, "is not a noise"),
        ([rs.Gaussian(1.0)] * 3, 2, r"3 noises were given and the transform shows 2 part\(s\)"),
        (GaussianParts((1.0, 2.0)), 1, r"2 noises were given and the transform shows 1 part\(s\)"),
        (EXAMPLES["input-dependent"], 2, "noise is input-dependent and the transform splits the image"),
    ],
)
def test_what_is_no_noise_for_the_image_is_refused(given, parts, says):
    with pytest.raises(rs.InvalidArgumentError, match=says):
        noises.check(given, parts)


@pytest.mark.parametrize(
    ("sigmas", "says"), [((), "are no noise levels"), (0.5, "are no noise levels"), ((0.5, -1.0), "sigma=-1")]
)
def test_parts_without_levels_are_refused(sigmas, says):
    with pytest.raises(rs.InvalidArgumentError, match=says):
        GaussianParts(sigmas)


def test_a_subclass_is_not_drawn_by_any_backend():
    assert not noises.is_noise(Louder(1.0))
    with pytest.raises(rs.BackendUnavailableError, match="does not know the noise Louder"):
        rs.torch.add_noise(np.zeros((1, 4), np.float32), noise=Louder(1.0), seed=0)


@pytest.mark.parametrize("name", ["pink", None, ["gaussian"]])
def test_an_unknown_name_is_refused_with_those_that_are_known(name):
    with pytest.raises(rs.InvalidArgumentError, match=f"is not known: give one of {', '.join(NOISES)}"):
        noises.from_dict({"name": name, "sigma": 1.0})
