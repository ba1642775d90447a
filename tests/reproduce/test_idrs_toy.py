"""The toy experiments of Súkeník et al. 2022: where the data lie, what sigma(x) and the radii keep to, what is written."""

import csv
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy import stats

from rsfast import certificates
from rsfast.cli.reproduce import DIMENSIONS, reproduce
from rsfast.errors import InvalidArgumentError
from rsfast.noise import Gaussian, InputDependentGaussian
from rsfast.reproduce import idrs_toy as toy

SMALL = toy.TABLE_5[2]._replace(test=10, training=100, epochs=20)


@pytest.fixture(scope="module")
def experiment():
    return toy.run(SMALL, n=500, seed=3)


def angles(x):
    """To the first axis, by an arctangent: not the formula under test."""
    x = x.astype(np.float64)
    return np.arctan2(np.linalg.norm(x[:, 1:], axis=1), x[:, 0])


@pytest.mark.parametrize("dimension", [2, 6, 60, 400])
def test_one_class_is_in_the_cone_and_the_other_outside(dimension, rng):
    points = toy.sample(rng, 300, dimension, scale=7.0)
    assert points.x.shape == (600, dimension) and points.x.dtype == np.float32
    assert np.bincount(points.label).tolist() == [300, 300]
    assert np.array_equal(toy.in_cone(points.x, toy.HALF_ANGLE), points.label == 1)
    angle = angles(points.x)
    assert angle[points.label == 1].max() <= toy.HALF_ANGLE * (1 + 1e-12) < angle[points.label == 0].min() * (1 + 1e-12)


def test_a_wide_cone_is_as_exact(rng):
    points = toy.sample(rng, 1000, 3, scale=1.0, half_angle=1.5)
    angle = angles(points.x)
    assert angle[points.label == 1].max() <= 1.5 * (1 + 1e-12) < angle[points.label == 0].min() * (1 + 1e-12)


@pytest.mark.parametrize("dimension", [2, 18])
def test_distances_and_angles_have_the_law_that_the_module_states(dimension, rng):
    """Kolmogorov-Smirnov: false alarm once in 10^4 seeds, and the seed is fixed."""
    points = toy.sample(rng, 4000, dimension, scale=5.0)
    distance = np.linalg.norm(points.x.astype(np.float64), axis=1)
    for label in (0, 1):
        assert stats.kstest(distance[points.label == label] / 5.0, stats.halfnorm.cdf).pvalue > 1e-4
    cone = angles(points.x[points.label == 1])
    assert stats.kstest(cone / toy.HALF_ANGLE, "uniform").pvalue > 1e-4


def test_the_other_class_is_symmetric_but_for_the_cone(rng):
    x = toy.sample(rng, 4000, 2, scale=1.0).x[4000:].astype(np.float64)
    turned = np.arctan2(x[:, 1], x[:, 0]) % (2 * math.pi)
    free = (turned - toy.HALF_ANGLE) / (2 * math.pi - 2 * toy.HALF_ANGLE)
    assert stats.kstest(free, "uniform").pvalue > 1e-4


def test_one_seed_gives_one_result_and_another_seed_another(experiment):
    again, other = toy.run(SMALL, n=500, seed=3), toy.run(SMALL, n=500, seed=4)
    assert toy.summary(again) == toy.summary(experiment) != toy.summary(other)
    for one, two in zip(experiment.outcomes, again.outcomes, strict=True):
        assert np.array_equal(one.certificate.counts.estimation, two.certificate.counts.estimation)


def test_training_leaves_torchs_generator_and_threads_alone(rng):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    toy.train(toy.sample(rng, 20, 2, scale=5.0), 5.0, epochs=2, seed=0)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == 2


def test_training_separates_the_classes(rng):
    points = toy.sample(rng, 300, 6, scale=10.0)
    answers = toy.train(points, 10.0, epochs=30, seed=0)(points.images).argmax(dim=1).numpy()
    assert (answers == points.label).mean() > 0.95


@pytest.mark.parametrize("design", [toy.FIGURE_1, *toy.TABLE_5.values()], ids=lambda design: design.name)
def test_sigma_varies_no_faster_than_its_rate_and_keeps_its_cap(design, rng):
    training = toy.sample(rng, 60, design.dimension, scale=design.scale)
    queries = toy.sample(rng, 40, design.dimension, scale=3 * design.scale)  # far ones reach the cap
    for setting in design.settings[1:]:
        noise = toy.level(design, setting, training)
        assert isinstance(noise, InputDependentGaussian) and noise.proven and noise.rate == setting.rate
        sigma = noise.function(queries.images)
        x = queries.x.astype(np.float64)
        apart = np.linalg.norm(x[:, None] - x[None], axis=2)
        slope = np.abs(np.log(sigma)[:, None] - np.log(sigma)[None])
        assert (slope <= setting.rate * apart + 1e-12).all()
        if design.cap is not None:
            assert sigma.max() == pytest.approx(5 * setting.sigma, rel=1e-15)


