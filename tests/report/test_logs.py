"""Logs of other people: what is understood, what is said of it, and what is refused."""

import os

import numpy as np
import pytest

from rsfast.errors import DataError
from rsfast.report import certified_accuracy, find, find_logs, read_log

HEAD = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
GOOD = HEAD + "0\t1\t1\t0.5\t1\t0:00:01\n3\t2\t-1\t0.0\t0\t0:00:02\n"


def read(tmp_path, content, name="log.tsv"):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_log(file)


def caveats(table):
    return [value for key, value in table.details.items() if key.startswith("caveat")]


def refused(tmp_path, content, *parts):
    with pytest.raises(DataError) as raised:
        read(tmp_path, content)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert len(sentence) < 700
    for part in parts:
        assert part in sentence


FORMS = {
    "as it is": GOOD,
    "a byte order mark": "\ufeff" + GOOD,
    "UTF-16": GOOD.encode("utf-16"),
    "Windows line ends": GOOD.replace("\n", "\r\n"),
    "old Macintosh line ends": GOOD.replace("\n", "\r"),
    "blank lines and blanks": "\n" + GOOD.replace("\n", " \n") + "\n \t\t\n",
    "no last line end": GOOD[:-1],
    "commas": GOOD.replace("\t", ","),
    "semicolons and decimal commas": GOOD.replace("\t", ";").replace(".", ","),
    "spaces": GOOD.replace("\t", "   "),
    "quotes": "\n".join(",".join(f'"{cell}"' for cell in line.split("\t")) for line in GOOD.splitlines()) + "\n",
    "an unnamed index": "".join(f"{i or ''}\t{line}\n" for i, line in enumerate(GOOD.splitlines())),
    "a named index": "".join(f"{f'{i}.' if i else 'Unnamed: 0'},{line}\n" for i, line in enumerate(GOOD.replace("\t", ",").splitlines())),
    "other case": GOOD.replace("idx\tlabel\tpredict", "IDX\tLabel\tPREDICT"),
    "a comment sign": "# " + GOOD,
    "True and False": HEAD + "0\t1\t1\t0.5\tTrue\t0:00:01\n3\t2\t-1\t0.0\tFalse\t0:00:02\n",
    "floats": HEAD + "0.0\t1.0\t1.0\t0.5\t1.0\t1.0\n3.0\t2.0\t-1.0\t0.0\t0.0\t2\n",
    "tensors": HEAD + "0\ttensor(1, device='cuda:0')\t1\ttensor(0.5000)\ttensor(True)\t0:00:01\n3\t2\t-1\t0\t0\t0:00:02\n",
    "another order and more columns": "predict\tsigma\tcorrect\tradius\tidx\tlabel\ttime\n1\t.25\t1\t.5\t0\t1\t1\n-1\t.25\t0\t0\t3\t2\t2\n",
    "no column correct": "idx,label,predict,radius,time\n0,1,1,0.5,1\n3,2,-1,0,2\n",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_logs_of_many_forms_say_the_same(form, tmp_path):
    table = read(tmp_path, FORMS[form])
    assert table.idx.tolist() == [0, 3]
    assert table.label.tolist() == [1, 2]
    assert table.predict.tolist() == [1, -1]
    assert table.radius.tolist() == [0.5, 0.0]
    assert table.correct.tolist() == [True, False]
    assert table.seconds.tolist() == [1.0, 2.0]
    assert caveats(table) == []


LABEL, PREDICT = np.arange(40) % 7, np.where(np.arange(40) % 5 == 0, -1, np.arange(40) % 3)
TRUE = LABEL == PREDICT


def log_with(correct):
    cells = zip(LABEL, PREDICT, correct, strict=True)
    return HEAD + "".join(
        f"{i}\t{label}\t{predict}\t{0.5 * (predict >= 0)}\t{c}\t0\n" for i, (label, predict, c) in enumerate(cells)
    )


@pytest.mark.parametrize(
    ("correct", "said"),
    [
        (TRUE.astype(int), None),
        (np.cumsum(TRUE), "running count"),
        ([f"{share:.3}" for share in np.cumsum(TRUE) / np.arange(1, 41)], "running accuracy"),
        ([f"{100 * share:.2f}%" for share in np.cumsum(TRUE) / np.arange(1, 41)], "running accuracy"),
        ([f"{100 * share:.0f}" for share in np.cumsum(TRUE) / np.arange(1, 41)], "running accuracy"),
    ],
)  # fmt: skip
def test_what_is_right_is_computed_whatever_way_the_column_says_it(correct, said, tmp_path):
    table = read(tmp_path, log_with(correct))
    assert table.correct.tolist() == TRUE.tolist()
    assert certified_accuracy(table, [0.5]) == pytest.approx(TRUE.mean())
    assert len(caveats(table)) == (said is not None)
    assert all(said in sentence for sentence in caveats(table))


def test_a_column_that_contradicts_is_refused_with_its_rows(tmp_path):
    wrong = np.flatnonzero(~TRUE)
    for rows in (wrong[:1], wrong[2:9]):
        correct = TRUE.astype(int)
        correct[rows] = 1
        first = rows[0]
        refused(
            tmp_path, log_with(correct), f"in {len(rows)} of 40 rows: idx {first}", f"label {LABEL[first]}, predict {PREDICT[first]}",
            "remove the column correct", *(["and 2 more"] if len(rows) == 7 else []),
        )  # fmt: skip
    refused(tmp_path, HEAD + "4\t2\t-1\t0.5\t1\t0\n", "idx 4 has label 2, predict -1, correct 1")
    refused(tmp_path, HEAD + "4\t-1\t-1\t0.5\t1\t0\n", "idx 4 has label -1, predict -1, correct 1")
    refused(tmp_path, HEAD + "4\t2\t2\t0.5\t0\t0\n", "idx 4 has label 2, predict 2, correct 0")
    refused(tmp_path, HEAD + "4\t2\t2\t0.5\t7\t0\n", "correct 7")


def test_right_rows_of_radius_0_that_the_column_leaves_out_are_named(tmp_path):
    table = read(tmp_path, HEAD + "0\t1\t1\t0\t0\t0\n1\t1\t1\t.5\t1\t0\n")
    assert certified_accuracy(table, [0.0, 0.1]).tolist() == [1.0, 0.5]
    assert "leaves out idx 0" in caveats(table)[0]


def test_an_image_counts_once(tmp_path):
    refused(tmp_path, GOOD + "0\t1\t1\t0.5\t1\t0:00:01\n", "idx 0 more than once", "in lines 2, 4")


@pytest.mark.parametrize("radius", ["inf", "-inf", "nan", "-0.5", "1e999", "Infinity"])
def test_radii_that_no_certificate_has_are_refused_where_a_class_is_certified(radius, tmp_path):
    refused(tmp_path, f"{GOOD}7\t1\t1\t{radius}\t1\t0\n", "line 4 has radius")
    table = read(tmp_path, f"{GOOD}7\t1\t-1\t{radius}\t0\t0\n")
    assert table.radius.tolist() == [0.5, 0.0, 0.0]
    assert "where it abstains" in caveats(table)[0]


def test_a_radius_of_an_abstention_counts_nowhere(tmp_path):
    table = read(tmp_path, HEAD + "0\t1\t-1\t9.0\t0\t0\n1\t1\t1\t.5\t1\t0\n")
    assert certified_accuracy(table, [0.0, 0.5, 1.0]).tolist() == [0.5, 0.5, 0.0]
    assert table.radius.max() == 0.5


def test_a_log_that_was_cut_short_is_read_up_to_there(tmp_path):
    table = read(tmp_path, GOOD + "5\t1\t")
    assert table.idx.tolist() == [0, 3]
    assert caveats(table) == ["its last line (4) was cut short and is left out"]
    refused(tmp_path, "idx,label,predict,radius\n0,1,1,6.1e-0", "its last radius ('6.1e-0') may be cut short")
    assert read(tmp_path, "idx,label,predict,radius\n0,1,1,6.1e-05\n").radius.tolist() == [6.1e-05]


def test_logs_that_were_joined_are_read_and_that_is_said(tmp_path):
    table = read(tmp_path, GOOD + GOOD.replace("0\t1\t1", "9\t1\t1").replace("3\t2", "8\t2"))
    assert table.idx.tolist() == [0, 3, 9, 8]
    assert "joined" in caveats(table)[0]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "it is empty"),
        (" \n\n", "it is empty"),
        ("name,r=0\nx,1\n", "its first line is 'name,r=0', not idx label predict"),
        (b"\x1f\x8b\x08\x00", "gunzip"),
        (b"PK\x03\x04\x00\x00", "NUL bytes"),
        (GOOD.encode() + b"\0", "NUL bytes"),
        (b"\xff\xfe\x00", "cannot be read"),
        (GOOD.encode() + b"7\t1\t1\t0.5\t1\t\xe9\n", "no UTF-8 text (byte 91)"),
        ("x" * 300_000, "line 1 has 300,000 characters"),
        (GOOD + "5\t1\t1\t0.5\t1\t" + "9" * 131_072 + "\n", "line 4 has 131,084 characters"),
        (GOOD + '5\t1\t1\t0.5\t1\t"' + "9" * 131_072, "line 4 has 131,085 characters"),
        ("idx,label,predict,radius,Radius\n0,1,1,1,1\n", "column radius 2 times"),
        ("idx\tlabel\tpredict\tcorrect\n0\t1\n1\t1\t1\t1\n", "line 2 is not idx label predict"),
        (GOOD + "5\t1\t1\t0.5\t1\t1\t17\n", "7 cells where the first line has 6"),
        (GOOD + "5\t1\t1\t0.5\tyes\t1\n", "its correct 'yes'"),
        (GOOD + "5\t1\t1\t0.5\tnan\t1\n", "its correct 'nan'"),
        (GOOD + "5\t1\t1\t0.5\t\t1\n", "its correct ''"),
        (GOOD + "5\t1\t1\t0.5\t1\tsoon\n", "its time 'soon'"),
        (GOOD + "5\t1\t1\t0.5\t1\t1e300\n", "its time '1e300'"),
        (GOOD + "5\t1\t1\t0.5\t1\t1 week, 0:00:01\n", "its time '1 week"),
        (GOOD + "5\t1\t1\t0x1p-1\t1\t1\n", "its radius '0x1p-1'"),
        (GOOD + "5\t1\t1\t1_0\t1\t1\n", "its radius '1_0'"),
        (GOOD + "5\t1\t1\t0,5\t1\t1\n", "its radius '0,5'"),
        (GOOD + "5\t1.5\t1\t0\t0\t1\n", "its label '1.5'"),
        (GOOD + "5\t-2\t1\t0\t0\t1\n", "its label '-2' is below -1"),
        (GOOD + "5\t1\t-2\t0\t0\t1\n", "its predict '-2' is below -1"),
        (GOOD + "-5\t1\t1\t0\t1\t1\n", "its idx '-5' is below 0"),
        (GOOD + "٣\t1\t1\t0\t1\t1\n", "its idx '٣'"),
        (GOOD + "9" * 5000 + "\t1\t1\t0\t1\t1\n", "its idx '999"),
        (GOOD + "9" * 19 + "\t1\t1\t0\t1\t1\n", "its idx '999"),
        (GOOD + "1e18\t1\t1\t0\t1\t1\n", "its idx '1e18'"),
        (GOOD + "\x1b[31m\t1\t1\t0\t1\t1\n", r"its idx '\x1b[31m'"),
    ],
)
def test_what_is_no_log_is_refused_in_a_sentence(content, part, tmp_path):
    refused(tmp_path, content, part)


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, part in (
        ("pipe", "it is a pipe"),
        ("loop", "symbolic links"),
        ("missing", "No such file"),
        ("", "it is a directory"),
    ):
        with pytest.raises(DataError, match=f"cannot be read: .*{part}"):
            read_log(tmp_path / name)


