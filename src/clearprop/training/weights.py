"""Weights of examples, and of classes as weights of examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_number, as_numbers
from clearprop.errors import DataError, OptionError, ShapeError, did_you_mean, one_of

__all__ = ["check_weights", "class_weights", "mean_one", "mean_one_in_steps"]


def check_weights(weights: Any, n: int, what: str = "sample_weight") -> Array:
    """Return weights as float64 (n,). Errors: `ShapeError`; `DataError` for negative or not finite ones."""
    array = as_numbers(what, weights.to_numpy() if hasattr(weights, "to_numpy") else weights)
    if array.shape != (n,):
        raise ShapeError(f"{what} has shape {array.shape}; there are {n} examples, so it must be ({n},).")
    array = array.astype(np.float64)
    good = np.isfinite(array) & (array >= 0)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(f"{what} must be finite and >= 0; it holds {array[row]:g} in row {row}.")
    return array


def mean_one(weights: Any, n: int, dtype: Any, what: str = "sample_weight") -> Array:
    """Return weights scaled to mean 1 over the data set, (n,).

    >>> mean_one([1.0, 3.0], 2, "float64")
    array([0.5, 1.5])
    """
    array = check_weights(weights, n, what)
    largest = array.max()
    if largest == 0:
        raise DataError(f"{what} is 0 for every example: there is nothing to learn from.")
    array = array / largest  # so that the sum cannot overflow
    return np.asarray(array * (n / array.sum()), dtype=dtype)


def mean_one_in_steps(weights: Array, size: int) -> Array:
    """Return weights (n,) scaled to mean 1 over each batch of `size`; the last batch may be short.

    >>> mean_one_in_steps(np.array([1.0, 3.0, 5.0]), 2)
    array([0.5, 1.5, 1. ])
    """
    starts = np.arange(0, len(weights), size)
    counts = np.diff(starts, append=len(weights))
    means = np.add.reduceat(weights.astype(np.float64), starts) / counts
    return np.asarray(weights / np.repeat(means, counts), weights.dtype)


def class_weights(class_weight: Any, indices: Array, classes: tuple[Any, ...]) -> Array:
    """Return the weight of each example from its class, (n,).

    class_weight: "balanced" (n / (number of classes · count of the class)) or a dictionary label -> weight, 1
    for a label left out. indices: class of each example.
    """
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(indices, minlength=len(classes))
        present = np.count_nonzero(counts)
        per_class = np.where(counts > 0, len(indices) / (present * np.maximum(counts, 1)), 0.0)
        return np.asarray(per_class[indices])
    if not isinstance(class_weight, Mapping):
        hint = did_you_mean(class_weight, ["balanced"]) if isinstance(class_weight, str) else ""
        raise OptionError(
            f"class_weight must be 'balanced' or a dictionary label -> weight. Got {class_weight!r}.{hint}"
        )
    unknown = [label for label in class_weight if label not in classes]
    if unknown:
        shown = one_of(map(str, classes)) if isinstance(classes[0], str) else ", ".join(map(repr, classes))
        raise OptionError(
            f"class_weight names the label {unknown[0]!r}, which is none of the classes {shown}."
        )
    per_class = np.array(
        [as_number(f"class_weight[{label!r}]", class_weight.get(label, 1.0), at_least=0) for label in classes]
    )
    return np.asarray(per_class[indices])
