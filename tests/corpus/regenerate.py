"""python -m tests.corpus.regenerate [TEXT …]: make the inputs again, and write what they get now.

Of cases whose names contain a TEXT only, if some are given.  A sentence with ⟨…⟩ is kept as long as it fits.  What is no
answer of ours (an exception of another library, an input that is taken, a hang, files left behind) is listed, not written.
"""

from __future__ import annotations

import collections
import importlib
import pkgutil
import signal
import sys
import tempfile
from pathlib import Path

from . import makers
from .cases import DATA, Case, flaws, listing, matches, put, run, stored

SECONDS = 20


def made() -> dict[str, list[Case]]:
    """Cases by room, as the makers make them."""
    return {
        module.name: list(importlib.import_module(f"{makers.__name__}.{module.name}").cases())
        for module in pkgutil.iter_modules(makers.__path__)
        if module.name != "damage"
    }


def _stop(*_: object) -> None:
    raise BaseException(f"no answer in {SECONDS} seconds")


def answer(case: Case) -> str | None:
    """Fill in what a case gets and says; what is wrong with it, if something is."""
    texts = []
    for _ in range(2):  # in two folders, to see what differs from run to run
        with tempfile.TemporaryDirectory(prefix="corpus-") as name:
            folder = Path(name)
            put(case, folder)
            before = listing(folder)
            signal.signal(signal.SIGALRM, _stop)
            signal.alarm(SECONDS)
            try:
                gets, text = run(case, folder)
            except BaseException as error:
                return f"{type(error).__name__}: {error}"
            finally:
                signal.alarm(0)
            left = {path for path in set(listing(folder)) - set(before) if path.partition("/")[0] not in case.leaves}
            if left:
                return f"it leaves {sorted(left)} and gets {gets!r}: {text}"
            texts.append(text)
    if not (case.says and case.gets == gets and all(matches(case.says, text) for text in texts)):
        if texts[0] != texts[1]:
            return f"it differs from run to run: {texts}"
        case.gets, case.says = gets, texts[0]
    return "; ".join(flaws(case, gets, texts[0])) and f"{'; '.join(flaws(case, gets, texts[0]))}: {texts[0]}"


def main() -> None:
    wanted, before = sys.argv[1:], {case.name: case for case in stored()}
    DATA.mkdir(exist_ok=True)
    wrong, count = [], collections.Counter()
    for room, cases in made().items():
        kept = []
        for case in cases:
            old = before.get(case.name)
            if wanted and not any(text in case.name for text in wanted):
                kept += [old] if old is not None else []
                continue
            if old is not None:
                case.gets, case.says = old.gets, old.says
            problem = answer(case)
            if problem:
                wrong.append(f"{case.name}\n    {str(case.call)[:200]}\n    {problem[:700]}")
            else:
                kept.append(case)
        (DATA / f"{room}.jsonl").write_text("".join(case.line() for case in kept), "utf-8")
        count[room] = len(kept)
    print("\n".join(wrong))
    print(f"{len(wrong)} without a sentence of ours; written: {dict(count)}, {sum(count.values())} in all")


if __name__ == "__main__":
    main()
