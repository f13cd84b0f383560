"""Tables with a header row (CSV, TSV, Parquet) as numbers, or one sentence that says which cell is not."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clearprop.cells import MISSING_WORDS, TRUTH, Texts, is_truth, number_of, typed, with_points
from clearprop.checks import as_choice, as_path
from clearprop.datasets.dataset import Dataset
from clearprop.datasets.delimited import DECIMAL, read_header, read_text, require_pandas
from clearprop.datasets.files import first_bytes, open_binary, require_file
from clearprop.errors import (
    DataError,
    FileFormatError,
    MissingDependencyError,
    OptionError,
    UnknownNameError,
    did_you_mean,
    one_of,
)

__all__ = ["TABLE_SUFFIXES", "read_columns", "read_frame", "read_table", "read_target", "typed_columns"]

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")
_PARQUET = (".parquet", ".pq")


def read_table(
    path: str | Path, target: str | None = None, *, task: str | None = None, drop: Sequence[str] = ()
) -> Dataset:
    """Return a table as a `Dataset`: one column is the target y, the others are the features X.

    X (n, d) is float64. For classification y (n,) holds int64 indices into `class_names` (sorted);
    for regression, float64. A class is called what its cells hold: 7 and 007 are two. True and False
    count as 1 and 0. The separator of a .tsv file is a tab; of other text files a comma, a semicolon
    or a tab, whichever divides most of the first lines evenly; beside semicolons numbers may have
    decimal commas. Data rows count from 1, after the header.

    Parameters
    ----------
    path: a .csv, .tsv (both also .gz) or .parquet file.
    target: the name of the target column.
    task: "classification" or "regression"; by default regression if the target is numeric.
    drop: columns to leave out.

    Errors: `MissingFileError`; `FileFormatError` (empty, not what its name says, no header, rows of
    unequal length); `UnknownNameError` for a column; `DataError` for a cell that is missing,
    infinite or not a number, naming it; `MissingDependencyError` without pandas.
    """
    path = as_path(path).expanduser()
    frame = read_frame(path, target, task, drop, codes=False)
    assert target is not None
    features = [name for name in frame.columns if name != target and name not in drop]
    X = np.empty((len(frame), len(features)))
    for j, name in enumerate(features):
        X[:, j] = _feature(_scan(frame, name), name, path)
    y, class_names = read_target(frame, target, path, task)
    kind = "real target" if class_names is None else f"{len(class_names)} classes"
    return Dataset(
        name=path.name.split(".")[0],
        X_train=X,
        y_train=y,
        X_test=None,
        y_test=None,
        feature_names=tuple(features),
        class_names=class_names,
        image_shape=None,
        description=f"{len(X)} rows of {path.name}, {len(features)} features, {target} as {kind}",
    )


def read_columns(path: str | Path) -> list[str]:
    """Return the names of the columns of a table."""
    path = as_path(path).expanduser()
    require_file(path)
    if path.suffix.lower() in _PARQUET:
        return [str(name) for name in _read_parquet(path).columns]
    _check_ending(path)
    return read_header(path)


_NO_TARGET = object()


def read_frame(
    path: Path,
    target: Any = _NO_TARGET,
    task: str | None = None,
    drop: Sequence[str] = (),
    *,
    as_text: Collection[str] = (),
    codes: bool = True,
) -> Any:
    """Return the pandas frame of a table whose columns have text for names, with at least one row.

    target, task, drop: checked as `read_table` says, where a target is given at all.
    as_text, codes: as of `delimited.read_text`, for text files; a target is always text.
    """
    if task is not None:
        as_choice("task", task, ("classification", "regression"))
    frame = _read(path, {*as_text, str(target)} if target is not _NO_TARGET else as_text, codes)
    frame.columns = columns = [str(name) for name in frame.columns]
    if target is not _NO_TARGET:
        _check_columns(columns, target, drop, path)
    if len(frame) == 0:
        raise DataError(f"{path} has a header but no rows")
    return frame


def _check_columns(columns: list[str], target: str | None, drop: Sequence[str], path: Path) -> None:
    if target is None:
        raise OptionError(f"{path} is a table; say which column is the target: one of {_listed(columns)}")
    for name in (target, *drop):
        if name not in columns:
            hint = did_you_mean(name, columns)
            raise UnknownNameError(f"{path} has no column {name!r}.{hint} Columns: {_listed(columns)}.")
    if target in drop or not set(columns) - {target, *drop}:
        raise OptionError(f"{path}: no {'target' if target in drop else 'feature'} column is left")


def read_target(
    frame: Any, target: str, path: Path, task: str | None
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return the target as class indices and their names, or as numbers and None; see `read_table`."""
    return _target(_scan(frame, target), target, path, task)


def typed_columns(frame: Any, names: Sequence[str], as_text: Collection[str] = ()) -> Any:
    """Return columns of a frame for `clearprop.tabular.read`; those of a text file as `cells.typed` has it.

    as_text: those to leave as they stand in the file, whatever they hold.
    """
    decimal = frame.attrs.get(DECIMAL)
    if decimal is None:
        return frame[list(names)]
    columns = {name: _cells(frame[name]) for name in names}
    return {
        name: cells if name in as_text or not _is_text(cells) else typed(cells, decimal)
        for name, cells in columns.items()
    }


def _read(path: Path, as_text: Collection[str], codes: bool) -> Any:
    require_file(path)
    if path.suffix.lower() in _PARQUET:
        return _read_parquet(path)
    _check_ending(path)
    return read_text(path, as_text, codes)


def _cells(column: Any) -> NDArray[Any]:
    """Return a column as an array, texts as objects."""
    plain = column.dtype.kind in "biuf"
    cells: NDArray[Any] = column.to_numpy() if plain else column.to_numpy(object)
    return cells


