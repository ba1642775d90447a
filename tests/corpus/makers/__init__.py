"""Makers of malformed inputs, a module for each room."""
