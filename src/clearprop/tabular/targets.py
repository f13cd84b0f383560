"""The target of a table: labels or numbers as they are given, and the unit in which numbers are learned."""

from __future__ import annotations

import datetime
import numbers
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DataError, DTypeError, ShapeError
from clearprop.tabular.texts import is_gap

__all__ = ["as_labels", "as_numbers", "target_scale"]

_LARGEST = 1e37
"""The largest number of a target: float32 ends at 3.4e38, and a sum of the outputs needs room."""

_TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
_TOLD_APART = 1e-12
"""The least spread of a target beside its size that is learned: below it rounding takes over."""


def as_labels(y: Any) -> Array:
    """Return labels (n,) that equal the given ones: numbers and truth values as such, all else as text.

    Errors: `ShapeError` for another shape; `DataError` for a gap.

    >>> as_labels(np.array([np.int64(3), np.int64(5)], object)).dtype.kind
    'i'
    """
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not len(labels):
        raise ShapeError(f"y has shape {labels.shape}; labels are (n,), one for each row.")
    given = labels.tolist()
    gaps = [i for i, label in enumerate(given) if is_gap(label)]
    if gaps:
        raise DataError(f"y has no label in row {gaps[0]}. Leave out such rows.")
    return _of_objects(given) if labels.dtype == object else labels


def _of_objects(given: list[Any]) -> Array:
    truths = [isinstance(label, bool | np.bool_) for label in given]
    if all(truths):
        return np.array(given, bool)
    if not any(truths) and all(isinstance(label, numbers.Real) for label in given):
        found = np.array(given)
        if found.dtype.kind in "iuf" and found.tolist() == given:
            return found
    return np.array(given, object).astype(str)


def as_numbers(y: Any) -> Array:
    """Return numbers to be learned, (n,) or (n, k) of float64.

    Errors: `DTypeError` for dates, spans of time, complex numbers and what is no number; `ShapeError`;
    `DataError` for NaN, infinities and numbers beyond ±1e37.
    """
    given = np.asarray(y)
    odd = next((v for v in given.flat if isinstance(v, _TIMES)), None) if given.dtype == object else None
    if odd is not None or given.dtype.kind in "mMc":
        what = given.dtype if odd is None else f"{type(odd).__name__} objects"
        raise DTypeError(f"y holds {what}. Give real numbers, such as days since a date.")
    try:
        values = np.asarray(y, np.float64)
    except (TypeError, ValueError):
        raise DTypeError("y holds what is no number. For labels there is TabularClassifier.") from None
    if values.ndim not in (1, 2) or not values.size:
        raise ShapeError(f"y has shape {values.shape}; it must be (n,) or (n, k).")
    wrong = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(wrong):
        raise DataError(f"y is NaN or infinite in row {wrong[0]}. Leave out such rows.")
    large = np.flatnonzero((np.abs(values) > _LARGEST).reshape(len(values), -1).any(axis=1))
    if len(large):
        raise DataError(f"y is beyond ±{_LARGEST:g} in row {large[0]}. Give it in a larger unit.")
    return values


def target_scale(y: Array, dtype: str) -> tuple[Array, Array]:
    """Return mean and standard deviation of each output of a target, (k,) each.

    y: (n,) or (n, k). dtype: that of the networks. Errors: `DataError` for a target that is the same in
    every row, or differs by less than float64 or the networks can tell apart.

    >>> [part.tolist() for part in target_scale(np.array([1.0, 3.0]), "float32")]
    [[2.0], [1.0]]
    """
    rows = y.reshape(len(y), -1).astype(np.float64)
    shift = rows.mean(axis=0)
    _, power = np.frexp(np.abs(rows - shift).max(axis=0))
    scale = np.ldexp(np.ldexp(rows, -power).std(axis=0), power)  # squares of tiny numbers are 0 otherwise
    for j in range(rows.shape[1]):
        which = f"output {j} of the target" if rows.shape[1] > 1 else "the target"
        if (rows[:, j] == rows[0, j]).all():
            raise DataError(f"{which} is {rows[0, j]:g} in every row: there is nothing to learn.")
        if not scale[j] > _TOLD_APART * abs(shift[j]):
            raise DataError(
                f"{which} is {shift[j]:g} but for less than {_TOLD_APART:g} of that. Subtract what its rows "
                "have in common."
            )
        if scale[j] < _least(dtype):
            other = ", or take dtype='float64'" if scale[j] >= _least("float64") else ""
            raise DataError(
                f"{which} varies by {scale[j]:.3g}, too little for {dtype}. Give it in a smaller unit{other}."
            )
    return shift, scale


def _least(dtype: str) -> float:
    """Return the least deviation of a target whose multiples a dtype holds with all its digits."""
    info = np.finfo(dtype)
    return float(info.smallest_normal) / float(info.eps)