def _is_text(cells: Any) -> bool:
    return bool(require_pandas().api.types.infer_dtype(cells, skipna=True) in ("string", "empty"))


class _Column(NamedTuple):
    values: list[Any]  # as in the file
    numbers: NDArray[np.float64]  # NaN where a cell is missing or no number
    missing: int | None  # the first row without a value
    text: int | None  # the first row with something that is not a number
    boolean: bool


def _scan(frame: Any, name: str) -> _Column:
    column, decimal = frame[name], frame.attrs.get(DECIMAL)
    if decimal is not None and _is_text(cells := _cells(column)):
        return _scan_text(cells, decimal)
    import pandas as pd

    kind = pd.api.types
    boolean = bool(kind.is_bool_dtype(column.dtype))
    if kind.is_numeric_dtype(column.dtype) and not kind.is_complex_dtype(column.dtype):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return _Column(column.tolist(), numbers, _first(np.isnan(numbers)), None, boolean)
    values = column.astype(object).tolist()
    missing = [bool(value is None or (kind.is_scalar(value) and pd.isna(value))) for value in values]
    blank = [gap or _is_blank(v) for gap, v in zip(missing, values, strict=True)]
    numbers = np.array([math.nan if gap else number_of(v) for gap, v in zip(blank, values, strict=True)])
    return _sorted_out(values, numbers, np.array(missing, bool), np.array(blank, bool))


def _scan_text(cells: NDArray[Any], decimal: str) -> _Column:
    texts = Texts(cells)
    distinct = texts.distinct
    values, missing = cells.tolist(), texts.codes < 0
    if is_truth(distinct):
        numbers = texts.spread([TRUTH[text.strip().lower()] for text in distinct], math.nan, np.float64)
        return _Column(values, numbers, _first(missing), None, True)
    said = (with_points(distinct) if decimal == "," else None) or distinct
    numbers = texts.spread([number_of(text) for text in said], math.nan, np.float64)
    blank = texts.spread([_is_blank(text) for text in distinct], True, bool)
    return _sorted_out(values, np.where(blank, math.nan, numbers), missing, blank)


def _sorted_out(
    values: list[Any], numbers: NDArray[np.float64], missing: NDArray[Any], blank: NDArray[Any]
) -> _Column:
    text = _first(np.isnan(numbers) & ~blank)
    if text is None and not np.isnan(numbers).all():
        return _Column(values, numbers, _first(blank), None, False)
    # Among numbers "NA" or "?" is a gap; among words it is a name like any other.
    return _Column(values, numbers, _first(missing), _first(~missing) if text is None else text, False)


def _is_blank(value: Any) -> bool:
    return str(value).strip().lower() in MISSING_WORDS


def _first(flags: Iterable[Any]) -> int | None:
    found = np.flatnonzero(np.asarray(flags, bool))
    return int(found[0]) if found.size else None


def _feature(column: _Column, name: str, path: Path) -> NDArray[np.float64]:
    if column.text is not None:
        raise DataError(
            f"{path}: column {name!r} holds {column.values[column.text]!r} in data row {column.text + 1}, "
            "which is not a number. Encode the column as numbers, or drop it."
        )
    _refuse_gaps(column, name, path)
    infinite = _first(np.isinf(column.numbers))
    if infinite is not None:
        raise DataError(f"{path}: column {name!r} is infinite in data row {infinite + 1}")
    return column.numbers


def _target(
    column: _Column, name: str, path: Path, task: str | None
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    if task == "regression" or (task is None and column.text is None and not column.boolean):
        return _feature(column, name, path), None
    _refuse_gaps(column, name, path)
    texts = [_label(value) for value in column.values]
    if column.text is None and not column.boolean:
        number = dict(zip(texts, column.numbers.tolist(), strict=True))
        names = tuple(sorted(number, key=lambda text: (number[text], text)))
    else:
        names = tuple(sorted(set(texts)))
    place = {text: i for i, text in enumerate(names)}
    return np.array([place[text] for text in texts], np.int64), names


def _label(value: Any) -> str:
    """Return what a class is called: a cell as it stands, without the blanks around a number."""
    if isinstance(value, str):
        return value if math.isnan(number_of(value)) else value.strip()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _refuse_gaps(column: _Column, name: str, path: Path) -> None:
    if column.missing is not None:
        raise DataError(
            f"{path}: column {name!r} has no value in data row {column.missing + 1}. "
            "Fill it in, or leave out the row or the column."
        )


def _read_parquet(path: Path) -> Any:
    head = first_bytes(path, 4)
    with open_binary(path) as file:
        file.seek(max(0, path.stat().st_size - 4))
        tail = file.read()
    if head != b"PAR1":
        raise FileFormatError(f"{path} is not a Parquet file: it starts with {head!r}, not with b'PAR1'")
    if tail != b"PAR1":
        raise FileFormatError(f"{path} is cut off: it does not end as a Parquet file does")
    pandas = require_pandas()
    try:
        return pandas.read_parquet(path, engine="pyarrow")
    except ImportError:
        raise MissingDependencyError(
            "reading Parquet files needs pyarrow; install it: pip install 'clearprop[data]'"
        ) from None
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} is a damaged Parquet file: {_one_line(error)}") from None


def _check_ending(path: Path) -> None:
    if not path.name.lower().endswith(TABLE_SUFFIXES):
        raise FileFormatError(f"{path} is no table that can be read; known endings: {one_of(TABLE_SUFFIXES)}")


def _listed(names: Sequence[str]) -> str:
    return one_of(names[:20]) + (f" … ({len(names)} in all)" if len(names) > 20 else "")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