def test_a_file_of_a_size_that_no_log_has_is_not_read(tmp_path):
    with (tmp_path / "log").open("wb") as opened:
        opened.write(GOOD.encode())
        opened.truncate(1 << 40)
    with pytest.raises(DataError, match="more than 128 MiB"):
        read_log(tmp_path / "log")


def test_a_folder_is_searched_and_nothing_is_passed_over_without_a_word(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    for name in ("a.tsv", "deep/er/b", "run/results.tsv", ".hidden.tsv"):
        (tmp_path / name).write_text(GOOD)
    (tmp_path / "notes.md").write_text("notes")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "again").symlink_to("run")
    (tmp_path / "up").symlink_to(".")
    (tmp_path / "gone").symlink_to("nowhere")
    found = find(tmp_path)
    assert found.logs == [tmp_path / "a.tsv", tmp_path / "deep" / "er" / "b"] == find_logs(tmp_path)
    assert found.runs == [tmp_path / "run"]
    assert found.others == {
        "hidden names": [".hidden.tsv"], "files that are no logs": ["notes.md"], "links to what was seen already": ["again", "up"],
        "names that are neither file nor folder": ["pipe, a pipe"],
    }  # fmt: skip
    assert found.unreadable == [f"{tmp_path}/gone cannot be read: No such file or directory."]


