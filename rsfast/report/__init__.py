"""Certified accuracy from runs and from foreign logs: tables, curves, one-file reports."""

from .find import Found, find, find_logs
from .folder import check_plottable, write_report
from .logs import read_log
from .page import Picture, write_page
from .plot import write_plot
from .table import (
    ResultTable,
    average_certified_radius,
    certified_accuracy,
    default_radii,
    in_units,
    norms_differ,
    text_table,
    write_csv,
    write_tsv,
)

__all__ = [
    "Found",
    "Picture",
    "ResultTable",
    "average_certified_radius",
    "certified_accuracy",
    "check_plottable",
    "default_radii",
    "find",
    "find_logs",
    "in_units",
    "norms_differ",
    "read_log",
    "text_table",
    "write_csv",
    "write_page",
    "write_plot",
    "write_report",
    "write_tsv",
]
