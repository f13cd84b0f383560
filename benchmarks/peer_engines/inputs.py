"""What the workloads are trained on: the data they are named after, or numbers drawn at random.

It matters: pictures and categories are mostly zeros, and an engine may leave out the products with them.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.datasets import digits, mnist, moons
from clearprop.errors import ClearpropError

Examples = tuple[Any, Any, str]
"""X (n, n_in) in float32, labels (n,), and what they are."""
RANDOM = "random numbers"


def folder() -> Path:
    """Where the files lie: CLEARPROP_TEST_DATA, or ``../shared/data`` beside the checkout."""
    own = os.environ.get("CLEARPROP_TEST_DATA")
    return Path(own) if own else Path(__file__).resolve().parents[3] / "shared" / "data"


def has_real_inputs(name: str) -> bool:
    """Return whether a workload is named after data, whose files may still be missing."""
    return name in _READ


@lru_cache(maxsize=1)
def real_inputs(name: str, n: int, seed: int) -> Examples | None:
    """Return n examples of the data of a workload, repeated where there are fewer.

    None where it has none, or where the file is missing.
    """
    found = _READ[name]() if has_real_inputs(name) else None
    if found is None:
        return None
    X, labels, title = found
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.permutation(len(X)) for _ in range(-(-n // len(X)))])[:n]
    X = np.ascontiguousarray(X[rows], np.float32)
    zeros = 100 * np.mean(X == 0)
    return X, labels[rows].astype(np.int64), f"{title}, {zeros:.0f} % zeros"


def random_inputs(n: int, n_in: int, n_out: int, positive: bool, seed: int) -> Examples:
    """Return n examples drawn at random, with random labels, which nothing can learn."""
    rng = np.random.default_rng(seed)
    draw = rng.random if positive else rng.standard_normal
    X = draw((n, n_in), dtype=np.float32)
    return X, rng.integers(0, max(n_out, 2), n), RANDOM


def _mnist() -> Examples | None:
    file = folder() / "mnist.npz"
    try:
        data = mnist(file if file.exists() else None, timeout=5)
    except ClearpropError:
        return None
    return data.X_train.reshape(-1, 784) / np.float32(255), data.y_train, "MNIST"


def _covertype() -> Examples | None:
    file = folder() / "covertype_93k.csv.gz"
    if not file.exists():
        return None
    rows = np.loadtxt(file, np.float32, delimiter=",", skiprows=1)
    X, labels = rows[:, :-1], rows[:, -1].astype(int) - 1
    numeric = X[:, :10]  # the others are two categories as indicators
    X[:, :10] = (numeric - numeric.mean(axis=0)) / numeric.std(axis=0)
    return X, labels, "Covertype"


def _digits() -> Examples:
    data = digits()
    return data.X_train / np.float32(16), data.y_train, "digits of 8 x 8 pixels"


def _moons() -> Examples:
    X, labels = moons(2000, noise=0.2, seed=0)
    return X, labels, "moons"


def _xor() -> Examples:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (2000, 2))
    return X, X[:, 0] ^ X[:, 1], "exclusive or"


_READ = {
    "xor": _xor,
    "moons": _moons,
    "nielsen": _mnist,
    "online": _mnist,
    "mnist128": _mnist,
    "mid": _mnist,
    "tabular": _covertype,
    "deep": _digits,
}