def test_a_folder_with_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(find.__globals__, "MOST", 3)
    for i in range(4):
        (tmp_path / f"{i}").write_text("")
    with pytest.raises(DataError, match="holds more than 3 files"):
        find(tmp_path)


PIECES = [b"inf", b"nan", b"-1", b"1e308", b"\0", b'"', b"\t", b",", b";", b"\n", b"\r", b"tensor(", b"True", b"9" * 30, b"-", b"e", b"\xff", b"\x85",
          b" day, ", b"%", b"#", b"\xe2\x80\xa8"]  # fmt: skip


def test_whatever_a_file_holds_it_is_a_sound_table_or_one_sentence(tmp_path, rng):
    forms = [form if isinstance(form, bytes) else form.encode() for form in FORMS.values()]
    read_some = 0
    for _ in range(400):
        content = bytearray(forms[rng.integers(len(forms))])
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(content) + 1))
            content[at : at + int(rng.integers(6))] = PIECES[rng.integers(len(PIECES))] if rng.random() < 0.7 else rng.bytes(1)
        try:
            table = read(tmp_path, bytes(content))
        except DataError as error:
            assert str(error).isprintable()
            continue
        read_some += 1
        assert len(set(table.idx.tolist())) == len(table)
        assert table.correct.tolist() == ((table.label == table.predict) & (table.predict != -1)).tolist()
        if table.radius is not None:
            assert np.isfinite(table.radius).all()
            assert (table.radius >= 0).all()
    assert read_some > 20
