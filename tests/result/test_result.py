"""Results are compared, indexed and shown."""

import numpy as np
import pytest
import torch

import rsfast as rs


@pytest.fixture(scope="module")
def cert():
    x = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return rs.certify(lambda x: x.flatten(1)[:, :3], x, noise=rs.Gaussian(0.25), num_classes=3, n=500, seed=1)


def again(**more):
    x = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    call = {"noise": rs.Gaussian(0.25), "num_classes": 3, "n": 500, "seed": 1} | more
    return rs.certify(lambda x: x.flatten(1)[:, :3], x, **call)


def test_results_of_the_same_call_are_equal(cert):
    assert cert == again()
    assert cert.counts == again().counts
    assert cert != again(seed=2)
    assert cert != again(alpha=0.002)
    assert cert != cert.counts


def test_a_result_is_no_key():
    with pytest.raises(TypeError, match="unhashable"):
        hash(again())


@pytest.mark.parametrize("index", [2, -1, slice(1, 4), slice(None, None, 2), [3, 0], np.array([True, False, False, True, True])])
def test_an_index_gives_the_result_of_those_images(cert, index):
    rows = np.atleast_1d(np.arange(5)[index])
    some = cert[index]
    assert isinstance(some, rs.Certificate)
    assert some.label.tolist() == cert.label[rows].tolist()
    assert some.radius.tolist() == cert.radius[rows].tolist()
    assert some.counts.ids.tolist() == rows.tolist()
    assert some == rs.certify_counts(cert.counts[index])


def test_results_are_gone_through_image_by_image(cert):
    assert [one.radius[0] for one in cert] == cert.radius.tolist()
    assert [len(one) for one in cert.counts] == [1] * 5


@pytest.mark.parametrize("index", [5, -6, [7], "first", 1.5, None, [[0, 1]]])
def test_what_is_no_index_is_an_index_error(cert, index):
    with pytest.raises(IndexError):
        cert[index]


def test_no_images_are_a_result_too(cert):
    assert len(cert[:0]) == 0
    assert str(cert[:0]).startswith("0 of 0 images")


def test_votes_of_a_plan_and_of_parts_are_indexed_with_all_that_belongs_to_them():
    x = torch.rand(4, 1, 4, 4)
    grid = rs.plans.Grid([0.1, 0.2])
    for more in ({"plan": grid}, {"plan": rs.plans.Betting()}, {"transform": rs.DiagonalSplit()}):
        whole = rs.certify(lambda x: x.flatten(1)[:, :3], x, noise=rs.Gaussian(0.25), num_classes=3, n=300, seed=1, **more)
        some = whole[[2, 0]]
        assert some.counts.drawn.tolist() == whole.counts.drawn[[2, 0]].tolist()
        assert some == rs.certify_counts(whole.counts[[2, 0]])


def test_predictions_are_indexed_and_compared():
    x = torch.rand(3, 1, 4, 4)
    found = rs.predict_details(lambda x: x.flatten(1)[:, :3], x, noise=rs.Gaussian(0.05), num_classes=3, n=100, seed=1)
    assert found[1].label.tolist() == [found.label[1]]
    assert found[1] == found[1:2]


def test_a_repr_is_one_short_line(cert):
    certified = int((~cert.abstained).sum())
    assert repr(cert) == f"<Certificate: {certified} of 5 images certified in l2 at alpha=0.001>"
    assert repr(cert.counts) == "<VoteCounts of 5 images, 3 classes: Gaussian(sigma=0.25), n0=100, n=500, seed=1>"
    assert repr(cert[0].counts).startswith("<VoteCounts of 1 image, 3 classes")
    found = rs.predict_details(
        lambda x: x.flatten(1)[:, :2], torch.rand(2, 1, 4, 4), noise=rs.Gaussian(0.25), num_classes=2, n=50
    )
    assert repr(found).startswith("<Prediction: ")
    assert len(repr(found)) < 120
