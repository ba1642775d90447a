"""Tables from foreign logs and from made-up results."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rsfast.errors import DataError, InvalidArgumentError
from rsfast.report import (
    ResultTable,
    average_certified_radius,
    certified_accuracy,
    default_radii,
    find_logs,
    in_units,
    read_log,
    text_table,
    write_csv,
    write_plot,
    write_tsv,
)
from rsfast.report.table import shown_radius
from rsfast.result import floor_decimals

LOGS = Path(__file__).parents[1] / "data" / "logs"

# Cohen, Rosenfeld & Kolter 2019, Table 1: certified top-1 accuracy on ImageNet
PUBLISHED = {
    "0.25": {0.5: 0.49},
    "0.50": {0.5: 0.46, 1.0: 0.37, 1.5: 0.29},
    "1.00": {0.5: 0.38, 1.0: 0.33, 1.5: 0.26, 2.0: 0.19, 2.5: 0.15, 3.0: 0.12},
}


def table(radius, predict, label, name="t"):
    radius, predict, label = np.array(radius, float), np.array(predict), np.array(label)
    return ResultTable(name, np.arange(len(label)), label, predict, radius, predict == label, np.full(len(label), 61.5))


@pytest.mark.parametrize("sigma", PUBLISHED)
def test_published_logs_give_the_published_table(sigma):
    log = read_log(LOGS / f"imagenet_resnet50_sigma_{sigma}.tsv")
    got = certified_accuracy(log, list(PUBLISHED[sigma]))
    assert {r: float(f"{a:.2f}") for r, a in zip(PUBLISHED[sigma], got, strict=True)} == PUBLISHED[sigma]


def test_logs_of_predictions_have_no_radius():
    log = read_log(LOGS / "predict_n100.tsv")
    assert log.radius is None
    assert "accuracy" in text_table([log], [])
    with pytest.raises(InvalidArgumentError, match="without radii"):
        certified_accuracy(log, [0.0])


def test_find_logs_finds_logs_only():
    assert [file.name for file in find_logs(LOGS)] == [
        *(f"cifar10_resnet110_sigma_{sigma}.tsv" for sigma in ("0.12", "0.25", "0.50", "1.00")),
        "imagenet_resnet50_sigma_0.25.tsv", "imagenet_resnet50_sigma_0.50.tsv", "imagenet_resnet50_sigma_1.00.tsv", "predict_n100.tsv",
    ]  # fmt: skip


def test_accuracy_counts_right_labels_certified_at_r_or_more():
    t = table([0.5, 0.5, 0.2, 0.0], [1, 2, 3, -1], [1, 9, 3, 4])
    assert certified_accuracy(t, [0.0, 0.2, 0.21, 0.5, 0.51]).tolist() == [0.5, 0.5, 0.25, 0.25, 0.0]
    assert average_certified_radius(t) == pytest.approx((0.5 + 0.2) / 4)


def test_an_empty_table_has_no_accuracy():
    with pytest.raises(InvalidArgumentError, match="no finished images"):
        certified_accuracy(table([], [], []), [0.0])


@pytest.mark.parametrize("radius", [0.129999, 1.9553, 0.3, 0.1 + 0.2, 1e-9, 3.8114999999999997, 123456.789])
@pytest.mark.parametrize("decimals", [0, 2, 4, 6])
def test_printed_radii_never_exceed_the_certified_ones(radius, decimals):
    printed = floor_decimals(radius, decimals)
    assert float(printed) <= radius
    assert float(printed) > radius - 1.001 * 10.0**-decimals
    assert len(printed.partition(".")[2]) == decimals


def test_tsv_and_csv_come_back(tmp_path):
    t = table([0.1234567899, 1.5, 0.0], [1, 2, -1], [1, 3, 0])
    for write, name in ((write_tsv, "a.tsv"), (write_csv, "a.csv")):
        write(t, tmp_path / name)
        back = read_log(tmp_path / name)
        assert back.radius.tolist() == [0.123456, 1.5, 0.0]
        for field in ("idx", "label", "predict", "correct", "seconds"):
            np.testing.assert_array_equal(getattr(back, field), getattr(t, field))


@pytest.mark.parametrize("text", ["1 day, 0:00:01.5", "0:00:00", "12.5"])
def test_times_in_their_usual_forms(text, tmp_path):
    (tmp_path / "log").write_text(f"idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.5\t1\t{text}\n")
    assert read_log(tmp_path / "log").seconds.tolist() == [{"1 day, 0:00:01.5": 86401.5, "0:00:00": 0.0, "12.5": 12.5}[text]]


@pytest.mark.parametrize("line", ["0\t1\t1\t-0.5\t1\t0", "0\t1\t1\tnan\t1\t0", "0\t1\t1", "0\t1\t1\t0.5\tyes\t0"])
def test_lines_that_are_no_result_are_refused(line, tmp_path):
    (tmp_path / "log").write_text(f"idx\tlabel\tpredict\tradius\tcorrect\ttime\n{line}\n")
    with pytest.raises(DataError):
        read_log(tmp_path / "log")


def test_default_radii_reach_the_largest_radius_in_few_columns():
    for largest in (0.03, 0.4, 0.8, 3.9, 17.0):
        radii = default_radii([table([largest], [1], [1])])
        assert radii[0] == 0.0
        assert 2 <= len(radii) <= 13
        assert radii[-1] <= largest < radii[-1] + (radii[1] - radii[0]) + 1e-9


def test_default_radii_fit_radii_of_any_size():
    for largest, expected in (
        (0.0176, [0.0, 0.0025, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.0175]), (0.0, [0.0]), (5e-324, [0.0]), (0.002, [0.0, 0.00025]),
        (640.0, [0.0, 100.0]), (0.1, [0.0, 0.01]), (2.2, [0.0, 0.25]),
    ):  # fmt: skip
        assert default_radii([table([largest], [1], [1])])[: len(expected)] == expected
    for largest in 10.0 ** np.linspace(-12, 12, 200):
        assert 5 <= len(default_radii([table([largest], [1], [1])])) <= 12
    assert default_radii([table([np.inf, 0.5], [1, 1], [1, 1])])[-1] == 0.5


def test_radii_in_255ths_are_whole_multiples_and_never_rounded_down():
    radii = default_radii([table([8.3 / 255], [1], [1])], per=255)
    assert [shown_radius(r, 255) for r in radii] == [f"{k}/255" for k in range(9)]
    for k in range(1, 2000):
        assert k <= Fraction(in_units(k, 255)) * 255 < k + Fraction(1, 10**12)
    shown = text_table([table([2 / 255, 0.0], [1, -1], [1, 1])], radii, per=255)
    assert "r=2/255" in shown
    assert shown.split()[-1] == "0.9999/255"  # the mean of 2 and 0, rounded down
    assert text_table([table([np.nextafter(2 / 255, 1)], [1], [1])], [in_units(2, 255)], per=255).split()[-2] == "1.000"


def test_columns_stand_below_their_heads():
    shown = text_table([table([0.015], [1], [1], "a long name " * 20), table([0.01], [1], [1])], [0.0, 0.0025, 0.0125])
    head, *lines = shown.split("\n")
    assert {len(line) for line in lines} == {len(head)}
    assert len(head) < 130


def unfinished(**more):
    return dataclasses.replace(table([0.5, 0.2], [1, 1], [1, 1], "half"), **{"asked": 599, "missing": "597 images", **more})


def test_unfinished_runs_say_so():
    one = unfinished()
    assert one.unfinished
    assert one.standing == "unfinished: 2 of 599 images are there, and every figure is of these alone; missing: 597 images."
    assert "2 of 599" in text_table([one], [0.0])
    assert "; 1 could not be read and is in no figure." in unfinished(missing="596 images", unreadable=1).standing
    draws = unfinished(asked=2, missing="draws up to n = 9 of shard 0/1")
    assert draws.standing.startswith("unfinished: 2 images are there")
    done = unfinished(asked=4, missing="", unreadable=2)
    assert not done.unfinished
    assert done.standing == "2 of 4 images are there; 2 could not be read and are in no figure."
    for whole in (unfinished(asked=2, missing=""), unfinished(asked=None, missing="")):
        assert (whole.standing, whole.images) == ("", "2")


def test_the_curve_passes_through_the_table(tmp_path, monkeypatch):
    from rsfast.report import plot

    t = table([0.5, 0.5, 0.2, 0.0], [1, 2, 3, -1], [1, 9, 3, 4])
    x, y = plot._figure([t]).axes[0].lines[0].get_data()
    assert x.tolist() == [0.0, 0.2, 0.5, 0.5]
    assert y.tolist() == [0.5, 0.5, 0.25, 0.0]
    write_plot([t], tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()
