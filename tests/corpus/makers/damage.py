"""Whole files, and what can happen to them."""

from __future__ import annotations

import io
import json
import zlib
from typing import Any

import numpy as np


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=True)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy_with_header(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """A .npy file whose header is whatever text."""
    text = header.encode("latin1") + b"\n"
    size = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + text + data


def put(data: bytes, at: int, content: bytes) -> bytes:
    """`content` over what stands at `at` (from the end if negative)."""
    at = at % len(data)
    return data[:at] + content + data[at + len(content) :]


def flip(data: bytes, at: int, bits: int = 0xFF) -> bytes:
    return put(data, at, bytes([data[at] ^ bits]))


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    """An idx file of bytes."""
    shape = b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, kind, array.ndim]) + shape + array.astype(np.uint8).tobytes()


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def line(record: dict[str, Any]) -> str:
    """A line of a shard with its right checksum."""
    record = {key: value for key, value in record.items() if key != "crc"}
    return canonical({**record, "crc": zlib.crc32(canonical(record).encode())}) + "\n"
