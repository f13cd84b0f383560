"""Tables of any make (pandas, polars, Arrow, NumPy, a dictionary) as named columns of NumPy arrays.

No package is imported for it: what a table is, its own methods tell.
"""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.cells import NUMBER
from clearprop.checks import as_items
from clearprop.errors import DataError, DTypeError, ShapeError, did_you_mean, one_of
from clearprop.tabular.texts import DATE, as_date, date_of, is_gap, texts_of

__all__ = ["Column", "Table", "as_levels", "read"]

_MOST_NAMES = 20


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a table.

    kind "number": float64, NaN where there is no value. "date": datetime64[s], NaT where there is none.
    "text": an object array of texts, None where there is none.
    """

    name: str
    kind: str
    values: Array
    written: Array | None = None
    """The values as they were given, of any dtype, where numbers or dates do not say it all; else None."""
    first: int = 0
    """Which row of the whole table its first one is, from 0, where it is a stretch of it."""

    @property
    def missing(self) -> Array:
        """Where there is no value, (n,) of booleans."""
        if self.kind == "text":
            return np.array([value is None for value in self.values], bool)
        return np.isnat(self.values) if self.kind == "date" else np.isnan(self.values)

    @property
    def is_truth(self) -> bool:
        """Whether its numbers were given as truth values."""
        if self.kind != "number" or self.written is None or self.written.dtype == bool:
            return self.kind == "number" and self.written is not None
        return all(isinstance(value, bool | np.bool_) or is_gap(value) for value in self.written)

    def rows(self, chosen: Array | slice) -> Column:
        """Return some of the rows."""
        written = None if self.written is None else self.written[chosen]
        first = self.first + (chosen.start or 0) if isinstance(chosen, slice) else 0
        return Column(self.name, self.kind, self.values[chosen], written, first)


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of one length."""

    columns: tuple[Column, ...]
    n: int
    """Number of rows."""
    named: bool = True
    """Whether the names are the table's own; else they are x0, x1, …, by place."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str, where: str = "the table") -> Column:
        """Return a column by its name. Errors: `DataError` for a name that the table lacks."""
        for column in self.columns:
            if column.name == name:
                return column
        hint = did_you_mean(name, self.names)
        more = f" … ({len(self.names)} in all)" if len(self.names) > _MOST_NAMES else ""
        raise DataError(
            f"{where} has no column {name!r}, which the model needs.{hint} "
            f"It has: {one_of(self.names[:_MOST_NAMES])}{more}."
        )

    def without(self, names: Iterable[str]) -> Table:
        """Return the table without these columns."""
        left_out = set(names)
        return Table(tuple(c for c in self.columns if c.name not in left_out), self.n, self.named)

    def rows(self, chosen: Array | slice) -> Table:
        """Return some of the rows."""
        columns = tuple(column.rows(chosen) for column in self.columns)
        return Table(columns, len(columns[0].values), self.named)


def read(X: Any, where: str = "X", categorical: Sequence[str | int] = ()) -> Table:
    """Return a table as named columns of numbers, dates and texts.

    X: a pandas or polars frame, an Arrow table, a dictionary of columns, or rows of numbers or of anything,
    as an array or a list; columns without names are called x0, x1, …

    Numbers and booleans become numbers; text that is all numbers (without leading zeros) or all ISO dates
    becomes such; pandas' and Arrow's categories stay text. None, NaN, NaT, and among text "", "?", "NA",
    "n/a", "nan", "null" and "none" mean that there is no value. categorical: names or places of columns to
    take as text whatever they hold.

    Errors: `ShapeError` for what has no rows and columns; `DataError` for infinite numbers and repeated
    names; `DTypeError` for what is no table.

    >>> table = read({"age": [30, None], "job": ["cook", "?"], "since": ["2024-01-31", "2024-02-01"]})
    >>> [(column.name, column.kind, column.missing.tolist()) for column in table.columns]
    [('age', 'number', [False, True]), ('job', 'text', [False, True]), ('since', 'date', [False, False])]
    """
    names, arrays, named = _split(X, where)
    if not names:
        raise ShapeError(f"{where} has no columns. Give a table of at least one.")
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise DataError(f"{where} has two columns named {repeated!r}. Give each a name of its own.")
    texts = _as_names(categorical, names, where)
    n = len(arrays[0])
    for name, array in zip(names, arrays, strict=True):
        if len(array) != n:
            raise ShapeError(f"{where}: column {name!r} has {len(array)} rows, {names[0]!r} has {n}.")
    columns = tuple(
        _column(name, array, name in texts, where) for name, array in zip(names, arrays, strict=True)
    )
    return Table(columns, n, named)


def _as_names(given: Sequence[str | int], names: Sequence[str], where: str) -> set[str]:
    found = set()
    for one in given:
        if isinstance(one, numbers.Integral) and not isinstance(one, bool) and 0 <= one < len(names):
            found.add(names[int(one)])
        elif str(one) in names:
            found.add(str(one))
        else:
            hint = did_you_mean(str(one), names)
            raise DataError(f"categorical names the column {one!r}, which {where} does not have.{hint}")
    return found


# The makes of tables -------------------------------------------------------------------------------


def _split(X: Any, where: str) -> tuple[list[str], list[Any], bool]:
    """Return the names and the columns as arrays, and whether the names are the table's own."""
    make = type(X).__module__.split(".")[0]
    if make == "pandas" and hasattr(X, "columns"):
        return [str(name) for name in X.columns], [_of_pandas(X.iloc[:, j]) for j in range(X.shape[1])], True
    if make == "polars" and hasattr(X, "collect") and not hasattr(X, "get_columns"):
        X = X.collect()
    if make == "polars" and hasattr(X, "get_columns"):
        return list(X.columns), [_of_polars(column) for column in X.get_columns()], True
    if make == "pyarrow" and hasattr(X, "column_names"):
        return list(X.column_names), [_of_arrow(column) for column in X.columns], True
    if isinstance(X, Mapping):
        return (
            [str(name) for name in X],
            [_plain(values, f"{where}[{name!r}]") for name, values in X.items()],
            True,
        )
    return _of_rows(X, where)


