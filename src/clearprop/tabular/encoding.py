"""The encoding of a whole table: learned from the training rows, then frozen, and plain data in a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_whole
from clearprop.errors import DataError, DTypeError, FileFormatError, OptionError, ShapeError
from clearprop.tabular.columns import (
    Category,
    Date,
    Description,
    Ignored,
    Number,
    dates_of,
    days_of,
    described,
    part_of,
)
from clearprop.tabular.reading import Column, Table, as_levels, read

__all__ = ["EncodingOptions", "TableEncoding", "check_range", "learn_encoding"]

_ROWS = 8192  # encoded at a time, so that float64 never holds the whole
_FEWEST_BINS = 3
_ROWS_PER_BIN = 20
_MOST_BIN_INPUTS = 2048  # of all columns together
_MOST_KNOWN = 1000  # levels of one column whose frequency is kept
_MOST_TEXT = 600_000  # characters: a model file's header is bounded
_DIGITS = 9
_LARGEST = 1e300  # twice as much is still finite, and so is what quartiles are made of


@dataclass(frozen=True)
class EncodingOptions:
    """How columns are described.

    bins: quantile bins of each column of numbers, 0 for none; fewer where there are few rows (20 to a bin) or
        many columns (2048 bins in all).
    max_levels: levels of a category that get an input of their own.
    min_count: how many training rows a level needs for that; those with fewer are rare.
    waves: frequencies of which each column of numbers has a cosine and a sine.
    categorical: names or places of columns to take as categories whatever they hold.
    """

    bins: int = 64
    max_levels: int = 64
    min_count: int = 5
    waves: int = 0
    categorical: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.categorical, str | bytes) or not isinstance(self.categorical, Sequence):
            raise DTypeError(f"categorical must be a list of columns. Got {self.categorical!r}.")
        for name, least in (("bins", 0), ("max_levels", 1), ("min_count", 1), ("waves", 0)):
            object.__setattr__(self, name, as_whole(name, getattr(self, name), at_least=least))
        object.__setattr__(self, "categorical", tuple(self.categorical))


@dataclass(frozen=True)
class TableEncoding:
    """How each column of a table becomes inputs of a network; `encode` needs NumPy alone.

    Learned by `learn_encoding`; `config` gives it as plain data and `from_config` takes it back.

    >>> encoding = learn_encoding({"size": [1.0, 2.0, 3.0], "colour": ["red", "blue", None]}, min_count=1)
    >>> encoding.inputs
    ('size', 'colour=blue', 'colour=red', 'colour missing')
    >>> encoding.encode({"colour": ["red", "green"], "size": [2.0, None]}).tolist()
    [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    >>> TableEncoding.from_config(encoding.config()) == encoding
    True
    """

    columns: tuple[Description, ...]
    named: bool = True
    """Whether columns are found by name; else by place."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the table must have."""
        return tuple(column.name for column in self.columns)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The name of each input of the network."""
        return tuple(name for column in self.columns for name in column.names)

    @property
    def origins(self) -> tuple[str, ...]:
        """The column that each input comes from."""
        return tuple(column.name for column in self.columns for _ in column.names)

    def encode(self, X: Any, where: str = "X", dtype: Any = np.float32) -> Array:
        """Return a table as inputs of the network, (rows, number of inputs).

        X: what `clearprop.tabular.read` takes, or a `Table`. Columns are found by name, further ones are
        ignored; a table without names, or for a model trained on one, must have the columns in their places.
        Errors: those of `read`; `DataError` for a column that is missing or holds another kind of value;
        `ShapeError` for another number of columns where they have no names.
        """
        table = X if isinstance(X, Table) else read(X, where)
        found = self._in_order(table, where)
        out = np.zeros((table.n, len(self.inputs)), dtype)
        for begin in range(0, table.n, _ROWS):
            rows = slice(begin, begin + _ROWS)
            self._encode_rows([column.rows(rows) for column in found], out[rows], where)
        return out

    def _in_order(self, table: Table, where: str) -> list[Column]:
        if table.named and self.named:
            return [table.column(d.name, where) for d in self.columns if d.names] if self.columns else []
        if len(table.columns) != len(self.columns):
            raise ShapeError(
                f"{where} has {len(table.columns)} columns; the model was trained on {len(self.columns)}."
            )
        return [c for c, d in zip(table.columns, self.columns, strict=True) if d.names]

    def _encode_rows(self, columns: Sequence[Column], out: Array, where: str) -> None:
        place = 0
        for column, description in zip(columns, (d for d in self.columns if d.names), strict=True):
            width = len(description.names)
            description.encode(column, out[:, place : place + width], where)
            place += width

    def config(self) -> dict[str, Any]:
        """Return the encoding as plain data."""
        return {"columns": [column.config() for column in self.columns], "named": self.named}

    @classmethod
    def from_config(cls, config: Any) -> TableEncoding:
        """Return the encoding that `config` gave. Errors: `FileFormatError` for anything else."""
        if not isinstance(config, Mapping) or not isinstance(config.get("columns"), list):
            raise FileFormatError("the description of the table is not sound: it has no list of columns.")
        if not isinstance(config.get("named"), bool):
            raise FileFormatError("the description of the table is not sound: named is not true or false.")
        return cls(tuple(described(column) for column in config["columns"]), config["named"])

    def __str__(self) -> str:
        """Return a table of the columns: name, kind, number of inputs, and what they are."""
        return "\n".join(_lines(self.columns))


def learn_encoding(
    X: Any, options: EncodingOptions | None = None, where: str = "X", **more: Any
) -> TableEncoding:
    """Return the encoding that suits these training rows.

    X: what `clearprop.tabular.read` takes, or a `Table`. options: `EncodingOptions`, or its fields by name.
    A column with one value only, or none, becomes no input.
    Errors: those of `read`; `OptionError` for other options; `DataError` where no column is left, and for
    numbers beyond ±1e300.
    """
    if not isinstance(options, EncodingOptions | None):
        raise OptionError(f"options must be EncodingOptions, or be left out. Got {options!r}.")
    chosen = EncodingOptions(**more) if options is None else options
    table = X if isinstance(X, Table) else read(X, where, chosen.categorical)
    if table.n == 0:
        raise DataError(f"{where} has no rows. Give at least one.")
    check_range(table, where)
    bins = _bins(table, chosen)
    encoding = TableEncoding(tuple(_describe(c, bins, chosen) for c in table.columns), table.named)
    if not encoding.inputs:
        raise DataError(f"{where} has no column with two different values: there is nothing to learn from.")
    if len(json.dumps(encoding.config())) > _MOST_TEXT:
        raise DataError(
            f"{where} has {len(table.columns)} columns, more than a model file can describe. Leave some out."
        )
    return encoding


def check_range(table: Table, where: str) -> None:
    """Raise `DataError`, naming column and row, for a number so large that distances to it are infinite."""
    for column in table.columns:
        if column.kind != "number":
            continue
        large = np.flatnonzero(np.abs(column.values) > _LARGEST)
        if len(large):
            raise DataError(
                f"{where}: column {column.name!r} holds {column.values[large[0]]:g} in data row "
                f"{column.first + large[0] + 1}; the largest usable number is ±{_LARGEST:g}. "
                "Give it in a larger unit, or leave the value out."
            )


def _bins(table: Table, options: EncodingOptions) -> int:
    numbers = sum(column.kind == "number" for column in table.columns)
    bins = min(options.bins, table.n // _ROWS_PER_BIN, _MOST_BIN_INPUTS // max(1, numbers))
    return bins if bins >= _FEWEST_BINS else 0


def _describe(column: Column, bins: int, options: EncodingOptions) -> Description:
    gaps = column.missing
    if gaps.all():
        return Ignored(column.name, "no values")
    if column.kind == "text":
        return _category(column, bool(gaps.any()), options)
    if column.kind == "date":
        return _date(column, bool(gaps.any()), bins)
    values = column.values[~gaps]
    found = _number(column.name, values, bool(gaps.any()), bins, options.waves)
    return replace(found, truth=True) if isinstance(found, Number) and column.is_truth else found


def _number(name: str, values: Array, missing: bool, bins: int, waves: int = 0) -> Description:
    low, high = float(values.min()), float(values.max())
    if low == high and not missing:
        return Ignored(name, "one value only")
    distinct = np.unique(values[:10_000])
    two = len(distinct) <= 2 and bool(np.isin(values, (low, high)).all())
    if two:
        return Number(name, _short(low), _short(high - low) or 1.0, missing=missing)
    first, middle, third = np.quantile(values, (0.25, 0.5, 0.75))
    spread = _short(third - first) or _short((high - low) / 2) or 1.0
    return Number(name, _short(middle), spread, _edges(values, bins), waves, missing)


def _edges(values: Array, bins: int) -> tuple[float, ...]:
    if not bins:
        return ()
    edges = _quantiles(values, bins)
    if 2 * len(edges) < bins:  # one value fills many bins, such as 0 of a gain that few have: the others' too
        same, counts = np.unique(values, return_counts=True)
        rest = values[values != same[counts.argmax()]]
        edges |= _quantiles(rest, bins - len(edges)) if len(rest) else set()
    return tuple(sorted(edges)) if len(edges) > 2 else ()


def _quantiles(values: Array, bins: int) -> set[float]:
    return {_short(edge) for edge in np.quantile(values, np.linspace(0, 1, bins + 1))}


def _category(column: Column, missing: bool, options: EncodingOptions) -> Description:
    counts = Counter(level for level in as_levels(column) if level is not None)
    if len(counts) == 1 and not missing:
        return Ignored(column.name, "one value only")
    ordered = sorted(counts, key=lambda level: (-counts[level], level))
    least = min(options.min_count, counts[ordered[0]])
    own = [level for level in ordered[: options.max_levels] if counts[level] >= least]
    many = len(counts) > options.max_levels
    known = [level for level in ordered[:_MOST_KNOWN] if counts[level] > 1] if many else []
    top = np.log1p(counts[ordered[0]])
    shares = tuple(_short(np.log1p(counts[level]) / top) for level in known)
    return Category(column.name, tuple(own), len(own) < len(counts), missing, tuple(known), shares)


def _date(column: Column, missing: bool, bins: int) -> Description:
    dates = dates_of(column, "X")
    there = dates[~np.isnat(dates)]
    time = _number(column.name, days_of(there), missing, bins)
    if isinstance(time, Ignored):
        return Ignored(column.name, time.why)
    assert isinstance(time, Number)
    parts = [part for part in ("month", "day", "weekday", "hour") if np.ptp(part_of(there, part)) > 0]
    return Date(column.name, time, tuple(parts))


def _short(number: Any) -> float:
    """Return a number to nine digits, so that it takes little room as text; exactly this one is used."""
    return float(f"{float(number):.{_DIGITS}g}")


def _lines(columns: Sequence[Description]) -> Iterator[str]:
    rows = [("column", "kind", "inputs", "")]
    rows += [(c.name, c.kind, str(len(c.names)), _about(c)) for c in columns]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for name, kind, inputs, about in rows:
        yield f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {inputs:>{widths[2]}}  {about}".rstrip()


def _about(column: Description) -> str:
    if isinstance(column, Number):
        return f"centre {column.center:g}, scale {column.scale:g}" + _told(len(column.edges) - 1, "bins")
    if isinstance(column, Category):
        return f"{len(column.levels)} levels" + (", the rest rare" if column.rare else "")
    if isinstance(column, Date):
        return ", ".join(("days", *column.parts))
    return column.why if isinstance(column, Ignored) else ""


def _told(count: int, what: str) -> str:
    return f", {count} {what}" if count > 0 else ""
