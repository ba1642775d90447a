"""Which class of the model a folder's images are of: a file or the model's own names say so, not the alphabet."""

from __future__ import annotations

import collections
import dataclasses
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError, InvalidArgumentError
from .files import read, reason, shown

MOST_CLASSES = 10**7
MOST_BYTES = 2**28
ALPHABET = "alphabet"
"""The class map that says: the folders are all of the model's first classes, in the order of the alphabet."""

_BETWEEN = " \t,;:="
_KEYS = ("class_to_idx", "label2id", "classes", "id2label", "idx_to_class")
_SYNSET = re.compile(r"n\d{8}\b")


@dataclasses.dataclass(frozen=True)
class ClassMap:
    """Folder names to class indices.

    Attributes
    ----------
    index : dict
        By folder name.
    total : int
        One more than the largest index.
    complete : bool
        Whether these are all classes of the model, in order, so that their number has to be the model's.
    where : str
        What says so, for messages.
    """

    index: dict[str, int]
    total: int
    complete: bool
    where: str

    def of(self, folders: Sequence[str]) -> list[int]:
        """The folders' classes; folders that are not named are refused."""
        normal = {unicodedata.normalize("NFC", name): number for name, number in self.index.items()}
        found = [self.index.get(name, normal.get(unicodedata.normalize("NFC", name))) for name in folders]
        missing = [name for name, number in zip(folders, found, strict=True) if number is None]
        if missing:
            raise DataError(
                f"{self.where} does not name the folder{'s' if len(missing) > 1 else ''} {some(missing)}; it names "
                f"{some(list(self.index))}. Give a class map that names every folder (--class-map FILE, or {ALPHABET})."
            )
        return [number for number in found if number is not None]


def some(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, for a sentence."""
    text = ", ".join(shown(name if len(name) <= 60 else f"{name[:57]}…") for name in names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most:,} more"


def read_class_map(file: Path) -> ClassMap:
    """A class map from a file.

    JSON: an object of folder names and indices (torchvision's `class_to_idx`, alone or under that name), an object of indices and
    names (`{"0": ["n01440764", "tench"], …}`), or a list of names in the order of the classes.  Text, a line each: a folder name
    and its index, a name alone in the order of the classes, or a WordNet synset and any words in that order.

    Raises
    ------
    DataError
        A file that cannot be read or is none of these; a name that occurs twice.
    """
    where = shown(file)
    text = read(file, MOST_BYTES).decode("utf-8-sig", errors="surrogateescape")
    if text.lstrip()[:1] not in ("{", "["):
        return _from_lines(text, where)
    try:
        return class_map(json.loads(text, object_pairs_hook=_once), where)
    except RecursionError:
        raise DataError(f"{where} is not readable as JSON: it is nested too deeply.") from None
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} is not readable as JSON: {reason(error)}.") from None


def class_map(value: object, where: str = "the class map") -> ClassMap:
    """A class map from names and indices, or from names in the order of the classes."""
    if isinstance(value, Mapping):
        for key in _KEYS:
            if key in value and not _whole(value[key]):
                return class_map(value[key], where)
        if value and all(_whole(number) for number in value.values()):
            return _made({str(name): int(number) for name, number in value.items()}, False, where)
        if value and all(str(key).isdecimal() for key in value) and not any(_whole(name) for name in value.values()):
            return _from_indices(value, where)
        raise DataError(f"{where} holds neither folder names with whole numbers nor a list of names: give one of these.")
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return _in_order([_names_of(item, where) for item in value], where)
    raise InvalidArgumentError(f"{where} is {type(value).__name__}: give folder names and indices, or names in order.")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _unique([name for name, _ in pairs], "the class map")
    return dict(pairs)


def _unique(names: Sequence[str], where: str) -> None:
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{where} names {some(twice)} twice: leave one.")


def _names_of(item: object, where: str) -> list[str]:
    """The names of one class: one, or several of which any may be a folder's."""
    names = [item] if isinstance(item, str) else list(item) if isinstance(item, (list, tuple)) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where} holds {shown(repr(item)[:60])} where the name of a class is expected.")
    return names


def _from_indices(value: Mapping[Any, Any], where: str) -> ClassMap:
    ordered = sorted(((int(str(key)[:20]), item) for key, item in value.items()), key=lambda pair: pair[0])
    if [number for number, _ in ordered] != list(range(len(ordered))):
        raise DataError(f"{where} numbers {len(ordered):,} classes, but not from 0 to {len(ordered) - 1:,}: mend it.")
    return _in_order([_names_of(item, where) for _, item in ordered], where)


def _in_order(classes: Sequence[Sequence[str]], where: str) -> ClassMap:
    """Classes by their names; a name that several classes share stands for none of them, unless it is all that they have."""
    index: dict[str, int] = {}
    shared: set[str] = set()
    for number, names in enumerate(classes):
        for name in dict.fromkeys(names):
            if index.setdefault(name, number) != number:
                shared.add(name)
    if any(shared.issuperset(names) for names in classes):
        raise DataError(f"{where} names {some(sorted(shared))} twice: leave one.")
    return _made({name: number for name, number in index.items() if name not in shared}, True, where, len(classes))


def _from_lines(text: str, where: str) -> ClassMap:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    pairs = [_pair(line) for line in lines]
    found = [pair for pair in pairs if pair is not None]
    if found and len(found) == len(pairs):
        _unique([name for name, _ in found], where)
        return _made(dict(found), False, where)
    if found:
        line = lines[pairs.index(None)]
        raise DataError(f"{where}: the line {shown(line[:60])!r} does not end in an index as other lines do: mend it.")
    if lines and all(_SYNSET.match(line) for line in lines):
        return _in_order([[line.split()[0].rstrip(",;:")] for line in lines], where)
    return _in_order([[line] for line in lines], where)


def _pair(line: str) -> tuple[str, int] | None:
    """A folder name and its index, if the line is these."""
    name = line.rstrip("0123456789")
    number, folder = line[len(name) :], name.rstrip(_BETWEEN)
    return (folder, int(number)) if folder and name[-1] in _BETWEEN and 0 < len(number) < 10 else None


def _made(index: dict[str, int], complete: bool, where: str, total: int | None = None) -> ClassMap:
    if not index:
        raise DataError(f"{where} names no class: give folder names and indices, or names in order.")
    name, largest = max(index.items(), key=lambda pair: pair[1])
    if min(index.values()) < 0 or largest >= MOST_CLASSES:
        name = name if largest >= MOST_CLASSES else min(index, key=lambda key: index[key])
        raise DataError(f"{where}: {shown(name)} has the index {index[name]}: give whole numbers from 0 to 10^7 - 1.")
    return ClassMap(index, total or largest + 1, complete, where)
