"""Values of a table as texts: what means a gap, what is a number or a date, and what means the same."""

from __future__ import annotations

import contextlib
import datetime
import re
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.cells import MISSING_WORDS, TRUTH

__all__ = ["DATE", "as_date", "common_form", "date_of", "is_gap", "texts_of"]

_ZONE = r"(Z|[+-][0-9]{2}:[0-9]{2})"
DATE = re.compile(
    rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,9}})?)?{_ZONE}?)?"
)
"""Text that is a date."""

_ANY_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def is_gap(value: Any) -> bool:
    """Whether a value is None or does not equal itself (NaN, NaT), or is pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating | np.datetime64) and bool(value != value)


def as_date(value: Any) -> np.datetime64:
    """Return a date of any make, without its time zone: that of UTC. A gap is NaT."""
    if is_gap(value):
        return np.datetime64("NaT", "s")
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    date: np.datetime64 = np.datetime64(value).astype("datetime64[s]")
    return date


def date_of(text: str) -> np.datetime64:
    """Return the date that ISO text means, in UTC where it names a zone. Errors: `ValueError` for no date.

    >>> str(date_of("2024-02-05 01:30+02:00"))
    '2024-02-04T23:30:00'
    """
    return as_date(datetime.datetime.fromisoformat(text))


def texts_of(values: list[Any]) -> Array:
    """Return values as texts, None for those that are missing; whole numbers without a decimal point."""
    found = np.empty(len(values), object)
    known: dict[Any, str | None] = {}
    for i, value in enumerate(values):
        try:
            key = (type(value), value)
            if key not in known:
                known[key] = _text(value)
            found[i] = known[key]
        except TypeError:  # not hashable
            found[i] = _text(value)
    return found


def _text(value: Any) -> str | None:
    if is_gap(value):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    elif isinstance(value, datetime.date | np.datetime64):
        value = common_form(str(as_date(value)))
    text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
    return None if text.lower() in MISSING_WORDS else text


def common_form(text: str) -> str:
    """Return the one form of a number, truth value or date that is written in one way or another.

    Other text comes back as it is. What must tell "1.10" from "1.1" compares the texts themselves first.

    >>> [common_form(text) for text in ("2.50", "1e3", "007", "TRUE", "2024-02-05 00:00:00", "red")]
    ['2.5', '1000', '7', 'true', '2024-02-05', 'red']
    """
    if text.lower() in TRUTH:
        return text.lower()
    if _ANY_NUMBER.fullmatch(text):
        return _common_number(text)
    if DATE.fullmatch(text):
        with contextlib.suppress(ValueError):  # a day that no month has
            return str(date_of(text)).removesuffix("T00:00:00")
    return text


def _common_number(text: str) -> str:
    whole, _, fraction = text.partition(".")
    if "e" in text.lower() or fraction.strip("0"):
        value = float(text)
        return text if np.isinf(value) else str(_text(value))
    digits = whole.lstrip("+-").lstrip("0") or "0"  # not by way of a float: identifiers may be long
    return f"-{digits}" if whole.startswith("-") and digits != "0" else digits
