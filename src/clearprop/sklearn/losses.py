"""The losses that the estimators report: those of scikit-learn, where they are those of the gradient.

Logarithms and sums are float64, as scikit-learn's mostly are. Probabilities are clipped to
[epsilon, 1 - epsilon] of their dtype, and the Poisson loss has the constant that makes it half a deviance; a
cost of `clearprop.costs` has neither, so the loss is computed from the outputs. For squared errors of several
outputs see docs/adr/0012-the-squared-loss-of-several-outputs.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.costs.base import xlogy

__all__ = ["ReportedLoss", "log_loss", "poisson_loss", "squared_loss"]

ExampleLosses = Callable[[Array, Array], Array]
"""(targets as metrics take them, outputs (n, n_out)) -> the loss of each example, (n,)."""


def log_loss(truth: Array, a: Array) -> Array:
    """Return -Σ_j y_j ln a_j of each example, (n,); where labels do not exclude one another, also of no.

    truth: (n,) class indices, or (n, n_out) of 0 and 1. a: (n, n_out) probabilities.

    >>> log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [1.0, 0.0]])).round(4)
    array([ 0.6931, 36.0437])
    """
    epsilon = np.finfo(a.dtype).eps
    several = truth.ndim == 1 and a.shape[1] > 1
    if several:
        chosen = np.clip(a[np.arange(len(a)), truth], epsilon, 1 - epsilon)
        return np.asarray(-np.log(chosen.astype(np.float64)))
    yes = truth.reshape(a.shape) == 1
    a = np.clip(a, epsilon, 1 - epsilon)
    return np.asarray(-np.log(np.where(yes, a, 1 - a).astype(np.float64)).sum(axis=1))


def squared_loss(truth: Array, a: Array) -> Array:
    """Return 1/2 Σ_j (a_j - y_j)² of each example, (n,).

    >>> squared_loss(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]))
    array([2.])
    """
    return 0.5 * ((a.astype(np.float64) - truth) ** 2).sum(axis=1)  # type: ignore[no-any-return]


def poisson_loss(truth: Array, a: Array) -> Array:
    """Return Σ_j (y_j ln(y_j / a_j) - y_j + a_j) of each example, (n,): half the Poisson deviance.

    >>> poisson_loss(np.array([[0.0], [3.0]]), np.array([[1.0], [3.0]]))
    array([1., 0.])
    """
    a = a.astype(np.float64)
    return (xlogy(truth, truth / a) - truth + a).sum(axis=1)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class ReportedLoss:
    """A loss as a metric of the training loop: the mean over an epoch, each example as its step saw it."""

    losses: ExampleLosses
    name: str = "loss"
    greater_is_better: ClassVar[bool] = False

    def __call__(self, truth: Array, outputs: Array, weights: Array | None = None) -> float:
        """Return (1/n) Σ_x w_x C_x, where the weights have mean 1 over each batch."""
        losses = self.losses(truth, outputs).astype(np.float64)
        return float(np.mean(losses if weights is None else losses * weights))
