"""One door to every data set: a name, or the path of a file."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearprop.checks import as_path
from clearprop.datasets.arrays import read_npz
from clearprop.datasets.bundled import digits, pixel_names
from clearprop.datasets.dataset import Dataset
from clearprop.datasets.files import require_file
from clearprop.datasets.images import fashion_mnist, mnist
from clearprop.datasets.synthetic import circles, moons, spirals, toy_step, xor
from clearprop.datasets.tables import TABLE_SUFFIXES, read_table
from clearprop.errors import DataError, OptionError, UnknownNameError, did_you_mean, one_of

__all__ = ["dataset_names", "load_dataset"]

Pair = tuple[NDArray[Any], NDArray[Any]]

SYNTHETIC: dict[str, tuple[Callable[..., Pair], str]] = {
    "moons": (moons, "two interleaving half circles"),
    "circles": (circles, "a large circle around a small one"),
    "spirals": (spirals, "spirals wound into each other"),
    "xor": (xor, "the four points of exclusive or"),
    "toy_step": (toy_step, "a one-dimensional step from -1 to +1"),
}
REAL: dict[str, Callable[..., Dataset]] = {"digits": digits, "mnist": mnist, "fashion_mnist": fashion_mnist}
FILE_SUFFIXES = (*TABLE_SUFFIXES, ".npz")


def dataset_names() -> tuple[str, ...]:
    """Return the names that `load_dataset` knows.

    >>> dataset_names()
    ('digits', 'mnist', 'fashion_mnist', 'moons', 'circles', 'spirals', 'xor', 'toy_step')
    """
    return (*REAL, *SYNTHETIC)


def load_dataset(
    source: str | Path, *, test_fraction: float | None = None, seed: int = 0, **options: Any
) -> Dataset:
    """Return the data set with this name, or the one in the file at this path.

    Parameters
    ----------
    source: one of `dataset_names()`, or the path of a table (see `read_table`; needs ``target=…``)
        or of an .npz file with the arrays x_train, y_train and perhaps x_test, y_test.
    test_fraction: if given, and the data set has no test part of its own, this fraction of the
        examples becomes one (stratified for classification).
    seed: of that division, and of the noise and order of a synthetic data set.
    options: those of the function of that name: `digits`, `mnist`, `moons`, …, `read_table`.

    Errors: `UnknownNameError`, `OptionError` for an option it does not have, and those of that function.

    >>> load_dataset("moons", n=200, test_fraction=0.25)
    Dataset('moons': 150 examples for training, 50 for testing, 2 features, 2 classes)
    """
    dataset = _load(source, seed, options)
    if test_fraction is None or dataset.X_test is not None:
        return dataset
    return dataset.split(test_fraction, seed)


def _load(source: str | Path, seed: int, options: dict[str, Any]) -> Dataset:
    if isinstance(source, str) and source in SYNTHETIC:
        return _synthetic(source, seed, options)
    if isinstance(source, str) and source in REAL:
        _check_options(source, REAL[source], options)
        return REAL[source](**options)
    path = as_path(source).expanduser()
    if not _means_a_file(source):
        hint = did_you_mean(str(source), dataset_names())
        raise UnknownNameError(
            f"there is no data set named {str(source)!r}.{hint} Known: {one_of(dataset_names())}, "
            f"or the path of a file ({', '.join(FILE_SUFFIXES)})."
        )
    require_file(path)
    if path.suffix.lower() == ".npz":
        _check_options(str(path), _from_npz, options, skip=1)
        return _from_npz(path)
    _check_options(str(path), read_table, options, skip=1)
    return read_table(path, **options)


def _means_a_file(source: str | Path) -> bool:
    text = str(source)
    return (
        isinstance(source, Path)
        or any(mark in text for mark in "/\\~")
        or text.lower().endswith(FILE_SUFFIXES)
        or os.path.isfile(text)
    )


def _synthetic(name: str, seed: int, options: dict[str, Any]) -> Dataset:
    make, description = SYNTHETIC[name]
    if "seed" in inspect.signature(make).parameters:
        options = {"seed": seed, **options}
    _check_options(name, make, options)
    X, y = make(**options)
    classes = None if name == "toy_step" else tuple(str(label) for label in range(int(y.max()) + 1))
    names = tuple(f"x{j}" for j in range(X.shape[1]))
    return Dataset(name, X, y, None, None, names, classes, None, f"{len(X)} points: {description}")


def _check_options(name: str, function: Callable[..., Any], options: dict[str, Any], skip: int = 0) -> None:
    known = list(inspect.signature(function).parameters)[skip:]
    for option in options:
        if option not in known:
            has = f"it has {one_of(known)}" if known else "it has none"
            raise OptionError(
                f"data set {name!r} has no option {option!r}; {has}.{did_you_mean(option, known)}"
            )


def _from_npz(path: Path) -> Dataset:
    arrays = read_npz(path)
    x, y = arrays["x_train"], arrays["y_train"]
    for key, array in arrays.items():
        if (
            array.ndim < 1
            or len(array) == 0
            or array.dtype.kind not in ("biuf" if key[0] == "x" else "biufU")
        ):
            raise DataError(
                f"{path}: the array {key!r} is {array.dtype} {array.shape}; expected rows of numbers"
            )
    image_shape = (x.shape[1], x.shape[2]) if x.ndim == 3 else None
    X_train = x.reshape(len(x), -1)
    X_test = arrays["x_test"].reshape(len(arrays["x_test"]), -1) if "x_test" in arrays else None
    y_test, classes = arrays.get("y_test"), None
    if y.dtype.kind != "f":
        together = y if y_test is None else np.concatenate([y, y_test])
        labels, index = np.unique(together, return_inverse=True)
        classes = tuple(str(label) for label in labels.tolist())
        y, y_test = index[: len(y)], None if y_test is None else index[len(y) :]
    names = (
        tuple(f"x{j}" for j in range(X_train.shape[1])) if image_shape is None else pixel_names(*image_shape)
    )
    scale = 1 / 255 if x.dtype == np.uint8 else 1.0
    description = f"{len(x)} examples of {path.name}"
    return Dataset(path.stem, X_train, y, X_test, y_test, names, classes, image_shape, description, scale)
