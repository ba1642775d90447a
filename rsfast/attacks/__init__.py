"""Attacks on smoothed classifiers."""
