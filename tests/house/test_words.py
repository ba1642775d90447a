"""What is written for people can be read: short lines, one figure a cell, links that lead somewhere, figures that were measured."""

import importlib
import inspect
import json
import re
from pathlib import Path

import pytest
from numpy.typing import ArrayLike

from bench import figures
from rsfast import certificates
from tests.certificates import test_golden as golden

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(file.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "bench/*.md", "tests/**/*.md")
    for file in ROOT.glob(pattern)
    if not any(part.startswith(".") for part in file.relative_to(ROOT).parts)
)

# What holds digits and is no figure, in the order in which it is taken out of a cell.
NO_FIGURES = [
    r"`[^`]*`",  # code, and formulas written as code
    r"\]\([^)]*\)",  # where a link leads
    r"\d+(?: ?x ?\d+)+",  # shapes: 3x32x32, 256 x 1000
    r"\d+\^[-\d]+",  # powers: 2^53
    r"\b[A-Za-z_]\w*(?:[-_.]?\d[\w.]*)+",  # names: ResNet-20, float32, l2, sm_90, v1.2
    r"\b(?:eq\.|Theorem|Table|[Ff]igure|Algorithm|Proposition|Appendix|A|B|§) ?\(?[\d.]+\)?(?:,? \(\d+\))*",  # places in a paper
    r"\b(?:19|20)\d\d\b(?! ?[%a-z])",  # years
    r"(?:[A-Za-z_ΣΦ]\w*|\)) ?[=<>≥≤] ?(?:\([^)]*\)|[-+.\w/]+(?:,\d{3})*)",  # equations: n = 100,000, p = (.9, .05)
]
NUMBER = r"\d(?:[\d,]*\d)?(?:\.\d+)?(?:e[-+]?\d+)?|\.\d+"


def tables(text: str) -> list[list[str]]:
    """The cells of each line of each table, code blocks left out."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("|") and not re.fullmatch(r"[|:-]+", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def figures_of(cell: str) -> list[str]:
    """The figures of a cell; a range "from 1 to 9" is one."""
    for pattern in NO_FIGURES:
        cell = re.sub(pattern, " ", cell)
    cell = re.sub(rf"from (?:{NUMBER}) to (?:{NUMBER})", "0", cell)
    return re.findall(NUMBER, cell)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_line_is_longer_than_120_columns(document):
    lines = (ROOT / document).read_text().splitlines()
    long = [number for number, line in enumerate(lines, 1) if len(re.sub(r"https?://\S+", "", line)) > 120]
    assert long == [], f"{document}: lines {long}"


@pytest.mark.parametrize("folder", ["rsfast", "kernels", "bench"])
def test_every_docstring_has_a_verb_or_a_name_to_begin_with(folder):
    begun = re.compile(r'^\s*r?"""Of ', re.MULTILINE)
    assert [str(file) for file in sorted((ROOT / folder).rglob("*.py")) if begun.search(file.read_text())] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_cell_holds_at_most_one_figure(document):
    crowded = [cell for cells in tables((ROOT / document).read_text()) for cell in cells if len(figures_of(cell)) > 1]
    assert crowded == []


@pytest.mark.parametrize(
    ("cell", "figures"),
    [
        ("0.60 / 0.36 ns a pixel", ["0.60", "0.36"]),
        ("14.1 (6.7)", ["14.1", "6.7"]),
        ("306 / 9,870 us a copy", ["306", "9,870"]),
        ("1e-14 R + 2 eps", ["1e-14", "2"]),
        ("votes of 256 x 1000 logits, ResNet-20, n = 100,000, Hayes 2020, eq. (20)", []),
        ("`1e-14 R + 2 eps sigma`", []),
        ("from 1e-300 to 1", ["0"]),
        ("26.2 ms", ["26.2"]),
    ],
)
def test_figures_are_told_from_shapes_names_and_equations(cell, figures):
    assert figures_of(cell) == figures


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    file = ROOT / document
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", file.read_text()):
        there = file.parent / target if target else file
        assert there.exists(), target
        if heading:
            assert heading in anchors(there.read_text()), f"{target}#{heading}"


def anchors(text: str) -> list[str]:
    """Headings as links name them."""
    return [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)]


