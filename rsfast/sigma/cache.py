"""Mean distances that were found before, kept on disk."""

from __future__ import annotations

import contextlib
import json
import math
import zlib
from pathlib import Path
from typing import Any

from ..checks import shown
from ..errors import InvalidArgumentError, StoreError
from ..files import printable


class LevelCache:
    """`sigma.jsonl` has one line for each query (or rule for m), `image`, `mean_distance`, `training`, `k`, and one for each file
    hashed.

    Lines are only ever added.  One that a kill cut short, or whose checksum does not fit, is passed over.
    """

    def __init__(self, folder: Path) -> None:
        if not isinstance(folder, (str, Path)) or not str(folder):
            raise InvalidArgumentError(f"cache={shown(folder)} is no folder's name: give one, or None.")
        self.file = Path(folder) / "sigma.jsonl"
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            content = self.file.read_bytes() if self.file.exists() else b""
        except (OSError, ValueError) as error:  # ValueError: names that no file can have
            what = getattr(error, "strerror", None) or error
            raise StoreError(f"{printable(str(self.file))[-200:]} cannot be read: {what}.") from None
        self.torn = bool(content) and not content.endswith(b"\n")
        self.means: dict[tuple[str, str, int], float] = {}
        self.fingerprints: dict[str, str] = {}
        for line in content.split(b"\n"):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                record = json.loads(line)
                if record.pop("crc") != zlib.crc32(json.dumps(record).encode()):
                    continue
                if "file" in record:
                    self.fingerprints[str(record["file"])] = str(record["training"])
                elif 0 <= (mean := float(record["mean_distance"])) < math.inf:
                    self.means[str(record["image"]), str(record["training"]), int(record["k"])] = mean

    def keep(self, keys: list[tuple[str, str, int]], means: list[float]) -> None:
        self.means.update(zip(keys, means, strict=True))
        names = ("image", "training", "k", "mean_distance")
        self.append(*(dict(zip(names, (*key, mean), strict=True)) for key, mean in zip(keys, means, strict=True)))

    def append(self, *records: dict[str, Any]) -> None:
        lines = "\n" * self.torn + "".join(_line(record) for record in records)
        try:
            with self.file.open("ab") as file:
                file.write(lines.encode())
        except OSError as error:
            raise StoreError(f"{self.file} cannot be written: {error.strerror or error}.") from None
        self.torn = False


def _line(record: dict[str, Any]) -> str:
    return json.dumps({**record, "crc": zlib.crc32(json.dumps(record).encode())}) + "\n"
