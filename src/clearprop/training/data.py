"""Data as the training loop reads it: by index, in memory, mapped from a file, or sparse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import ShapeError
from clearprop.training.affine import Affine
from clearprop.training.features import (
    Chosen,
    as_features,
    check_values,
    chunks,
    dense_rows,
    is_mapped,
    is_sparse,
    is_stream,
)
from clearprop.training.weights import mean_one

__all__ = ["Affine", "Examples", "as_features", "is_sparse", "is_stream", "mean_one"]

_CHUNK_BYTES = 1 << 22
"""Of features that are predicted at a time: what a processor's cache holds."""


@dataclass(frozen=True)
class Examples:
    """Data that lies somewhere as a whole and is read by index: features, encoded targets, weights.

    What is mapped or sparse stays as it was given and is converted as rows are read, so a file larger than
    memory is never loaded; everything else is converted once.
    """

    X: Any
    """(n, d), dense, CSR or `Columns`."""
    y: Array
    """(n, n_out), encoded."""
    weights: Array | None
    """(n,), mean 1 over the data set, or None."""
    dtype: np.dtype[Any]
    preprocessing: Affine | None = None
    """Applied to rows as they are read; None where nothing is left to do."""
    rows: Array | None = None
    """Which rows of X these are, (n,); None for all of them."""

    @classmethod
    def prepare(
        cls,
        X: Any,
        y: Array,
        weights: Array | None,
        dtype: Any,
        preprocessing: Affine | None = None,
        what: str = "X",
        checked: bool = False,
    ) -> Examples:
        """Return the examples after checking sizes and values; X as from `as_features`.

        checked: whether `check_values` has looked at X already.
        """
        if X.shape[0] != y.shape[0]:
            raise ShapeError(
                f"{what} has {X.shape[0]} examples and its targets {y.shape[0]}. They must agree."
            )
        dtype = np.dtype(dtype)
        if not checked:
            check_values(X, what, dtype)
        if preprocessing is not None:
            preprocessing.check(X.shape[1])
        if is_sparse(X) or is_mapped(X):
            return cls(X, y, weights, dtype, preprocessing)
        if preprocessing is None:
            return cls(np.ascontiguousarray(X, dtype=dtype), y, weights, dtype)
        scaled = np.empty(X.shape, dtype)
        for part in chunks(X):
            scaled[part] = preprocessing(X[part], dtype)
        return cls(scaled, y, weights, dtype)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def row_bytes(self) -> int:
        """Size of one example's features in the network's dtype, in bytes."""
        return max(1, int(self.X.shape[1]) * self.dtype.itemsize)

    @property
    def chunk_rows(self) -> int:
        """Examples that are predicted at a time: what 4 MiB hold, and at most 4096."""
        return max(1, min(4096, _CHUNK_BYTES // self.row_bytes))

    def take(self, indices: Array) -> tuple[Array, Array, Array | None]:
        """Return rows X (n, d), y (n, n_out) and weights (n,) of these examples, in the network's dtype."""
        weights = None if self.weights is None else self.weights.take(indices)
        return self._read(indices), self.y.take(indices, axis=0), weights

    def _read(self, indices: Array) -> Array:
        if self.rows is not None:
            indices = self.rows.take(indices)
        X = self.X
        if isinstance(X, np.ndarray) and X.flags.c_contiguous:
            rows = X.take(indices, axis=0)
        else:  # of an array that is not contiguous, take would first make a copy of the whole
            rows = dense_rows(X, indices)
        if self.preprocessing is not None:
            return self.preprocessing(rows, self.dtype)
        return rows if rows.dtype == self.dtype else rows.astype(self.dtype)

    def part(self, indices: Array) -> Examples:
        """Return these examples alone, with their weights scaled to mean 1; mapped data are not read."""
        X, rows = self.X, self.rows
        if is_mapped(X):
            rows = indices if rows is None else rows[indices]
        else:
            X = X[indices]
        weights = None if self.weights is None else mean_one(self.weights[indices], len(indices), self.dtype)
        return Examples(X, self.y[indices], weights, self.dtype, self.preprocessing, rows)

    def settled(self) -> Examples:
        """Return the examples as a run reads them: what `Chosen` has put off is done, or need not be.

        Rows that lie in memory as the network wants them stay where they are and are read by index.
        """
        if not isinstance(self.X, Chosen):
            return self
        X, rows = self.X.data, self.X.rows
        if self.rows is not None:
            rows = self.rows if rows is None else rows[self.rows]
        as_wanted = self.preprocessing is None and X.dtype == self.dtype
        if is_sparse(X) or is_mapped(X) or (as_wanted and X.flags.c_contiguous):
            return Examples(X, self.y, self.weights, self.dtype, self.preprocessing, rows)
        own = X if rows is None else X[rows]
        return Examples.prepare(own, self.y, self.weights, self.dtype, self.preprocessing)

    def batches(self, size: int) -> Iterator[tuple[Array, Array, Array | None]]:
        """Yield all examples in order, in batches of `size`."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))