def _of_pandas(series: Any) -> Any:
    dtype = series.dtype
    name = str(dtype)
    if name == "category":
        return _Texts(series.astype(object).tolist())
    if name.startswith("datetime64") and getattr(dtype, "tz", None) is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    if hasattr(dtype, "na_value") and dtype.kind == "b":  # pandas' own arrays with gaps, and Arrow's
        return series.to_numpy(object, na_value=None) if series.isna().any() else series.to_numpy(bool)
    if hasattr(dtype, "na_value") and dtype.kind in "iuf":
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return series.to_numpy()


def _of_polars(series: Any) -> Any:
    kind = str(series.dtype)
    if kind.startswith(("Categorical", "Enum")):
        return _Texts(series.to_list())
    if kind.startswith(("Int", "UInt", "Float")):
        return series.to_numpy()
    if kind.startswith("Datetime") and "time_zone=None" not in kind and "time_zone" in kind:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return series.to_numpy() if kind.startswith(("Date", "Datetime")) else np.array(series.to_list(), object)


def _of_arrow(column: Any) -> Any:
    kind = str(column.type)
    if kind.startswith("dictionary"):
        return _Texts(column.to_pylist())
    if kind.startswith(("int", "uint", "float", "double", "halffloat", "date", "timestamp")):
        return column.to_numpy()
    return np.array(column.to_pylist(), object)


def _of_rows(X: Any, where: str) -> tuple[list[str], list[Any], bool]:
    if isinstance(X, str | bytes) or X is None or not (hasattr(X, "__array__") or isinstance(X, Sequence)):
        if hasattr(X, "toarray"):
            raise DTypeError(
                f"{where} is a sparse matrix; a table needs its columns. Give {where}.toarray()."
            )
        raise DTypeError(
            f"{where} must be a table: a pandas or polars frame, an Arrow table, a dictionary of columns, or "
            f"rows. Got {type(X).__name__}."
        )
    if isinstance(X, np.ndarray) and X.dtype.names:
        return list(X.dtype.names), [X[name] for name in X.dtype.names], True
    try:
        array = np.asarray(X) if hasattr(X, "__array__") else _rows_array(X)
    except ValueError:
        raise ShapeError(f"{where} has rows of different lengths. Give each row the same columns.") from None
    if array.ndim != 2:
        shape = "(n, 1)" if array.ndim == 1 else "(n, d)"
        raise ShapeError(f"{where} has shape {array.shape}; a table has rows and columns, {shape}.")
    return [f"x{j}" for j in range(array.shape[1])], [array[:, j] for j in range(array.shape[1])], False


def _rows_array(rows: Sequence[Any]) -> Array:
    """Return rows as an array of numbers if they are all numbers, else of objects: 1 must not become "1"."""
    array = np.asarray(rows)
    return array if array.dtype.kind in "biuf" else np.asarray(rows, object)


def _plain(values: Any, where: str) -> Any:
    array = np.asarray(values) if hasattr(values, "__array__") else None
    if array is None:
        items = as_items(where, values)
        array = np.fromiter(items, object, len(items))
    if array.ndim != 1:
        raise ShapeError(f"{where} has shape {array.shape}; a column is (n,).")
    return array


