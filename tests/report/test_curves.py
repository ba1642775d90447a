"""The papers' comparison figures: what their texts read off them, and the files that are written."""

import csv

import numpy as np
import pytest

from rsfast.cli import cli
from rsfast.errors import DataError, InvalidArgumentError
from rsfast.report import curves, read_log
from tests.report.test_report import LOGS


def test_kumar_figure_2_crosses_where_the_text_says():
    """The generalised Gaussian bound is tighter from p = .9939 on (the text: about .99)."""
    figure = curves.kumar_ratios()
    iid, gaussian, unimodal = figure.series.values()
    crossing = figure.x[np.argmax(gaussian < iid)]
    assert 1 - 1 / crossing == pytest.approx(0.9939, abs=5e-4)
    assert (unimodal <= iid * (1 + 1e-12)).all()
    assert min(iid.min(), np.nanmin(gaussian), unimodal.min()) > 1


def test_kumar_limits_of_real_classifiers():
    file = LOGS / "cifar10_resnet110_sigma_0.12.tsv"
    who = curves.classifier(read_log(file), file)
    assert (who.sigma, who.dim) == (0.12, 3072)
    figure = curves.kumar_limits(who)
    certificate, iid, gaussian, unimodal, _ratio = figure.series.values()
    assert (np.minimum(np.minimum(iid, gaussian), unimodal) > certificate).all()
    assert (gaussian < iid).all()  # sigma .12: p is high enough for Theorem 2 to be the tighter one (figure 6)
    file = LOGS / "cifar10_resnet110_sigma_0.50.tsv"
    _, iid, gaussian, _, _ = curves.kumar_limits(curves.classifier(read_log(file), file)).series.values()
    assert (iid < gaussian).all()  # figure 10: the other way round


def test_kumar_figure_9_larger_images_are_certified_less_for_large_p():
    files = [LOGS / f"{name}_sigma_0.25.tsv" for name in ("cifar10_resnet110", "imagenet_resnet50")]
    figure = curves.kumar_sizes([curves.classifier(read_log(file), file) for file in files])
    small, large, predicted = figure.series.values()
    assert large[-1] < small[-1]
    assert predicted[0] == pytest.approx(small[0])  # at p = 2 the dimension does not enter


def test_hayes_figure_1_is_below_the_tight_curve():
    figure = curves.hayes_divergences()
    tight, *others = figure.series.values()
    assert all((other <= tight * (1 + 1e-12)).all() for other in others)


def test_hayes_figure_3_falls():
    for shape in (3, 4):
        for values in curves.hayes_tradeoffs(shape).series.values():
            assert (np.diff(values) <= 0).all()


def test_dual_figure_1b_dual_lies_above_plain_by_root_two():
    figure = curves.dual_limits()
    plain, dual, *certificates = figure.series.values()
    assert (dual > plain).all()
    assert (dual / plain)[-1] == pytest.approx(np.sqrt(2), rel=0.01)
    for values, limit in zip(certificates, (plain, dual), strict=True):
        assert (values <= limit).all()


def test_all_figures_are_written_by_the_command(tmp_path, capsys):
    cli(["limits", "--out", str(tmp_path / "figures"), "--logs", str(LOGS)], standalone_mode=False)
    written = sorted(file.name for file in (tmp_path / "figures").iterdir())
    assert (
        len([name for name in written if name.endswith(".csv")]) == len([name for name in written if name.endswith(".svg")]) >= 13
    )
    assert "kumar-9-sizes-sigma-0.25.csv" in written
    with (tmp_path / "figures" / "kumar-limits-imagenet-sigma-0.50-of-imagenet_resnet50_sigma_0.50.csv").open() as opened:
        rows = list(csv.reader(opened))
    assert rows[0][:2] == ["p of the norm", "Gaussian certificate"]
    assert float(rows[1][1]) > float(rows[-1][1]) > 0
    assert "kumar-2-ratios.svg" in capsys.readouterr().out


def test_png_and_unknown_endings(tmp_path):
    files = curves.write(curves.hayes_tradeoffs(3), tmp_path, "png")
    assert files[1].read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidArgumentError, match="format='gif'"):
        curves.write(curves.hayes_tradeoffs(3), tmp_path, "gif")


