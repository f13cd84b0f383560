"""Constants as text: as few digits as identify each number, and tables of them."""

from __future__ import annotations

from collections.abc import Iterable

from clearprop.arrays import Array

__all__ = ["columns", "digits"]

_WIDTH = 96


def digits(values: Array) -> list[str]:
    """Return each number with the digits that identify it in its dtype, always with a point or an exponent.

    >>> import numpy as np
    >>> digits(np.array([0.1, 1.0, 1e-20], np.float32))
    ['0.1', '1.0', '1e-20']
    """
    return [str(v) for v in values.reshape(-1)]


def columns(items: Iterable[str], indent: str) -> str:
    """Return items with commas, in lines of at most 96 characters.

    >>> columns(["1.0", "2.0"], "  ")
    '  1.0, 2.0,'
    """
    lines, line = [], ""
    for item in items:
        if len(indent) + len(line) + len(item) > _WIDTH:
            lines.append(line)
            line = ""
        line += f"{item}, "
    return "\n".join(f"{indent}{line.rstrip()}" for line in [*lines, line] if line)
