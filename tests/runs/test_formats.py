"""Runs written by earlier versions are read as they were."""

from pathlib import Path

import numpy as np
import pytest

from rsfast.runs import store
from rsfast.runs.read import certificate, read_run, result_table

FORMATS = Path(__file__).parents[1] / "data" / "formats"


@pytest.mark.parametrize(
    ("name", "images", "samples"),
    [
        ("certify", 4, 840),
        ("grid", 4, 2728),
        ("betting", 4, 1064),
        ("dual", 3, 960),
        ("predict", 3, 300),
        ("input-dependent", 3, 630),
    ],
)
def test_a_run_of_format_1_is_read(name, images, samples):
    run = FORMATS / "1" / name
    state = store.standing(run)
    assert state.finished.tolist() == list(range(images))
    assert (state.asked, state.samples) == (None, samples)
    counts = read_run(run).counts
    assert counts.ids.tolist() == list(range(images))
    assert (int(counts.drawn.sum()) + images * counts.n0) * counts.parts == samples
    assert len(result_table(run)) == images


def test_certificates_of_format_1_are_those_of_its_votes():
    run = read_run(FORMATS / "1" / "certify")
    assert (run.counts.selection.sum(axis=1) == 10).all()
    assert (run.counts.estimation.sum(axis=1) == 200).all()
    from scipy.stats import beta, norm

    cert = certificate(run)
    votes = run.counts.estimation[np.arange(4), run.counts.selection.argmax(axis=1)]
    lower = beta.ppf(0.01, votes, 201 - votes)
    expected = np.where(lower > 0.5, 0.25 * norm.ppf(lower), 0.0)
    assert (cert.radius <= expected).all()
    np.testing.assert_allclose(cert.radius, expected, rtol=1e-9, atol=1e-12)