def limits(out, logs):
    cli(["limits", "--out", str(out), "--logs", str(logs)], standalone_mode=False)
    return sorted(file.name for file in out.iterdir() if file.name.startswith("kumar-limits") and file.suffix == ".csv")


def log(file, radius=0.5):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t{radius}\t1\t0\n")


def test_logs_that_do_not_say_what_they_are(tmp_path):
    log(tmp_path / "mylog.tsv")
    with pytest.raises(DataError, match="does not say what it certifies"):
        limits(tmp_path / "figures", tmp_path / "mylog.tsv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no logs with radii and no runs"):
        limits(tmp_path / "figures", tmp_path / "empty")
    nothing = tmp_path / "cifar10_sigma_0.5.tsv"
    nothing.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t-1\t0.0\t0\t0\n")
    with pytest.raises(DataError, match="certifies no image"):
        limits(tmp_path / "figures", nothing)
    assert not (tmp_path / "figures").exists()


def test_a_log_that_says_too_little_hides_no_others(tmp_path, capsys):
    log(tmp_path / "logs" / "mylog.tsv")
    log(tmp_path / "logs" / "mnist_sigma_0.5.tsv")
    assert limits(tmp_path / "figures", tmp_path / "logs") == ["kumar-limits-mnist-sigma-0.5-of-mnist_sigma_0.5.csv"]
    assert "passed over: " in capsys.readouterr().err


def test_figures_of_several_models_at_one_noise_level_say_of_which_log_they_are(tmp_path):
    for trained in ("noise_0.25", "noise_0.50"):
        log(tmp_path / "cifar10" / trained / "sigma_0.50")
    log(tmp_path / "cifar10" / "noise 0.25" / "sigma_0.50")
    log(tmp_path / "cifar10" / "noise-0.25" / "sigma_0.50")
    names = limits(tmp_path / "figures", tmp_path)
    one = "kumar-limits-cifar10-sigma-0.50-of-cifar10"
    assert names == sorted(
        f"{one}-{end}.csv"
        for end in ("noise_0.25-sigma_0.50", "noise_0.50-sigma_0.50", "noise-0.25-sigma_0.50", "noise-0.25-sigma_0.50-2")
    )
    titles = [one.title for one in curves.classifiers(tmp_path)[0]]
    assert len(set(titles)) == 4


def test_runs_are_read_as_the_help_says(tmp_path, capsys):
    """p of the figure is that of the image with median radius: here of the three right ones, in SciPy from the votes themselves."""
    from scipy import stats

    from rsfast.runs.read import read_run

    base = ["certify", "--model", "tests.reference.factories:linear", "--data", "digits", "--n", "500", "--n0", "20", "--quiet"]
    for name, sigma in (("a", "0.25"), ("b", "0.5"), ("c", "0.25")):
        cli(
            [*base, "--count", "60", "--sigma", sigma, "--seed", "1", "--out", str(tmp_path / "runs" / name)],
            standalone_mode=False,
        )
    cli(
        [*base, "--count", "1", "--scale", "0.5", "--noise", "laplace", "--out", str(tmp_path / "runs" / "d")],
        standalone_mode=False,
    )
    capsys.readouterr()
    names = limits(tmp_path / "figures", tmp_path / "runs")
    assert [name.rpartition("-of-")[2] for name in names] == ["a.csv", "c.csv", "b.csv"]
    assert "d is no run of `rsfast certify` of whole images under Gaussian noise" in capsys.readouterr().err
    stored = read_run(tmp_path / "runs" / "a")
    votes = stored.counts.estimation
    right = [i for i in range(len(votes)) if votes[i].argmax() == stored.labels[i] == stored.counts.selected[i]]
    lower = stats.beta.ppf(0.001, votes[right, stored.labels[right]], 501 - votes[right, stored.labels[right]])
    p = np.median(lower[lower > 0.5])
    with (tmp_path / "figures" / names[0]).open() as opened:
        rows = list(csv.reader(opened))
    assert float(rows[1][1]) == pytest.approx(0.25 * stats.norm.ppf(p), rel=1e-6)
    assert limits(tmp_path / "one", tmp_path / "runs" / "a") == [names[0]]
    with pytest.raises(DataError, match="no run of `rsfast certify` of whole images"):
        limits(tmp_path / "none", tmp_path / "runs" / "d")
