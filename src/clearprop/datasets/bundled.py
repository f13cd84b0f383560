"""The handwritten digits that scikit-learn bundles: real data without a download."""

from __future__ import annotations

import numpy as np

from clearprop.datasets.dataset import Dataset
from clearprop.errors import MissingDependencyError

__all__ = ["digits", "pixel_names"]


def digits() -> Dataset:
    """Return the 1797 real handwritten digits of 8 x 8 pixels that scikit-learn bundles.

    X (1797, 64) float64, raw pixels 0 … 16 (`scale` is 1/16); y (1797,) int64, 0 … 9; no test part.
    Source: E. Alpaydin and C. Kaynak, UCI Optical Recognition of Handwritten Digits (1998), test set.
    Errors: `MissingDependencyError` without scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingDependencyError(
            "the data set 'digits' comes with scikit-learn, which is not installed; "
            "install it: pip install 'clearprop[sklearn]'"
        ) from None
    bunch = load_digits()
    return Dataset(
        name="digits",
        X_train=np.asarray(bunch.data, np.float64),
        y_train=np.asarray(bunch.target, np.int64),
        X_test=None,
        y_test=None,
        feature_names=pixel_names(8, 8),
        class_names=tuple("0123456789"),
        image_shape=(8, 8),
        description="1797 handwritten digits of 8 x 8 pixels, bundled with scikit-learn",
        scale=1 / 16,
    )


def pixel_names(rows: int, columns: int) -> tuple[str, ...]:
    """Return the names of the pixels of a picture, row by row: "pixel_0_0", "pixel_0_1", …"""
    return tuple(f"pixel_{row}_{column}" for row in range(rows) for column in range(columns))
