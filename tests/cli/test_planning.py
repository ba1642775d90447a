"""rsfast plan and rsfast estimate."""

import json

import numpy as np
import pytest

from rsfast.errors import InvalidArgumentError, StoreError
from rsfast.runs.estimate import chosen, draws, estimate, images_needed
from rsfast.runs.read import certificate, read_run

MODEL = ("--model", "tests.reference.factories:linear", "--data", "digits", "--sigma", "0.25")
ESTIMATE = ("estimate", *MODEL, "--radii", "0,0.1,0.25", "--n", "3000", "--alpha", "0.01", "--seed", "3", "--quiet")


def test_plan_tells_what_radii_take(rsfast):
    result = rsfast("plan", "--sigma", "0.5", "--radii", "0.25,1.5,2.5")
    assert result.code == 0, result.err
    rows = [line.split() for line in result.out.splitlines()[3:]]
    assert [row[0] for row in rows] == ["0.25", "1.5", "2.5"]
    assert [row[2] for row in rows[:2]] == ["19", "5,114"]
    assert rows[2][3:] == ["more", "than", "n"]


def test_the_largest_radius_is_printed_rounded_down(rsfast):
    result = rsfast("plan", "--sigma", "0.5", "--radii", "1", "--n", 10_000)
    assert "at most 1.5992\n" in result.out  # 1.599289


def test_plan_forecasts_from_a_pilot(rsfast, tmp_path):
    made = rsfast("certify", *MODEL, "--n", 1000, "--n0", 20, "--count", 30, "--quiet", "--out", tmp_path / "pilot")
    assert made.code == 0, made.err
    result = rsfast("plan", "--run", tmp_path / "pilot", "--radii", "0,0.1,0.25", "--n", 20_000)
    assert result.code == 0, result.err
    lines = [line for line in result.out.splitlines() if line.startswith(("grid", "betting", "radius,"))]
    assert len(lines) == 4
    means = [int(line.split("  x")[0].split()[-1].replace(",", "")) for line in lines]
    assert result.out.count("  at least") == result.out.count("  at most") == 4
    assert all(100 < mean < 20_000 for mean in means)


@pytest.mark.parametrize(
    ("options", "limit", "rows"),
    [
        (("--sigma", 0.25, "--transform", "diagonal"), ("n = 20,000 draws of each part certify a radius of at most 1.1904\n",), 2),
        (("--sigma", 0.25, "--transform", "diagonal", "--multiclass"), ("bounds: the other classes bounded, too, bonferroni\n",), 2),
        (("--sigma", 0.25, "--noise", "input-dependent", "--rate", 0.5, "--largest", 0.4), ("levels sigma(x) from 0.", " at the middle level ("), 4),
    ],
)  # fmt: skip
def test_plan_counts_halves_and_levels_of_the_input_as_they_are(rsfast, tmp_path, options, limit, rows):
    model = MODEL[: MODEL.index("--sigma")]
    made = rsfast("certify", *model, *options, "--n", 300, "--n0", 20, "--count", 6, "--quiet", "--out", tmp_path / "pilot")
    assert made.code == 0, made.err
    result = rsfast("plan", "--run", tmp_path / "pilot", "--radii", "0,0.1", "--n", 20_000)
    assert result.code == 0, result.err
    for words in limit:
        assert words in result.out
    assert result.out.count("  at least") == result.out.count("  at most") == rows
    assert "The pilot's 300 draws an image leave these open" in result.out


@pytest.mark.parametrize(
    ("made_by", "options", "message"),
    [
        (("--plan", "curtail"), (), "drawn by a plan or holds no images"),
        (("--plan", "grid", "--radii", "0.1"), (), "drawn by a plan or holds no images"),
        ((), ("--radii", "0.1,0.1"), "radii holds 0.1 twice"),
        ((), ("--radii", "0.1,99"), "is certified by no probability"),
        ((), ("--radii", "5"), "so few draws certify none of them"),
        ((), ("--radii", "nan"), "radii holds nan"),
        ((), ("--n", "1000000000"), "from 1 to 100000000"),
        ((), ("--n", "3"), "so few draws certify none of them"),
        ((), ("--norm", "-1"), "norm=-1"),
        ((), ("--alpha", "nan"), "alpha=nan"),
    ],
)
def test_what_a_plan_refuses_is_refused_before_a_line_is_printed(rsfast, tmp_path, made_by, options, message):
    made = rsfast("certify", *MODEL, *made_by, "--n", 200, "--n0", 20, "--count", 2, "--quiet", "--out", tmp_path / "pilot")
    assert made.code == 0, made.err
    result = rsfast("plan", "--run", tmp_path / "pilot", "--radii", "0.1", *options)
    assert result.code == 1
    assert message in result.err
    assert result.out == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sigma", "0.25,0.5"), "--sigma has 2 levels: without --run a plan is for whole images"),
        (("--sigma", "0.25", "--radii", "0.1,0.1"), "radii holds 0.1 twice"),
        (("--sigma", "64"), "give 64 / 255 = 0.251"),
        (("--sigma", "0.25", "--n", "10000000000"), "n=10000000000 is not allowed"),
        (("--sigma", "0.25", "--radii", "1e308"), "is certified by no probability"),
    ],
)
def test_what_a_plan_without_a_pilot_refuses_is_refused_before_a_line_is_printed(rsfast, options, message):
    result = rsfast("plan", "--radii", "0.1", *options)
    assert result.code == 1
    assert message in result.err
    assert result.out == ""


