"""Image folders, pictures and class maps that cannot be read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from ..cases import FOLDER, PIPE, Case
from .damage import flip, npy, put


def picture(form: str, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    pixels = (np.arange(size[0] * size[1] * len(mode)) % 256).astype(np.uint8)
    Image.frombytes(mode, size, pixels.tobytes()).save(buffer, form)
    return buffer.getvalue()


PNG, JPEG, BMP = picture("PNG"), picture("JPEG"), picture("BMP")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n{} loop\nshowpage\n%%EOF\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>'
PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"

PICTURES: dict[str, Any] = {
    "empty": b"",
    "text": b"hello\n",
    "a web page": b"<!DOCTYPE html><html></html>\n",
    "a PNG's first bytes": PNG[:8],
    "a PNG without its end": PNG[: len(PNG) // 2],
    "a PNG with a flipped bit": flip(PNG, len(PNG) // 2),
    "a PNG with a wrong checksum": flip(PNG, 29),
    "a PNG of no width": put(PNG, 16, bytes(4)),
    "a PNG of 4,000,000,000 pixels": put(PNG, 16, b"\x00\x00\xff\xff\x00\x00\xff\xff"),
    "a PNG of 2^62 pixels": put(PNG, 16, b"\x7f\xff\xff\xff\x7f\xff\xff\xff"),
    "a PNG of another colour type": put(PNG, 25, b"\x09"),
    "a JPEG's first bytes": JPEG[:20],
    "a JPEG without its end": JPEG[:-40],
    "a JPEG without its tables": JPEG[:2] + JPEG[-60:],
    "a bitmap without its pixels": BMP[:54],
    "a bitmap of another depth": put(BMP, 28, b"\x63"),
    "an EPS that would loop": EPS,
    "a PDF": PDF,
    "an SVG": SVG,
    "a NumPy array": npy(np.zeros((8, 8, 3), np.uint8)),
    "a pipe": PIPE,
    "a link that leads nowhere": {"link": "gone.png"},
    "a link to itself": {"link": "a.png"},
    "all zeros": bytes(200),
    "a shell script": b"#!/bin/sh\ntouch ran\n",
}
MAPS: dict[str, str | bytes] = {
    "empty": "",
    "a word": "hello\n",
    "not UTF-8": b"\xff\xfe\xff",
    "a JSON list of numbers": "[1, 2]",
    "JSON without its end": '{"cat": 0, "dog"',
    "a class that is a word": '{"cat": "first", "dog": 1}',
    "a class below zero": '{"cat": -1, "dog": 1}',
    "a class that is a fraction": '{"cat": 0.5, "dog": 1}',
    "a key twice": '{"cat": 0, "cat": 1}',
    "a folder that it lacks": '{"cat": 0}',
    "a class beyond 10^7": '{"cat": 0, "dog": 100000000}',
    "100,000 brackets": "[" * 100_000,
    "NaN": '{"cat": NaN, "dog": 1}',
}


def cases() -> Iterator[Case]:
    look = "every_image(sources.load('d', resize=8, crop=8))"
    for what, content in PICTURES.items():
        yield Case(f"picture: {what}", {"d/a/a.png": content, "d/b/b.png": PNG}, look)
    for form in ("png", "jpg", "bmp", "webp", "tif", "ppm"):
        yield Case(f"picture: a text that ends in .{form}", {f"d/a/a.{form}": "hello", "d/b/b.png": PNG}, look)
    two = {"d/cat/a.png": PNG, "d/dog/b.png": PNG}
    sizes = {"d/a/a.png": PNG, "d/b/b.png": picture("PNG", (9, 8))}
    folders: dict[str, tuple[dict[str, Any], str]] = {
        "that is not there": ({}, "sources.load('folder:d')"),
        "that is empty": ({"d": FOLDER}, "sources.load('d')"),
        "of empty folders": ({"d/a": FOLDER, "d/b": FOLDER}, "sources.load('d')"),
        "of other files": ({"d/a/a.txt": "hello"}, "sources.load('d')"),
        "of hidden files": ({"d/.a/a.png": PNG}, "sources.load('d')"),
        "that is a file": ({"d": "hello"}, "sources.load('folder:d')"),
        "that is a pipe": ({"d": PIPE}, "sources.load('folder:d')"),
        "that is a link to itself": ({"d": {"link": "d"}}, "sources.load('folder:d')"),
        "of pictures of several sizes": (sizes, "every_image(sources.load('d'))"),
        "resized to nothing": (two, "sources.load('d', resize=0)"),
        "cropped to less than nothing": (two, "every_image(sources.load('d', crop=-3))"),
        "cropped to a fraction": (two, "every_image(sources.load('d', crop=2.5))"),
        "resized to words": (two, "sources.load('d', resize='small')"),
        "cropped to a thousand million": (two, "every_image(sources.load('d', resize=10**9, crop=10**9))"),
        "in a split": (two, "sources.load('d', split='train')"),
        "with more classes than a model has": (two, "sources.load('d', num_classes=1)"),
        "with fewer classes than a model has": (two, "sources.load('d', num_classes=5)"),
        "of system files": ({}, "sources.load('folder:/proc/self')"),
    }  # fmt: skip
    for what, (files, call) in folders.items():
        yield Case(f"folder: one {what}", files, call)
    for what, content in MAPS.items():
        call = "sources.load('d', class_map='map.json', num_classes=5)"
        yield Case(f"class map: {what}", {**two, "map.json": content}, call)
    maps = {
        "that is not there": "'none.json'", "that is a folder": "'d'", "that is a number": "7", "of a set": "{'cat', 'dog'}",
        "that shifts": "{'cat': 0, 'dog': 7}", "that is an empty list": "[]",
        "with a class of nothing": "{'cat': 0, 'dog': None}", "with a name twice": "['cat', 'dog', 'cat', 'a', 'b']",
    }  # fmt: skip
    for what, value in maps.items():
        yield Case(f"class map: one {what}", two, f"sources.load('d', class_map={value}, num_classes=5)")
    packs: dict[str, tuple[dict[str, Any], list[str]]] = {
        "of nothing": ({}, ["pack"]),
        "of a missing folder": ({}, ["pack", "d", "a.npy"]),
        "to another ending": (two, ["pack", "d", "a.npz"]),
        "to the empty name": (two, ["pack", "d", ""]),
        "into a missing folder": (two, ["pack", "d", "e/a.npy"]),
        "of damaged pictures": ({"d/a/a.png": PNG[:50]}, ["pack", "d", "a.npy"]),
        "of several sizes": (sizes, ["pack", "d", "a.npy"]),
    }  # fmt: skip
    for what, (files, command) in packs.items():
        yield Case(f"pack: one {what}", files, command)
