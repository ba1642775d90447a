"""report, recertify and export: what they find, in which order they refuse, and what they leave behind."""

import json
import os
import shutil

import pytest

from tests.cli.test_main_job import LINEAR, SMALL
from tests.files.test_files import names, no_file_larger_than

GOOD = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.5\t1\t0:00:01\n3\t2\t-1\t0.0\t0\t0:00:02\n"


@pytest.fixture
def run(rsfast, tmp_path):
    folder = tmp_path / "runs" / "own"
    result = rsfast("certify", *LINEAR, *SMALL, "--count", 3, "--quiet", "--out", folder)
    assert result.code == 0, result.err
    return folder


def test_a_folder_of_runs_and_logs_is_reported_whole(rsfast, run, tmp_path):
    (run.parent / "others").mkdir()
    (run.parent / "others" / "log.tsv").write_text(GOOD)
    (run.parent / "notes.md").write_text("notes")
    result = rsfast("report", run.parent)
    assert result.code == 0, result.err
    assert [line.split()[0] for line in result.out.splitlines()[1:]] == ["others/log.tsv", "own"]
    assert result.err == f"{run.parent}: passed over files that are no logs: notes.md.\n"


def test_what_cannot_be_read_hides_nothing_else_and_is_named(rsfast, run, tmp_path):
    for name, content in (
        ("a.tsv", GOOD), ("bad.tsv", GOOD + GOOD.splitlines()[1] + "\n"), ("worse.tsv", GOOD + "9" * 131_072 + "\n"), ("z.csv", GOOD.replace("\t", ",")),
    ):  # fmt: skip
        (run.parent / name).write_text(content)
    shutil.copytree(run, run.parent / "torn")
    (run.parent / "torn" / "run.json").write_text("{")
    result = rsfast("report", run.parent, "--out", tmp_path / "out")
    assert result.code == 3
    assert [line.split()[0] for line in result.out.splitlines()[1:4]] == ["a.tsv", "own", "z.csv"]
    assert [name in result.err for name in ("bad.tsv holds idx 0 more than once", "worse.tsv is not a log: line 4", "torn")]
    assert result.err.count("\n") == 3
    assert len(names(tmp_path / "out")) == 5
    alone = rsfast("report", run.parent / "bad.tsv")
    assert (alone.code, alone.out, alone.err.count("\n")) == (1, "", 1)
    both = rsfast("report", run.parent / "bad.tsv", run.parent / "worse.tsv")
    assert (both.code, both.out, both.err.count("\n")) == (1, "", 2)
    assert rsfast("report", run.parent / "bad.tsv", run.parent / "a.tsv").code == 3


def test_a_name_that_does_not_exist_is_refused_before_anything_is_read(rsfast, run):
    result = rsfast("report", run, "nowhere")
    assert (result.code, result.out) == (1, "")
    assert "nowhere does not exist" in result.err


def test_logs_of_one_name_are_told_apart(rsfast, tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "log").write_text(GOOD)
    out = rsfast("report", tmp_path / "a" / "log", tmp_path / "b" / "log").out
    assert "a/log" in out
    assert "b/log" in out


def test_this_folder_is_called_by_its_name(rsfast, run, monkeypatch):
    monkeypatch.chdir(run)
    assert rsfast("report", ".").out.splitlines()[1].startswith("own ")