def test_the_lowest_level_of_a_cone_is_about_sigma_b_and_that_of_figure_1_lies_around_it(rng):
    for design, low, high in ((toy.TABLE_5[2], 0.95, 1.05), (toy.FIGURE_1, 0.5, 0.95)):
        training = toy.sample(rng, 500, 2, scale=design.scale)
        sigma = toy.level(design, design.settings[1], training).function(training.images) / design.settings[1].sigma
        assert low < sigma.min() < high
    assert sigma.mean() == pytest.approx(1.0, abs=0.05)


def test_constant_settings_draw_constant_noise(rng):
    training = toy.sample(rng, 30, 2, scale=5.0)
    assert toy.level(toy.FIGURE_1, toy.FIGURE_1.settings[0], training) == Gaussian(0.6)


def test_input_dependent_radii_are_never_above_cohens(experiment):
    for setting, certificate, _ in experiment.outcomes:
        most = certificates.cohen_l2(certificate.p_lower, sigma=certificate.counts.sigma, q_upper=certificate.q_upper)
        assert (certificate.radius <= most).all()
        if setting.rate:
            certified = certificate.radius > 0
            assert certified.any() and (certificate.radius[certified] < most[certified]).all()


def test_constant_noise_never_passes_its_ceiling_and_reaches_it_where_all_draws_agree():
    """A point so deep in the cone that the noise cannot leave it: the radius is the ceiling to the last bit."""
    design = SMALL._replace(settings=(toy.Setting(0.01, 0.0, None), SMALL.settings[1]), test=40)
    found = toy.run(design, n=500)
    radius = found.outcomes[0].certificate.radius
    assert radius.max() == found.ceiling
    assert found.ceiling == pytest.approx(0.01 * stats.norm.ppf(0.001 ** (1 / 500)), rel=1e-12)
    assert toy.summary(found)[0]["beyond_ceiling"] == 0.0


def test_curves_start_at_the_clean_accuracy_and_fall_to_nothing(experiment):
    figure = toy.curves(experiment)
    for row, values in zip(toy.summary(experiment), figure.series.values(), strict=True):
        assert values[0] == row["clean_accuracy"] and values[-1] == 0.0
        assert (np.diff(values) <= 0).all()
        beyond = values[figure.x > row["ceiling"]]
        assert (beyond <= row["beyond_ceiling"]).all()


def test_rows_compare_with_the_constant_level(experiment):
    rows = toy.summary(experiment)
    assert rows[0]["recovered"] == rows[0]["lost"] == 0
    for row in rows:
        gained = row["clean_accuracy"] - rows[0]["clean_accuracy"]
        assert gained == pytest.approx((row["recovered"] - row["lost"]) / 20)


def test_table_5_and_the_command_name_the_same_dimensions():
    assert tuple(str(dimension) for dimension in toy.TABLE_5) == DIMENSIONS
    assert sum(len(design.settings) for design in toy.TABLE_5.values()) == 14


def test_the_papers_accuracies_are_cut_multiples_of_1_in_300():
    papers = [setting.paper for design in toy.TABLE_5.values() for setting in design.settings]

    def fits(points):
        return all(math.floor(1000 * math.ceil(points * p - 1e-9) / points + 1e-9) == round(1000 * p) for p in papers)

    assert [points for points in range(1, 301) if fits(points)] == [300]


def test_the_command_writes_every_file(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "FIGURE_1", toy.FIGURE_1._replace(test=5, training=50, epochs=2))
    monkeypatch.setattr(toy, "TABLE_5", {6: toy.TABLE_5[6]._replace(test=5, training=50, epochs=2)})
    arguments = ["idrs-toy", "--out", str(tmp_path / "a"), "--dimension", "6", "--n", "50", "--seed", "1"]
    result = CliRunner().invoke(reproduce, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    names = {f"{stem}.{ending}" for stem in ("toy-2d", "cone-6") for ending in ("csv", "png", "svg")}
    assert {file.name for file in (tmp_path / "a").iterdir()} == names | {"clean-accuracy.csv"}
    rows = list(csv.DictReader((tmp_path / "a" / "clean-accuracy.csv").read_text().splitlines()))
    assert [(row["experiment"], row["paper"]) for row in rows] == [
        ("toy-2d", ""),
        ("toy-2d", ""),
        ("cone-6", "0.946"),
        ("cone-6", "0.963"),
    ]
    assert "0.963" in result.output and result.output.count("sigma(x)") == 2
    arguments[2] = str(tmp_path / "b")
    again = CliRunner().invoke(reproduce, arguments, catch_exceptions=False)
    for name in ("toy-2d.csv", "cone-6.csv", "clean-accuracy.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert again.output.splitlines()[:-1] == result.output.splitlines()[:-1]


def test_an_unknown_dimension_is_refused(tmp_path):
    result = CliRunner().invoke(reproduce, ["idrs-toy", "--out", str(tmp_path), "--dimension", "3"])
    assert result.exit_code == 2 and "'400'" in result.output


def test_too_few_draws_are_refused_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr(toy, "train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(InvalidArgumentError, match="n=5 draws"):
        toy.run(SMALL, n=5)
