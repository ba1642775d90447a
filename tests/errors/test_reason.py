"""What is kept of another library's message."""

import pytest

from rsfast.errors import reason


class BrokenError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("first line\n  second line:\n\tdo this.\n"), "first line second line: do this"),
        (RuntimeError("\x1b[1;31mFail\x1b[0m: \x1b]8;;http://x\x07link\x1b]8;;\x07 bad\x00name"), "Fail: link bad\\x00name"),
        (RuntimeError("out of memory\nException raised from f at g.cpp:3 (most recent call first):\nframe #0: h + 0x1 (0x2 in i)"),
         "out of memory"),
        (RuntimeError("odd \udcff name"), "odd \\udcff name"),
        (ValueError(), "ValueError"),
        (ValueError("\n \n"), "ValueError"),
        (BrokenError(), "BrokenError"),
        (KeyError("k"), "'k'"),
    ],
)  # fmt: skip
def test_the_whole_text_is_one_line_without_colours(error, expected):
    assert reason(error) == expected


def test_a_long_text_keeps_what_happened_and_what_to_do():
    text = "The file is damaged. " + "Key x is missing. " * 400 + "To repair it, save it again."
    found = reason(RuntimeError(text))
    assert len(found) <= 600
    assert found.startswith("The file is damaged. Key x")
    assert found.endswith("Key x is missing. To repair it, save it again")
    assert " … " in found


def test_a_long_text_without_sentences_is_cut_in_the_middle():
    found = reason(RuntimeError("a" * 5000 + "b" * 5000))
    assert len(found) <= 600
    assert (found[0], found[-1]) == ("a", "b")
