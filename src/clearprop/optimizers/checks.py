"""Validation of the options of frozen descriptions: one sentence for the whole library.

"eta of Adam must be a finite number > 0. Got -1." A function here reads an option of a frozen
dataclass, checks it and stores it as plain Python data, so that `config()` holds no NumPy scalars.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

from clearprop.errors import DTypeError, OptionError, did_you_mean, one_of

__all__ = ["check_choice", "check_flag", "check_number", "check_whole"]


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
    value = getattr(thing, option)
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">", above), (">=", at_least), ("<", below), ("<=", at_most))
        if bound is not None
    ]
    wanted = f"a finite number {' and '.join(bounds)}".rstrip()
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise DTypeError(_sentence(thing, option, wanted, value))
    number = float(value)
    fits = (
        math.isfinite(number)
        and (above is None or number > above)
        and (at_least is None or number >= at_least)
        and (below is None or number < below)
        and (at_most is None or number <= at_most)
    )
    if not fits:
        raise OptionError(_sentence(thing, option, wanted, value))
    object.__setattr__(thing, option, number)


def check_whole(thing: object, option: str, *, at_least: int) -> None:
    """Make `option` of `thing` an int that is at least `at_least`; raise `DTypeError` or `OptionError`."""
    value = getattr(thing, option)
    wanted = f"a whole number >= {at_least}"
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise DTypeError(_sentence(thing, option, wanted, value))
    if value < at_least:
        raise OptionError(_sentence(thing, option, wanted, value))
    object.__setattr__(thing, option, int(value))


def check_choice(thing: object, option: str, choices: tuple[str, ...]) -> None:
    """Raise `OptionError`, with the nearest choice, unless `option` of `thing` is one of `choices`."""
    value = getattr(thing, option)
    if value not in choices:
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise OptionError(_sentence(thing, option, f"one of {one_of(choices)}", value) + hint)


def check_flag(thing: object, option: str) -> None:
    """Raise `DTypeError` unless `option` of `thing` is True or False."""
    value = getattr(thing, option)
    if not isinstance(value, bool):
        raise DTypeError(_sentence(thing, option, "True or False", value))


def _sentence(thing: object, option: str, wanted: str, value: Any) -> str:
    return f"{option} of {type(thing).__name__} must be {wanted}. Got {value!r}."
