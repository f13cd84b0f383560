"""Counting who is taken for whom."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clearprop.arrays import Array

__all__ = ["Mistake", "confusion_matrix", "most_frequent_mistakes"]


class Mistake(NamedTuple):
    """How often examples of one class were taken for another."""

    true: int
    predicted: int
    times: int


def confusion_matrix(true: Array, predicted: Array, n_classes: int) -> Array:
    """Return counts (n_classes, n_classes): row t, column p holds the examples of class t predicted as p.

    true, predicted: class indices (n,), from 0.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    flat = np.bincount(np.asarray(true) * n_classes + np.asarray(predicted), minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes)


def most_frequent_mistakes(counts: Array, most: int = 10) -> list[Mistake]:
    """Return the largest entries beside the diagonal of a confusion matrix, largest first.

    >>> most_frequent_mistakes(np.array([[5, 1], [3, 5]]))
    [Mistake(true=1, predicted=0, times=3), Mistake(true=0, predicted=1, times=1)]
    """
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    places = [divmod(int(place), len(counts)) for place in order]
    return [Mistake(t, p, int(wrong[t, p])) for t, p in places if wrong[t, p] > 0]
