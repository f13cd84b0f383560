"""JSON that loses nothing: no NaN, no duplicate keys, one spelling for one content.

Python writes a float64 with as many digits as identify it, so numbers come back bit for bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from clearprop.errors import DTypeError, OptionError

__all__ = ["dumps", "loads", "plain"]


def dumps(value: Any, *, ascii_only: bool = True) -> str:
    """Return plain data as JSON in its one canonical spelling: sorted keys, no spaces.

    >>> dumps({"b": [1, 0.1], "a": None})
    '{"a":null,"b":[1,0.1]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only, allow_nan=False)


def loads(text: str) -> Any:
    """Return what JSON text means; raise `ValueError` that says what is wrong with it.

    >>> loads('{"a": 1, "a": 2}')
    Traceback (most recent call last):
        ...
    ValueError: the key 'a' occurs twice
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} occurs twice")
        found[key] = value
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:80]} is too large")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def plain(value: Any, where: str) -> Any:
    """Return `value` as data that JSON keeps exactly: None, bool, int, float, str, list, dict.

    Tuples become lists and NumPy's scalars Python's. `where` names the value in messages.
    Errors: `DTypeError` for anything else; `OptionError` for NaN and infinity.

    >>> plain({"mean": (np.float64(0.5), np.int64(3))}, "extra")
    {'mean': [0.5, 3]}
    """
    try:
        return _plain(value, where)
    except RecursionError:
        raise OptionError(f"{where} is nested too deeply to be saved, or contains itself.") from None


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OptionError(f"{where} is {value}, which a file cannot hold. Give a finite number or None.")
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DTypeError(f"{where} has the key {key!r}; only text can be the key of saved data.")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    hint = " Arrays go into extra_tensors." if isinstance(value, np.ndarray) else ""
    raise DTypeError(
        f"{where} is a {type(value).__name__}, which a file cannot hold. Give numbers, text, None, "
        f"lists or dictionaries.{hint}"
    )
