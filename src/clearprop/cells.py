"""What the cells of a table in text mean: numbers, truth values, gaps, or words as they stand."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MISSING_WORDS", "NUMBER", "TRUTH", "Texts", "is_truth", "number_of", "typed", "with_points"]

MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""What stands for no value in a column of text, in any case."""
TRUTH = {"false": 0.0, "true": 1.0}
"""The words of truth values, in any case, and what they count as."""

NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*|(?=\.[0-9]))(\.[0-9]*)?([eE][+-]?[0-9]+)?")
"""Text that is a number, and no code that begins with a zero."""

_NUMBER_OR_INFINITY = re.compile(rf"{NUMBER.pattern}|[+-]?(?i:inf(inity)?)", re.ASCII)
_WITH_COMMA = re.compile(r"[+-]?(0|[1-9][0-9]*|(?=,[0-9]))(,[0-9]*)?([eE][+-]?[0-9]+)?")


class Texts:
    """A column of text by its distinct texts, so that each is looked at once."""

    def __init__(self, column: NDArray[Any]) -> None:
        """column: (n,) of texts, NaN where a cell is empty."""
        import pandas

        self.codes, found = pandas.factorize(column)
        self.distinct: list[str] = found.tolist()

    def spread(self, values: Sequence[Any], gap: Any, dtype: Any) -> NDArray[Any]:
        """Return for each row the value of its text, `gap` where the cell is empty."""
        found: NDArray[Any] = np.array([*values, gap], dtype)[self.codes]
        return found


def number_of(value: Any) -> float:
    """Return the number that a cell is, NaN for anything else.

    >>> number_of(" 007"), number_of("1_000")
    (7.0, nan)
    """
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        return math.nan  # Python reads 1_000 as a number; tables do not mean that
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def is_truth(texts: Collection[str]) -> bool:
    """Return whether there are texts, and all are "true" or "false", in any case."""
    return bool(texts) and all(text.strip().lower() in TRUTH for text in texts)


def with_points(texts: Sequence[str]) -> list[str] | None:
    """Return numbers with decimal commas as numbers with points; None where the texts are not all such.

    >>> with_points(["1,5", "-2", "?"]), with_points(["1", "2"]), with_points(["1.234,5"])
    (['1.5', '-2', '?'], None, None)
    """
    said = [text for text in texts if text.strip().lower() not in MISSING_WORDS]
    if not any("," in text for text in said) or not all(_WITH_COMMA.fullmatch(t.strip()) for t in said):
        return None
    return [text.replace(",", ".") for text in texts]


def typed(column: NDArray[Any], decimal: str) -> NDArray[Any]:
    """Return a column of text as what `clearprop.tabular.read` would make of it, much sooner.

    float64 where all are numbers, NaN for no value; booleans where all are true or false; else the text.
    column: texts, NaN where a cell is empty. decimal: "," where numbers may have a decimal comma.
    """
    texts = Texts(column)
    distinct = texts.distinct
    if decimal == ",":
        distinct = with_points(distinct) or distinct
    cells = [text.strip() for text in distinct]
    said = [cell for cell in cells if cell.lower() not in MISSING_WORDS]
    if is_truth(said):
        truths = [None if cell.lower() in MISSING_WORDS else cell.lower() == "true" for cell in cells]
        found = texts.spread(truths, None, object)
        return found if any(value is None for value in found) else found.astype(bool)
    if (said or not cells) and all(map(_NUMBER_OR_INFINITY.fullmatch, said)):
        return texts.spread([number_of(cell) for cell in cells], math.nan, np.float64)
    return column
