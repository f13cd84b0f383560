"""Tables for a trained model: the columns that it needs, in its order, whatever else the file has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.datasets.files import require_file
from clearprop.datasets.tables import TABLE_SUFFIXES, _feature, _read_parquet, _read_text, _scan
from clearprop.errors import DataError, did_you_mean, one_of

__all__ = ["is_table", "read_columns", "read_features"]


def is_table(source: str | Path) -> bool:
    """Return whether the name is that of a table.

    >>> is_table("wine.csv.gz"), is_table("digits")
    (True, False)
    """
    return str(source).lower().endswith(TABLE_SUFFIXES)


def read_columns(path: Path) -> list[str]:
    """Return the names of the columns of a table."""
    return [str(name) for name in _read(path).columns]


def read_features(path: Path, names: Sequence[str], drop: Sequence[str] = ()) -> Array:
    """Return these columns of a table as numbers, (rows, columns) float64; all columns if no names are given.

    drop: columns to leave out where there are no names.
    Errors: `DataError` for a column that is missing or holds something that is no finite number.
    """
    frame = _read(path)
    columns = [str(name) for name in frame.columns]
    frame.columns = columns
    wanted = list(names) or [name for name in columns if name not in drop]
    for name in wanted:
        if name not in columns:
            raise DataError(
                f"{path} has no column {name!r}, which the model needs.{did_you_mean(name, columns)} "
                f"It has: {one_of(columns[:20])}."
            )
    if len(frame) == 0:
        raise DataError(f"{path} has a header but no rows")
    return np.stack([_feature(_scan(frame[name]), name, path) for name in wanted], axis=1)


def _read(path: Path) -> Any:
    require_file(path)
    return _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_text(path)
