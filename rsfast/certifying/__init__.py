"""Votes → radii, the cheap half; nothing here imports torch."""
