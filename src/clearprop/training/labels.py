"""What a user may give as y, as a clean array: numbers or labels, none missing, of one type."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from clearprop.arrays import Array, has_masked
from clearprop.errors import DataError, DTypeError, ShapeError
from clearprop.training.features import check_sparse, is_sparse

__all__ = ["as_targets", "check_has_order", "family", "filled_up", "plain_values"]

_FAMILIES = {**dict.fromkeys("biuf", "numbers"), "U": "text"}


def as_targets(y: Any, where: str = "y") -> Array:
    """Return y as an array without missing values: an array, a list, a pandas or polars column or frame.

    Text, booleans, numbers, and objects that are one of these, keep their dtype.
    Errors: `ShapeError` for a single value or rows of different lengths; `DataError` if empty, where a value
    is missing, NaN or infinite, or where labels have several types; `DTypeError` for anything else.
    """
    array = _to_array(y, where)
    if array.ndim == 0:
        raise ShapeError(f"{where} must hold one target per example. Got {_short(y)}.")
    if 0 in array.shape:
        raise DataError(f"{where} is empty: its shape is {array.shape}. Give at least one example.")
    if array.dtype.kind == "T":
        array = array.astype(np.str_)
    if array.dtype.kind == "O":
        _check_objects(array, where)
    elif array.dtype.kind == "f":
        _check_finite(array, where)
    elif array.dtype.kind == "S":
        raise DTypeError(_undecoded(where))
    elif array.dtype.kind not in _FAMILIES:
        raise DTypeError(
            f"{where} holds values of type {array.dtype}; targets must be numbers or labels (text, booleans, "
            "whole "
            "numbers). Convert them first."
        )
    return array


def plain_values(y: Array, where: str = "y") -> Array:
    """Return targets from `as_targets` with objects as what they are: numbers or text.

    >>> plain_values(np.array(["b", "a"], dtype=object))
    array(['b', 'a'], dtype='<U1')
    """
    if y.dtype.kind != "O":
        return y
    values = np.asarray(y.reshape(-1).tolist()).reshape(y.shape)
    if values.dtype.kind not in _FAMILIES:
        raise DTypeError(f"{where} holds numbers that no NumPy type can hold, such as {y.reshape(-1)[0]!r}.")
    return values


def family(values: Array) -> str:
    """Return what plain values are: "numbers" or "text"."""
    return _FAMILIES[values.dtype.kind]


def _to_array(y: Any, where: str) -> Array:
    if has_masked(y):
        raise DataError(f"{where} has masked values. Leave those examples out.")
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    elif hasattr(y, "toarray"):
        if is_sparse(y) and len(y.shape) == 2:
            check_sparse(y, where)
        y = y.toarray()
    try:
        array = np.asarray(y)
    except ValueError:
        raise ShapeError(
            f"{where} holds rows of different lengths. Give every example as many targets."
        ) from None
    if array.dtype.kind in "US" and isinstance(y, list | tuple):
        _check_one_type([type(v) for v in y if not isinstance(v, list | tuple | np.ndarray)], where)
    return array


def _undecoded(where: str) -> str:
    return (
        f"{where} holds bytes; labels must be text, booleans or whole numbers. Decode them first: "
        f"np.char.decode({where}, 'utf-8')."
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _check_finite(array: Array, where: str) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        place = f"row {index[0]}" + "".join(f", column {i}" for i in index[1:])
        raise DataError(f"{where} holds {array[index]} in {place}. Remove that example or give its target.")


def _check_objects(array: Array, where: str) -> None:
    size = array[0:1].size
    types = set()
    for i, value in enumerate(array.reshape(-1).tolist()):
        if _is_missing(value):
            raise DataError(
                f"{where} holds a missing value, {value!r}, in row {i // size}. Remove that example or give "
                "its target."
            )
        if isinstance(value, bytes):
            raise DTypeError(_undecoded(where))
        if not isinstance(value, str | numbers.Real | np.bool_):
            raise DTypeError(
                f"{where} holds {_short(value)} in row {i // size}, a {type(value).__name__}; targets must "
                "be numbers or "
                "labels (text, booleans, whole numbers). Convert them first."
            )
        types.add(type(value))
    _check_one_type(list(types), where)


def _check_one_type(types: list[type], where: str) -> None:
    """Raise `DataError` where text, bytes and numbers are mixed."""
    kinds = {str if issubclass(t, str) else bytes if issubclass(t, bytes) else float for t in types}
    if len(kinds) > 1:
        names = ", ".join(sorted({t.__name__ for t in types}))
        raise DataError(f"{where} mixes labels of the types {names}. Give them one type.")


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, numbers.Real) and value != value


def check_has_order(y: Array, where: str) -> None:
    """Raise `DataError` for labels in text: their order is not that of the alphabet."""
    if family(y) != "numbers":
        shown = ", ".join(repr(label) for label in np.unique(y)[:6].tolist())
        raise DataError(
            f"{where} holds text such as {shown}, and the output layer needs the classes in their order. "
            "List them from the lowest to the highest in Network(…, classes=[…])."
        )


def filled_up(labels: tuple[Any, ...], n_out: int, may_fill: bool, where: str) -> tuple[Any, ...]:
    """Return 0 … n_out - 1 when the labels are among those: a class missing from y keeps its place."""
    if len(labels) > n_out:
        raise ShapeError(
            f"{where} holds {len(labels)} classes; the last layer has {n_out} outputs. Give the last layer "
            f"{len(labels)} outputs, or leave its size out."
        )
    whole = all(isinstance(x, int | float) and not isinstance(x, bool) and x == int(x) for x in labels)
    if may_fill and whole and min(labels) >= 0 and max(labels) < n_out:
        return tuple(type(labels[0])(i) for i in range(n_out))
    if may_fill and whole:
        odd = max(labels) if max(labels) >= n_out else min(labels)
        raise DataError(
            f"{where} holds the label {odd!r}; with {n_out} outputs whole-number labels must lie in "
            f"0 … {n_out - 1}, or there must be {n_out} different ones. List all labels in Network(…, "
            "classes=[…])."
        )
    raise DataError(
        f"{where} holds {len(labels)} classes; the last layer has {n_out} outputs. Give the last layer "
        f"{len(labels)} "
        "outputs, leave its size out, or list all labels in Network(…, classes=[…])."
    )