class _Texts(list[Any]):
    """Values of a column that its table calls a category."""


# One column ----------------------------------------------------------------------------------------


def _column(name: str, given: Any, as_text: bool, where: str) -> Column:
    if isinstance(given, _Texts) or (as_text and given.dtype.kind in "OSUT"):
        return Column(name, "text", texts_of(list(given) if isinstance(given, _Texts) else given.tolist()))
    column = _by_kind(name, given, where)
    return Column(name, "text", as_levels(column)) if as_text else column


def _by_kind(name: str, given: Any, where: str) -> Column:
    kind = given.dtype.kind
    if kind in "biuf":
        keep = kind != "f" or given.dtype.itemsize < 8
        return _numbers(name, given.astype(np.float64), where, given if keep else None)
    if kind == "M":
        return Column(name, "date", given.astype("datetime64[s]"))
    if kind == "m":
        return _numbers(name, _seconds(given), where)
    if kind not in "OSUT":
        raise DTypeError(f"{where}: column {name!r} holds {given.dtype}, which is no number, text or date.")
    return _of_objects(name, given, where)


def _numbers(name: str, values: Array, where: str, written: Array | None = None) -> Column:
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise DataError(
            f"{where}: column {name!r} is infinite in data row {infinite[0] + 1}. Replace it, or "
            "leave the value out."
        )
    return Column(name, "number", values, written)


def _seconds(spans: Array) -> Array:
    seconds = spans / np.timedelta64(1, "s")
    return np.asarray(seconds, np.float64)


def _of_objects(name: str, given: Array, where: str) -> Column:
    values = given.tolist()
    kinds = _kinds(values)
    if kinds == {"number"}:
        return _numbers(name, _floats(values, name, where), where, given)
    if kinds == {"date"}:
        return Column(name, "date", np.array([as_date(value) for value in values], "datetime64[s]"))
    texts = texts_of(values)
    said = [text for text in texts if text is not None]
    if kinds == {"text"} and said and all(NUMBER.fullmatch(text) for text in said):
        found = np.array([np.nan if text is None else float(text) for text in texts])
        return _numbers(name, found, where, texts)
    if kinds == {"text"} and said and all(DATE.fullmatch(text) for text in said):
        return Column(name, "date", _dates_of(texts, name, where), texts)
    return Column(name, "text", texts)


def _kinds(values: list[Any]) -> set[str]:
    """Return the kinds of values that occur besides gaps; one value of a type speaks for all of it."""
    found = set()
    for make in set(map(type, values)):
        first = next((value for value in values if type(value) is make and not is_gap(value)), None)
        found.add(_kind(first))
    return found - {"gap"}


def _kind(value: Any) -> str:
    if is_gap(value):
        return "gap"
    if isinstance(value, numbers.Real | np.bool_) or type(value).__name__ == "Decimal":
        return "number"
    if isinstance(value, datetime.date | np.datetime64):
        return "date"
    return "text" if isinstance(value, str | bytes) else "other"


def _floats(values: list[Any], name: str, where: str) -> Array:
    try:
        return np.array(values, np.float64)
    except TypeError:  # pandas' gaps are no numbers to NumPy
        return _floats([np.nan if is_gap(value) else float(value) for value in values], name, where)
    except OverflowError:
        raise DataError(
            f"{where}: column {name!r} holds a number beyond 1.8e308, the largest of float64. Replace it, or "
            "leave the value out."
        ) from None


def _dates_of(texts: Array, name: str, where: str) -> Array:
    found = np.full(len(texts), np.datetime64("NaT", "s"))
    for i, text in enumerate(texts):
        try:
            found[i] = np.datetime64("NaT", "s") if text is None else date_of(text)
        except ValueError:
            raise DataError(
                f"{where}: column {name!r} holds {text!r} in data row {i + 1}, which is no date. "
                "Correct it, leave the value out, or leave the column out."
            ) from None
    return found


def as_levels(column: Column) -> Array:
    """Return a column of any kind as names of levels, None where there is no value.

    What came as text is named as it was written, whatever the rows beside it made of the column.

    >>> as_levels(Column("grade", "number", np.array([1.0, np.nan, 2.5]))).tolist()
    ['1', None, '2.5']
    """
    if column.kind == "text":
        return column.values
    given = column.values if column.written is None else column.written
    if given.dtype.kind == "f" and given.dtype.itemsize < 8:
        given = given.astype(str).astype(np.float64)  # 0.1 and not 0.10000000149
    return texts_of(given.tolist())
