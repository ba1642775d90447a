"""The arithmetic of the GPU in software against whole numbers and fractions of any size."""

import fractions
import math
import random

import numpy as np
import pytest

from .arithmetic import UnsupportedError, arithmetic, dtype_of

COUNT = 1500
BIG = fractions.Fraction(2) ** 128


def run(opcode, *sources):
    known = arithmetic(tuple(opcode.split(".")), len(sources))
    arrays = [np.asarray(source).astype(dtype_of(kind)) for source, kind in zip(sources, known.takes, strict=True)]
    with np.errstate(all="ignore"):
        return np.asarray(known.function(*arrays)).astype(dtype_of(known.gives))


def words(bits, seed):
    generator = random.Random(seed)
    edges = [0, 1, 2, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1, 2**24 + 1, 2**25 + 3]
    drawn = [edge % 2**bits for edge in edges] + [generator.getrandbits(generator.randint(1, bits)) for _ in range(COUNT)]
    generator.shuffle(drawn)
    return drawn


def signed(value, bits):
    value %= 2**bits
    return value - 2**bits if value >= 2 ** (bits - 1) else value


def as_type(values, kind):
    return np.array(values, dtype=f"u{int(kind[1:]) // 8}").view(dtype_of(kind))


def nearest(x, precision=24, least=-149):
    """The float next to a fraction, to even, as a fraction."""
    if x == 0:
        return x
    size = abs(x)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if fractions.Fraction(2) ** exponent > size:
        exponent -= 1
    ulp = fractions.Fraction(2) ** max(exponent - precision + 1, least)
    return (-1 if x < 0 else 1) * round(size / ulp) * ulp  # round() of a fraction is to even


A, B = words(32, 1), words(32, 2)
A64 = words(64, 3)


def truncated(a, b):
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


