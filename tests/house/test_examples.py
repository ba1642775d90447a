"""The Python examples of README and docs are typed and, in README and quickstart, run."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

GIVEN = """\
from typing import Any

import numpy as np
import torch

import rsfast as rs

alpha: float
classifier: Any
counts: rs.VoteCounts
diffusion: Any
function: Any
k: int
left: torch.nn.Module
mask: torch.Tensor
model: torch.nn.Module
n: int
p: Any
q: Any
right: torch.nn.Module
sigma: float
tokens: torch.Tensor
train: np.ndarray
unet: torch.nn.Module
x: torch.Tensor
"""
"""What examples take for granted."""


def examples(document):
    """The ```python blocks, and the ```diff blocks as they are after the change."""
    for language, text in re.findall(r"^```(python|diff)\n(.*?)^```", document.read_text(), flags=re.DOTALL | re.MULTILINE):
        lines = text.splitlines()
        yield "\n".join(lines if language == "python" else [line[1:] for line in lines if not line.startswith("-")])


def test_examples_pass_the_strict_type_checker(tmp_path):
    files = []
    for document in DOCUMENTS:
        for number, text in enumerate(examples(document), 1):
            file = tmp_path / f"{document.stem.lower().replace('-', '_')}_{number}.py"
            file.write_text(f"{GIVEN}\n{text}\n")
            files.append(file)
    assert len(files) > 15
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *map(str, files)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_examples_of_readme_and_quickstart_run(name):
    """In one namespace, in their order; the README's model and images are those of the quickstart."""
    blocks = list(examples(ROOT / name))
    if name == "README.md":
        blocks.insert(0, next(iter(examples(ROOT / "docs" / "quickstart.md"))).partition("cert =")[0])
    there: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for text in blocks:
            exec(compile(text, name, "exec"), there)
    assert "cert" in there
