"""Benchmarks and the commands behind `make show-…`; each writes a JSON file into bench/results/<machine>/."""
