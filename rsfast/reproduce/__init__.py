"""Experiments of the papers, run again with this package."""