def test_plan_refuses_a_level_beside_a_pilot(rsfast, tmp_path):
    assert "leave the level out" in rsfast("plan", "--run", tmp_path, "--sigma", 0.5, "--radii", "0.5").err
    said = rsfast("plan", "--run", tmp_path, "--noise", "laplace", "--dim", 3, "--sigma-function", "a:b", "--radii", "0.5").err
    assert "--run and --noise, --sigma-function, --dim: the pilot says" in said
    assert "no one level" in rsfast("plan", "--noise", "input-dependent", "--sigma", 0.5, "--radii", "0.5").err


def test_an_estimate_covers_what_the_whole_data_set_gives(rsfast, tmp_path):
    result = rsfast(*ESTIMATE, "--images", 120, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    whole = rsfast(*ESTIMATE, "--images", 599, "--out", tmp_path / "whole")
    assert whole.code == 0, whole.err
    some, every = estimate(tmp_path / "run"), estimate(tmp_path / "whole")
    for one, truth in zip(some, every, strict=True):
        assert truth.low <= truth.share <= truth.high < truth.low + 1e-12
        assert one.low <= truth.share <= one.high
        assert one.robust <= truth.share
        assert one.high - one.low < 0.25
    stored = json.loads((tmp_path / "run" / "estimate.json").read_text())
    assert [row["certified"] for row in stored["radii"]] == [one.certified for one in some]
    rows = [line.split() for line in result.out.splitlines()[-4:-1]]
    for row, one in zip(rows, some, strict=True):  # printed bounds hold, too
        low, high, robust = float(row[2]), float(row[4]), float(row[5])
        assert one.low - 1e-4 < low <= one.low <= one.high <= high < one.high + 1e-4
        assert one.robust - 1e-4 < robust <= one.robust
    cert = certificate(read_run(tmp_path / "run"))
    assert some[1].certified == int((cert.radius >= 0.1).sum())
    assert "120 of 599 images" in result.out


def test_an_estimate_counts_the_draws_of_both_halves(rsfast, tmp_path):
    assert rsfast(*ESTIMATE, "--transform", "diagonal", "--images", 4, "--out", tmp_path / "run").code == 0
    counts = read_run(tmp_path / "run").counts
    assert draws(tmp_path / "run") == (2 * counts.drawn.sum(), 2 * counts.drawn.mean())


def test_an_unfinished_estimate_says_nothing(rsfast, tmp_path):
    half = rsfast(*ESTIMATE, "--images", 40, "--shard", "0/2", "--out", tmp_path / "run")
    assert half.code == 0, half.err
    with pytest.raises(StoreError, match="holds 20 of the 40 images"):
        estimate(tmp_path / "run")
    other = rsfast(*ESTIMATE, "--images", 40, "--shard", "1/2", "--out", tmp_path / "run")
    assert other.code == 0, other.err
    assert estimate(tmp_path / "run")[0].drawn == 40
    refused = rsfast(*ESTIMATE, "--images", 41, "--out", tmp_path / "run")
    assert refused.code == 1
    assert "sample=" in refused.err


def test_a_growing_estimate_goes_on_in_the_same_run(rsfast, tmp_path):
    run = ("--growing", "--out", tmp_path / "run")
    first = rsfast(*ESTIMATE, "--images", 30, *run)
    assert first.code == 0, first.err
    assert "30 of 599 images" in first.out
    assert "This holds at every look" in first.out
    before = estimate(tmp_path / "run")
    half = rsfast(*ESTIMATE, "--images", 80, "--shard", "1/2", *run)
    assert half.code == 0, half.err
    assert estimate(tmp_path / "run")[0].drawn == 30  # up to the first that is not there; image 31 of the order is shard 0's
    assert [one.certified for one in estimate(tmp_path / "run")] == [one.certified for one in before]
    more = rsfast(*ESTIMATE, "--images", 80, *run)
    assert more.code == 0, more.err
    after = estimate(tmp_path / "run")
    assert [one.drawn for one in after] == [80, 80, 80]
    assert json.loads((tmp_path / "run" / "estimate.json").read_text())["growing"] is True
    fixed = rsfast(*ESTIMATE, "--images", 80, "--out", tmp_path / "fixed")
    assert "This holds if 80 images were fixed beforehand, and one sample is looked at" in fixed.out
    for one, other, small in zip(after, estimate(tmp_path / "fixed"), before, strict=True):
        assert one.certified == other.certified  # the same images, and the same draws of each
        assert one.low <= other.low <= other.high <= one.high
        assert one.robust <= one.low
        assert one.high - one.low < small.high - small.low


def test_an_estimate_that_was_fixed_does_not_grow_and_a_growing_one_is_not_fixed_afterwards(rsfast, tmp_path):
    assert rsfast(*ESTIMATE, "--images", 3, "--out", tmp_path / "fixed").code == 0
    assert rsfast(*ESTIMATE, "--images", 3, "--growing", "--out", tmp_path / "growing").code == 0
    for command in (
        ("--images", 4, "--out", tmp_path / "fixed"),
        ("--images", 4, "--growing", "--out", tmp_path / "fixed"),
        ("--images", 3, "--out", tmp_path / "growing"),
        ("--images", 3, "--growing", "--sample-seed", 1, "--out", tmp_path / "growing"),
    ):
        refused = rsfast(*ESTIMATE, *command)
        assert refused.code == 1
        assert "sample=" in refused.err
        assert refused.out == ""


def test_a_growing_estimate_of_a_precision_draws_what_its_intervals_need(rsfast, tmp_path):
    result = rsfast(*ESTIMATE, "--precision", 0.2, "--growing", "--out", tmp_path / "run")
    assert result.code == 0, result.err
    images = images_needed(599, 0.2, confidence_level=0.95, radii=3, growing=True)
    assert images > images_needed(599, 0.2, confidence_level=0.95, radii=3)
    assert f"{images} of 599 images come to within about 0.2." in result.out
    assert all(max(one.high - one.share, one.share - one.low) <= 0.2 for one in estimate(tmp_path / "run"))


def test_an_estimate_needs_labels_and_says_so(rsfast, tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((5, 1, 8, 8), np.uint8))
    data = ("--model", "tests.reference.factories:linear", "--data", tmp_path / "d.npz", "--num-classes", 10, "--sigma", 0.25)
    for sized in (("--images", 2), ("--precision", 0.2)):
        refused = rsfast("estimate", *data, "--radii", "0.1", "--n", 300, *sized, "--out", tmp_path / "run")
        assert refused.code == 1
        assert "labels are to be tested and d.npz has none: give data with labels." in refused.err
        assert "leave" not in refused.err
        assert refused.out == ""


def test_a_shard_of_an_estimate_says_what_comes_next(rsfast, tmp_path):
    half = rsfast(*ESTIMATE, "--images", 6, "--shard", "0/2", "--out", tmp_path / "run")
    assert half.code == 0, half.err
    assert "Next: the same command without --shard" in half.out
    assert "rsfast report" not in half.out


def test_an_ordinary_run_is_no_estimate(rsfast, tmp_path):
    assert rsfast("certify", *MODEL, "--n", 200, "--count", 3, "--quiet", "--out", tmp_path / "run").code == 0
    with pytest.raises(StoreError, match="is not a run of `rsfast estimate`"):
        estimate(tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "either --images or --precision"),
        (("--images", 5, "--precision", 0.1), "either --images or --precision"),
        (("--images", 600), "give at most that many"),
        (("--images", 5, "--count", 3), "leave them out"),
        (("--precision", 0), "distance from 0.000001"),
        (("--images", 5, "--confidence", 1), "confidence from 0.5"),
    ],
)
def test_bad_options_are_refused(rsfast, tmp_path, options, message):
    refused = rsfast(*ESTIMATE, *options, "--out", tmp_path / "run")
    assert refused.code == 1
    assert message in refused.err
    assert not (tmp_path / "run").exists()


def test_chosen_images_are_distinct_and_nested():
    many, few = chosen(1000, 300, 5), chosen(1000, 40, 5)
    assert len(set(many)) == 300
    assert many[:40] == few
    assert chosen(1000, 40, 6) != few
    assert sorted(chosen(50, 50, 0)) == list(range(50))


def test_every_image_is_chosen_equally_often():
    counts = np.zeros(20)
    for seed in range(4000):
        counts[chosen(20, 5, seed)] += 1
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(4000 * 0.25 * 0.75)


def test_images_needed_reach_the_precision():
    from rsfast.confidence import population_interval

    for population, precision in ((599, 0.05), (50_000, 0.01), (50_000, 0.044)):
        images = images_needed(population, precision, confidence_level=0.95)
        low, high = population_interval(images // 2, images, population, delta=0.05)
        share = (images // 2) / images
        assert max(high - share, share - low) <= precision
    assert images_needed(50_000, 0.01, confidence_level=0.95) == pytest.approx(8100, rel=0.06)  # SAMPLING: 10,000 for one point
    with pytest.raises(InvalidArgumentError):
        images_needed(100, 0.9, confidence_level=0.95)
