"""argmax and histogram of a batch of logits in one kernel, without a host synchronisation."""

import triton
import triton.language as tl


def rows_per_program(width: int) -> int:
    """Rows that a program counts, for `width` classes rounded up to a power of two: what fits into registers."""
    return max(1, (512 if width <= 64 else 2048) // width)


@triton.jit(do_not_specialize=["classes", "copies", "table_rows", "copies_per_row"])
def count_kernel(
    logits, votes, rows, copies, classes, table_rows, copies_per_row,
    ROWS: tl.constexpr, CLASSES: tl.constexpr, HAS_ROWS: tl.constexpr,
):  # fmt: skip
    """logits float32 or float64 [copies, classes]; adds into votes int64 [table_rows, classes], copy i into row rows[i].

    Without rows copy i votes into row i / copies_per_row.  A row outside the table is ignored: nothing waits for the device
    to hear about it.  Equal logits: the lowest class index wins.  A copy with a NaN votes for no class.
    """
    copy = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    k = tl.arange(0, CLASSES)
    inside = (copy < copies)[:, None] & (k < classes)[None, :]
    value = tl.load(logits + copy[:, None] * classes + k[None, :], mask=inside, other=float("-inf"))
    nan = value != value
    if HAS_ROWS:
        row = tl.load(rows + copy, mask=copy < copies, other=-1)
    else:
        row = tl.where(copy < copies, copy // copies_per_row, -1)
    valid = (row >= 0) & (row < table_rows) & (tl.max(nan.to(tl.int32), axis=1) == 0)
    winner = tl.argmax(tl.where(nan, float("-inf"), value), axis=1, tie_break_left=True)
    tl.atomic_add(votes + row * classes + winner, tl.full((ROWS,), 1, tl.int64), mask=valid)
