"""Every exception and warning that rsfast raises on purpose.

A message is one sentence or two: what was given · what is allowed · what to do.
"""

import re

LONGEST = 600
"""Characters that `reason` keeps of another library's message."""
COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\^_]")
STACK = re.compile(
    r"^\s*(?:Exception raised from .*|frame #\d+: .*|C\+\+ CapturedTraceback:.*|Traceback \(most recent call last\):)$"
)


def reason(error: BaseException, longest: int = LONGEST) -> str:
    """Return what another library's exception says, as one line for the end of a message of ours, without a full stop.

    Colours, control characters and stacks of C++ frames are left out and white space is folded.  The whole text is kept up to
    `longest` characters.  Of a longer one the middle is left out, sentence by sentence where there are some: it begins with
    what happened, and what to do stands at the end.  An exception without a text gives its name.
    """
    try:
        text = str(error)
    except Exception:  # a library's __str__ may fail, too
        text = ""
    if "int_max_str_digits" in text:  # advice for programmers
        text = "a number has thousands of digits"
    text = COLOURS.sub("", text.replace("\r", "\n"))
    lines = [line for line in text.split("\n") if not STACK.match(line)]
    text = " ".join(" ".join(lines).split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return _shortened(text.rstrip(". "), longest) or type(error).__name__


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    head, tail = text[: longest // 2], text[len(text) - longest // 2 + 3 :]
    ends = [found.end() for found in re.finditer(r"[.;:!?](?= )", head)]
    if ends and ends[-1] > len(head) // 2:
        head = head[: ends[-1]]
    begins = [found.end() for found in re.finditer(r"[.;:!?] ", tail)]
    if begins and begins[0] < len(tail) // 2:
        tail = tail[begins[0] :]
    return f"{head.rstrip()} … {tail.lstrip()}"


class RsfastError(Exception):
    """This is the base class; `except RsfastError` catches everything that rsfast refuses.

    Raised in the middle of a call over several images, `finished` is how many images were completed before and `counts`
    holds their votes (None if there are none).
    """

    finished: int = 0
    counts: object = None


class InvalidArgumentError(RsfastError, ValueError):
    """An argument is outside what the function is defined for."""


class CallError(InvalidArgumentError, TypeError):
    """A call gives an argument that the function does not have, or leaves one out."""


class BackendUnavailableError(RsfastError, RuntimeError):
    """A backend that was named cannot do what was asked, or no backend can."""


class NumericalError(RsfastError, ArithmeticError):
    """A computation could not be finished to its documented accuracy."""


class ModelError(RsfastError, RuntimeError):
    """The model could not be loaded, raised, or returned something that is not a batch of logits."""


class DataError(RsfastError, ValueError):
    """A data source or one of its images cannot be read."""


class StoreError(RsfastError, RuntimeError):
    """A run directory cannot be written, is damaged, or belongs to another model or setting."""


class SoundnessWarning(UserWarning):
    """A result rests on something that rsfast cannot check; the result and its report say what."""
