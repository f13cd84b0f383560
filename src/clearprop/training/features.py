"""What a user may give as X, as a 2-D array of numbers: arrays, mapped files, sparse matrices, frames."""

from __future__ import annotations

import mmap
import numbers
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NoReturn

import numpy as np

from clearprop.arrays import Array, has_masked
from clearprop.compiled import native
from clearprop.errors import DataError, DTypeError, ShapeError

__all__ = [
    "Chosen",
    "Columns",
    "all_finite",
    "as_features",
    "check_sparse",
    "check_values",
    "chunks",
    "dense_rows",
    "is_mapped",
    "is_sparse",
    "is_stream",
]

_CHUNK_BYTES = 1 << 24
_NO_DATA = (str, bytes, Mapping, Set, os.PathLike)


def is_stream(X: Any, y: Any) -> bool:
    """Return whether X is an iterable of batches rather than an array, a frame or a tuple of arrays.

    A list counts as one if y is left out and an item is no row of numbers: what is then wrong with a batch is
    said when it is read.
    """
    if isinstance(X, list):
        return y is None and not all(_is_row(item) for item in X)
    if isinstance(X, (*_NO_DATA, tuple, np.ndarray)) or hasattr(X, "to_numpy") or is_sparse(X):
        return False
    return isinstance(X, Iterable) and not hasattr(X, "__array__")


def _is_row(item: Any) -> bool:
    """Return whether an item of a list is an example, so that the list lacks its y."""
    if isinstance(item, tuple):
        return bool(item) and isinstance(item[0], numbers.Number | np.generic)
    return isinstance(item, list | np.ndarray | numbers.Number | np.generic)


def is_sparse(X: Any) -> bool:
    """Return whether X is a SciPy sparse matrix or array."""
    return hasattr(X, "tocsr") and hasattr(type(X), "nnz")  # which some forms count, if they can


def is_mapped(X: Any) -> bool:
    """Return whether the values of X lie in a file, so that it must never be read whole."""
    if isinstance(X, Columns):
        return True
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            return True
        X = X.base
    return isinstance(X, mmap.mmap)


class Columns:
    """Several inputs side by side that are joined as rows are read, because some are mapped or sparse."""

    def __init__(self, blocks: Sequence[Any]) -> None:
        self.blocks = tuple(blocks)
        self.ndim = 2
        self.shape = (blocks[0].shape[0], sum(block.shape[1] for block in blocks))
        self.dtype = np.result_type(*(block.dtype for block in blocks))

    def __getitem__(self, rows: Any) -> Array:
        """Return these rows, dense. rows: a slice or indices."""
        return np.concatenate([dense_rows(block, rows) for block in self.blocks], axis=1)


class Chosen(Columns):
    """Rows of data that several networks train on: none is copied before it is read."""

    def __init__(self, data: Any, rows: Array | None = None) -> None:
        """data: 2-D from `as_features`, whose values are checked already; rows: indices, None for all."""
        self.data, self.rows = data, rows
        self.ndim = 2
        self.shape = (data.shape[0] if rows is None else len(rows), data.shape[1])
        self.dtype = data.dtype

    def __getitem__(self, rows: Any) -> Array:
        """Return these of the chosen rows, dense. rows: a slice or indices."""
        return dense_rows(self.data, rows if self.rows is None else self.rows[rows])


def dense_rows(X: Any, rows: Any) -> Array:
    """Return rows of X as a dense array. rows: a slice or indices."""
    return X[rows].toarray() if is_sparse(X) else np.asarray(X[rows])


