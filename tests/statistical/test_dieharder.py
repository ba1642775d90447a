"""The script of `make show-dieharder`: what it reads, what it judges, and what it says where the program is missing."""

import itertools
import os
import subprocess
import sys

import numpy as np

from bench import show_dieharder
from rsfast.backends.reference import philox4x32_10

TABLE = """
#=============================================================================#
        test_name   |ntup| tsamples |psamples|  p-value |Assessment
#=============================================================================#
   diehard_birthdays|   0|       100|     100|0.95325000|  PASSED
          sts_serial|  16|    100000|     100|0.99980000|   WEAK
        diehard_sums|   0|       100|     100|0.00000000|  FAILED
"""


def test_the_table_is_read():
    rows = show_dieharder.parsed(TABLE, "one sample")
    assert [(row["test"], row["ntuple"], row["p_value"], row["assessment"]) for row in rows] == [
        ("diehard_birthdays", 0, 0.95325, "PASSED"),
        ("sts_serial", 16, 0.9998, "WEAK"),
        ("diehard_sums", 0, 0.0, "FAILED"),
    ]


def test_what_is_failed_fails_but_of_tests_that_are_no_good():
    passed, weak, unreliable = show_dieharder.parsed(TABLE)
    assert [show_dieharder.fails(row) for row in (passed, weak, unreliable)] == [False, False, False]
    assert show_dieharder.fails(weak | {"assessment": "FAILED"})


def test_the_streams_are_the_generators_words():
    first = next(show_dieharder.one_sample(5)).reshape(-1)[:8]
    assert first.tolist() == np.stack(philox4x32_10((np.arange(2), 0, 0, 1), 5), axis=1).reshape(-1).tolist()
    turns = next(show_dieharder.many_images(5)).reshape(-1)
    for image, word in itertools.islice(enumerate(turns), 64):
        assert int(word) == int(philox4x32_10((0, 0, image, 1), 5)[0])


def test_a_missing_program_is_one_clear_sentence(tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path)}
    result = subprocess.run([sys.executable, "-m", "bench.show_dieharder"], env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert (
        result.stderr.strip()
        == "dieharder is not installed: apt-get install dieharder (Debian, Ubuntu), then make show-dieharder."
    )
