"""Malformed inputs and the sentence that each gets.

tests/data/corpus/<room>.jsonl holds one case a line: the files it needs, what is called, what it gets (an exception's class,
or a command's exit code) and what it says.  `test_corpus` runs them all.  `python -m tests.corpus.regenerate` makes the
inputs again (`makers/`), writes the sentences that they get now, and lists what is no answer of ours; read the difference
before committing it.
"""
