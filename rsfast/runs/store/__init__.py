"""Runs on disk: append-only counts that survive any interruption.  docs/formats.md describes the files.

A run directory holds `run.json` (written once, atomically: what is being run) and, of each shard, `counts-III-of-NNN.jsonl` (one
line per finished image, one writer) and `asked-III-of-NNN.jsonl` (which images its calls were asked for, and which of them
could not be read).  A line that was cut short by a kill is dropped when the shard is opened next; any other damage is refused,
because a damaged count is not a count.  Nothing here imports torch.
"""

from .asked import Part, chosen
from .lines import records
from .manifest import FORMAT, Manifest, is_run, read_manifest
from .opening import begin, join
from .shard import Shard
from .state import Left, Standing, Wanted, standing, wanted

__all__ = [
    "FORMAT", "Left", "Manifest", "Part", "Shard", "Standing", "Wanted", "begin", "chosen", "is_run",
    "join", "read_manifest", "records", "standing", "wanted",
]  # fmt: skip
