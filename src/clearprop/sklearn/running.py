"""A run of clearprop's training loop for a stochastic solver."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import Engine, TrainingOptions, choose_engine
from clearprop.errors import OptionError
from clearprop.fitting.environment import environment
from clearprop.fitting.options import make_factors
from clearprop.network import Network
from clearprop.sklearn.building import losses_of
from clearprop.sklearn.course import Course
from clearprop.sklearn.drawing import epoch_orders
from clearprop.sklearn.losses import ReportedLoss
from clearprop.training.batches import Order, Orders, example_batch, example_batches, example_orders
from clearprop.training.callbacks import Callback, as_callbacks
from clearprop.training.data import Examples, is_sparse
from clearprop.training.history import History
from clearprop.training.loop import TrainingRun
from clearprop.training.options import FitOptions
from clearprop.training.penalties import Penalty

__all__ = ["Asked", "Data", "engine_of", "start_run"]


@dataclass(frozen=True)
class Data:
    """Examples that scikit-learn has validated: X (n, d), y (n, n_out), weights (n,) or None."""

    X: Any
    y: Array
    weights: Array | None

    def examples(self, dtype: Any) -> Examples:
        """Return them as the training loop reads them."""
        X = self.X.tocsr() if is_sparse(self.X) else self.X
        weights = None if self.weights is None else np.asarray(self.weights, dtype)
        y = np.ascontiguousarray(self.y, dtype)
        return Examples.prepare(X, y, weights, dtype, checked=True)

    def mean_weights(self, dtype: Any) -> Array:
        """Return the weights scaled to mean 1, (n,); as in scikit-learn, single ones may be negative.

        Errors: `ZeroDivisionError` where their sum is 0.
        """
        assert self.weights is not None
        weights = self.weights.astype(np.float64)
        weights /= np.abs(weights).max() or 1.0  # so that the sum cannot overflow
        total = weights.sum()
        if total == 0:
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        return np.asarray(weights * (len(weights) / total), dtype)


@dataclass(frozen=True)
class Asked:
    """What one call of fit asks for beyond scikit-learn's arguments."""

    order: Order | None = None
    callbacks: Callback | Sequence[Callback] = ()
    X_val: Any = None
    y_val: Any = None

    def check(self, estimator: Any, stochastic: bool) -> None:
        """Raise `OptionError` for what the estimator's solver or its early stopping would not look at."""
        if (self.X_val is None) != (self.y_val is None):
            missing = "y_val" if self.y_val is None else "X_val"
            raise OptionError(f"X_val and y_val go together; {missing} is missing.")
        if self.X_val is not None and not estimator.early_stopping:
            raise OptionError("X_val and y_val are what early stopping looks at. Give early_stopping=True.")
        given = {"order": self.order, "callbacks": self.callbacks or None, "X_val": self.X_val}
        for name, value in given.items():
            if value is not None and not stochastic:
                raise OptionError(
                    f"{name} does not go with solver='lbfgs', which takes all examples in every step. Leave "
                    "it out, or give solver='adam' or 'sgd'."
                )


def start_run(
    estimator: Any, network: Network, data: Data, asked: Asked, course: Course, epochs: int
) -> TrainingRun:
    """Return the run of clearprop's loop that does these epochs."""
    n, size = data.X.shape[0], _batch_size(estimator, data.X.shape[0])
    examples = data.examples(network.dtype)
    targets = network.targets
    assert targets is not None
    network.penalty = Penalty(l2=estimator.alpha, divide_by="batch")
    scale, decay = make_factors(network.model, network.frozen, None, network.penalty, network.dtype)
    options = FitOptions(
        optimizer=course.pace.optimizer,
        epochs=epochs,
        batch_size=size,
        penalty=network.penalty,
        metrics=[] if course.loss == "cost" else [ReportedLoss(losses_of(estimator))],
        callbacks=[*as_callbacks(asked.callbacks), course],
        scale=scale,
        decay=decay,
        mean_over_weights=True,
        penalty_as_seen=True,
    )
    engine = engine_of(estimator, network, options.optimizer.name)
    history = network.history
    assert history is not None
    if asked.order is None:
        orders = epoch_orders(n, size, estimator.shuffle, estimator._random_state)
    else:
        orders = example_orders(n, options, network.seed, asked.order)
    if examples.weights is not None:
        orders = _weighing(orders, examples.weights)
    return TrainingRun(
        model=network.model,
        state=network.state,
        engine=engine,
        targets=targets,
        options=options,
        batches=example_batches(examples, orders),
        examples=examples,
        orders=orders,
        fetch=lambda indices: example_batch(examples, indices),
        seed=network.seed,
        n_examples=n,
        history=history,
        network=network,
        epochs_before=network.epochs_trained,
        steps_before=network.steps_trained,
    )


def engine_of(estimator: Any, network: Network, optimizer: str) -> Engine:
    """Return the engine of an estimator, and begin the network's history with its name."""
    needed = TrainingOptions(optimizer, network.dtype.name)
    engine, why = choose_engine(estimator.engine, network.model, needed)
    network.history = History()
    network.history.engine, network.history.environment = why, environment(engine.name)
    return engine


def _batch_size(estimator: Any, n: int) -> int:
    if isinstance(estimator.batch_size, str):
        return min(200, n)
    if estimator.batch_size > n:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=6,
        )
    return int(min(estimator.batch_size, n))


def _weighing(orders: Orders, weights: Array) -> Orders:
    """Return the orders, after checking that no batch of them has no weight at all."""

    def checked(epoch: int) -> Any:
        for order, size in orders(epoch):
            if not np.add.reduceat(weights[order], np.arange(0, len(order), size)).all():
                raise ZeroDivisionError("Weights sum to zero, can't be normalized")
            yield order, size

    return checked
