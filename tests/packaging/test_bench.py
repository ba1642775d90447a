"""One table holds the names of benchmarks and shown results: of modules, make targets and the list in bench/README.md."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import MODULES, TABLE, chosen, listed

BENCH = Path(__file__).parents[2] / "bench"


def test_every_module_is_in_the_table_once():
    modules = [module for group in TABLE.values() for module in group]
    assert sorted(modules) == sorted(file.stem for file in BENCH.glob("*.py") if file.stem.startswith(("bench_", "show_")))
    assert len(MODULES) == len(modules)  # bench_x and show_x would have one name
    assert not set(MODULES) & set(TABLE)


def test_the_readme_holds_the_list_that_the_table_makes():
    _, _, rest = (BENCH / "README.md").read_text().partition("<!-- python -m bench --list -->\n")
    assert rest.partition("<!-- end of the list -->")[0] == listed()


def test_modules_write_the_file_of_their_name():
    for name, module in MODULES.items():
        if module.startswith("show_"):
            assert f'"{name}"' in (BENCH / f"{module}.py").read_text(), module


def test_a_name_a_group_and_nothing_choose_modules():
    assert chosen(["plan-savings"]) == ["show_plan_savings"]
    assert chosen(["statistics", "votes"]) == ["show_tails", "show_dieharder", "bench_votes"]
    assert {module.split("_")[0] for module in chosen([])} == {"bench"}
    with pytest.raises(SystemExit, match="fast is neither a name nor a group"):
        chosen(["votes", "fast"])


def test_a_failed_statement_fails_the_command(tmp_path):
    environment = {"PATH": str(tmp_path)}  # without dieharder
    run = subprocess.run(
        [sys.executable, "-m", "bench", "dieharder"], cwd=BENCH.parent, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "dieharder is not installed" in run.stderr
