"""Metrics for real numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DataError
from clearprop.training.metrics.base import REGRESSION, Metric, metrics, sklearn_metrics

__all__ = ["R2", "MeanAbsoluteError", "RootMeanSquaredError"]


@metrics.register("mae")
@dataclass(frozen=True)
class MeanAbsoluteError(Metric):
    """The (weighted) mean of |a - y| over examples, then over outputs.

    >>> MeanAbsoluteError()(np.array([1.0, 2.0]), np.array([[1.5], [4.0]]))
    1.25
    """

    name: ClassVar[str] = "mean_absolute_error"
    tasks: ClassVar[frozenset[str]] = REGRESSION
    greater_is_better: ClassVar[bool] = False

    def score(self, task: str, y_true: Array, outputs: Array, sample_weight: Array | None) -> float:
        """Return the mean absolute error; see `Metric.score`."""
        errors = np.abs(_residuals(y_true, outputs))
        return float(np.average(errors, axis=0, weights=sample_weight).mean())


@metrics.register("rmse")
@dataclass(frozen=True)
class RootMeanSquaredError(Metric):
    """The square root of the (weighted) mean of (a - y)² over examples; then the mean over outputs.

    By hand: sqrt((0.5² + 1.5²) / 2) = sqrt(1.25) = 1.118034.

    >>> round(RootMeanSquaredError()(np.array([1.0, 2.0]), np.array([[1.5], [3.5]])), 6)
    1.118034
    """

    name: ClassVar[str] = "root_mean_squared_error"
    tasks: ClassVar[frozenset[str]] = REGRESSION
    greater_is_better: ClassVar[bool] = False

    def score(self, task: str, y_true: Array, outputs: Array, sample_weight: Array | None) -> float:
        """Return the root mean squared error; see `Metric.score`."""
        squares = _residuals(y_true, outputs) ** 2
        return float(np.sqrt(np.average(squares, axis=0, weights=sample_weight)).mean())


@metrics.register("r_squared")
@dataclass(frozen=True)
class R2(Metric):
    """The coefficient of determination, 1 - Σ(a - y)² / Σ(y - mean y)², the mean over outputs.

    Where y is constant: 1 for a perfect fit, else 0, as in scikit-learn.

    By hand: 1 - (0.25 + 0 + 0.25) / (1 + 0 + 1) = 0.75.

    >>> R2()(np.array([1.0, 2.0, 3.0]), np.array([[1.5], [2.0], [2.5]]))
    0.75
    """

    name: ClassVar[str] = "r2"
    tasks: ClassVar[frozenset[str]] = REGRESSION

    def score(self, task: str, y_true: Array, outputs: Array, sample_weight: Array | None) -> float:
        """Return the coefficient of determination; see `Metric.score`."""
        if len(y_true) < 2:
            raise DataError("r2 has no value for one example: it compares y_true with its mean.")
        y = y_true.reshape(outputs.shape)
        return sklearn_metrics(self.name).r2_score(y, outputs, sample_weight=sample_weight)  # type: ignore[no-any-return]


def _residuals(y_true: Array, outputs: Array) -> Array:
    residuals: Array = outputs.astype(np.float64) - y_true.reshape(outputs.shape)
    return residuals
