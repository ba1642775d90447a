"""Every malformed input gets its sentence, as an exception of ours or on standard error; nothing is left behind."""

import pytest

from .cases import flaws, listing, matches, put, run, stored

CASES = list(stored())


def test_there_are_at_least_four_hundred_and_each_has_a_name_of_its_own():
    assert len(CASES) >= 400
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_malformed_input_gets_its_sentence(case, tmp_path):
    put(case, tmp_path)
    before = listing(tmp_path)
    gets, text = run(case, tmp_path)
    assert matches(case.says, text), text
    assert gets == case.gets
    assert not flaws(case, gets, text)
    after = {name: content for name, content in listing(tmp_path).items() if name.partition("/")[0] not in case.leaves}
    assert after == {name: content for name, content in before.items() if name.partition("/")[0] not in case.leaves}
