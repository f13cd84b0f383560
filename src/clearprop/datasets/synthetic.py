"""Small made data sets, the classic shapes; their noise and order come from the project's own streams.

Each returns (X, y). The geometry of `moons` and `circles` is scikit-learn's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearprop.checks import as_flag, as_number
from clearprop.errors import OptionError
from clearprop.random import Purpose, stream

__all__ = ["circles", "moons", "spirals", "toy_step", "xor"]

Float64 = NDArray[np.float64]
Labels = NDArray[np.int64]

# The first position of each data set's streams; part of every result, so never changed.
MOONS, CIRCLES, SPIRALS = 1, 2, 3
ORDER, NOISE = 0, 1


def toy_step(n: int = 1000) -> tuple[Float64, Float64]:
    """Return the one-dimensional step: X (n, 1) evenly spaced in [-5, 5], y (n, 1) = +1 where x > 0, else -1.

    The labels are real numbers, as the squared costs take them (claim 003.1).

    >>> X, y = toy_step(4)
    >>> X.ravel().round(3).tolist(), y.ravel().tolist()
    ([-5.0, -1.667, 1.667, 5.0], [-1.0, -1.0, 1.0, 1.0])
    """
    X = np.linspace(-5.0, 5.0, _count("n", n, 1)).reshape(n, 1)
    return X, np.where(X > 0, 1.0, -1.0)


def xor() -> tuple[Float64, Labels]:
    """Return the four points of exclusive or: X (4, 2) of 0 and 1, y (4,) = x0 xor x1.

    >>> xor()[1].tolist()
    [0, 1, 1, 0]
    """
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return X, np.array([0, 1, 1, 0], np.int64)


def moons(
    n: int = 1000, *, noise: float = 0.1, seed: int = 0, shuffle: bool = True
) -> tuple[Float64, Labels]:
    """Return two interleaving half circles: X (n, 2), y (n,) of 0 (upper) and 1 (lower).

    Class 0 is (cos t, sin t), class 1 is (1 - cos t, 1/2 - sin t), t evenly spaced in [0, pi].

    Parameters: `n`, the number of points, half of them in each class; `noise`, the standard
    deviation of the normal noise added to each coordinate; `shuffle`, whether the order is random.
    """
    n = _count("n", n, 2)
    upper, lower = np.linspace(0, np.pi, n // 2), np.linspace(0, np.pi, n - n // 2)
    X = np.vstack([_points(np.cos(upper), np.sin(upper)), _points(1 - np.cos(lower), 0.5 - np.sin(lower))])
    return _finish(X, _labels([n // 2, n - n // 2]), MOONS, noise, seed, shuffle)


def circles(
    n: int = 1000, *, factor: float = 0.5, noise: float = 0.1, seed: int = 0, shuffle: bool = True
) -> tuple[Float64, Labels]:
    """Return a large circle around a small one: X (n, 2), y (n,) of 0 (outer) and 1 (inner).

    Class 0 is (cos t, sin t), class 1 is factor * (cos t, sin t), t evenly spaced in [0, 2 pi).

    Parameters: `factor` in [0, 1), the radius of the inner circle; the others as in `moons`.
    """
    n = _count("n", n, 2)
    factor = as_number("factor of circles", factor, at_least=0, below=1)
    outer, inner = (np.linspace(0, 2 * np.pi, size, endpoint=False) for size in (n // 2, n - n // 2))
    X = np.vstack(
        [_points(np.cos(outer), np.sin(outer)), _points(factor * np.cos(inner), factor * np.sin(inner))]
    )
    return _finish(X, _labels([n // 2, n - n // 2]), CIRCLES, noise, seed, shuffle)


def spirals(
    n: int = 1000,
    *,
    turns: float = 1.5,
    arms: int = 2,
    noise: float = 0.02,
    seed: int = 0,
    shuffle: bool = True,
) -> tuple[Float64, Labels]:
    """Return spirals wound into each other: X (n, 2), y (n,) = the arm, 0 … arms-1.

    Arm k is t * (cos(2 pi (turns * t + k / arms)), sin(…)), t evenly spaced in (0, 1].

    Parameters: `turns`, how often each arm goes round; the others as in `moons`.
    """
    arms = _count("arms", arms, 2)
    n = _count("n", n, arms)
    turns = as_number("turns of spirals", turns)
    sizes = [n // arms + (k < n % arms) for k in range(arms)]
    parts = []
    for k, size in enumerate(sizes):
        t = np.arange(1, size + 1) / size
        angle = 2 * np.pi * (turns * t + k / arms)
        parts.append(_points(t * np.cos(angle), t * np.sin(angle)))
    return _finish(np.vstack(parts), _labels(sizes), SPIRALS, noise, seed, shuffle)


def _points(x0: Float64, x1: Float64) -> Float64:
    return np.stack([x0, x1], axis=1)


def _labels(sizes: list[int]) -> Labels:
    return np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)


def _finish(
    X: Float64, y: Labels, kind: int, noise: float, seed: int, shuffle: bool
) -> tuple[Float64, Labels]:
    noise = as_number("noise", noise, at_least=0)
    if noise > 0:
        X = X + noise * stream(seed, Purpose.DATA, kind, NOISE).normal(X.shape)
    if as_flag("shuffle", shuffle):
        order = stream(seed, Purpose.DATA, kind, ORDER).permutation(len(X))
        X, y = X[order], y[order]
    return X, y


MOST = 10**12
"""More numbers than any memory holds, and few enough for their bytes to be counted."""


def _count(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise OptionError(f"{name} must be an integer of at least {least}, got {value!r}")
    if value > MOST:
        raise OptionError(f"{name} must be at most {MOST}, got {value!r}")
    return int(value)
