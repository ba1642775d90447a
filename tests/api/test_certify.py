"""The public functions, on classifiers of which everything is known."""

import os

import numpy as np
import pytest
import torch
from scipy import stats

import rsfast as rs
from rsfast.backends.reference import standard_normal
from rsfast.noise import STREAMS
from tests import flat
from tests.reference.linear import Halfspace, random_halfspace

SIGMA = 0.25


def pixels(x):
    """Two logits: the first two pixels.  Row by row, so no batch size can change it."""
    return x.flatten(1)[:, :2]


def images(rng, count, channels=1, side=4):
    return torch.from_numpy(rng.random((count, channels, side, side), dtype=np.float32))


def test_votes_are_those_of_the_documented_noise(rng):
    """Every copy rebuilt from (seed, stream, id, sample) with the reference draw, classified one by one."""
    x = images(rng, 2, channels=2, side=5)
    counts = flat.sample_counts(
        pixels, x, noise=rs.Gaussian(0.5), num_classes=2, n0=7, n=40, seed=11, ids=[3, 2**32 - 1], batch=9
    )
    for b, image in enumerate((3, 2**32 - 1)):
        for name, stage, n in (("selection", counts.selection, 7), ("estimation", counts.estimation, 40)):
            votes = [0, 0]
            for sample in range(n):
                z = standard_normal(50, seed=11, stream=STREAMS[name], image=image, sample=sample)
                noisy = x[b].flatten().numpy() + np.float32(0.5) * z
                votes[int(noisy[1] > noisy[0])] += 1
            assert stage[b].tolist() == votes


@pytest.mark.parametrize("backend", ["native", "numba", "reference", "triton"])
@pytest.mark.parametrize("batch", [1, 5, 64])
def test_votes_do_not_depend_on_backend_or_batch(backend, batch, rng):
    x = images(rng, 1, side=3)
    call = {"noise": rs.Gaussian(0.5), "num_classes": 2, "n0": 3, "n": 8, "seed": 5, "ids": [8]}
    expected = flat.sample_counts(pixels, x, backend="reference", batch=11, **call)
    device = "cuda" if backend == "triton" and os.environ.get("RSFAST_TEST_GPU") == "1" else "cpu"
    got = flat.sample_counts(pixels, x, backend=backend, batch=batch, device=device, **call)
    assert (got.selection == expected.selection).all()
    assert (got.estimation == expected.estimation).all()
    assert got.backend == backend


def test_an_image_gets_the_same_votes_alone_and_in_a_batch(rng):
    x = images(rng, 3)
    call = {"noise": rs.Gaussian(0.5), "num_classes": 2, "n0": 3, "n": 50, "seed": 5}
    together = flat.sample_counts(pixels, x, ids=[4, 9, 1], **call)
    alone = flat.sample_counts(pixels, x[1:2], ids=[9], **call)
    assert (together.estimation[1] == alone.estimation[0]).all()


def test_radii_are_sound_and_cover_the_exact_ones(rng):
    """Radius above the exact one at most alpha of the time; false-alarm rate of this test below 1e-6."""
    alpha, runs = 0.05, 300
    model = random_halfspace(rng, 16)
    x = images(rng, runs)
    cert = rs.certify(model, x, noise=rs.Gaussian(SIGMA), num_classes=2, n0=20, n=400, alpha=alpha, seed=1)
    distance = model.distance(x).detach().numpy()
    exact = np.where(cert.label == 0, distance, -distance)  # negative: the certified label is wrong
    wrong = int((~cert.abstained & (cert.radius > exact)).sum())
    assert wrong <= stats.binom.isf(1e-6, runs, alpha)
    assert 0 < cert.abstained.sum() < runs
    assert (cert.radius[~cert.abstained] > 0.3 * exact[~cert.abstained]).mean() > 0.8  # and they are not trivial


def test_estimates_converge_to_the_exact_probability(rng):
    model = random_halfspace(rng, 16)
    x = images(rng, 4)
    counts = rs.sample_counts(model, x, noise=rs.Gaussian(SIGMA), num_classes=2, n0=1, n=40_000, seed=3)
    p = model.probability(x, SIGMA).detach().numpy()
    z = (counts.estimation[:, 0] - 40_000 * p) / np.sqrt(40_000 * p * (1 - p) + 1)
    assert np.abs(z).max() < 5.5


def test_certificates_are_rederived_from_counts(rng):
    x = images(rng, 5)
    call = {"noise": rs.Gaussian(0.5), "num_classes": 2, "n0": 20, "n": 200, "seed": 5, "ids": range(5)}
    cert = flat.certify(pixels, x, alpha=0.01, **call)
    again = rs.certify_counts(flat.sample_counts(pixels, x, **call), alpha=0.01)
    np.testing.assert_array_equal(cert.radius, again.radius)
    np.testing.assert_array_equal(cert.label, again.label)
    assert cert.label.dtype == np.int64
    assert cert.radius.dtype == cert.p_lower.dtype == np.float64
    assert cert.abstained.dtype == bool
    assert ((cert.label == rs.ABSTAIN) == cert.abstained).all()
    assert ((cert.radius == 0) == cert.abstained).all()
    weaker = rs.certify_counts(cert.counts, alpha=0.0001)
    assert (weaker.radius <= cert.radius).all()


