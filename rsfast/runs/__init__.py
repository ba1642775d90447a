"""Runs on disk: votes of a data set that survive any interruption, and what is read from them."""
