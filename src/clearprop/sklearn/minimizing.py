"""The solver "lbfgs": the cost of the whole data set, minimised by clearprop's L-BFGS."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from clearprop.arrays import Array
from clearprop.engines import Engine
from clearprop.fitting.options import penalty_mask
from clearprop.model import Model, State
from clearprop.optimizers import LBFGS, Minimum
from clearprop.sklearn.losses import ExampleLosses
from clearprop.training.data import Examples, is_sparse
from clearprop.training.penalties import Penalty
from clearprop.training.targets import Targets

__all__ = ["Objective", "minimize"]

_SPARSE_ROWS = 1024  # that are dense at a time


class Objective:
    """The reported loss of all examples, penalty included, and its gradient, as functions of theta.

    losses: what scikit-learn reports of each example, None for the cost.
    weights: of `examples`, with mean 1, or None; divisor: the total weight, by which the penalty is divided.
    """

    def __init__(
        self,
        engine: Engine,
        model: Model,
        state: State,
        targets: Targets,
        examples: Examples,
        losses: ExampleLosses | None,
        penalty: Penalty,
        divisor: float,
    ) -> None:
        self.engine, self.model, self.state, self.targets = engine, model, state, targets
        self.examples, self.losses = examples, losses
        self.penalty, self.divisor = penalty, divisor
        self.mask = penalty_mask(model, penalty).astype(state.theta.dtype)
        size = _SPARSE_ROWS if is_sparse(examples.X) else max(1, len(examples))
        self._whole = list(examples.batches(size)) if size >= len(examples) else None
        self._size = size

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Return (C, ∂C/∂theta); theta is the network's own."""
        n, total, gradient = len(self.examples), 0.0, np.zeros_like(theta)
        for X, y, weights in self._whole or self.examples.batches(self._size):
            result = self.engine.gradient(self.model, self.state, X, y, weights, None)
            losses = self._losses(result.output, y)
            total += float((losses if weights is None else losses * weights).sum())
            gradient += result.gradient * (len(y) / n)
        if not self.penalty.active:
            return total / n, gradient
        self.penalty.add_gradient(gradient, theta, self.mask, divisor=self.divisor)
        return total / n + float(self.penalty.value(theta, self.mask, divisor=self.divisor)), gradient

    def _losses(self, record: Any, y: Array) -> Array:
        if self.losses is None:
            return self.model.costs(record, y)
        return self.losses(self.targets.truth(y), record.a)


def minimize(estimator: Any, objective: Objective) -> Minimum:
    """Minimise from the parameters as they are, with the estimator's limits; warn if it did not converge."""
    optimizer = LBFGS(
        max_iterations=estimator.max_iter,
        max_evaluations=estimator.max_fun,
        gradient_tolerance=estimator.tol,
    )
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        minimum = optimizer.minimize(objective, objective.state.theta)
    if minimum.status != 0:
        _warn(minimum, estimator.max_iter)
    return minimum


def _warn(minimum: Minimum, max_iter: int) -> None:
    iterations = min(minimum.iterations, max_iter)
    message = (
        f"lbfgs failed to converge after {iterations} iteration(s) (status={minimum.status}):\n"
        f"{minimum.message}\n"
    )
    if iterations == max_iter:
        message += f"\nIncrease the number of iterations to improve the convergence (max_iter={max_iter})."
    message += (
        "\nYou might also want to scale the data as shown in:\n"
        "    https://scikit-learn.org/stable/modules/preprocessing.html"
    )
    warnings.warn(message, ConvergenceWarning, stacklevel=2)