def test_other_norms_scale_with_the_dimension(rng):
    x = images(rng, 3)
    cert = rs.certify(pixels, x, noise=rs.Gaussian(0.5), num_classes=2, n=200, alpha=0.01, seed=5)
    top = rs.certify_counts(cert.counts, alpha=0.01, norm=float("inf"))
    np.testing.assert_allclose(top.radius, cert.radius / 4, rtol=1e-12)  # 16 pixels
    assert (top.radius <= cert.radius / 4).all()
    np.testing.assert_array_equal(rs.certify_counts(cert.counts, alpha=0.01, norm=1).radius, cert.radius)


def test_a_result_carries_what_is_needed_to_repeat_it(rng):
    x = images(rng, 2)
    cert = rs.certify(pixels, x, noise=rs.Gaussian(0.5), num_classes=2, n0=10, n=100, ids=[7, 3])
    c = cert.counts
    again = flat.sample_counts(pixels, x, noise=c.noise, num_classes=2, n0=c.n0, n=c.n, seed=c.seed, ids=c.ids, batch=c.batch,
                             dtype=c.dtype, backend=c.backend)  # fmt: skip
    assert (again.estimation == c.estimation).all()
    assert set(c.versions) == {"rsfast", "torch", "numpy"}
    assert "alpha=0.001" in str(cert)


def test_two_calls_without_a_seed_draw_different_noise(rng):
    x = images(rng, 1)
    seeds = {rs.sample_counts(pixels, x, noise=rs.Gaussian(0.5), num_classes=2, n0=1, n=10).seed for _ in range(3)}
    assert len(seeds) == 3


def test_nan_logits_vote_for_no_class_and_lower_the_bound(rng):
    def sometimes_nan(x):
        logits = pixels(x).clone()
        logits[x.flatten(1)[:, 2] > 0.5] = torch.nan
        return logits

    x = torch.full((1, 1, 2, 2), 0.5)
    x[0, 0, 0, 0] = 1.0
    call = {"noise": rs.Gaussian(0.1), "num_classes": 2, "n": 1000, "seed": 1}
    clean, broken = flat.certify(pixels, x, **call), flat.certify(sometimes_nan, x, **call)
    assert clean.counts.estimation.sum() == 1000
    assert 400 < broken.counts.estimation.sum() < 600
    assert clean.radius[0] > 0
    assert broken.abstained[0]
    nothing = flat.certify(lambda x: torch.full((len(x), 2), torch.nan), x, **call)
    assert nothing.label[0] == rs.ABSTAIN
    assert nothing.p_lower[0] == 0


def test_a_module_runs_in_eval_mode_and_is_left_as_it_was(rng):
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(1), torch.nn.Dropout(0.9), torch.nn.Flatten(), torch.nn.Linear(16, 2))
    model.train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    call = {"noise": rs.Gaussian(0.5), "num_classes": 2, "n0": 10, "n": 100, "seed": 1}
    first = flat.sample_counts(model, images(rng, 1), **call)
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model.eval()
    rng = np.random.default_rng(list(b"test_a_module_runs_in_eval_mode_and_is_left_as_it_was"))
    assert (flat.sample_counts(model, images(rng, 1), **call).estimation == first.estimation).all()


def test_dtype_casts_a_copy_of_the_model(rng):
    model = Halfspace(np.ones(16), 8.0)
    seen = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append((inputs[0].dtype, module.w.dtype)))
    counts = flat.sample_counts(model, images(rng, 1), noise=rs.Gaussian(0.5), num_classes=2, n0=1, n=50, dtype="bfloat16")
    assert set(seen) == {(torch.bfloat16, torch.bfloat16)}
    assert model.w.dtype == torch.float32
    assert counts.dtype == "bfloat16"