@pytest.mark.parametrize("document", figures.DOCUMENTS)
def test_tables_of_figures_are_the_stored_rows(document):
    text = (ROOT / document).read_text()
    assert "<!-- figures " in text
    assert figures.filled(text) == text, "`python -m bench.figures` writes the tables anew"


def test_every_table_of_figures_is_shown():
    shown = [
        name
        for document in figures.DOCUMENTS
        for name in re.findall(r"<!-- figures ([a-z0-9-]+) -->", (ROOT / document).read_text())
    ]
    assert sorted(shown) == sorted(figures.TABLES)


def functions_of_arrays(module):
    """What a module of rsfast.numerics offers: its functions whose first argument is an array."""
    functions = {
        name: f for name, f in vars(importlib.import_module(f"rsfast.numerics.{module}")).items() if inspect.isfunction(f)
    }
    first = {name: [p.annotation for p in inspect.signature(f).parameters.values()][:1] for name, f in functions.items()}
    return {f"{module}.{name}" for name, annotation in first.items() if annotation in (["ArrayLike"], [ArrayLike])}


def accuracy():
    return tables((ROOT / "docs" / "accuracy.md").read_text())


def test_every_special_function_and_certificate_has_its_row_of_accuracy():
    rows = {cells[0].strip("`") for cells in accuracy()} | {cells[1].strip("`") for cells in accuracy()}
    modules = [file.stem for file in (ROOT / "rsfast" / "numerics").glob("*.py") if file.stem != "__init__"]
    wanted = {name for module in modules for name in functions_of_arrays(module)} | {
        "roots.solve",
        "beta.log_tail",
        "beta.failure_bounds",
    }
    assert len(wanted) > 20
    wanted |= set(certificates.CERTIFICATES) | set(certificates.__all__) - {"CERTIFICATES", "get"}
    assert wanted - rows == set()


def test_rows_of_accuracy_name_tests_that_exist():
    named = {cells[-1] for cells in accuracy() if cells[-1].startswith("test_")}
    assert len(named) > 10
    assert named <= {
        file.stem for folder in ("numerics", "certificates", "confidence") for file in (ROOT / "tests" / folder).glob("test_*.py")
    }


def test_accuracy_states_what_the_golden_table_shows():
    stated = {cells[1].strip("`"): cells for cells in accuracy() if cells[1].strip("`") in certificates.CERTIFICATES}
    allowed = dict.fromkeys(golden.NEITHER, 2e-14)
    measured = dict.fromkeys(set(stated) - {"input_dependent_l2"}, 0.0)  # which has a table of its own
    for row in golden.ROWS:
        name = row["certificate"]
        if name in measured and row["value"] and abs(row["value"]) < float("inf"):
            got, exact, tolerance = golden.call(row)
            measured[name] = max(measured[name], abs(got - exact) / abs(exact))
            allowed.setdefault(name, tolerance)
    for name, largest in measured.items():
        _, _, side, shown, most, _ = stated[name]
        assert side == ("either" if name in golden.NEITHER else "above" if name in golden.UPPER else "below"), name
        assert float(most) == allowed[name], name
        assert largest <= 1.1 * float(shown), name


VERBS = {"Bound", "Certify", "Draw", "Find", "Make", "Read", "Return", "Say", "Simulate"}


@pytest.mark.parametrize(
    "module", ["certificates", "confidence", "numerics.normal", "numerics.ncx2", "numerics.incomplete_gamma", "plans"]
)
def test_functions_of_the_library_say_with_a_verb_what_they_give(module):
    offered = importlib.import_module(f"rsfast.{module}")
    functions = {
        name: f for name, f in vars(offered).items() if inspect.isfunction(f) and f.__module__.startswith(f"rsfast.{module}")
    }
    silent = {name for name, f in functions.items() if not name.startswith("_") and f.__doc__.split()[0] not in VERBS}
    assert len(functions) > 2
    assert silent == set()


def test_formats_names_every_setting_and_every_field_that_is_stored():
    named = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "formats.md").read_text()))
    folder = ROOT / "tests" / "data" / "formats"
    manifests = [json.loads(file.read_text()) for file in folder.rglob("run.json")]
    records = [json.loads(line) for file in folder.rglob("*.jsonl") for line in file.read_text().splitlines()]
    stored = {key for one in manifests for key in (*one, *one["settings"])} | {key for record in records for key in record}
    assert len(stored) > 40
    assert stored - named == set()