def chunks(X: Any, n: int | None = None) -> Iterator[slice]:
    """Yield slices of rows that together are all of X, each about 16 MB when dense in float64.

    n: how many rows to cut up, where it is not all of them.
    """
    n = X.shape[0] if n is None else n
    rows = max(1, _CHUNK_BYTES // max(1, X.shape[1] * 8))
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def as_features(X: Any, what: str = "X", inputs: Sequence[int] | None = None) -> Any:
    """Return X as a 2-D numeric array, CSR matrix or `Columns`, without a copy where possible.

    X: (n, d) array, memory-mapped array, list of rows, SciPy sparse matrix, pandas or polars frame; (n, …)
    arrays, such as images, are read as (n, d); a tuple of those is a network with several inputs: their
    columns are joined. inputs: how many features each item of a tuple must have.
    Errors: `DTypeError` for values that are no numbers, `ShapeError` for one dimension, `DataError` if empty
    or for a sparse matrix that is ill-formed.
    """
    if isinstance(X, Columns):
        return X
    if isinstance(X, tuple):
        return _joined([as_features(block, f"{what}[{i}]") for i, block in enumerate(X)], what, inputs)
    array = _to_array(X, what)
    if array.dtype.kind == "O":
        array = _numbers(array, what)
    if array.dtype.kind not in "biuf":
        raise DTypeError(
            f"{what} holds values of type {array.dtype}; it must hold real numbers. Convert or encode them "
            "first."
        )
    if array.ndim < 2:
        raise ShapeError(
            f"{what} has shape {array.shape}; it must be (examples, features). "
            f"For one feature use {what}.reshape(-1, 1), for one example {what}.reshape(1, -1)."
        )
    if 0 in array.shape:
        raise DataError(f"{what} is empty: its shape is {tuple(array.shape)}. Give at least one example.")
    return array.reshape(array.shape[0], -1) if array.ndim > 2 else array


def _joined(blocks: Sequence[Any], what: str, inputs: Sequence[int] | None) -> Any:
    if not blocks:
        raise DataError(f"{what} is an empty tuple. Give an array, or a tuple with one array per input.")
    lengths = [block.shape[0] for block in blocks]
    if len(set(lengths)) != 1:
        raise ShapeError(f"the inputs of {what} have different numbers of examples: {lengths}.")
    widths = [block.shape[1] for block in blocks]
    if inputs is not None and widths != list(inputs):
        raise ShapeError(f"the inputs of {what} have {widths} features; layers[1] expects {list(inputs)}.")
    if any(is_mapped(block) or is_sparse(block) for block in blocks):
        return Columns(blocks)
    return np.concatenate(blocks, axis=1)


def _to_array(X: Any, what: str) -> Any:
    if is_sparse(X):
        return _to_csr(X, what) if len(X.shape) == 2 else X
    if has_masked(X):
        raise DataError(f"{what} has masked values. Fill them or leave those examples out.")
    if isinstance(X, np.ndarray):
        return np.asarray(X)
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        return _from_frame(X, what)
    if not hasattr(X, "__array__") and (not isinstance(X, Sequence) or isinstance(X, _NO_DATA)):
        raise DTypeError(
            f"{what} must be an array, a frame, a sparse matrix or a list of rows. Got a {type(X).__name__}."
        )
    try:
        return np.asarray(X)
    except ValueError:
        raise ShapeError(
            f"{what} holds rows of different lengths. Give every example as many features."
        ) from None


def _to_csr(X: Any, what: str) -> Any:
    """Return a sparse matrix as CSR. Errors: `DataError` if it is ill-formed."""
    check_sparse(X, what)
    rows = X.tocsr()
    if rows is not X:
        check_sparse(rows, what)
    return rows


def check_sparse(X: Any, what: str) -> None:
    """Raise `DataError` if the arrays of a SciPy matrix contradict each other.

    SciPy follows them without looking, beyond the end of its memory where they say so.
    """
    form = getattr(X, "format", "")
    if form == "coo" and hasattr(X, "row"):
        _check_places(X.row, X.shape[0], len(X.data), "row", what)
        _check_places(X.col, X.shape[1], len(X.data), "col", what)
    elif form in ("csr", "csc", "bsr") and hasattr(X, "indptr"):
        high, wide = X.blocksize if form == "bsr" else (1, 1)
        lines, across = X.shape[0] // high, X.shape[1] // wide
        if form == "csc":
            lines, across = across, lines
        entries = min(len(X.indices), len(X.data))
        starts = X.indptr
        rises = len(starts) == lines + 1 and starts[0] == 0 and bool(np.all(starts[1:] >= starts[:-1]))
        if not rises or starts[-1] > entries:
            _refuse_sparse(what, f"indptr must be {lines + 1} numbers that rise from 0 to at most {entries}")
        _check_places(X.indices[: starts[-1]], across, int(starts[-1]), "indices", what)


def _check_places(places: Array, limit: int, entries: int, name: str, what: str) -> None:
    if len(places) != entries:
        _refuse_sparse(what, f"{name} must have {entries} entries like data. Got {len(places)}")
    if entries == 0:
        return
    for place in (int(places.min()), int(places.max())):
        if not 0 <= place < limit:
            _refuse_sparse(what, f"{name} must lie from 0 to {limit - 1}. Got {place}")


def _refuse_sparse(what: str, wrong: str) -> NoReturn:
    raise DataError(f"{what} is an ill-formed sparse matrix: its {wrong}. Make it anew from its entries.")


def _from_frame(X: Any, what: str) -> Array:
    """Return a frame as numbers. Errors name the column."""
    names = [str(name) for name in X.columns]
    array = np.asarray(X.to_numpy())
    if array.dtype.kind not in "biufO":
        column = names[0] if names else "?"
        raise DTypeError(
            f"column {column!r} of {what} holds values of type {array.dtype}, no numbers. Encode it or leave "
            "it out."
        )
    array = _numbers(array, what, names) if array.dtype.kind == "O" else array
    if array.dtype.kind == "f":
        check_values(array, what, names=names)
    return array


def _numbers(array: Array, what: str, names: Sequence[str] | None = None) -> Array:
    """Return an array of objects as float64; raise naming the first that is no real number."""
    for index, value in np.ndenumerate(array):
        if isinstance(value, numbers.Real | np.bool_):
            continue
        place = _place(index, names)
        if value is None or type(value).__name__ in ("NAType", "NaTType"):
            raise DataError(f"{what} misses a value in {place}. Fill it or leave that example out.")
        raise DTypeError(
            f"{what} holds {value!r} in {place}, which is no real number. Encode that column or leave it out."
        )
    return array.astype(np.float64)


def _place(index: Sequence[int], names: Sequence[str] | None = None) -> str:
    row, *rest = (int(i) for i in index)
    column = rest[0] if len(rest) == 1 else tuple(rest)
    shown = repr(names[rest[0]]) if names and rest else str(column)
    return f"row {row}, column {shown}" if rest else f"row {row}"


def check_values(
    X: Any, what: str = "X", dtype: Any = np.float64, names: Sequence[str] | None = None
) -> None:
    """Raise `DataError` naming row and column of the first NaN, infinity, or number too large for dtype.

    X: (n, d) from `as_features`, read in chunks.
    """
    if X.dtype.kind != "f" or isinstance(X, Chosen):
        return
    largest = np.finfo(dtype).max
    narrower = float(largest) < float(np.finfo(X.dtype).max)
    if is_sparse(X):
        if not _all_representable(X.data, largest, narrower):
            good = _representable(X.data, largest, narrower)
            at = int(np.argmin(good))
            row = int(np.searchsorted(X.indptr, at, side="right")) - 1
            _refuse(X.data[at], what, (row, int(X.indices[at])), dtype, names)
        return
    for rows in chunks(X):
        part = dense_rows(X, rows)
        if not _all_representable(part, largest, narrower):
            good = _representable(part, largest, narrower)
            row, column = (int(i) for i in np.argwhere(~good)[0])
            _refuse(part[row, column], what, (rows.start + row, column), dtype, names)


def all_finite(values: Array) -> bool:
    """Return whether real numbers hold neither NaN nor infinity.

    >>> all_finite(np.array([1.0, np.inf]))
    False
    """
    plain = values.flags.c_contiguous and values.flags.aligned
    if native is None or values.dtype not in (np.float32, np.float64) or not plain:
        return bool(np.isfinite(values).all())
    return bool(native.all_finite(values.reshape(1, -1)))


def _all_representable(values: Array, largest: Any, narrower: bool) -> bool:
    """Return whether a closer look is not needed: in one go, with no array made for it where that can be."""
    if not narrower:
        return all_finite(values)
    return not values.size or bool(-float(largest) <= values.min() and values.max() <= float(largest))


def _representable(values: Array, largest: Any, narrower: bool) -> Array:
    finite: Array = np.isfinite(values)
    return finite & (np.abs(values) <= float(largest)) if narrower else finite


def _refuse(value: Any, what: str, index: tuple[int, int], dtype: Any, names: Sequence[str] | None) -> None:
    place = _place(index, names)
    if np.isfinite(value):
        raise DataError(
            f"{what} holds {value:g} in {place}, too large for {np.dtype(dtype).name}. "
            f"Scale {what}, or use dtype='float64'."
        )
    raise DataError(
        f"{what} holds {value} in {place}. Remove or replace such values (for example by the column's "
        "median)."
    )