@pytest.mark.parametrize("channels_last", [False, True])
def test_normalisation_and_layout_reach_the_model(channels_last, rng):
    seen = []

    def look(x):
        seen.append(x.clone(memory_format=torch.preserve_format))
        return x.flatten(1)[:, :2]

    x = images(rng, 1, channels=3)
    flat.sample_counts(look, x, noise=rs.Gaussian(1e-6), num_classes=2, n0=1, n=3, batch=2, mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.1],
                     channels_last=channels_last)  # fmt: skip
    expected = (x - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / torch.tensor([0.2, 0.3, 0.1])[:, None, None]
    torch.testing.assert_close(seen[0][:1], expected, atol=1e-3, rtol=0)
    assert seen[0].is_contiguous(memory_format=torch.channels_last) == channels_last
    assert [len(batch) for batch in seen] == [2, 2, 2]  # the second asks whether copies are classified by themselves


def test_every_forward_pass_has_the_same_size_and_the_filling_does_not_vote(rng):
    sizes = []

    def look(x):
        sizes.append(len(x))
        return x.flatten(1)[:, :2]

    counts = flat.sample_counts(look, images(rng, 2), noise=rs.Gaussian(0.5), num_classes=2, n0=10, n=100, batch=32)
    tried = 3 + 1  # whether a row keeps its bits beside others, and whether it is classified by itself
    assert sizes == [32] * (tried + 7)  # 220 copies
    assert counts.selection.sum(axis=1).tolist() == [10, 10]
    assert counts.estimation.sum(axis=1).tolist() == [100, 100]


def test_modules_inside_a_function_run_in_eval_mode_too(rng):
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Flatten(), torch.nn.Linear(16, 2)).train()
    modes = []

    def model(x):
        modes.append(net.training)
        return net(x)

    rs.sample_counts(model, images(rng, 1), noise=rs.Gaussian(0.5), num_classes=2, n0=1, n=10)
    assert modes == [False, False]  # the second asks whether copies are classified by themselves
    assert net.training


def test_numpy_images_are_taken(rng):
    x = images(rng, 2)
    call = {"noise": rs.Gaussian(0.5), "num_classes": 2, "n0": 5, "n": 50, "seed": 1}
    from_numpy = flat.sample_counts(pixels, x.numpy(), **call)
    assert (from_numpy.estimation == flat.sample_counts(pixels, x, **call).estimation).all()
    assert (flat.sample_counts(pixels, x.double(), **call).estimation == from_numpy.estimation).all()
    assert (flat.sample_counts(pixels, x.numpy().astype(">f4"), **call).estimation == from_numpy.estimation).all()


def test_progress_is_told_every_forward_pass(rng):
    told = []
    flat.sample_counts(pixels, images(rng, 2), noise=rs.Gaussian(0.5), num_classes=2, n0=4, n=10, batch=6,
                     progress=lambda done, rows: told.append((done, rows)))  # fmt: skip
    assert told == [
        (0, 6),
        (0, 6),
        (0, 6),
        (1, 6),
        (1, 4),
    ]  # the third pass holds the end of one image and the beginning of the next


def test_predict_returns_labels_and_abstains_on_a_tie(rng):
    x = torch.tensor([[[[0.9, 0.1]]], [[[0.1, 0.9]]], [[[0.5, 0.5]]]])
    call = {"noise": rs.Gaussian(0.25), "num_classes": 2, "n": 500, "seed": 0}
    label = flat.predict(pixels, x, **call)
    assert label.tolist() == [0, 1, rs.ABSTAIN]
    assert label.dtype == np.int64
    details = flat.predict_details(pixels, x, **call)
    assert (details.label == label).all()
    assert (details.p_value[:2] < 1e-10).all()
    assert details.counts.estimation.sum(axis=1).tolist() == [500] * 3


def test_predict_takes_one_alpha(rng):
    with pytest.raises(rs.InvalidArgumentError, match="alpha is an array"):
        rs.predict(pixels, images(rng, 1), noise=rs.Gaussian(0.5), num_classes=2, n=10, alpha=[0.1, 0.2])


def test_prediction_draws_from_its_own_stream(rng):
    x = images(rng, 1)
    predicted = rs.predict_details(pixels, x, noise=rs.Gaussian(0.5), num_classes=2, n=200, seed=0)
    counted = rs.sample_counts(pixels, x, noise=rs.Gaussian(0.5), num_classes=2, n0=200, n=200, seed=0)
    assert len({tuple(v[0]) for v in (predicted.counts.estimation, counted.estimation, counted.selection)}) == 3


@pytest.mark.parametrize("logits", [(1.0, 1.0 + 1e-9), (1e200, 1e300), (-1e300, -1e200), (0.0, 5e-324)])
@pytest.mark.parametrize("backend", ["native", "numba", "reference"])
def test_logits_in_float64_are_voted_in_float64(logits, backend):
    def model(x):
        return torch.tensor([logits], dtype=torch.float64).expand(len(x), 2)

    x, call = torch.full((1, 1, 1, 1), 0.5), {"noise": rs.Gaussian(0.25), "num_classes": 2, "backend": backend}
    assert flat.certify(model, x, n=1000, n0=10, **call).label.tolist() == [1]
    assert flat.predict(model, x, n=100, **call).tolist() == [1]


def test_votes_for_one_class_are_refused():
    counts = rs.VoteCounts(selection=[[10]], estimation=[[100]], n0=10, n=100, ids=[0], noise=rs.Gaussian(0.5), seed=0, dim=4)
    for function in (rs.certify_counts, rs.predict_counts):
        with pytest.raises(rs.InvalidArgumentError, match="votes for one class, .* give votes for at least two"):
            function(counts)
