"""What the package promises by name, and that its examples run."""

import ast
import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import rsfast as rs

PROMISED = [
    "certify",
    "certify_counts",
    "sample_counts",
    "predict",
    "noise",
    "confidence",
    "certificates",
    "backends",
    "Gaussian",
    "ncx2",
    "compat",
    "inner",
    "models",
    "torch",
    "training",
    "attacks",
]


@pytest.mark.parametrize("name", [*PROMISED, "ABSTAIN", "VoteCounts", "Certificate", "InvalidArgumentError", "__version__"])
def test_public_names_are_there(name):
    assert getattr(rs, name) is not None
    assert name in dir(rs)


def test_the_stub_names_what_the_package_has():
    """Type checkers read the stub; names are imported at first use."""
    tree = ast.parse((Path(rs.__file__).parent / "__init__.pyi").read_text())
    there = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert there == {*rs._HOME, *rs._MODULES}
    listed = next(node.value for node in tree.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(listed) == rs.__all__
    assert {*rs.__all__} == there - {"torch"}  # `from rsfast import *` must not hide torch itself


def test_importing_everything_does_not_hide_torch_itself():
    found = {}
    exec("import torch\nfrom rsfast import *", found)
    assert found["torch"].__name__ == "torch"


def test_shims_are_found_by_name_without_being_imported_first():
    code = ("import sys, rsfast as rs\nassert 'rsfast.compat' not in sys.modules\nassert rs.compat.locuslab.Smooth.ABSTAIN == -1\n"
            "assert {'art', 'drs', 'ddsmoothing', 'locuslab'} <= set(dir(rs.compat))\nassert 'art' not in sys.modules")  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'certfy'"):
        _ = rs.certfy


@pytest.mark.parametrize(
    "module",
    [
        "api",
        "confidence.binomial",
        "confidence.finite",
        "plans.table",
        "certificates.gaussian",
        "certificates.input_dependent",
        "certificates.divergences",
        "certificates.l1",
        "certificates.generalized_gaussian",
        "certificates.dual",
        "certificates.registry",
        "numerics.roots",
    ],
)
def test_examples_in_docstrings_run(module):
    import importlib

    results = doctest.testmod(importlib.import_module(f"rsfast.{module}"))
    assert results.attempted > 0
    assert results.failed == 0


def test_statistics_are_usable_without_torch():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['triton'] = sys.modules['click'] = None\n"
        "import rsfast as rs\n"
        "p, q = rs.confidence.bound('clopper-pearson', 99, 100, 0.01)\n"
        "assert rs.certificates.cohen_l2(p, sigma=0.5, q_upper=q) > 0.7\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
