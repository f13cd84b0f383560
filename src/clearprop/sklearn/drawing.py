"""What scikit-learn draws at random, drawn in its order from its generator.

clearprop's own random numbers are a function of their address; the estimators follow `RandomState`, so that
the same `random_state` gives the numbers that scikit-learn's classes have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from clearprop.arrays import Array
from clearprop.training.batches import Orders

__all__ = ["epoch_orders", "initial_parameters", "split"]


def initial_parameters(
    random_state: np.random.RandomState, n_in: int, n_out: int, factor: float, dtype: Any
) -> tuple[Array, Array]:
    """Return W (n_in, n_out) and b (n_out,) of a layer, uniform in ±sqrt(factor / (n_in + n_out)).

    W before b; drawn in float64 and then rounded to dtype.
    Source: Glorot and Bengio (2010), equation (16), where the factor is 6; for "logistic" it is 2.

    >>> W, b = initial_parameters(np.random.RandomState(0), 2, 1, 6.0, "float64")
    >>> print(W.round(3).tolist(), b.round(3))
    [[0.138], [0.609]] [0.291]
    """
    bound = np.sqrt(factor / (n_in + n_out))
    W = random_state.uniform(-bound, bound, (n_in, n_out)).astype(dtype, copy=False)
    return W, random_state.uniform(-bound, bound, n_out).astype(dtype, copy=False)


def epoch_orders(n: int, size: int, shuffle: bool, random_state: np.random.RandomState) -> Orders:
    """Return the order of n examples in each epoch, in batches of `size`.

    Each epoch shuffles the order of the epoch before, and draws when it begins.

    >>> orders = epoch_orders(4, 2, True, np.random.RandomState(0))
    >>> [order.tolist() for epoch in (1, 2) for order, _ in orders(epoch)]
    [[2, 3, 1, 0], [2, 1, 3, 0]]
    """
    order = np.arange(n)

    def orders(epoch: int) -> Iterator[tuple[Array, int]]:
        nonlocal order
        if shuffle:
            places = np.arange(n)
            random_state.shuffle(places)
            order = order[places]
        yield order, size

    return orders


def split(
    X: Any,
    y: Array,
    weights: Array | None,
    fraction: float,
    stratify: bool,
    random_state: np.random.RandomState,
) -> tuple[tuple[Any, Array, Array | None], tuple[Any, Array, Array | None]]:
    """Return (X, y, weights) for training and for validation; of each class the same share if stratify.

    Errors: those of scikit-learn's `train_test_split`.
    """
    given = [X, y] if weights is None else [X, y, weights]
    parts = train_test_split(
        *given, random_state=random_state, test_size=fraction, stratify=y if stratify else None
    )
    kept, held = parts[0::2], parts[1::2]
    if weights is None:
        return (kept[0], kept[1], None), (held[0], held[1], None)
    return (kept[0], kept[1], kept[2]), (held[0], held[1], held[2])
