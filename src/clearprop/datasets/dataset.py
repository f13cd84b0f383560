"""What a data set is, and how one is split: deterministic, by the project's own random streams."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from clearprop.checks import as_array, as_flag, as_number
from clearprop.errors import DataError, DTypeError, OptionError, ShapeError
from clearprop.random import Purpose, stream

__all__ = ["Dataset", "Split", "split", "split_indices"]

Array = NDArray[Any]
Indices = NDArray[np.intp]


class Split(NamedTuple):
    """The two parts of a data set: training and test (or validation)."""

    X_train: Array
    y_train: Array
    X_test: Array
    y_test: Array


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set as it is in its file: raw values, names, and the part kept for testing if it has one.

    Fields
    ------
    name, description: what it is, in a word and in a sentence.
    X_train (n, d), y_train (n,) or (n, k): the examples for training; all of them where the data
        set has no test part of its own (then `split` makes one).
    X_test, y_test: the examples for testing, or None.
    feature_names: d names.
    class_names: the label that each class index in y stands for; None for regression.
    image_shape: (rows, columns) if each row of X is a picture, else None.
    scale: multiply X by it to get values in [0, 1]; 1 where the values have no known range.

    Errors: `ShapeError` where sizes do not fit.
    """

    name: str
    X_train: Array
    y_train: Array
    X_test: Array | None
    y_test: Array | None
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...] | None
    image_shape: tuple[int, int] | None
    description: str
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.feature_names, list | tuple):
            raise DTypeError(f"feature_names must be a tuple of names. Got {self.feature_names!r}.")
        _check_part(self.name, "train", self.X_train, self.y_train, len(self.feature_names))
        if (self.X_test is None) != (self.y_test is None):
            raise ShapeError(f"data set {self.name!r} has only one of X_test and y_test; give both or none")
        if self.X_test is not None and self.y_test is not None:
            _check_part(self.name, "test", self.X_test, self.y_test, len(self.feature_names))

    def __repr__(self) -> str:
        test = "no test part" if self.X_test is None else f"{len(self.X_test)} for testing"
        kind = "real targets" if self.class_names is None else f"{len(self.class_names)} classes"
        return (
            f"Dataset({self.name!r}: {len(self.X_train)} examples for training, {test}, "
            f"{len(self.feature_names)} features, {kind})"
        )

    @property
    def task(self) -> str:
        """ "classification" if y holds class indices, else "regression"."""
        return "regression" if self.class_names is None else "classification"

    def scaled(self, dtype: DTypeLike = np.float64) -> Dataset:
        """Return this data set with X * scale as floats, and scale 1."""
        factor = np.asarray(self.scale, dtype)
        test = None if self.X_test is None else self.X_test.astype(dtype) * factor
        train = self.X_train.astype(dtype) * factor
        return dataclasses.replace(self, X_train=train, X_test=test, scale=1.0)

    def split(self, test_fraction: float = 0.2, seed: int = 0) -> Dataset:
        """Return this data set with a test part taken from the training part; see `clearprop.datasets.split`.

        Errors: `OptionError` if it has a test part already.
        """
        if self.X_test is not None:
            raise OptionError(
                f"data set {self.name!r} has a test part of its own with {len(self.X_test)} examples; use it"
            )
        parts = split(self.X_train, self.y_train, test_fraction, seed, stratify=self.task == "classification")
        return dataclasses.replace(self, **parts._asdict())


def split(
    X: ArrayLike, y: ArrayLike, test_fraction: float = 0.2, seed: int = 0, *, stratify: bool | None = None
) -> Split:
    """Return X and y in two parts, in random order: `Split(X_train, y_train, X_test, y_test)`.

    See `split_indices` for the parameters and errors.

    >>> X, y = np.arange(20).reshape(10, 2), np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    >>> split(X, y, 0.5).y_test.tolist()
    [0, 1, 0, 0, 0]
    """
    X, y = as_array("X", X), as_array("y", y)
    if X.ndim == 0 or y.ndim == 0 or len(X) != len(y):
        raise ShapeError(f"X has shape {X.shape} and y has shape {y.shape}; both need one row per example")
    train, test = split_indices(y, test_fraction, seed, stratify=stratify)
    return Split(X[train], y[train], X[test], y[test])


def split_indices(
    y: ArrayLike, test_fraction: float = 0.2, seed: int = 0, *, stratify: bool | None = None
) -> tuple[Indices, Indices]:
    """Return the indices of the training and of the test examples, a function of y and `seed` alone.

    The test part has round(n * test_fraction) examples, at least 1 and at most n - 1. Stratified,
    each class has its share of it (largest remainders; every class keeps at least one example for
    training).

    Parameters: `y`, one target per example; `test_fraction` in (0, 1); `stratify`, whether y holds
    classes: by default, if it is one-dimensional and not of floats.
    Errors: `OptionError` for a fraction outside (0, 1), `DataError` if there are too few examples.

    >>> train, test = split_indices(["a", "b", "a", "b", "a", "b"], 1 / 3)
    >>> sorted(train.tolist()), sorted(test.tolist())
    ([2, 3, 4, 5], [0, 1])
    """
    y = as_array("y", y)
    test_fraction = as_number("test_fraction", test_fraction, above=0, below=1)
    if y.ndim == 0 or len(y) < 2:
        raise DataError(f"a split needs at least 2 examples, got y of shape {y.shape}")
    n_test = min(max(1, round(len(y) * test_fraction)), len(y) - 1)
    order = stream(seed, Purpose.SPLIT).permutation(len(y))
    if stratify is None:
        stratify = y.ndim == 1 and y.dtype.kind not in "fc"
    chosen = np.zeros(len(y), bool)
    if as_flag("stratify", stratify):
        _, labels = np.unique(y if y.dtype.kind != "O" else y.astype(str), return_inverse=True)
        in_order = labels.reshape(len(y))[order]
        for label, count in enumerate(_shares(np.bincount(labels.reshape(-1)), n_test)):
            chosen[np.flatnonzero(in_order == label)[:count]] = True
    else:
        chosen[:n_test] = True
    return order[~chosen], order[chosen]


def _shares(sizes: NDArray[np.intp], n_test: int) -> list[int]:
    room = sizes - 1
    if not room.any():
        raise DataError(
            f"each of the {len(sizes)} classes has a single example; a stratified split needs two of one"
        )
    quota = sizes * n_test / sizes.sum()
    shares = np.minimum(np.floor(quota).astype(np.intp), room)
    for label in np.argsort(-(quota - shares), kind="stable"):
        if shares.sum() < n_test and shares[label] < room[label]:
            shares[label] += 1
    return [int(share) for share in shares]


def _check_part(name: str, part: str, X: Array, y: Array, n_features: int) -> None:
    for what, array in (("X", X), ("y", y)):
        if not isinstance(array, np.ndarray):
            raise DTypeError(
                f"data set {name!r}: {what}_{part} must be an array. Got {type(array).__name__}."
            )
    if X.ndim != 2 or y.ndim not in (1, 2) or len(X) != len(y):
        raise ShapeError(
            f"data set {name!r}: X_{part} has shape {X.shape}, y_{part} {y.shape}; expected (n, d) and (n,)"
        )
    if X.shape[1] != n_features:
        raise ShapeError(
            f"data set {name!r}: X_{part} has {X.shape[1]} features, but there are {n_features} names"
        )
