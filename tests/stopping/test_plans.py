"""Sequential plans, curtailment, labels and the two-sided bound through certify."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast.certificates import cohen_l2
from rsfast.confidence import clopper_pearson_lower, clopper_pearson_upper
from rsfast.errors import InvalidArgumentError
from rsfast.numerics.normal import ndtr
from tests import flat

NOISE = rs.Gaussian(0.5)


def coin(x):
    """Class 1 where the first pixel, noise included, is positive: of probability Phi(x / sigma)."""
    return torch.stack([torch.zeros(len(x)), x.flatten(1)[:, 0]], dim=1)


def images_of(z):
    x = torch.zeros(len(z), 1, 2, 2)
    x[:, 0, 0, 0] = 0.5 * torch.tensor(z)
    return x


Z = [-2.0, -0.1, 0.0, 0.05, 0.3, 0.8, 1.2, 2.0, 3.5]
CALL = {"noise": NOISE, "num_classes": 2, "value_range": None, "seed": 4, "n": 20_000, "n0": 50}


def test_a_grid_certifies_radii_of_the_list_below_the_true_one():
    grid = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5]
    cert = flat.certify(coin, images_of(Z), plan=rs.plans.Grid(grid), **CALL)
    fixed = flat.certify(coin, images_of(Z), **CALL)
    true = 0.5 * np.abs(Z)
    for radius, exact in zip(cert.radius, true, strict=True):
        assert radius <= exact or radius == 0
        assert min(abs(radius - r) for r in grid) < 1e-12
    easy = [i for i, z in enumerate(Z) if all(abs(0.5 * abs(z) - r) > 0.1 for r in grid)]
    for i in easy:
        assert max(r for r in grid if r <= fixed.radius[i]) == pytest.approx(cert.radius[i], abs=1e-12)
    assert cert.counts.drawn.mean() < 0.4 * 20_000
    assert (cert.counts.drawn < 20_000).sum() >= 7
    assert ((cert.counts.spent > 0) & (cert.counts.spent <= 0.001)).all()


def test_a_grid_of_which_nothing_can_be_certified_is_refused():
    with pytest.raises(InvalidArgumentError, match="radii from 1.9 with n=20000: so few draws certify none"):
        flat.certify(coin, images_of(Z), plan=rs.plans.Grid([2.5, 1.9]), **CALL)
    assert flat.certify(coin, images_of(Z), plan=rs.plans.Grid([2.5, 1.4]), **CALL).radius[-1] == pytest.approx(1.4)


def test_votes_of_a_plan_are_the_first_draws_of_the_image():
    cert = flat.certify(coin, images_of(Z), plan=rs.plans.Grid([0.25, 0.5]), **CALL)
    for i, drawn in enumerate(cert.counts.drawn):
        alone = flat.sample_counts(coin, images_of(Z)[i : i + 1], ids=[i], **{**CALL, "n": int(drawn)})
        assert (alone.estimation[0] == cert.counts.estimation[i]).all()
        assert (alone.selection[0] == cert.counts.selection[i]).all()


@pytest.mark.parametrize("batch", [1, 50, 128, 1000])
def test_decisions_do_not_depend_on_the_batch_or_on_the_company(batch):
    plan = rs.plans.Grid([0.0, 0.5])
    together = flat.certify(coin, images_of(Z), plan=plan, **{**CALL, "n": 3000})
    other = flat.certify(coin, images_of(Z).flip(0), plan=plan, ids=range(8, -1, -1), batch=batch, **{**CALL, "n": 3000})
    for name in ("drawn", "reached", "estimation", "selection"):
        assert (getattr(together.counts, name) == getattr(other.counts, name)[::-1]).all()


def test_radius_plan_comes_within_its_tolerance():
    cert = flat.certify(coin, images_of(Z), plan=rs.plans.Radius(0.1), **CALL)
    fixed = flat.certify(coin, images_of(Z), **CALL)
    assert (cert.radius <= 0.5 * np.abs(Z) + 1e-12).all()
    clear = np.abs(Z) > 0.2
    assert (cert.radius[clear] >= 0.85 * fixed.radius[clear]).all()
    assert cert.counts.drawn.mean() < 0.8 * 20_000


def test_betting_continues_where_it_paused():
    plan = rs.plans.Betting()
    first = flat.certify(coin, images_of(Z), plan=plan, **{**CALL, "n": 1000})
    more = flat.certify(coin, images_of(Z), plan=plan, earlier=first.counts, **{**CALL, "seed": None, "n": 20_000})
    at_once = flat.certify(coin, images_of(Z), plan=plan, **CALL)
    assert (more.radius >= first.radius).all()
    assert (more.radius <= 0.5 * np.abs(Z)).all()
    assert (more.radius > first.radius).sum() >= 4
    assert (more.counts.selection == at_once.counts.selection).all()
    same = more.counts.drawn == at_once.counts.drawn
    assert same.sum() >= 7  # the pause was a look of its own
    assert (more.counts.estimation[same] == at_once.counts.estimation[same]).all()


def test_only_betting_can_be_continued():
    spent = flat.certify(coin, images_of(Z), plan=rs.plans.Grid([0.5]), **{**CALL, "n": 1000})
    with pytest.raises(InvalidArgumentError, match="whose alpha is spent by n=1000"):
        flat.certify(coin, images_of(Z), plan=rs.plans.Grid([0.5]), earlier=spent.counts, **{**CALL, "seed": None})
    with pytest.raises(InvalidArgumentError, match="all n draws"):
        fixed = flat.certify(coin, images_of(Z), **{**CALL, "n": 1000})
        flat.certify(coin, images_of(Z), plan=rs.plans.Betting(), earlier=fixed.counts, **{**CALL, "seed": None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.01}, "rule: betting plan at alpha = 0.001"),
        ({"norm": np.inf}, "rule: betting plan at alpha = 0.001, in l2"),
        ({"labels": [1] * 9, "n0": 0}, "selected classes tested"),
        ({"plan": rs.plans.Betting(radii=[0.25, 0.75])}, "give the same plan"),
        ({"noise": rs.Gaussian(0.25)}, "noise: "),
        ({"num_classes": 3}, "num_classes 2"),
        ({"n0": 20}, "n0 50 and this call has 20"),
        ({"n": 500}, "give a larger n"),
        ({"seed": 9}, "leave seed out"),
        ({"batch": 64}, "in batches of 64"),
        ({"dtype": "bfloat16"}, "in bfloat16"),
        ({"earlier": 3}, "earlier is int"),
    ],
)
def test_what_is_continued_must_be_the_same(change, message):
    plan = rs.plans.Betting(radii=[0.25, 0.5])
    call = {**CALL, "plan": plan, "n": 1000}
    counts = flat.sample_counts(coin, images_of(Z), **call)
    again = {**call, "seed": None, "n": 2000, "earlier": counts} | change
    with pytest.raises(InvalidArgumentError, match=message):
        flat.certify(coin, images_of(Z), **again)


def test_a_model_is_not_folded_in_the_middle_of_an_image():
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    model, call = torch.nn.Sequential(*layers), {**CALL, "plan": rs.plans.Betting()}
    first = flat.sample_counts(model, images_of(Z), **{**call, "n": 200})
    with pytest.raises(InvalidArgumentError, match="earlier was run with the model as it is, this call with .*: fold, runtime"):
        flat.sample_counts(model, images_of(Z), earlier=first, fold=True, **{**call, "seed": None})


def test_a_label_of_a_continued_image_must_not_change():
    labels = [1, 0] * 4 + [1]
    call = {**CALL, "plan": rs.plans.Betting(), "n0": 0}
    first = flat.sample_counts(coin, images_of(Z), labels=labels, **{**call, "n": 500})
    labels[0] = 0
    with pytest.raises(InvalidArgumentError, match="image id 0 was tested for another label"):
        flat.sample_counts(coin, images_of(Z), labels=labels, earlier=first, **{**call, "seed": None})


class AsItIsTold(torch.nn.Module):
    """Its answer lies in a class, in a global or in memory of C: a fingerprint does not see it."""

    def __init__(self, told):
        super().__init__()
        self.told = memoryview(bytearray([told]))

    def forward(self, x):
        return torch.nn.functional.one_hot(torch.full((len(x),), self.told[0]), 2).float()


@pytest.mark.parametrize("n", [1000, 4000])
@pytest.mark.parametrize("radii", [None, (0.1,)])
@pytest.mark.parametrize("of", [AsItIsTold, lambda told: lambda x: AsItIsTold(told)(x)], ids=["module", "function"])
def test_votes_of_another_model_are_refused_for_finished_images_and_equal_fingerprints(of, radii, n):
    call = {**CALL, "n0": 10, "plan": rs.plans.Betting() if radii is None else rs.plans.Betting(radii=radii)}
    first = flat.sample_counts(of(1), images_of(Z[:1]), **{**call, "n": 1000})
    again = {**call, "n": n, "seed": None, "earlier": first}
    with pytest.raises(InvalidArgumentError, match="votes otherwise on the first copies of image id 0"):
        flat.certify(of(0), images_of(Z[:1]), **again)
    assert flat.certify(of(1), images_of(Z[:1]), **again).label.tolist() == [1]


def test_other_images_are_not_continued():
    first = flat.sample_counts(coin, images_of(Z), plan=rs.plans.Betting(), **{**CALL, "n": 500})
    call = {**CALL, "seed": None, "plan": rs.plans.Betting(), "earlier": first}
    others = images_of(Z)
    others[3, 0, 1, 1] += 1e-6
    with pytest.raises(InvalidArgumentError, match="image id 3 is not the image that earlier was drawn of"):
        flat.sample_counts(coin, others, **call)
    with pytest.raises(InvalidArgumentError, match="image id 0 is not the image"):
        flat.sample_counts(coin, images_of(Z), **{**call, "earlier": dataclasses.replace(first, images=())})
    new = flat.sample_counts(coin, others[3:4], ids=[99], **call)  # an image that was not seen begins
    assert new.ids.tolist() == [99]


def test_a_continued_image_of_another_size_is_refused():
    first = flat.sample_counts(coin, images_of(Z), plan=rs.plans.Betting(), **{**CALL, "n": 500})
    with pytest.raises(InvalidArgumentError, match="pixels 4 and this call has 16"):
        flat.sample_counts(coin, torch.zeros(9, 1, 4, 4), plan=rs.plans.Betting(), earlier=first, **{**CALL, "seed": None})


def test_predict_refuses_votes_that_a_rule_stopped():
    for more in ({"plan": rs.plans.Grid([0.5])}, {"plan": rs.plans.Curtail()}):
        counts = flat.sample_counts(coin, images_of(Z), **{**CALL, "n": 1000}, **more)
        with pytest.raises(InvalidArgumentError, match="stopped where they were favourable"):
            rs.predict_counts(counts)


def test_votes_by_hand_cannot_claim_what_no_plan_says():
    counts = flat.sample_counts(coin, images_of(Z), plan=rs.plans.Grid([0.5]), **CALL)
    for change in (
        {"reached": np.full(9, 1)},
        {"reached": np.full(9, -2)},
        {"reached": [0]},
        {"drawn": [5, 5]},
        {"tested": [7] * 9},
    ):
        if "tested" in change:
            change["stopping"] = dataclasses.replace(counts.stopping, labels=True)
        with pytest.raises(InvalidArgumentError):
            dataclasses.replace(counts, **change)
    nobody = dataclasses.replace(counts.stopping, labels=True)
    with pytest.raises(InvalidArgumentError, match="whose class is known"):
        dataclasses.replace(counts, stopping=nobody, tested=np.full(9, -1), reached=np.zeros(9, int))
    bare = dataclasses.replace(counts.stopping, plan=rs.plans.Radius(), failure=())
    unknown = dataclasses.replace(counts, stopping=bare, reached=np.full(9, -1))
    with pytest.raises(InvalidArgumentError, match="without its thresholds"):
        rs.certify_counts(unknown)


def test_a_plan_needs_a_class_to_test():
    for more in ({"plan": rs.plans.Grid([0.5])}, {"plan": rs.plans.Curtail()}):
        with pytest.raises(InvalidArgumentError, match="n0=0 with a plan"):
            flat.sample_counts(coin, images_of(Z), **{**CALL, "n0": 0}, **more)


def test_radii_look_by_look_are_in_one_norm_and_of_one_joint_bound():
    x = torch.rand(2, 1, 4, 4)
    plan = rs.plans.Grid([0.1])
    call = {"noise": NOISE, "num_classes": 2, "n": 500, "seed": 0, "transform": rs.DiagonalSplit("nearest"), "plan": plan}
    counts = flat.sample_counts(lambda v: v.flatten(1)[:, :2], x, joint="product", **call)
    rs.certify_counts(counts, joint="product")
    for other in ({"joint": "bonferroni"}, {"joint": "product", "norm": np.inf}):
        with pytest.raises(InvalidArgumentError, match="certified look by look"):
            rs.certify_counts(counts, **other)


def test_tested_labels_are_certified_only_where_they_win():
    labels = [1, 0] * 4 + [1]
    cert = flat.certify(coin, images_of(Z), plan=rs.plans.Grid([0.0, 0.25, 0.5]), labels=labels, **{**CALL, "n0": 0})
    wins = np.array([(z > 0) == bool(label) for z, label in zip(Z, labels, strict=True)])
    assert (cert.label[~cert.abstained] == np.array(labels)[~cert.abstained]).all()
    assert cert.abstained[~wins].all()
    clear = wins & (np.abs(Z) > 0.5)
    assert not cert.abstained[clear].any()
    assert cert.counts.selection.sum() == 0


def test_curtailed_rows_are_those_of_all_draws():
    z = [0.0, -0.01, 0.01, 0.02, 0.5, 0.0, 0.0, 0.005]
    call = {**CALL, "n": 5000, "n0": 3}  # so few choose the wrong class now and then
    full = flat.certify(coin, images_of(z), **call)
    short = flat.certify(coin, images_of(z), plan=rs.plans.Curtail(), **call)
    assert (full.label == short.label).all()
    assert (full.radius == short.radius).all()
    assert (short.counts.drawn < 5000).any()
    assert (short.abstained[short.counts.drawn < 5000]).all()


def test_curtailed_rows_are_not_certified_at_a_level_they_do_not_support():
    counts = flat.sample_counts(coin, images_of([0.0] * 40), plan=rs.plans.Curtail(), **{**CALL, "n": 1000})
    assert rs.certify_counts(counts, alpha=1e-4).abstained.any()
    with pytest.raises(InvalidArgumentError, match="need not abstain"):
        rs.certify_counts(counts, alpha=0.4)
    with pytest.raises(InvalidArgumentError, match="need not abstain"):
        rs.certify_counts(counts, multiclass=True)


def test_votes_of_a_plan_support_its_alpha_only():
    counts = flat.sample_counts(coin, images_of(Z), plan=rs.plans.Grid([0.5]), **CALL)
    for other in ({"alpha": 0.01}, {"alpha": 1e-4}, {"multiclass": True}, {"bound": "two-sided"}):
        with pytest.raises(InvalidArgumentError, match="stopped as it says"):
            rs.certify_counts(counts, **other)
    two, infinity = rs.certify_counts(counts), rs.certify_counts(counts, norm=np.inf)
    assert (infinity.radius[two.radius > 0] < two.radius[two.radius > 0]).all()  # another norm is another radius of one bound


@pytest.mark.parametrize(
    ("noise", "norm"),
    [(rs.Laplace(0.3), 1), (rs.Uniform(0.5), 1), (rs.GeneralizedGaussian(0.5, 3), 2), (rs.LatticeGaussian(0.25), 2)],
)
def test_a_grid_works_for_every_noise(noise, norm):
    lattice = isinstance(noise, rs.LatticeGaussian)
    x = torch.zeros(2, 1, 2, 2)
    x[:, 0, 0, 0] = torch.tensor([51 / 255, 1.0]) if lattice else torch.tensor([0.2, 0.9])
    radii = [0.01, 0.02, 0.05, 0.1]
    cert = rs.certify(coin, x, noise=noise, num_classes=2, n=20_000, plan=rs.plans.Grid(radii), norm=norm, seed=0)
    fixed = rs.certify(coin, x, noise=noise, num_classes=2, n=20_000, norm=norm, seed=0)
    for planned, all_draws in zip(cert.radius, fixed.radius, strict=True):
        assert planned == pytest.approx(max([r for r in radii if r <= all_draws], default=0.0), abs=0.011)
    assert cert.counts.drawn.sum() < 30_000


def test_a_grid_works_for_input_dependent_noise():
    noise = rs.InputDependentGaussian(lambda x: 0.4 + 0 * x.flatten(1)[:, 0].numpy(), rate=0.01)
    with pytest.warns(rs.SoundnessWarning):
        cert = flat.certify(coin, images_of([0.8, 2.0]), plan=rs.plans.Grid([0.1, 0.3]), **{**CALL, "noise": noise})
    assert cert.radius.tolist() == [0.3, 0.3]
    assert (cert.counts.drawn < 5000).all()


@pytest.mark.parametrize("joint", ["bonferroni", "product"])
def test_a_grid_works_for_two_halves(joint):
    x = torch.zeros(3, 1, 4, 4)
    x[0], x[1] = 1.0, 0.2

    def mean(v):
        return torch.stack([v.flatten(1).mean(dim=1), torch.full((len(v),), 0.5)], dim=1)

    radii = [0.0, 0.25, 0.5, 1.0]
    call = {"noise": NOISE, "num_classes": 2, "n": 10_000, "seed": 0, "transform": rs.DiagonalSplit("nearest"), "joint": joint}
    cert = flat.certify(mean, x, plan=rs.plans.Grid(radii), **call)
    fixed = flat.certify(mean, x, **call)
    assert (cert.radius <= fixed.radius).all()
    assert cert.radius.tolist() == [max(r for r in radii if r <= f) for f in fixed.radius]
    assert (cert.counts.drawn < 3000).all()


@pytest.mark.parametrize("plan", [rs.plans.Grid([0.5], final=1.0), rs.plans.Grid([0.5], spread=2.0, growth=1.0, first=1, step=1)])
def test_a_look_that_spends_nothing_certifies_nothing(plan):
    call = {**CALL, "n": 1500, "bound": "two-sided", "plan": plan}
    cert = flat.certify(coin, images_of([0.0, 3.5]), **call)
    assert cert.radius.tolist() == [0.0, 0.5]
    assert cert.counts.drawn[1] > 500


def test_a_grid_works_with_the_two_sided_bound(rng):
    x = torch.zeros(3, 1, 2, 2)
    x[:, 0, 0, 0] = torch.tensor([0.05, 0.8, 3.0])
    call = {"noise": rs.Gaussian(1.0), "num_classes": 3, "n": 20_000, "seed": 1, "bound": "two-sided", "value_range": None}
    for futility in (0.0, 1e-3):
        cert = flat.certify(three, x, plan=rs.plans.Grid([0.0, 0.2, 0.5], futility=futility), **call)
        fixed = flat.certify(three, x, **call)
        assert (cert.radius <= np.maximum(fixed.radius, 1e-300)).all()
        assert cert.radius[2] == 0.5
        assert cert.counts.drawn[2] < 1000
        assert (cert.counts.drawn[1] < 20_000) == (futility > 0)


def test_shares_of_alpha_over_looks_add_up_to_alpha():
    from rsfast.request import Smoothing
    from rsfast.stopping.choose import Ask, make

    ask = Ask(Smoothing(NOISE, rs.DiagonalSplit("nearest"), (8, 8)), rs.Claim(0.01), rs.plans.Grid([0.5]))
    recipe = make(ask, 10, 100_000)
    assert 0.0099 < recipe.spent(len(recipe.looks) - 1) <= 0.01


def three(x):
    """Three classes, of which none has half of the votes."""
    return x.flatten(1)[:, :3]


def test_the_two_sided_bound_decides_where_one_class_has_less_than_half():
    x = torch.zeros(1, 1, 2, 2)
    x[0, 0, 0, 0] = 0.3
    call = {"noise": rs.Gaussian(1.0), "num_classes": 3, "n": 100_000, "seed": 1}
    counts = flat.sample_counts(three, x, **call)
    assert rs.certify_counts(counts).abstained.all()
    cert = rs.certify_counts(counts, bound="two-sided")
    votes = np.sort(counts.estimation[0])[::-1]
    lower = clopper_pearson_lower(votes[0], 100_000, 0.9e-3)
    upper = clopper_pearson_upper(votes[1], 100_000, 0.1e-3)
    assert lower < 0.5 < 2 * lower
    assert cert.radius[0] == pytest.approx(float(cohen_l2(lower, sigma=1.0, p_upper=upper)), rel=1e-12)


def test_the_two_sided_bound_costs_little_where_it_does_not_help():
    cert = flat.certify(coin, images_of([0.5, 1.0, 2.0]), **{**CALL, "n": 100_000})
    two = rs.certify_counts(cert.counts, bound="two-sided")
    assert (two.radius < cert.radius).all()
    assert (two.radius > 0.998 * cert.radius).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"plan": 3}, "is not a plan"),
        ({"plan": rs.plans.Curtail(), "labels": [0] * 9}, "tests no labels"),
        ({"labels": [0] * 9}, "labels are tested by plans"),
        ({"plan": rs.plans.Grid([0.5]), "labels": [0, 1]}, "labels are not 9 classes"),
        ({"plan": rs.plans.Grid([0.5]), "labels": [2] * 9}, "labels are not 9 classes"),
        ({"plan": rs.plans.Curtail(), "bound": "two-sided"}, "leave it out"),
        ({"plan": rs.plans.Radius(), "bound": "two-sided"}, "give plans.Grid"),
        ({"plan": rs.plans.Grid([25.0])}, "certified by no probability"),
    ],
)
def test_what_does_not_go_together_is_refused_before_drawing(arguments, message):
    def never(x):
        raise AssertionError("drawn")

    with pytest.raises(InvalidArgumentError, match=message):
        flat.certify(never, images_of(Z), **CALL, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bound": "bayes"}, "bound='bayes' is not known"),
        ({"joint": "product"}, "is for two parts"),
        ({"alpha": [0.1, 0.2]}, "alpha is an array"),
        ({"transform": rs.DiagonalSplit("nearest"), "noise": rs.Uniform(0.5)}, "no certificate covers that"),
    ],
)
def test_votes_that_nothing_certifies_are_not_drawn(arguments, message):
    def never(x):
        raise AssertionError("drawn")

    for more in ({"plan": rs.plans.Grid([0.5])}, {"plan": rs.plans.Curtail()}):
        with pytest.raises(InvalidArgumentError, match=message):
            flat.sample_counts(never, images_of(Z), **{**CALL, **arguments, **more})


def test_false_certificates_of_a_plan_are_rare():
    """At the threshold itself, where they are most frequent: of 400 images, alpha = 0.05 each; more than 37 has probability 1e-4."""
    z = [1.0] * 400
    plan = rs.plans.Grid([0.5 + 1e-9])
    cert = flat.certify(coin, images_of(z), plan=plan, alpha=0.05, batch=1024, **{**CALL, "n": 2000})
    wrong = int((cert.radius > 0.5).sum())
    assert 1 <= wrong <= 37
    assert float(ndtr(1.0)) < 1


def test_thresholds_are_the_least_probabilities_that_certify():
    from rsfast.certifying.radii import thresholds
    from rsfast.request import WHOLE, Smoothing

    radii = [0.0, 0.1, 0.5, 1.0, 1.9]
    failure = np.array(thresholds(Smoothing(NOISE, WHOLE, (12,)), 2.0, radii))
    assert (np.diff(failure) < 0).all()
    for q, r in zip(failure, radii, strict=True):
        assert float(cohen_l2(1 - q, sigma=0.5, q_upper=q)) >= r
        assert float(cohen_l2(1 - q * (1 + 1e-12), sigma=0.5, q_upper=q * (1 + 1e-12))) < max(r, 1e-12)
    for a, b in itertools.pairwise(failure):
        assert a > b


@pytest.mark.parametrize(("joint", "paths", "most"), [("bonferroni", 400, 37), ("product", 30, 8)])
def test_looks_at_two_halves_seldom_state_too_much(joint, paths, most, rng):
    from bench.show_plan_halves import share_wrong

    found = share_wrong((0.98, 0.55), joint, paths, rng)
    assert found["wrong"] <= most  # at alpha = 0.05; more has probability 1e-4
    assert 0.5 * found["true_radius"] < found["mean_radius"] < found["true_radius"]
