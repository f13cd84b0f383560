"""Validation of options: one sentence for the whole library.

"eta of Adam must be a finite number > 0. Got -1." `as_number` and its kin check a value and return it as
plain Python data; `check_number` and its kin do so with an option of a frozen description, so that its
`config()` holds no NumPy scalars. A wrong type is a `DTypeError`, a wrong value an `OptionError`.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearprop.errors import DTypeError, OptionError, ShapeError, did_you_mean, one_of

__all__ = [
    "as_array",
    "as_choice",
    "as_flag",
    "as_items",
    "as_number",
    "as_numbers",
    "as_path",
    "as_whole",
    "check_choice",
    "check_flag",
    "check_number",
    "check_whole",
]


def as_number(
    what: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> float:
    """Return `value` as a finite float within the bounds; `what` names it in messages.

    >>> as_number("validation_fraction", 1.5, at_least=0, below=1)
    Traceback (most recent call last):
    clearprop.errors.OptionError: validation_fraction must be a finite number >= 0 and < 1. Got 1.5.
    """
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">", above), (">=", at_least), ("<", below), ("<=", at_most))
        if bound is not None
    ]
    wanted = f"a finite number {' and '.join(bounds)}".rstrip()
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise DTypeError(_sentence(what, wanted, value))
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond all floats
        number = math.inf
    fits = (
        math.isfinite(number)
        and (above is None or number > above)
        and (at_least is None or number >= at_least)
        and (below is None or number < below)
        and (at_most is None or number <= at_most)
    )
    if not fits:
        raise OptionError(_sentence(what, wanted, value))
    return number


def as_whole(what: str, value: Any, *, at_least: int) -> int:
    """Return `value` as an int that is at least `at_least`; `what` names it in messages.

    >>> as_whole("batch_size", 2.5, at_least=1)
    Traceback (most recent call last):
    clearprop.errors.DTypeError: batch_size must be a whole number >= 1. Got 2.5.
    """
    wanted = f"a whole number >= {at_least}"
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise DTypeError(_sentence(what, wanted, value))
    if value < at_least:
        raise OptionError(_sentence(what, wanted, value))
    return int(value)


def as_choice(what: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of `choices`; else raise `OptionError` with the nearest of them.

    >>> as_choice("task", "regresion", ("classification", "regression"))
    Traceback (most recent call last):
    clearprop.errors.OptionError: task must be one of 'classification', 'regression'. Got 'regresion'. \
Did you mean 'regression'?
    """
    if not isinstance(value, str) or value not in choices:
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise OptionError(_sentence(what, f"one of {one_of(choices)}", value) + hint)
    return value


def as_flag(what: str, value: Any) -> bool:
    """Return `value` if it is True or False; else raise `DTypeError`."""
    if not isinstance(value, bool):
        raise DTypeError(_sentence(what, "True or False", value))
    return value


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return `path` as a `Path`; raise `DTypeError` or `OptionError` for what can be none."""
    if not isinstance(path, str | os.PathLike):
        raise DTypeError(f"a path must be a string or a pathlib.Path. Got {path!r}.")
    text = os.fspath(path)
    if not isinstance(text, str) or not text or "\0" in text or not _is_encodable(text):
        raise OptionError(
            f"a path must be text that a file system can hold, not empty and without null characters. "
            f"Got {text!r}."
        )
    return Path(text)


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def as_items(what: str, value: Any) -> tuple[Any, ...]:
    """Return what is in a list or another collection as a tuple; raise `DTypeError` for what is none.

    >>> as_items("counts", 3)
    Traceback (most recent call last):
    clearprop.errors.DTypeError: counts must be a list. Got 3.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise DTypeError(_sentence(what, "a list", value))
    try:
        return tuple(value)
    except TypeError:  # it says that it is one, and is none: a sparse matrix
        raise DTypeError(_sentence(what, "a list", value)) from None


def as_array(what: str, value: Any) -> NDArray[Any]:
    """Return `value` as an array; raise `ShapeError` where it is no rectangle of values.

    >>> as_array("X", [[1, 2], [3]])
    Traceback (most recent call last):
    clearprop.errors.ShapeError: X holds rows of different lengths. Give as many values in each.
    """
    try:
        return np.asarray(value)
    except ValueError as error:
        if "maximum number of dimension" in str(error):
            raise ShapeError(f"{what} is nested too deeply. Give rows of values.") from None
        raise ShapeError(f"{what} holds rows of different lengths. Give as many values in each.") from None


def as_numbers(what: str, value: Any) -> NDArray[Any]:
    """Return `value` as an array of real numbers or truth values; raise `ShapeError` or `DTypeError`."""
    array = as_array(what, value)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{what} must hold numbers. Got values of type {array.dtype}.")
    return array


def check_number(
    thing: object,
    option: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> None:
    """Make `option` of `thing` a float within the bounds; raise `DTypeError` or `OptionError`.

    >>> from clearprop.optimizers import Adam
    >>> Adam(-1)
    Traceback (most recent call last):
    clearprop.errors.OptionError: eta of Adam must be a finite number > 0. Got -1.
    """
    number = as_number(
        _name(thing, option),
        getattr(thing, option),
        above=above,
        at_least=at_least,
        below=below,
        at_most=at_most,
    )
    object.__setattr__(thing, option, number)


def check_whole(thing: object, option: str, *, at_least: int) -> None:
    """Make `option` of `thing` an int that is at least `at_least`; raise `DTypeError` or `OptionError`."""
    whole = as_whole(_name(thing, option), getattr(thing, option), at_least=at_least)
    object.__setattr__(thing, option, whole)


def check_choice(thing: object, option: str, choices: tuple[str, ...]) -> None:
    """Raise `OptionError`, with the nearest choice, unless `option` of `thing` is one of `choices`."""
    as_choice(_name(thing, option), getattr(thing, option), choices)


def check_flag(thing: object, option: str) -> None:
    """Raise `DTypeError` unless `option` of `thing` is True or False."""
    as_flag(_name(thing, option), getattr(thing, option))


def _name(thing: object, option: str) -> str:
    return f"{option} of {type(thing).__name__}"


def _sentence(what: str, wanted: str, value: Any) -> str:
    return f"{what} must be {wanted}. Got {value!r}."
