"""Preprocessing that is saved with the network: a shift and a factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_array
from clearprop.errors import DTypeError, OptionError, ShapeError
from clearprop.training.features import chunks, dense_rows, is_sparse

__all__ = ["Affine"]


@dataclass(frozen=True, eq=False)
class Affine:
    """Preprocessing that is saved with the network: x <- (x - shift) * factor, per feature or for all alike.

    >>> Affine(factor=1 / 16)(np.array([[0.0, 8.0, 16.0]]))
    array([[0. , 0.5, 1. ]])
    """

    shift: Any = 0.0
    """A number or (d,)."""
    factor: Any = 1.0
    """A number or (d,)."""

    def __post_init__(self) -> None:
        for name in ("shift", "factor"):
            object.__setattr__(self, name, _checked(name, getattr(self, name)))

    def __call__(self, X: Array, dtype: Any = None) -> Array:
        """Return (X - shift) * factor in `dtype`; left out, in the dtype of X, or float64 if that is integer.

        The difference is taken in the more precise of both, so that a large shift loses no digits.
        """
        if is_sparse(X):
            raise OptionError("sparse X cannot be shifted and stay sparse. Call X.toarray() first.")
        X = np.asarray(X)
        if dtype is None:
            dtype = X.dtype if X.dtype.kind == "f" else np.float64
        work = np.result_type(X.dtype, dtype)
        shift, factor = (np.asarray(v, dtype=work) for v in (self.shift, self.factor))
        out: Array = ((X - shift) * factor).astype(dtype, copy=False)
        return out

    def check(self, n_in: int) -> None:
        """Raise `ShapeError` unless shift and factor fit `n_in` features."""
        for name in ("shift", "factor"):
            shape = np.shape(getattr(self, name))
            if shape not in ((), (1,), (n_in,)):
                raise ShapeError(
                    f"{name} of Affine has shape {shape}; X has {n_in} features, so give ({n_in},)."
                )

    @classmethod
    def standardize(cls, X: Any, rows: Array | None = None) -> Affine:
        """Return the preprocessing that gives every feature of X mean 0 and standard deviation 1.

        A feature that never varies is only shifted. X: (n, d), dense or sparse, read in chunks. rows: indices
        of the examples to take the figures from; None for all.
        """
        n = X.shape[0] if rows is None else len(rows)
        pieces = [*chunks(X, n)] if rows is None else [rows[piece] for piece in chunks(X, n)]
        # Squares overflow above 1e154 and vanish below 1e-162, so each feature is measured in the power of
        # two next above its largest magnitude, which rounds nothing.
        largest = np.max([np.abs(_rows(X, piece)).max(axis=0) for piece in pieces], axis=0)
        exponent = np.frexp(largest)[1]
        mean = sum(np.ldexp(_rows(X, piece), -exponent).sum(axis=0) for piece in pieces) / n
        parts = (np.ldexp(_rows(X, piece), -exponent) - mean for piece in pieces)
        spread = np.sqrt(sum((part**2).sum(axis=0) for part in parts) / n)
        deviation = np.ldexp(spread, exponent)
        # Rounding alone gives a constant a spread of about 1e-16; the inverse of a subnormal is infinite.
        smallest = np.finfo(X.dtype if X.dtype.kind == "f" else np.float64).tiny
        constant = (spread <= 1e-12) | (deviation < smallest)
        return cls(np.ldexp(mean, exponent), 1 / np.where(constant, 1.0, deviation))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Affine):
            return NotImplemented
        return np.array_equal(self.shift, other.shift) and np.array_equal(self.factor, other.factor)

    def __hash__(self) -> int:
        return hash((np.asarray(self.shift).tobytes(), np.asarray(self.factor).tobytes()))


def _rows(X: Any, rows: Any) -> Array:
    return dense_rows(X, rows).astype(np.float64)


def _checked(name: str, value: Any) -> Any:
    array = as_array(f"{name} of Affine", value)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{name} of Affine must be a number or an array of numbers. Got {value!r}.")
    if array.ndim > 1 or not np.all(np.isfinite(array)):
        raise OptionError(f"{name} of Affine must be finite, a number or (features,). Got {value!r}.")
    return float(array) if array.ndim == 0 else array.astype(np.float64)
