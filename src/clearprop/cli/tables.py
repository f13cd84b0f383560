"""Tables on the command line: read from a file, split, then encoded as the table estimators do it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.datasets import Dataset
from clearprop.datasets.tables import TABLE_SUFFIXES, read_frame, read_target, typed_columns
from clearprop.errors import DataError, did_you_mean, one_of
from clearprop.network import Network
from clearprop.tabular import KEY, Category, Column, Table, TableEncoding, TabularModel, learn_encoding, read

__all__ = [
    "TableDataset",
    "encode_rows",
    "encoded",
    "in_own_units",
    "is_table",
    "levelled",
    "read_rows",
    "read_table_file",
    "require_columns",
]

_MOST_NAMES = 20
_TRUTH = ("False", "True")


def is_table(source: str | Path) -> bool:
    """Return whether the name is that of a table.

    >>> is_table("wine.csv.gz"), is_table("digits")
    (True, False)
    """
    return str(source).lower().endswith(TABLE_SUFFIXES)


@dataclass(frozen=True, eq=False, repr=False)
class TableDataset(Dataset):
    """A table that can be split like any data set; it becomes inputs of a network only afterwards.

    X holds one number for each cell, NaN where there is no value: the number itself, the seconds of a date,
    or the place of a text among the `levels` of its column. `encoded` makes inputs of it, by an encoding that
    has seen the training rows alone.
    """

    kinds: tuple[str, ...] = ()
    """Of each column: "number", "date" or "text"."""
    levels: tuple[tuple[str, ...], ...] = ()
    """Of each column of text, all that occur; of truth values "False" and "True"; () for others."""

    def table(self, X: Array) -> Table:
        """Return rows of X as the table that they stand for."""
        columns = zip(self.feature_names, self.kinds, self.levels, X.T, strict=True)
        return Table(tuple(_decoded(name, kind, levels, v) for name, kind, levels, v in columns), len(X))


def read_table_file(
    path: str | Path,
    target: str | None,
    *,
    task: str | None = None,
    drop: Sequence[str] = (),
    as_text: Sequence[str] = (),
    whole_classes: int = 0,
) -> TableDataset:
    """Return a table as a data set: its columns of any kind, and the target.

    as_text: columns to take as they are written, whatever they hold. whole_classes: how many different whole
    numbers a target may hold to be read as classes, where no task is given.
    Errors: those of `clearprop.datasets.read_table` but for gaps and words, which are no mistake here, and of
    `clearprop.tabular.read`.
    """
    path = Path(path).expanduser()
    frame = read_frame(path, target, task, drop, as_text=as_text)
    y, class_names = read_target(frame, str(target), path, task)
    if task is None and class_names is None and _few_whole(y, whole_classes):
        y, class_names = read_target(frame, str(target), path, "classification")
    features = [name for name in frame.columns if name != target and name not in drop]
    table = _table(frame, features, as_text, path)
    coded = [_coded(column) for column in table.columns]
    kind = "real target" if class_names is None else f"{len(class_names)} classes"
    return TableDataset(
        name=path.name.split(".")[0],
        X_train=np.stack([values for values, _ in coded], axis=1),
        y_train=y,
        X_test=None,
        y_test=None,
        feature_names=tuple(features),
        class_names=class_names,
        image_shape=None,
        description=f"{len(y)} rows of {path.name}, {len(features)} features, {target} as {kind}",
        kinds=tuple(column.kind for column in table.columns),
        levels=tuple(levels for _, levels in coded),
    )


def read_rows(
    path: str | Path, drop: Sequence[str] = (), wanted: Sequence[str] = (), as_text: Sequence[str] = ()
) -> Table:
    """Return columns of a table without a target; what the others hold is not looked at.

    drop: columns to leave out. wanted: those to read, in their order; () for all. as_text: as of
    `read_table_file`.
    Errors: `DataError` for a column that is wanted and not there; those of reading.
    """
    path = Path(path).expanduser()
    frame = read_frame(path, as_text=as_text)
    names = [name for name in frame.columns if name not in drop]
    require_columns(path, names, wanted)
    return _table(frame, wanted or names, as_text, path)


def require_columns(path: Path, columns: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise `DataError` for the first column that is wanted and not there."""
    name = next((name for name in wanted if name not in columns), None)
    if name is not None:
        raise DataError(
            f"{path} has no column {name!r}, which the model needs.{did_you_mean(name, columns)} It has: "
            f"{one_of(columns[:_MOST_NAMES])}{' …' if len(columns) > _MOST_NAMES else ''}."
        )


