"""What instructions without memory compute, bit for bit as PTX defines it: one IEEE rounding each, integers that wrap.

An instruction whose bits ptxas may choose (a product or sum without `.rn`, which may be fused; `.ftz`, `.approx`) is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray


class UnsupportedError(Exception):
    """An instruction whose result is not known bit for bit here."""


class Arithmetic(NamedTuple):
    function: Callable[..., Array]
    takes: list[str]  # PTX types
    gives: str


def dtype_of(kind: str) -> np.dtype:
    """NumPy's type of b32, u64, s16, f32, pred."""
    if kind == "pred":
        return np.dtype(bool)
    return np.dtype({"b": "u", "u": "u", "s": "i", "f": "f"}[kind[0]] + str(int(kind[1:]) // 8))


def unsigned(dtype: np.dtype) -> np.dtype:
    return np.dtype(f"u{dtype.itemsize}")


def divide(a: Array, b: Array) -> Array:
    """Towards zero; by zero anything."""
    b = np.where(b == 0, b.dtype.type(1), b)
    quotient = a // b
    return quotient if a.dtype.kind == "u" else quotient + ((a % b != 0) & ((a < 0) != (b < 0))).astype(a.dtype)


def _extreme(
    sign: Callable[..., Array], of_numbers: Callable[..., Array], of_integers: Callable[..., Array]
) -> Callable[..., Array]:
    """min or max of two or three: the number beside a NaN, and -0 below +0."""

    def pick(a: Array, b: Array, *more: Array) -> Array:
        if a.dtype.kind != "f":
            picked = of_integers(a, b)
        else:
            bits = unsigned(a.dtype)
            picked = np.where(a == b, sign(a.view(bits), b.view(bits)).view(a.dtype), of_numbers(a, b))
        return pick(picked, *more) if more else picked

    return pick


def _shift(a: Array, n: Array, *, left: bool) -> Array:
    """Amounts beyond the width shift everything out."""
    width = 8 * a.dtype.itemsize
    far = n >= width
    n = np.where(far, n.dtype.type(width - 1), n).astype(a.dtype)
    shifted = a << n if left else a >> n
    rest = shifted >> a.dtype.type(width - 1) if a.dtype.kind == "i" and not left else a.dtype.type(0)
    return np.where(far, rest, shifted)


def _left(a: Array, n: Array) -> Array:
    return _shift(a, n, left=True)


def _right(a: Array, n: Array) -> Array:
    return _shift(a, n, left=False)


def _extract(a: Array, position: Array, length: Array) -> Array:
    """A field of bits; that of a signed register keeps its sign."""
    width = 8 * a.dtype.itemsize
    position, length = position & 0xFF, length & 0xFF
    if np.any(position + length > width):
        raise UnsupportedError("bfe of a field that ends beyond the register")
    rest = np.asarray(width - length, dtype=np.uint32)
    return _right(_left(_right(a.view(unsigned(a.dtype)), position), rest).view(a.dtype), rest)


def _permute(a: Array, b: Array, selector: Array) -> Array:
    both = a.astype(np.uint64) | b.astype(np.uint64) << np.uint64(32)
    out = np.zeros(np.broadcast_shapes(a.shape, b.shape, selector.shape), dtype=np.uint32)
    for i in range(4):
        s = selector >> np.uint32(4 * i)
        byte = (both >> ((s & np.uint32(7)).astype(np.uint64) * np.uint64(8))).astype(np.uint8)
        byte = np.where(s & np.uint32(8), (byte.view(np.int8) >> 7).view(np.uint8), byte)  # its sign, eight times
        out |= byte.astype(np.uint32) << np.uint32(8 * i)
    return out


def _converting(to: str, source: str, rounding: list[str]) -> Callable[[Array], Array]:
    kind, origin = dtype_of(to), dtype_of(source)
    narrows = kind.kind == "f" and (origin.kind != "f" or origin.itemsize > kind.itemsize)
    if origin.kind == "f" and kind.kind != "f":
        if rounding != ["rzi"] or kind.itemsize > 4:
            raise UnsupportedError(f"cvt.{'.'.join(rounding)}.{to}.{source}")
        limits = np.iinfo(kind)  # saturating; a NaN gives 0
        return lambda a: np.where(np.isnan(a), 0, np.clip(np.trunc(a.astype(np.float64)), limits.min, limits.max)).astype(kind)
    if (narrows and rounding != ["rn"]) or (not narrows and rounding):
        raise UnsupportedError(f"cvt.{'.'.join(rounding)}.{to}.{source}")
    return lambda a: a.astype(kind)


def _two_halves(high: Array, low: Array) -> Array:
    high, low = (half.astype(np.float16).view(np.uint16).astype(np.uint32) for half in (high, low))
    return high << np.uint32(16) | low


COMPARISONS: dict[str, Callable[..., Array]] = {
    "eq": np.equal, "ne": lambda a, b: (a != b) & (a == a) & (b == b), "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "nan": lambda a, b: (a != a) | (b != b), "num": lambda a, b: (a == a) & (b == b),
    "neu": np.not_equal, "equ": lambda a, b: (a == b) | (a != a) | (b != b), "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b), "gtu": lambda a, b: ~(a <= b), "geu": lambda a, b: ~(a < b),
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip
LOGIC: dict[str, Callable[..., Array]] = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}
FOLDS: dict[str, Callable[..., Array]] = {  # what atomics and reductions of a warp do
    **LOGIC, "add": np.add, "min": _extreme(np.bitwise_or, np.fmin, np.minimum), "max": _extreme(np.bitwise_and, np.fmax, np.maximum),
}  # fmt: skip
FLOATS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "sqrt": np.sqrt}
SIMPLE: dict[str, tuple[Callable[..., Array], tuple[str, ...]]] = {  # the types it takes; "" is that of the instruction
    "mov": (lambda a: a, ("",)),
    "cvta": (lambda a: a, ("",)),
    "not": (np.invert, ("",)),
    "neg": (np.negative, ("",)),
    "abs": (np.abs, ("",)),
    "div": (divide, ("", "")),
    "rem": (lambda a, b: a - divide(a, b) * b, ("", "")),
    "shl": (_left, ("", "u32")),
    "shr": (_right, ("", "u32")),
    "bfe": (_extract, ("", "u32", "u32")),
    "selp": (lambda a, b, p: np.where(p, a, b), ("", "", "pred")),
    "sub": (np.subtract, ("", "")),
}


def arithmetic(parts: tuple[str, ...], count: int) -> Arithmetic | None:
    """What an instruction with `count` sources computes; None if it is about memory or other threads."""
    base, middle, kind = parts[0], list(parts[1:-1]), parts[-1]
    if set(middle) & {"ftz", "approx", "sat", "full", "cc"}:
        raise UnsupportedError(".".join(parts))
    if base in FLOATS and kind[0] == "f":
        return _rounded(base, middle, kind, parts)
    if base in ("mul", "mad"):
        return _product(base, middle, kind, parts)
    if base in FOLDS and not middle:
        return Arithmetic(FOLDS[base], [kind] * count, kind)
    if base == "setp":
        compare = COMPARISONS[middle[0]]
        if len(middle) == 1:
            return Arithmetic(compare, [kind, kind], "pred")
        join = LOGIC[middle[1]]
        return Arithmetic(lambda a, b, c: join(compare(a, b), c), [kind, kind, "pred"], "pred")
    if base == "prmt" and not middle:
        return Arithmetic(_permute, ["b32"] * 3, "b32")
    if base == "cvt" and middle == ["rn", "f16x2"] and kind == "f32":
        return Arithmetic(_two_halves, ["f32", "f32"], "b32")
    if base == "cvt":
        return Arithmetic(_converting(middle[-1], kind, middle[:-1]), [kind], middle[-1])
    if base in SIMPLE and (base == "cvta" or not middle):
        function, takes = SIMPLE[base]
        return Arithmetic(function, [take or kind for take in takes], kind)
    return None


def _rounded(base: str, middle: list[str], kind: str, parts: tuple[str, ...]) -> Arithmetic:
    if middle != ["rn"]:
        raise UnsupportedError(f"{'.'.join(parts)}, which may be fused or is not rounded to nearest")
    function, count = FLOATS[base], 1 if base == "sqrt" else 2
    if kind != "f32x2":
        return Arithmetic(function, [kind] * count, kind)

    def of_pairs(a: Array, b: Array) -> Array:  # two float32 in a 64-bit register
        pairs = np.broadcast_arrays(a, b)
        out = function(*(np.ascontiguousarray(pair).view(np.float32) for pair in pairs))
        return np.asarray(out, dtype=np.float32).view(np.uint64)

    return Arithmetic(of_pairs, ["b64"] * count, "b64")


def _product(base: str, middle: list[str], kind: str, parts: tuple[str, ...]) -> Arithmetic:
    """mul and mad of integers: the low half, the high one, or both."""
    half = middle[0] if middle else ""
    if half not in ("lo", "hi", "wide") or kind[0] == "f" or (half != "lo" and kind[1:] == "64"):
        raise UnsupportedError(".".join(parts))
    twice: Any = kind[0] + str(2 * int(kind[1:]))

    def product(a: Array, b: Array, *added: Array) -> Array:
        out = a * b if half == "lo" else a.astype(dtype_of(twice)) * b.astype(dtype_of(twice))
        if half == "hi":
            out = (out >> out.dtype.type(8 * a.dtype.itemsize)).astype(a.dtype)
        return out + added[0] if added else out

    shape = twice if half == "wide" else kind
    return Arithmetic(product, [kind, kind] + [shape] * (base == "mad"), shape)
