"""The command lines certify, predict and analyze of locuslab/smoothing."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from rsfast.compat.locuslab import analyze, certify, commands, predict
from rsfast.compat.locuslab.core import Smooth
from rsfast.compat.locuslab.datasets import get_dataset
from rsfast.errors import InvalidArgumentError, StoreError
from rsfast.models import build
from rsfast.report import read_log
from tests.cli.conftest import ROOT

MODEL = "tests.reference.factories:linear"
FEW = ("--N0", 10, "--N", 200, "--alpha", 0.01, "--batch", 64, "--skip", 3, "--max", 30)


def run(command, *arguments):
    command.run([str(argument) for argument in arguments])


@pytest.fixture
def out(tmp_path):
    return tmp_path / "logs" / "sigma_0.25"


def rows(file):
    return [line.split("\t") for line in file.read_text().splitlines()]


def test_certify_writes_the_fields_log(out):
    run(certify, "digits", MODEL, 0.25, out, *FEW)
    head, *lines = rows(out)
    assert head == ["idx", "label", "predict", "radius", "correct", "time"]
    assert [int(line[0]) for line in lines] == list(range(0, 30, 3))
    data = get_dataset("digits", "test")
    assert [int(line[1]) for line in lines] == [data[i][1] for i in range(0, 30, 3)]
    for line in lines:
        assert int(line[4]) == int(line[1] == line[2])
        assert (float(line[3]) == 0.0) == (line[2] == "-1")
    assert len(read_log(out)) == 10


def test_a_row_is_what_smooth_certifies(out):
    run(certify, "digits", MODEL, 0.25, out, *FEW, "--seed", 5)
    smooth = Smooth(torch.nn.Sequential(*_linear()), 10, 0.25, seed=5)
    smooth.next_id = 2 * 12
    cls, radius = smooth.certify(get_dataset("digits", "test")[12][0], 10, 200, 0.01, 64)
    line = next(line for line in rows(out) if line[0] == "12")
    assert int(line[2]) == cls
    assert radius - 1e-6 < float(line[3]) <= radius


def _linear():
    from tests.reference import factories

    return factories.linear()


def test_predict_writes_the_fields_log_without_radii(out):
    run(predict, "digits", MODEL, 0.25, out, "--N", 300, "--alpha", 0.05, "--max", 4)
    head, *lines = rows(out)
    assert head == ["idx", "label", "predict", "correct", "time"]
    assert [len(line) for line in lines] == [5] * 4
    assert read_log(out).radius is None


def test_images_before_max_are_certified_and_no_others(out):
    run(certify, "digits", MODEL, 0.25, out, "--N0", 5, "--N", 20, "--alpha", 0.1, "--skip", 20, "--max", 30)
    assert [line[0] for line in rows(out)[1:]] == ["0", "20"]


def test_a_finished_log_stays_as_it_is(out):
    run(certify, "digits", MODEL, 0.25, out, *FEW)
    before = out.read_bytes()
    run(certify, "digits", MODEL, 0.25, out, *FEW)
    assert out.read_bytes() == before


def test_a_log_that_was_cut_anywhere_is_completed_with_the_same_rows(out, rng):
    run(certify, "digits", MODEL, 0.25, out, *FEW)
    whole = out.read_bytes()
    expected = [line[:5] for line in rows(out)]
    for length in rng.integers(len("idx\tlabel\tpredict"), len(whole), 12):
        out.write_bytes(whole[:length])
        run(certify, "digits", MODEL, 0.25, out, *FEW, *(() if length > 60 else ("--seed", _seed(out))))
        assert [line[:5] for line in rows(out)] == expected


def _seed(out):
    import json

    return json.loads(out.with_name(out.name + ".rsfast.json").read_text())["seed"]


def test_killed_again_and_again_the_log_ends_whole(out, rng):
    arguments = ["digits", "tests.reference.factories:slow", "0.25", str(out), "--N0", "10", "--N", "300", "--alpha", "0.01",
                 "--batch", "32", "--max", "4", "--seed", "5"]  # fmt: skip
    command = [sys.executable, "-m", "rsfast.compat.locuslab.certify", *arguments]
    kills, seen = 0, 0
    while True:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ.copy(), stderr=subprocess.PIPE, text=True)
        target = seen + int(rng.integers(2, 4))
        while process.poll() is None and _finished(out) < target:
            time.sleep(0.01)
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read()
            process.communicate()
            break
        time.sleep(float(rng.uniform(0, 0.1)))
        process.kill()
        process.communicate()
        kills += 1
        assert _finished(out) >= seen
        seen = _finished(out)
    assert kills >= 1
    uninterrupted = out.with_name("whole")
    arguments[3] = str(uninterrupted)
    certify.run(arguments)
    assert [line[:5] for line in rows(out)] == [line[:5] for line in rows(uninterrupted)]


def _finished(file):
    return max(0, file.read_bytes().count(b"\n") - 1) if file.exists() else 0


@pytest.mark.parametrize(
    ("change", "named"),
    [(("--N", 300), "N=200"), (("--alpha", 0.02), "alpha=0.01"), (("--seed", 1), "seed="), (("--split", "train"), "split=test")],
)
def test_a_started_log_of_other_arguments_is_refused(out, change, named):
    run(certify, "digits", MODEL, 0.25, out, *FEW)
    before = out.read_bytes()
    with pytest.raises(StoreError, match=f"was begun with {named}.*give another outfile"):
        run(certify, "digits", MODEL, 0.25, out, *FEW, *change)
    assert out.read_bytes() == before


@pytest.mark.parametrize("other", [("digits", MODEL, 0.5), ("digits", "tests.reference.factories:other_linear", 0.25)])
def test_a_started_log_of_another_sigma_or_model_is_refused(out, other):
    run(certify, "digits", MODEL, 0.25, out, *FEW)
    with pytest.raises(StoreError, match="was begun with (sigma|model)"):
        run(certify, *other, out, *FEW)


def test_a_log_of_the_other_command_is_refused(out):
    run(predict, "digits", MODEL, 0.25, out, "--N", 20, "--alpha", 0.1, "--max", 1)
    with pytest.raises(StoreError, match="other columns"):
        run(certify, "digits", MODEL, 0.25, out, *FEW)


def test_a_foreign_file_is_not_touched(out):
    out.parent.mkdir()
    out.write_text("my notes\n")
    with pytest.raises(StoreError, match="was not begun by this command"):
        run(certify, "digits", MODEL, 0.25, out, *FEW)
    assert out.read_text() == "my notes\n"


def test_a_damaged_line_is_named(out):
    run(certify, "digits", MODEL, 0.25, out, *FEW)
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join([*lines[:3], "3\tgarbage\n", *lines[4:]]))
    with pytest.raises(StoreError, match="line 4 is damaged"):
        run(certify, "digits", MODEL, 0.25, out, *FEW)


def test_two_writers_are_refused(out):
    from rsfast.compat.locuslab.log import Log

    with Log(out, commands.CERTIFY, {"a": 1}), pytest.raises(StoreError, match="being written by another process"):
        Log(out, commands.CERTIFY, {"a": 1})


def test_a_checkpoint_with_arch_and_state_dict_is_certified(out, tmp_path):
    torch.manual_seed(0)
    model = build("small-cnn", num_classes=10, channels=1)
    torch.save({"arch": "small-cnn", "state_dict": model.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pth.tar")
    run(certify, "digits", tmp_path / "checkpoint.pth.tar", 0.25, out, *FEW)
    assert len(rows(out)) == 11


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("digits", "missing.pth", 0.25, "o"), "Error: missing.pth is not there"),
        (("nothing", MODEL, 0.25, "o"), "Error: data source 'nothing' is not known"),
        (("digits", MODEL, -1, "o"), "Error: sigma=-1.0 is not a noise level"),
        (("digits", MODEL, 0.25, "o", "--alpha", 2), "Error: alpha=2.0 is not a failure probability"),
        (("digits", MODEL, 0.25, "o", "--N", 0), "Error: --N=0 is not allowed"),
        (("digits", MODEL, 0.25, "o", "--skip", 0), "Error: --skip=0 is not allowed"),
        (("digits", MODEL, 0.25, ""), "Error: outfile='.' names no file: give the log's name"),
    ],
)
def test_mistakes_are_one_sentence_and_a_failure(arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT)
    with pytest.raises(SystemExit) as ended:
        commands.main(certify.run, [str(argument) for argument in arguments])
    assert str(ended.value).startswith(sentence)
    assert "\n" not in str(ended.value)


def test_help_is_quick_and_imports_no_torch():
    code = ("import sys; sys.modules['torch'] = None\nfrom rsfast.compat.locuslab import certify, predict, analyze\n"
            "try:\n    certify.run(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0")  # fmt: skip
    assert "outfile" in subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def write_log(file, radii, correct):
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{i}\t1\t{1 if c else 2}\t{r}\t{int(c)}\t0:00:01" for i, (r, c) in enumerate(zip(radii, correct, strict=True))]
    file.write_text("\n".join(["idx\tlabel\tpredict\tradius\tcorrect\ttime", *lines]) + "\n")


def test_approximate_accuracy_counts_right_and_certified(tmp_path):
    write_log(tmp_path / "log", [0.5, 1.0, 1.5, 2.0], [True, True, False, True])
    accuracy = analyze.ApproximateAccuracy(tmp_path / "log")
    np.testing.assert_allclose(accuracy.at_radii(np.array([0.0, 0.5, 0.6, 1.2, 2.1])), [0.75, 0.75, 0.5, 0.25, 0.0])
    assert accuracy.at_radius(accuracy.table, 0.6) == 0.5


def test_high_probability_accuracy_subtracts_what_may_be_wrong(tmp_path, rng):
    import scipy.stats

    write_log(tmp_path / "log", [1.0] * 500, [True] * 400 + [False] * 100)
    for alpha, rho in ((0.001, 0.001), (0.05, 0.01), (0.3, 0.5)):
        allowed = scipy.stats.binom.isf(rho, 500, alpha)
        got = analyze.HighProbAccuracy(tmp_path / "log", alpha, rho).at_radii([0.0, 2.0])
        np.testing.assert_allclose(got, [max(0.0, 0.8 - allowed / 500), 0.0], atol=1e-12)


def test_tables_have_the_originals_form(tmp_path):
    for name, radii in (("a", [0.2, 0.6]), ("b", [0.3, 1.0])):
        write_log(tmp_path / name, radii, [True, True])
    lines = [analyze.Line(analyze.ApproximateAccuracy(tmp_path / name), name) for name in "ab"]
    analyze.latex_table_certified_accuracy(str(tmp_path / "t" / "latex"), 0.25, 0.75, 0.25, lines)
    assert (tmp_path / "t" / "latex").read_text().splitlines() == [
        r"& $r = 0.25$& $r = 0.5$& $r = 0.75$\\", r"\midrule", r"a & 0.50 & \textbf{0.50} & 0.00\\",
        r"b & \textbf{1.00} & 0.50 & \textbf{0.50}\\",
    ]  # fmt: skip
    analyze.markdown_table_certified_accuracy(str(tmp_path / "markdown"), 0.25, 0.75, 0.25, lines)
    assert (tmp_path / "markdown").read_text().splitlines() == [
        "|  | r = 0.25 |r = 0.5 |r = 0.75 |", "| --- |  --- | --- | --- |", "<b> a </b>| 0.50 |0.50<b>*</b> |0.00 |",
        "<b> b </b>| 1.00<b>*</b> |0.50 |0.50<b>*</b> |",
    ]  # fmt: skip


def test_small_plots_are_written(tmp_path):
    write_log(tmp_path / "a", [0.2, 0.6], [True, True])
    lines = [analyze.Line(analyze.ApproximateAccuracy(tmp_path / "a"), "a", "b-", 2.0)]
    analyze.smallplot_certified_accuracy(str(tmp_path / "p" / "small"), "title", 1.0, lines)
    assert (tmp_path / "p" / "small.pdf").read_bytes().startswith(b"%PDF")


def test_analyze_of_the_originals_folders_writes_its_tables_and_plots(tmp_path, capsys):
    for train, sigma in (("0.25", "0.25"), ("0.50", "0.50"), ("0.25", "0.50")):
        write_log(tmp_path / f"data/certify/cifar10/resnet110/noise_{train}/test/sigma_{sigma}", [0.3, 0.9], [True, True])
    run(analyze, "--data", tmp_path / "data", "--out", tmp_path / "analysis")
    written = {
        file.relative_to(tmp_path / "analysis").as_posix() for file in (tmp_path / "analysis").rglob("*") if file.is_file()
    }
    assert written == {"latex/vary_noise_cifar10", "markdown/vary_noise_cifar10", "plots/vary_noise_cifar10.pdf",
                       "plots/vary_noise_cifar10.png", "plots/vary_train_noise_cifar_050.pdf", "plots/high_prob.pdf",
                       "plots/vary_train_noise_cifar_050.png", "plots/high_prob.png"}  # fmt: skip
    assert "$\\sigma = 0.25$" in (tmp_path / "analysis/latex/vary_noise_cifar10").read_text()
    assert "&sigma; = 0.25" in (tmp_path / "analysis/markdown/vary_noise_cifar10").read_text()
    assert "high_prob.png" in capsys.readouterr().out


def test_analyze_of_named_logs(tmp_path):
    write_log(tmp_path / "mine", [0.3, 0.9], [True, False])
    run(analyze, tmp_path / "mine", "--out", tmp_path / "o", "--name", "n")
    assert "mine" in (tmp_path / "o" / "latex" / "n").read_text()


def test_names_of_logs_are_escaped_for_each_file(tmp_path, capsys):
    names = ["$\\badmacro{$", "_x", "a|b", "50%", "<b>", "x\ny"]
    for name in names:
        write_log(tmp_path / name, [0.3, 0.9], [True, False])
    run(analyze, *(tmp_path / name for name in names), "--out", tmp_path / "o", "--name", "n")
    rows = (tmp_path / "o" / "latex" / "n").read_text().splitlines()[2:]
    assert [row.split(" & ")[0] for row in rows] == [
        r"\$\textbackslash{}badmacro\{\$", r"\_x", "a|b", r"50\%", "<b>", r"x\textbackslash{}ny",
    ]  # fmt: skip
    rows = (tmp_path / "o" / "markdown" / "n").read_text().splitlines()[2:]
    assert [row.split(" </b>|")[0] for row in rows] == [
        "<b> $\\\\badmacro{$", "<b> \\_x", "<b> a\\|b", "<b> 50%", "<b> &lt;b&gt;", "<b> x\\\\ny",
    ]  # fmt: skip
    assert (tmp_path / "o" / "plots" / "n.png").exists()
    write_log(tmp_path / "odd", [0.3, 0.9, 0.1], [True, True, False])
    text = (tmp_path / "odd").read_text().replace("0.9\t1", "0.9\t2").replace("0.1\t0", "0.1\t2")
    (tmp_path / "odd").write_text(text)
    run(analyze, tmp_path / "odd", "--out", tmp_path / "o")
    assert "odd: its column correct is a running count" in capsys.readouterr().out


def test_legends_are_matplotlibs_and_those_that_it_refuses_are_refused(tmp_path):
    write_log(tmp_path / "a", [0.2, 0.6], [True, True])

    def plot(legend, fmt="", **more):
        lines = [analyze.Line(analyze.ApproximateAccuracy(tmp_path / "a"), legend, fmt)]
        analyze.plot_certified_accuracy(
            str(tmp_path / "p" / "a"), more.pop("title", "t"), more.pop("largest", 1.0), lines, **more
        )

    plot(r"$\sigma = 1$")
    before = {file.name: file.read_bytes() for file in (tmp_path / "p").iterdir()}
    for legend, more in ((r"$\badmacro$", {}), ("a", {"fmt": "nonsense"}), ("a", {"title": "$\\frac{$"}), ("a", {"largest": np.nan}),
                         ("a", {"largest": 1e30}), ("a", {"radius_step": 0.0}), ("a", {"radius_step": -1.0})):  # fmt: skip
        with pytest.raises(InvalidArgumentError, match="matplotlib understands|are no grid"):
            plot(legend, **more)
    assert {file.name: file.read_bytes() for file in (tmp_path / "p").iterdir()} == before


def test_radii_of_any_size_are_drawn(tmp_path):
    for name, radii in (("small", [0.004, 0.017]), ("large", [3e6, 9e12])):
        write_log(tmp_path / name, radii, [True, True])
        run(analyze, tmp_path / name, "--out", tmp_path / "o", "--name", name)
        assert r"\textbf{0.50}" in (tmp_path / "o" / "latex" / name).read_text()


@pytest.mark.parametrize("name", ["", "a/b", ".", "../a"])
def test_names_of_tables_that_are_no_names_are_refused(name, tmp_path):
    write_log(tmp_path / "a", [0.2], [True])
    with pytest.raises(SystemExit, match="Error: --name"):
        commands.main(analyze.run, [str(tmp_path / "a"), "--out", str(tmp_path / "o"), "--name", name])


def test_a_log_that_is_replaced_or_changed_while_it_is_written_stops_the_writer(tmp_path):
    from rsfast.compat.locuslab.log import Log

    def removed(file):
        file.unlink()

    def edited(file):
        file.rename(file.with_name("old"))
        file.write_bytes(file.with_name("old").read_bytes())

    def longer(file):
        with file.open("a") as opened:
            opened.write("more\n")

    for change in (removed, edited, longer, lambda file: os.truncate(file, 3)):
        file = tmp_path / change.__name__ / "log"
        for at_the_end in (False, True):
            with (
                pytest.raises(StoreError, match=r"was (deleted, renamed|changed by another program).*rows may be lost"),
                Log(file, ("idx", "label"), {"a": at_the_end}) as log,
            ):
                log.append(0, 1)
                change(file)
                if not at_the_end:
                    log.append(1, 1)
            for left in (tmp_path / change.__name__).iterdir():
                left.unlink()


def test_outfiles_that_are_no_files_are_refused_at_once(tmp_path):
    from rsfast.compat.locuslab.log import Log

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    for name, why in (("pipe", "it is a pipe"), ("", "Is a directory"), ("file/log", "it is a file"), ("a\0b", "null")):
        with pytest.raises(StoreError, match=why):
            Log(tmp_path / name, ("idx", "label"), {"a": 1})
    with Log(tmp_path / "log", ("idx", "label"), {"a": 1}) as log:
        log.append(0, 1)
    (tmp_path / "log.rsfast.json").write_text("[" * 100_000)
    with pytest.raises(StoreError, match="is damaged"):
        Log(tmp_path / "log", ("idx", "label"), {"a": 1})


def test_analyze_without_logs_says_what_to_give(tmp_path):
    with pytest.raises(SystemExit, match="Error: .* holds no logs"):
        commands.main(analyze.run, ["--data", str(tmp_path)])
