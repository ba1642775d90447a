"""What is written: plots, pages and tables, with any names, whole or not at all, and of unfinished runs."""

import dataclasses
import json
import re

import numpy as np
import pytest

from rsfast.errors import InvalidArgumentError, StoreError
from rsfast.files import printable
from rsfast.report import Picture, find_logs, plot, read_log, write_csv, write_page, write_plot, write_report, write_tsv
from tests.files.test_files import names, no_file_larger_than
from tests.report.test_report import table, unfinished

NAMES = [
    "$\\badmacro{$.tsv", "_x.tsv", "$x^2$", "%s %", "\\", "{}", "<script>alert(1)</script>", "--><script>", "a & \"b\" 'c'", "a\nb",
    "\udcff\udcfe", "\x1b[31m", "\u202egnp", "中文 😀", "x" * 255, "",
]  # fmt: skip


def named(*texts):
    return [table([0.5, 0.2, 0.0], [1, 1, -1], [1, 1, 1], printable(text)) for text in texts]


def test_every_name_is_in_the_legend_as_it_is(tmp_path):
    tables = named(*NAMES)
    figure = plot._figure(tables)
    texts = figure.axes[0].get_legend().get_texts()
    assert len(figure.axes[0].lines) == len(texts) == len(NAMES)
    for text, one in zip(texts, tables, strict=True):
        assert text.get_text() == (one.name if len(one.name) <= 40 else f"{'x' * 19}…{'x' * 20}")
        assert not text.get_parse_math()
    for ending in (".png", ".svg", ".pdf"):
        write_plot(tables, tmp_path / f"a{ending}")  # warnings are errors
    assert "<script" not in (tmp_path / "a.svg").read_text()


def test_every_name_is_in_the_page_escaped(tmp_path):
    tables = [
        dataclasses.replace(one, details={"source": name, name: "x"}) for one, name in zip(named(*NAMES), NAMES, strict=True)
    ]
    write_page(tables, [0.0, 0.1], tmp_path / "page.html", title="<script>")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "$\\badmacro{$.tsv" in page
    assert "中文 😀" in page
    assert not re.search("[\x00-\x08\x1b\u202e]", page)


def test_nothing_certified_correctly_can_be_plotted(tmp_path):
    write_plot([table([0.0, 0.0], [1, -1], [2, 2])], tmp_path / "a.png")
    write_plot([], tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_plots_of_other_endings_are_refused(tmp_path):
    for name in ("a.gif", "a", "a.html", "a.py"):
        with pytest.raises(InvalidArgumentError, match=r"ends in .*\.pdf, \.png, \.svg"):
            write_plot(named("a"), tmp_path / name)
    assert names(tmp_path) == []


@pytest.mark.parametrize("write", [write_tsv, write_csv, write_plot, lambda one, file: write_page([one], [0.0], file)])
def test_a_full_disk_leaves_the_good_file(write, tmp_path):
    file = tmp_path / ("a.png" if write is write_plot else "a")
    one = table([0.5] * 300, [1] * 300, [1] * 300)
    what = [one] if write is write_plot else one
    write(what, file)
    good = file.read_bytes()
    with no_file_larger_than(2048), pytest.raises(StoreError, match="cannot be written: File too large; it is as it was"):
        write(what, file)
    assert file.read_bytes() == good
    assert names(tmp_path) == [file.name]


def test_a_folder_that_cannot_be_filled_keeps_what_it_had(tmp_path):
    before = {file.name: file.read_bytes() for file in write_report(named("a"), None, tmp_path / "out")}
    with no_file_larger_than(100), pytest.raises(StoreError, match="it is as it was"):
        write_report(named("a", "b"), None, tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="it is a file, not a folder"):
        write_report(named("a"), None, tmp_path / "file")


def test_unfinished_runs_say_so_wherever_they_are_written(tmp_path):
    predictions = dataclasses.replace(unfinished(), radius=None, name="votes")
    whole = table([0.5], [1], [1], "whole")
    write_report([unfinished(), whole, predictions], None, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("unfinished: 2 of 599 images are there") == 4  # at the top and with the details, of both
    assert "votes: predictions without radii (2 of 599 images)" in page
    found = json.loads((tmp_path / "certified_accuracy.json").read_text())
    assert [(one["name"], one["images"], one["asked"], one["unfinished"]) for one in found["tables"]] == [
        ("half", 2, 599, True), ("whole", 1, None, False), ("votes", 2, 599, True),
    ]  # fmt: skip
    assert found["tables"][0]["certified_accuracy"][0] == 1.0
    rows = [line.split(",") for line in (tmp_path / "certified_accuracy.csv").read_text().splitlines()]
    assert [row[-2:] for row in rows] == [["images", "asked"], ["2", "599"], ["1", ""]]
    legend = plot._figure([unfinished(), whole]).axes[0].get_legend().get_texts()
    assert [text.get_text() for text in legend] == ["half (2 of 599 images)", "whole"]


def test_radii_of_different_norms_are_not_put_side_by_side_without_a_word(tmp_path):
    two, infinite, unknown = (dataclasses.replace(table([0.5], [1], [1]), norm=norm) for norm in (2.0, float("inf"), None))
    for tables, said in (([two, infinite, unknown], True), ([two, two], False), ([infinite, unknown], False)):
        write_page(tables, [0.0], tmp_path / "page.html")
        assert ("radii of different norms (l2, linf)" in (tmp_path / "page.html").read_text()) == said


def test_names_may_be_text_and_nothing_else(tmp_path):
    one = table([0.5], [1], [1])
    write_tsv(one, f"{tmp_path}/a.tsv")
    assert read_log(f"{tmp_path}/a.tsv").radius.tolist() == [0.5]
    assert find_logs(str(tmp_path)) == [tmp_path / "a.tsv"]
    write_plot([one], f"{tmp_path}/a.png")
    write_report([one], None, f"{tmp_path}/out")
    for call in (
        lambda: write_tsv(one, 3), lambda: read_log(None), lambda: find_logs(b"x"), lambda: write_plot([one], []),
        lambda: write_report([one], None, 1.5), lambda: write_page([one], [0.0], {}),
    ):  # fmt: skip
        with pytest.raises(InvalidArgumentError, match=r"is \w+: give the name of a file"):
            call()


def test_a_page_shows_pictures_with_what_is_said_of_them(tmp_path):
    pytest.importorskip("PIL")
    picture = Picture(np.zeros((4, 4, 3), np.uint8), "class <3>: certified to 0.24")
    write_report(named("a"), None, tmp_path, pictures=[picture, picture])
    page = (tmp_path / "report.html").read_text()
    assert page.count('<img src="data:image/jpeg;base64,/9j/') == 2
    assert "<figcaption>class &lt;3&gt;: certified to 0.24</figcaption>" in page