def test_pipes_are_not_waited_for(rsfast, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for arguments in (("report", tmp_path / "pipe"), ("report", tmp_path)):
        result = rsfast(*arguments)
        assert (result.code, result.out) == (1, "")
        assert "pipe" in result.err


@pytest.mark.parametrize(
    ("command", "code", "part"),
    [
        (("recertify", "RUN", "--out", "x.txt"), 1, "ends in .txt"),
        (("recertify", "RUN", "--out", "no/x.tsv"), 1, "there is no folder"),
        (("recertify", "RUN", "--out", "d.tsv"), 1, "it is a directory"),
        (("recertify", "RUN", "--out", ""), 2, "the empty name"),
        (("recertify", "RUN", "--radii", "nan"), 1, "give radii"),
        (("recertify", "RUN", "--radii", "inf", "--per-255"), 1, "give radii"),
        (("recertify", ""), 2, "the empty name"),
        (("report", ""), 2, "the empty name"),
        (("report", "RUN", "--out", ""), 2, "the empty name"),
        (("report", "RUN", "--out", "file"), 1, "file is not a folder"),
        (("report", "RUN", "--radii", "1e301"), 1, "give radii"),
        (("export", "RUN", ""), 2, "the empty name"),
        (("export", "", "x.tsv"), 2, "the empty name"),
        (("export", "RUN", "x"), 1, "ends in nothing"),
        (("export", "RUN", "p.tsv"), 1, "it is a pipe"),
        (("export", "RUN", "x" * 300 + ".tsv"), 1, "name too long"),
    ],
)
def test_what_will_be_refused_is_refused_before_anything_is_read_or_printed(command, code, part, rsfast, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "d.tsv").mkdir()
    os.mkfifo(tmp_path / "p.tsv")
    result = rsfast(*("missing" if word == "RUN" else word for word in command))  # a run would be refused, too, but later
    assert (result.code, result.out) == (code, "")
    assert part in result.err
    assert names(tmp_path) == ["d.tsv", "file", "p.tsv"]


def test_nothing_to_plot_is_said_before_the_table(rsfast, tmp_path):
    (tmp_path / "votes").write_text("idx\tlabel\tpredict\tcorrect\n0\t1\t1\t1\n")
    result = rsfast("report", tmp_path / "votes", "--out", tmp_path / "out")
    assert (result.code, result.out) == (1, "")
    assert names(tmp_path) == ["votes"]


def test_the_columns_fit_the_norm_and_may_be_255ths(rsfast, run):
    for command in ("recertify", "report"):
        heads = rsfast(command, run, *(["--norm", "inf"] if command == "recertify" else [])).out.split("\n")[0].split()
        assert 5 <= len(heads) - 3 <= 12
    heads = rsfast("recertify", run, "--norm", "inf", "--per-255").out.split("\n")[0].split()
    assert 5 <= len(heads) - 3 <= 12
    assert all(head.endswith("/255") for head in heads[2:-1])
    assert "r=2/255  r=3.5/255" in rsfast("report", run, "--per-255", "--radii", "2,3.5").out


def test_an_export_that_does_not_fit_leaves_the_one_before(rsfast, run, tmp_path):
    file = tmp_path / "x.tsv"
    assert rsfast("export", run, file).code == 0
    good = file.read_bytes()
    for command in (("export", run, file), ("recertify", run, "--out", file)):
        with no_file_larger_than(20):
            result = rsfast(*command)
        assert result.code == 1
        assert f"{file} cannot be written: File too large; it is as it was." in result.err
        assert file.read_bytes() == good
    assert names(tmp_path) == ["runs", "x.tsv"]


def test_a_caveat_of_a_log_is_printed(rsfast, tmp_path):
    (tmp_path / "log").write_text(GOOD + "7\t1\t1\t0.5\t2\t0\n8\t1\t1\t0.5\t3\t0\n")
    assert "contradicts" in rsfast("report", tmp_path / "log").err
    (tmp_path / "log").write_text(GOOD.replace("\t0\t0:00:02", "\t1\t0:00:02") + "7\t1\t1\t0.5\t2\t0\n8\t1\t1\t0.5\t3\t0\n")
    result = rsfast("report", tmp_path / "log")
    assert result.code == 0
    assert "log: its column correct is a running count" in result.out
    assert " 0.750" in result.out


def test_a_run_with_images_missing_says_so_in_the_terminal_the_files_and_the_page(rsfast, run, tmp_path):
    assert "unfinished" not in rsfast("report", run).out
    counts = run / "counts-000-of-001.jsonl"
    counts.write_bytes(b"".join(counts.read_bytes().splitlines(keepends=True)[:2]))
    sentence = "unfinished: 2 of 3 images are there, and every figure is of these alone; missing: 1 image."
    for command in (("report", run, "--out", tmp_path / "out"), ("recertify", run), ("export", run, tmp_path / "x.tsv")):
        result = rsfast(*command)
        assert result.code == 0
        assert result.out.startswith(f"own: {sentence}\n")
    assert " 2 of 3 " in rsfast("report", run).out
    assert sentence in (tmp_path / "out" / "report.html").read_text()
    found = json.loads((tmp_path / "out" / "certified_accuracy.json").read_text())["tables"][0]
    assert (found["images"], found["asked"], found["unfinished"]) == (2, 3, True)
    (run / "asked-000-of-001.jsonl").unlink()  # as of runs from before it was written
    result = rsfast("report", run)
    assert "own: 2 of the 599 images of the data are there; the run does not say how many it was asked for." in result.out
