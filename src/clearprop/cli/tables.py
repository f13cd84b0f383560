"""Which of the things that a command may be given are tables."""

from __future__ import annotations

from pathlib import Path

from clearprop.datasets.tables import TABLE_SUFFIXES, read_columns, read_features

__all__ = ["is_table", "read_columns", "read_features"]


def is_table(source: str | Path) -> bool:
    """Return whether the name is that of a table.

    >>> is_table("wine.csv.gz"), is_table("digits")
    (True, False)
    """
    return str(source).lower().endswith(TABLE_SUFFIXES)
