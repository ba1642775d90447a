"""The one script for GPU machines runs from end to end (tiny, in the interpreter)."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_rehearsal_writes_every_file(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "bench.gpu.check", str(tmp_path), "--rehearse"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
    files = {file.stem: json.loads(file.read_text().replace("NaN", "null"))["result"] for file in tmp_path.glob("*.json")}
    assert set(files) == {"tests", "noise-path", "noises", "dual", "votes", "copy-bandwidth", "end-to-end"}
    assert all(row["bits_equal_the_cpu"] for row in files["noise-path"])
    assert all(row["bits_equal_the_cpu"] for row in files["noises"])
    assert all(row["votes_equal_torch"] for row in files["votes"])
