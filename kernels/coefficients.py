"""Committed constants of the draws, and the numbers that backends give to kinds of draw, fills and casts: here and nowhere else.

The constants are the definition: another fit would give other bits.  Near-minimax polynomials, lowest power first, each value
exactly a float32; tests/backends/test_coefficients.py holds them against 50-digit arithmetic.  csrc/coefficients.hpp is made
of this file by csrc/coefficients.py.
"""


def _floats(*digits: str) -> tuple[float, ...]:
    return tuple(float.fromhex(text) for text in digits)


# -2 log(1 + f) / f for f in [-1/3, 1/3]
LOG = _floats(
    "-0x1.0p+1", "0x1.ffffd2p-1", "-0x1.5554e6p-1", "0x1.00150ap-1", "-0x1.99d83p-2",
    "0x1.50224cp-2", "-0x1.1e781p-2", "0x1.3b751cp-2", "-0x1.1fdc56p-2",
)  # fmt: skip

# sin(pi/4 t) / t and cos(pi/4 t) as polynomials in t², t in [-1, 1]
SIN = _floats("0x1.921fb6p-1", "-0x1.4abbbap-4", "0x1.465e92p-9", "-0x1.2d93p-15")
COS = _floats("0x1.0p+0", "-0x1.3bd3ccp-2", "0x1.03c1dap-6", "-0x1.55c4eap-12", "0x1.d99f54p-19")

MINUS_TWO_LN2 = float.fromhex("-0x1.62e43p+0")
TWO_M31 = 2.0**-31
TWO_M32 = 2.0**-32

PHILOX_M0, PHILOX_M1 = 0xD2511F53, 0xCD9E8D57
PHILOX_W0, PHILOX_W1 = 0x9E3779B9, 0xBB67AE85

TILE = 64  # a tile is 64 consecutive pixels, drawn from 16 counters
LANES = 16
REFINE_BELOW = 256  # a 31-bit radius uniform below this takes 32 more bits
REFINE_STREAM = 0x80000000

KINDS = ("normal", "quantile", "uniform", "lattice")  # how words become variates: rsfast/backends/call.py Draw
NORMAL, QUANTILE, UNIFORM, LATTICE = range(len(KINDS))
TILES_OF_A_WARP = (8, 4, 8, 4)  # by kind, of a program of Triton's `perturb_kernel`
# One warp waits for no other; 16 pixels a thread share what is done once, and 8 where table rows are held in registers, too:
# chosen by instructions and registers, not timed on a GPU yet.

FILLS = ("taps", "nearest", "bilinear", "pooled")  # how the kept pixels of a part are shown: rsfast/backends/base.py fill_of
TAPS, NEAREST, BILINEAR, POOLED = range(len(FILLS))

CASTS = ("float32", "bfloat16", "float16")  # what the model takes
FLOAT32, BFLOAT16, FLOAT16 = range(len(CASTS))

DEGREE, ROWS, INNER_ROW, TAIL_ROW = 7, 128, 32, 64  # of a quantile table: rsfast/backends/tables.py
