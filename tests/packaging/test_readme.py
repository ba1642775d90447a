"""What the README and AGENTS.md say is there, is there."""

import re
from pathlib import Path

import pytest

from bench.__main__ import MODULES, TABLE

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    "AGENTS.md",
    "CONTRIBUTING.md",
    "bench/README.md",
    *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
]


def test_ci_calls_exactly_the_readmes_test_command():
    commands = re.findall(r"^    (make \w+) ", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert commands == ["make demo", "make test"]
    lines = [
        line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith(("#", "set ", "cd "))
    ]
    assert lines == ["make test"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document):
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z0-9-]+)", (ROOT / document).read_text()):
        if target.startswith("show-"):
            assert target.removeprefix("show-") in {"", *TABLE, *MODULES}, target
        else:
            assert re.search(rf"(^|[ \t]){target}[ :]", makefile, flags=re.MULTILINE), target


def test_functions_named_in_the_readme_exist():
    import rsfast

    for path in re.findall(r"`((?:certificates|confidence)\.\w+)`", (ROOT / "README.md").read_text()):
        value = rsfast
        for part in path.split("."):
            value = getattr(value, part)
        assert callable(value)
