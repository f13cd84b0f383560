"""The target of a table: labels or numbers as they are given."""

from __future__ import annotations

import datetime
import numbers
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DataError, DTypeError, ShapeError
from clearprop.tabular.texts import is_gap
from clearprop.training.scaling import check_range

__all__ = ["as_labels", "as_numbers"]

_TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


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
        raise DataError(f"y has no label in data row {gaps[0] + 1}. Leave out such rows.")
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
    `DataError` for NaN, infinities and numbers beyond ±1e300.
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
    check_range(values, "y")
    return values