@pytest.mark.parametrize(
    ("opcode", "exact"),
    [
        ("mul.wide.u32", lambda a, b: a * b),
        ("mul.hi.u32", lambda a, b: a * b >> 32),
        ("mul.lo.s32", lambda a, b: signed(a * b, 32)),
        ("mul.wide.s32", lambda a, b: signed(a, 32) * signed(b, 32)),
        ("add.s32", lambda a, b: signed(a + b, 32)),
        ("sub.s32", lambda a, b: signed(a - b, 32)),
        ("div.s32", lambda a, b: signed(truncated(signed(a, 32), signed(b, 32)), 32)),
        ("rem.s32", lambda a, b: signed(a, 32) - truncated(signed(a, 32), signed(b, 32)) * signed(b, 32)),
        ("div.u32", lambda a, b: a // b),
        ("xor.b32", lambda a, b: a ^ b),
        ("min.s32", lambda a, b: min(signed(a, 32), signed(b, 32))),
    ],
)
def test_integers_wrap_and_divide_towards_zero(opcode, exact):
    kind = opcode.split(".")[-1]
    pairs = [(a, b) for a, b in zip(A, B, strict=True) if b]
    got = run(opcode, *(as_type(column, kind) for column in zip(*pairs, strict=True)))
    assert [int(value) for value in got] == [exact(a, b) for a, b in pairs]


@pytest.mark.parametrize("opcode", ["shl.b16", "shl.b32", "shl.b64", "shr.u16", "shr.u32", "shr.s32", "shr.u64", "shr.s64"])
def test_shifts_beyond_the_width_shift_everything_out(opcode):
    kind, bits = opcode.split(".")[1], int(opcode[-2:])
    values, amounts = [a % 2**bits for a in A64], [random.Random(i).randint(0, 70) for i in range(len(A64))]
    got = run(opcode, as_type(values, kind), amounts)

    def exact(value, amount):
        if opcode.startswith("shl"):
            return (value << amount) % 2**bits
        return signed(value, bits) >> amount if kind[0] == "s" else value >> amount

    assert [int(value) for value in got] == [exact(*pair) for pair in zip(values, amounts, strict=True)]


@pytest.mark.parametrize("kind", ["u32", "s32"])
def test_fields_of_bits_are_extracted(kind):
    places = [random.Random(i).randint(0, 31) for i in range(len(A))]
    lengths = [random.Random(i + 1).randint(0, 32 - place) for i, place in enumerate(places)]
    got = run(f"bfe.{kind}", as_type(A, kind), places, lengths)
    for value, a, place, length in zip(got, A, places, lengths, strict=True):
        field = (a >> place) % 2**length
        assert int(value) == (field if kind == "u32" or not length else signed(field, length))


@pytest.mark.parametrize("kind", ["u64", "s64", "u32", "s32"])
def test_integers_are_rounded_to_the_nearest_float(kind):
    values = as_type(A64 if kind.endswith("64") else A, kind)
    got = run(f"cvt.rn.f32.{kind}", values)
    for value, result in zip(values, got, strict=True):
        assert fractions.Fraction(float(result)) == nearest(fractions.Fraction(int(value)))


def floats(seed):
    rng = np.random.default_rng(seed)
    some = np.concatenate(
        [np.array(words(32, seed), dtype=np.uint32).view(np.float32), rng.normal(size=COUNT).astype(np.float32)]
    )
    return np.where(np.isfinite(some), some, np.float32(1.5))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "exact"), [("add", lambda a, b: a + b), ("sub", lambda a, b: a - b), ("mul", lambda a, b: a * b)]
)
def test_floats_are_rounded_once(name, exact, packed):
    a, b = floats(4), floats(5)
    if packed:  # two in a 64-bit register
        got = run(f"{name}.rn.f32x2", a[: len(a) // 2 * 2].view(np.uint64), b[: len(b) // 2 * 2].view(np.uint64)).view(np.float32)
    else:
        got = run(f"{name}.rn.f32", a, b)
    for left, right, result in zip(a, b, got, strict=False):
        expected = nearest(exact(fractions.Fraction(float(left)), fractions.Fraction(float(right))))
        assert math.isinf(result) if abs(expected) >= BIG else fractions.Fraction(float(result)) == expected


def test_square_roots_are_nearest():
    values = np.abs(floats(6))
    for value, root in zip(values, run("sqrt.rn.f32", values), strict=True):
        below, above = (fractions.Fraction(float(np.nextafter(root, np.float32(to)))) for to in (-1, np.inf))
        exact, root = fractions.Fraction(float(value)), fractions.Fraction(float(root))
        assert max(0, (root + below) / 2) ** 2 <= exact <= ((root + above) / 2) ** 2


def test_floats_are_rounded_to_halves():
    values = floats(7)
    for value, half in zip(values, run("cvt.rn.f16.f32", values), strict=True):
        expected = nearest(fractions.Fraction(float(value)), 11, -24)
        assert math.isinf(half) if abs(expected) >= 65536 else fractions.Fraction(float(half)) == expected


def test_floats_become_integers_towards_zero_and_saturate():
    values = np.array([np.nan, np.inf, -np.inf, 2147483648.0, -0.9, 0.9, -7.5], dtype=np.float32)
    assert run("cvt.rzi.s32.f32", values).tolist() == [0, 2**31 - 1, -(2**31), 2**31 - 1, 0, 0, -7]


def test_least_and_largest_leave_nan_out_and_order_zeros():
    a, b = np.array([0.0, -0.0, np.nan, 1.0], np.float32), np.array([-0.0, 0.0, 2.0, np.nan], np.float32)
    for opcode, zero in (("min.f32", 0x80000000), ("max.f32", 0)):
        got = run(opcode, a, b)
        assert got.view(np.uint32)[:2].tolist() == [zero, zero]
        assert got[2:].tolist() == [2.0, 1.0]
    assert run("max.f32", a, b, np.full(4, 3.0)).tolist() == [3.0] * 4


def test_a_comparison_with_nan_is_as_its_name_says():
    a, b = np.array([np.nan, 1.0, 1.0]), np.array([1.0, 1.0, 2.0])
    expected = {"lt": [0, 0, 1], "ltu": [1, 0, 1], "ne": [0, 0, 1], "neu": [1, 0, 1], "nan": [1, 0, 0], "num": [0, 1, 1]}
    for name, truth in expected.items():
        assert run(f"setp.{name}.f64", a, b).astype(int).tolist() == truth


@pytest.mark.parametrize(
    "opcode", ["mul.f32", "add.f32", "mul.rn.ftz.f32", "sqrt.approx.f32", "fma.rn.f32", "cvt.rz.f32.s32", "add.rz.f32"]
)
def test_what_may_have_other_bits_is_refused(opcode):
    try:
        assert arithmetic(tuple(opcode.split(".")), 2) is None
    except UnsupportedError:
        return
