"""Tables with a header row (CSV, TSV, Parquet) as numbers, or one sentence that says which cell is not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clearprop.checks import as_choice, as_path
from clearprop.datasets.dataset import Dataset
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

__all__ = ["TABLE_SUFFIXES", "read_columns", "read_frame", "read_table", "read_target"]

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")
MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
FORMATS = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"\x1f\x8b": "a gzip file; end its name in .gz",
}


def read_table(
    path: str | Path, target: str | None = None, *, task: str | None = None, drop: Sequence[str] = ()
) -> Dataset:
    """Return a table as a `Dataset`: one column is the target y, the others are the features X.

    X (n, d) is float64. For classification y (n,) holds int64 indices into `class_names` (sorted);
    for regression, float64. True and False count as 1 and 0. The separator of a text file is a
    comma, a semicolon or a tab, whichever its header has. Data rows count from 1, after the header.

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
    frame = read_frame(path, target, task, drop)
    assert target is not None
    features = [name for name in frame.columns if name != target and name not in drop]
    X = np.empty((len(frame), len(features)))
    for j, name in enumerate(features):
        X[:, j] = _feature(_scan(frame[name]), name, path)
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
    return [str(name) for name in _read(as_path(path).expanduser()).columns]


_NO_TARGET = object()
_TRUTH = frozenset({"true", "false"})


def read_frame(
    path: Path,
    target: Any = _NO_TARGET,
    task: str | None = None,
    drop: Sequence[str] = (),
    as_text: Sequence[str] = (),
) -> Any:
    """Return the pandas frame of a table whose columns have text for names, with at least one row.

    target, task, drop: checked as `read_table` says, where a target is given at all. as_text: columns whose
    cells are wanted as a text file has them; so is a target of classes.
    """
    if task is not None:
        as_choice("task", task, ("classification", "regression"))
    exact = (*as_text, target) if task == "classification" else tuple(as_text)
    frame = _read(path, exact)
    frame.columns = columns = [str(name) for name in frame.columns]
    if target is not _NO_TARGET:
        _check_columns(columns, target, drop, path)
    if len(frame) == 0:
        raise DataError(f"{path} has a header but no rows")
    if target is not _NO_TARGET and task is None and frame[target].dtype == bool and target not in exact:
        return read_frame(path, target, "classification", drop, as_text)
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
    return _target(_scan(frame[target]), target, path, task)


def _read(path: Path, as_text: Sequence[str] = ()) -> Any:
    require_file(path)
    return _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_text(path, as_text)


class _Column(NamedTuple):
    values: list[Any]  # as in the file
    numbers: NDArray[np.float64]  # NaN where a cell is missing or no number
    missing: int | None  # the first row without a value
    text: int | None  # the first row with something that is not a number
    boolean: bool  # truth values, or the words for them


def _scan(column: Any) -> _Column:
    import pandas as pd

    kind = pd.api.types
    boolean = bool(kind.is_bool_dtype(column.dtype))
    if kind.is_numeric_dtype(column.dtype) and not kind.is_complex_dtype(column.dtype):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return _Column(column.tolist(), numbers, _first(np.isnan(numbers)), None, boolean)
    values = column.astype(object).tolist()
    missing = [bool(value is None or (pd.api.types.is_scalar(value) and pd.isna(value))) for value in values]
    blank = [gap or str(v).strip().lower() in MISSING_WORDS for gap, v in zip(missing, values, strict=True)]
    numbers = np.array([math.nan if gap else _number(v) for gap, v in zip(blank, values, strict=True)])
    text = _first(np.isnan(numbers) & ~np.array(blank, bool))
    if text is None and not np.isnan(numbers).all():
        return _Column(values, numbers, _first(blank), None, boolean)
    # Among numbers "NA" or "?" is a gap; among words it is a name like any other.
    text = _first(~np.array(missing, bool)) if text is None else text
    said = {str(value).lower() for value, gap in zip(values, missing, strict=True) if not gap}
    return _Column(values, numbers, _first(missing), text, boolean or (bool(said) and said <= _TRUTH))