def levelled(network: Network) -> tuple[str, ...]:
    """Return the columns that a table model knows by their levels, which must be read as they are written."""
    if KEY not in network.extra:
        return ()
    encoding = TabularModel.of_network(network).encoding
    return tuple(column.name for column in encoding.columns if isinstance(column, Category))


def _table(frame: Any, names: Sequence[str], as_text: Sequence[str], path: Path) -> Table:
    exact = [name for name in as_text if name in names]
    return read(typed_columns(frame, names, exact), str(path), exact)


def _few_whole(y: Array, most: int) -> bool:
    values = np.unique(y)
    return len(values) <= most and bool(np.all(values == np.round(values)))


def encoded(dataset: Dataset, dtype: str) -> tuple[Dataset, TableEncoding | None]:
    """Return a data set whose X are inputs of a network, and the encoding if it is a table.

    The encoding is learned from the training rows; the inputs are of the network's dtype. Other
    data sets are returned as they are.
    """
    if not isinstance(dataset, TableDataset):
        return dataset, None
    encoding = learn_encoding(dataset.table(dataset.X_train), where=dataset.name)
    test = None if dataset.X_test is None else encoding.encode(dataset.table(dataset.X_test), dtype=dtype)
    plain = Dataset(**{f.name: getattr(dataset, f.name) for f in dataclasses.fields(Dataset)})
    inputs = encoding.encode(dataset.table(dataset.X_train), dtype=dtype)
    return (
        dataclasses.replace(plain, X_train=inputs, X_test=test, feature_names=encoding.inputs),
        encoding,
    )


def in_own_units(
    dataset: Dataset, encoding: TableEncoding | None
) -> tuple[Dataset, Callable[[Array], Array]] | None:
    """Return a table of numbers without gaps as it is, with what makes inputs of its rows; else None.

    For pictures over the features, which are wanted in their own units.
    """
    if encoding is None or not isinstance(dataset, TableDataset) or set(dataset.kinds) != {"number"}:
        return None
    parts = [part for part in (dataset.X_train, dataset.X_test) if part is not None]
    if any(np.isnan(part).any() for part in parts):
        return None
    return dataset, lambda X: encoding.encode(dataset.table(np.asarray(X)))


def encode_rows(
    network: Network, rows: Dataset | Table, X: Array | None = None, where: str = "the data"
) -> Any:
    """Return rows as the network reads them.

    rows: a table, or a data set of which X are rows. A network without a description of its table, as one
    that was trained on arrays, gets the numbers as they are.
    """
    if isinstance(rows, TableDataset) and X is not None:
        rows = rows.table(X)
    if not isinstance(rows, Table):
        return X
    table = rows
    if KEY not in network.extra:
        return np.stack([_numbers(column, where) for column in table.columns], axis=1)
    return TabularModel.of_network(network).encoding.encode(table, where, network.dtype)


def _numbers(column: Column, where: str) -> Array:
    """Return a column's numbers; raise `DataError` for words, dates and gaps."""
    there = ~column.missing
    if column.kind == "number" and there.all():
        return column.values
    row = int(np.flatnonzero(there if column.kind != "number" else ~there)[:1].sum())
    said = f"holds {column.values[row]!s}" if there[row] else "has no value"
    raise DataError(
        f"{where}: column {column.name!r} {said} in data row {row + 1}; this model was trained on numbers "
        "without gaps. Train it on the table itself: clearprop train."
    )


def _coded(column: Column) -> tuple[Array, tuple[str, ...]]:
    """Return one number for each value, NaN for none, and the texts that they are places of."""
    if column.kind == "number":
        return column.values, _TRUTH if column.is_truth else ()
    codes = np.full(len(column.values), np.nan)
    there = ~column.missing
    if column.kind == "date":
        codes[there] = column.values[there].astype(np.int64)
        return codes, ()
    levels, codes[there] = np.unique(column.values[there].astype(str), return_inverse=True)
    return codes, tuple(levels.tolist())


def _decoded(name: str, kind: str, levels: tuple[str, ...], codes: Array) -> Column:
    there = ~np.isnan(codes)
    if kind == "number":
        written = _truths(codes, there) if levels == _TRUTH else None
        return Column(name, kind, np.asarray(codes, np.float64), written)
    whole = np.where(there, codes, 0).astype(np.int64)
    if kind == "date":
        return Column(name, kind, np.where(there, whole.astype("datetime64[s]"), np.datetime64("NaT", "s")))
    texts = np.full(len(codes), None, object)
    texts[there] = np.array(levels, object)[whole[there]]
    return Column(name, kind, texts)


def _truths(codes: Array, there: Array) -> Array:
    """Return truth values as objects, None where there is none."""
    found = np.full(len(codes), None, object)
    found[there] = codes[there] == 1
    return found
