"""The solver "lbfgs": the cost of the whole data set, minimised by clearprop's L-BFGS."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from clearprop.arrays import Array
from clearprop.engines import Engine
from clearprop.fitting.options import penalty_mask
from clearprop.model import Model, State
from clearprop.network import Network
from clearprop.optimizers import LBFGS, Minimum
from clearprop.sklearn.losses import ExampleLosses
from clearprop.training.data import Examples, is_sparse
from clearprop.training.history import Row
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
        self.measured: Row = {}
        """Cost, accuracy and penalty of the last evaluation, as a row of the history has them."""

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Return (C, ∂C/∂theta); theta is the network's own."""
        n, total, gradient = len(self.examples), 0.0, np.zeros_like(theta)
        cost, correct = 0.0, 0
        for X, y, weights in self._whole or self.examples.batches(self._size):
            result = self.engine.gradient(self.model, self.state, X, y, weights, None)
            losses = self._losses(result.output, y)
            total += float((losses if weights is None else losses * weights).sum())
            gradient += result.gradient * (len(y) / n)
            costs = self.model.costs(result.output, y)
            cost += float((costs if weights is None else costs * weights).sum())
            if self.targets.is_classification:
                correct += int(np.count_nonzero(self.targets.correct(result.output.a, y)))
        self.measured = {"cost": cost / n}
        if self.targets.is_classification:
            self.measured["accuracy"] = correct / n
        if not self.penalty.active:
            return total / n, gradient
        self.penalty.add_gradient(gradient, theta, self.mask, divisor=self.divisor)
        penalty = float(self.penalty.value(theta, self.mask, divisor=self.divisor))
        self.measured["penalty"] = penalty
        return total / n + penalty, gradient

    def _losses(self, record: Any, y: Array) -> Array:
        if self.losses is None:
            return self.model.costs(record, y)
        return self.losses(self.targets.truth(y), record.a)


def minimize(estimator: Any, network: Network, objective: Objective) -> Minimum:
    """Minimise from the parameters as they are, with the estimator's limits; warn if it did not converge.

    The network's history gets a row after each iteration, which counts as an epoch of one step.
    """
    history, started = network.history, time.perf_counter()
    assert history is not None

    def iterated(iteration: int, cost: float, theta: Array) -> bool:
        seconds = time.perf_counter() - started
        row = {"epoch": iteration, "step": iteration, "seconds": seconds, "eta": optimizer.eta}
        history.append(row | objective.measured)
        network.epochs_trained += 1
        network.steps_trained += 1
        return False

    optimizer = LBFGS(
        max_iterations=estimator.max_iter,
        max_evaluations=estimator.max_fun,
        gradient_tolerance=estimator.tol,
    )
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        minimum = optimizer.minimize(objective, objective.state.theta, iterated)
    history.stopped = "converged" if minimum.converged else "epochs"
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