def _number(value: Any) -> float:
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        return math.nan  # Python reads 1_000 as a number; tables do not mean that
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


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
    if column.text is None and not column.boolean:
        labels, y = np.unique(column.numbers, return_inverse=True)
        plain = [str(int(v)) if v.is_integer() else repr(v) for v in labels.tolist()]
    else:
        texts = [str(value).title() if column.boolean else str(value) for value in column.values]
        labels, y = np.unique(np.array(texts), return_inverse=True)
        plain = labels.tolist()
    return y.astype(np.int64), _as_written(plain, y, column.values)


def _as_written(plain: Sequence[str], y: NDArray[Any], values: Sequence[Any]) -> tuple[str, ...]:
    """Return what classes are called: as text has it, where all rows of a class are written in one way."""
    forms: list[set[str]] = [set() for _ in plain]
    for k, value in zip(y.tolist(), values, strict=True):
        forms[k].add(value.strip() if isinstance(value, str) else plain[k])
    return tuple(form.pop() if len(form) == 1 else name for form, name in zip(forms, plain, strict=True))


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
    pandas = _pandas()
    try:
        return pandas.read_parquet(path, engine="pyarrow")
    except ImportError:
        raise MissingDependencyError(
            "reading Parquet files needs pyarrow; install it: pip install 'clearprop[data]'"
        ) from None
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} is a damaged Parquet file: {_one_line(error)}") from None


def _read_text(path: Path, as_text: Sequence[str]) -> Any:
    if not path.name.lower().endswith(TABLE_SUFFIXES):
        raise FileFormatError(f"{path} is no table that can be read; known endings: {one_of(TABLE_SUFFIXES)}")
    separator = _separator(path)
    pandas = _pandas()
    options: dict[str, Any] = {"sep": separator, "encoding": "utf-8-sig", "keep_default_na": False}
    # From 3.1 pandas always reads numbers exactly, and warns if asked to.
    old = tuple(int(part) for part in pandas.__version__.split(".")[:2]) < (3, 1)
    exact = {"float_precision": "round_trip"} if old else {}
    written = dict.fromkeys(as_text, str)
    try:
        with open_binary(path) as file:
            header = pandas.read_csv(file, header=None, nrows=1, dtype=str, **options).iloc[0].tolist()
        _check_header([str(name) for name in header], path)
        with open_binary(path) as file, warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # it would drop a column
            return pandas.read_csv(
                file, na_values=[""], index_col=False, low_memory=False, dtype=written, **exact, **options
            )
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except pandas.errors.EmptyDataError:
        raise FileFormatError(f"{path} is empty") from None
    except pandas.errors.ParserWarning:
        raise FileFormatError(f"{path}: the rows have more cells than the header has names") from None
    except pandas.errors.ParserError as error:
        raise FileFormatError(f"{path} cannot be read as a table: {_one_line(error)}") from None


def _separator(path: Path) -> str:
    head = first_bytes(path)
    for magic, what in FORMATS.items():
        if head.startswith(magic):
            raise FileFormatError(f"{path} is not a text table: it is {what}")
    if b"\0" in head:
        raise FileFormatError(f"{path} is not a text table: it holds binary data")
    header = head.lstrip().split(b"\n", 1)[0]
    return next((mark for mark in (",", ";", "\t") if mark.encode() in header), ",")


def _check_header(names: list[str], path: Path) -> None:
    numbered = names == [str(j) for j in range(len(names))]  # as pandas writes columns without names
    if not numbered and not any(math.isnan(_number(name)) for name in names):
        raise FileFormatError(f"{path} has no header: its first line is numbers. Put the column names there.")
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise FileFormatError(f"{path} has two columns named {repeated!r}")


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise MissingDependencyError(
            "reading tables needs pandas; install it: pip install 'clearprop[data]'"
        ) from None
    return pandas


def _listed(names: Sequence[str]) -> str:
    return one_of(names[:20]) + (f" … ({len(names)} in all)" if len(names) > 20 else "")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
