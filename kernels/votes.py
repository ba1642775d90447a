"""argmax and histogram of a batch of logits in one kernel, without a host synchronisation."""

import triton
import triton.language as tl


def rows_per_program(width: int) -> int:
    """Rows that a program counts, for `width` classes rounded up to a power of two: what fits into registers."""
    return max(1, (512 if width <= 64 else 2048) // width)


@triton.jit(do_not_specialize=["rows", "rows_per_image"])
def count_kernel(logits, votes, rows, classes, rows_per_image, ROWS: tl.constexpr, CLASSES: tl.constexpr):
    """logits float32 [rows, classes]; adds into votes int64 [rows / rows_per_image, classes].

    Equal logits: the lowest class index wins.  A row with a NaN votes for no class.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    k = tl.arange(0, CLASSES)
    inside = (row < rows)[:, None] & (k < classes)[None, :]
    value = tl.load(logits + row[:, None] * classes + k[None, :], mask=inside, other=float("-inf"))
    nan = value != value
    valid = (row < rows) & (tl.max(nan.to(tl.int32), axis=1) == 0)
    winner = tl.argmax(tl.where(nan, float("-inf"), value), axis=1, tie_break_left=True)
    place = row // rows_per_image * classes + winner
    tl.atomic_add(votes + place, tl.full((ROWS,), 1, tl.int64), mask=valid)
