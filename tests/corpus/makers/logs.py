"""Logs that are none."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import FOLDER, PIPE, Case

HEAD = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
ROWS = "0\t1\t1\t0.5\t1\t0:00:01.0\n1\t2\t-1\t0.0\t0\t0:00:01.0\n2\t0\t0\t0.25\t1\t0:00:01.0\n"
GOOD = HEAD + ROWS


def cell(column: int, value: str) -> str:
    """A log of which the second row holds `value` in one column."""
    lines = GOOD.splitlines()
    cells = lines[2].split("\t")
    cells[column] = value
    return "\n".join([*lines[:2], "\t".join(cells), *lines[3:]]) + "\n"


FILES: dict[str, str | bytes] = {
    "empty": "",
    "one newline": "\n",
    "blank lines": "\n\n\n\n",
    "spaces": "   \n",
    "no header": ROWS,
    "a sentence": "certified accuracy was 0.6 at radius 0.5\n",
    "binary": bytes(range(256)) * 4,
    "NUL bytes": GOOD.replace("1", "\0"),
    "all zeros": b"\0" * 512,
    "UTF-16 cut in the middle": GOOD.encode("utf-16")[:-3],
    "Latin-1 in a number": GOOD.replace("0.25", "0,2\xb5").encode("latin1"),
    "an HTML page": "<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
    "a pointer of Git LFS": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
    "JSON": '{"idx": [0, 1], "label": [1, 2], "predict": [1, 2]}\n',
    "gzip": b"\x1f\x8b\x08\x00" + bytes(40),
    "no predict": "idx\tlabel\tradius\n0\t1\t0.5\n",
    "no label": "idx\tpredict\tradius\n0\t1\t0.5\n",
    "no idx": "label\tpredict\tradius\n1\t1\t0.5\n",
    "a column twice": "idx\tlabel\tpredict\tpredict\tradius\n0\t1\t1\t2\t0.5\n",
    "a header twice": GOOD + GOOD,
    "names run together": "idxlabelpredictradius\n0\t1\t1\t0.5\n",
    "one field too few": cell(0, "1").replace("1\t2\t-1\t0.0\t0\t0:00:01.0", "1\t2\t-1\t0.0"),
    "one field too many": GOOD.replace("0:00:01.0\n2\t", "0:00:01.0\t7\n2\t"),
    "commas below tabs": HEAD + ROWS.replace("\t", ","),
    "a word between": HEAD + "0\t1\t1\t0.5\t1\t0\nKeyboardInterrupt\n1\t2\t2\t0.5\t1\t0\n",
    "a traceback at the end": GOOD + "Traceback (most recent call last):\n  File \"certify.py\", line 3\nRuntimeError: CUDA\n",
    "idx is a word": cell(0, "one"),
    "idx is a fraction": cell(0, "0.5"),
    "idx is negative": cell(0, "-1"),
    "idx is not a number": cell(0, "nan"),
    "idx is infinite": cell(0, "inf"),
    "idx beyond 64 bits": cell(0, "9" * 30),
    "idx of a thousand digits": cell(0, "9" * 1000),
    "idx is empty": cell(0, ""),
    "idx in full-width digits": cell(0, "１"),
    "idx twice": cell(0, "0"),
    "label is a word": cell(1, "cat"),
    "label is a fraction": cell(1, "2.5"),
    "label is not a number": cell(1, "nan"),
    "label beyond 64 bits": cell(1, "1e300"),
    "label is empty": cell(1, ""),
    "label is a list": cell(1, "[1, 2]"),
    "predict is a word": cell(2, "abstain"),
    "predict is below -1": cell(2, "-2"),
    "predict is a fraction": cell(2, "0.1"),
    "predict is infinite": cell(2, "-inf"),
    "predict is empty": cell(2, ""),
    "predict in hexadecimal": cell(2, "0x1"),
    "radius is a word": GOOD.replace("0.25", "large"),
    "radius is negative": GOOD.replace("0.25", "-0.25"),
    "radius is infinite": GOOD.replace("0.25", "inf"),
    "radius overflows": GOOD.replace("0.25", "1e999"),
    "radius is not a number": GOOD.replace("0.25", "nan"),
    "radius is empty": GOOD.replace("0.25", ""),
    "radius with two points": GOOD.replace("0.25", "0.2.5"),
    "radius in percent": GOOD.replace("0.25", "25%"),
    "radius is a complex number": GOOD.replace("0.25", "1+2j"),
    "radius with an underscore": GOOD.replace("0.25", "0_0.25"),
    "correct is a word": cell(4, "perhaps"),
    "correct is two": cell(4, "2"),
    "correct contradicts": GOOD.replace("0.25\t1\t", "0.25\t0\t"),
    "correct though it abstains": cell(4, "1"),
    "correct is not a number": cell(4, "nan"),
    "correct is a wrong running count": HEAD + "0\t1\t1\t0.5\t3\t0\n1\t2\t2\t0.5\t4\t0\n2\t0\t0\t0.25\t9\t0\n",
    "correct is a wrong share": HEAD + "0\t1\t1\t0.5\t1.0\t0\n1\t2\t3\t0.5\t0.9\t0\n2\t0\t0\t0.25\t0.1\t0\n",
    "time is a word": cell(5, "soon"),
    "time is not a number": cell(5, "nan"),
    "a cell of 200,000 characters": cell(5, "9" * 200_000),
    "an open quotation mark": cell(1, '"2'),
    "a header of 100,000 columns": "\t".join(f"c{i}" for i in range(20_000)) + "\n" + ROWS,
    "only the header's first half": "idx\tlab",
    "terminal colours": GOOD.replace("0.25", "\x1b[31mlots\x1b[0m"),
    "a right-to-left mark": GOOD.replace("0.25", "\u202e0.25x"),
}  # fmt: skip


def cases() -> Iterator[Case]:
    for what, content in FILES.items():
        yield Case(f"log: {what}", {"a.tsv": content}, "read_log('a.tsv')")
    calls = {
        "that is not there": ("read_log('none.tsv')", {}),
        "that is a folder": ("read_log('a.tsv')", {"a.tsv": FOLDER}),
        "that is a pipe": ("read_log('a.tsv')", {"a.tsv": PIPE}),
        "that is a device": ("read_log('/dev/zero')", {}),
        "with a NUL in its name": (r"read_log('a\0.tsv')", {}),
        "with the empty name": ("read_log('')", {}),
        "whose name is too long": ("read_log('a' * 5000)", {}),
        "whose name is a number": ("read_log(3)", {}),
        "that is None": ("read_log(None)", {}),
        "behind a link that leads nowhere": ("read_log('a.tsv')", {"a.tsv": {"link": "gone.tsv"}}),
        "behind a link to itself": ("read_log('a.tsv')", {"a.tsv": {"link": "a.tsv"}}),
        "below a file": ("read_log('a.tsv/b.tsv')", {"a.tsv": GOOD}),
    }
    for what, (call, files) in calls.items():
        yield Case(f"log: a name {what}", files, call)
    commands = {
        "of a log that is none": (["report", "a.tsv"], {"a.tsv": FILES["no predict"]}),
        "of nothing": (["report"], {}),
        "of a missing file": (["report", "none.tsv"], {}),
        "of an empty folder": (["report", "d"], {"d": FOLDER}),
        "of a folder of other files": (["report", "d"], {"d/a.txt": "hello\n", "d/b.png": b"\x89PNG"}),
        "of a folder with one bad log of two": (["report", "d"], {"d/a.tsv": GOOD, "d/b.tsv": FILES["idx twice"]}),
        "at a negative radius": (["report", "a.tsv", "--radii", "-1"], {"a.tsv": GOOD}),
        "at no number": (["report", "a.tsv", "--radii", "nan"], {"a.tsv": GOOD}),
        "at words": (["report", "a.tsv", "--radii", "a,b"], {"a.tsv": GOOD}),
        "at no radii": (["report", "a.tsv", "--radii", ""], {"a.tsv": GOOD}),
        "into the empty name": (["report", "a.tsv", "--out", ""], {"a.tsv": GOOD}),
        "into a file": (["report", "a.tsv", "--out", "f"], {"a.tsv": GOOD, "f": "x"}),
        "into a folder below a file": (["report", "a.tsv", "--out", "f/g"], {"a.tsv": GOOD, "f": "x"}),
        "of figures from a log of no data set": (["limits", "--out", "o", "--logs", "a.tsv"], {"a.tsv": GOOD}),
        "of figures from a missing log": (["limits", "--out", "o", "--logs", "none.tsv"], {}),
        "of figures without a place": (["limits"], {}),
        "of figures in another format": (["limits", "--out", "o", "--format", "pdf"], {}),
    }  # fmt: skip
    for what, (command, files) in commands.items():
        yield Case(f"log: a report {what}", files, command)
