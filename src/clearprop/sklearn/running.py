"""A run of clearprop's training loop for a stochastic solver."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import Engine, TrainingOptions, choose_engine
from clearprop.errors import OptionError
from clearprop.fitting.environment import environment
from clearprop.fitting.options import make_factors
from clearprop.network import Network
from clearprop.schedules import schedules
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

    def examples(self, dtype: Any, rows: Callable[[Array], Array]) -> Examples:
        """Return them as the training loop reads them; rows: what makes y what the cost compares with."""
        X = self.X.tocsr() if is_sparse(self.X) else self.X
        weights = None if self.weights is None else np.asarray(self.weights, dtype)
        y = np.ascontiguousarray(rows(self.y), dtype)
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
    estimator: Any, network: Network, data: Data, asked: Asked, course: Course, incremental: bool
) -> TrainingRun:
    """Return the run of clearprop's loop that does all epochs, or the next one of `partial_fit`."""
    n, size = data.X.shape[0], _batch_size(estimator, data.X.shape[0], network.model.couples_examples)
    examples, targets = data.examples(network.dtype, estimator._rows), network.targets
    pace, whole = course.pace, not incremental and asked.order is None
    assert targets is not None
    network.penalty = Penalty(l2=estimator.alpha, divide_by="batch")
    scale, decay = make_factors(network.model, network.frozen, None, network.penalty, network.dtype)
    options = FitOptions(
        optimizer=pace.optimizer,
        epochs=pace.epochs + 1 if incremental else estimator.max_iter,
        schedule=None if estimator.schedule is None else schedules.make(estimator.schedule),
        batch_size=size,
        penalty=network.penalty,
        metrics=_reported(estimator, course),
        callbacks=[*as_callbacks(asked.callbacks), course],
        scale=scale,
        decay=decay,
        mean_over_weights=True,
        penalty_as_seen=True,
    )
    if network.model.couples_examples and asked.order is None:
        _check_none_alone(n, size)
    engine = engine_of(estimator, network, options.optimizer.name, incremental)
    assert network.history is not None
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
        history=network.history,
        network=network,
        steps_per_epoch=-(-n // size) if whole else None,
        # A pace that goes on has counted its own already.
        epochs_before=network.epochs_trained - pace.epochs,
        steps_before=network.steps_trained - pace.steps,
    )


def engine_of(estimator: Any, network: Network, optimizer: str, incremental: bool = False) -> Engine:
    """Return the engine of an estimator, and begin the network's history, or go on with it, by its name."""
    needed = TrainingOptions(optimizer, network.dtype.name)
    engine, why = choose_engine(estimator.engine, network.model, needed)
    if network.history is None or not incremental:
        network.history = History()
    network.history.engine, network.history.environment = why, environment(engine.name)
    return engine


def _reported(estimator: Any, course: Course) -> list[ReportedLoss]:
    losses = losses_of(estimator)
    return [] if losses is None or course.loss == "cost" else [ReportedLoss(losses)]


def _batch_size(estimator: Any, n: int, together: bool) -> int:
    """Return the number of examples per step; together: whether none may be alone in a step."""
    if isinstance(estimator.batch_size, str):
        sizes = (size for size in range(min(200, n), 1, -1) if n % size != 1)
        return next(sizes, n) if together else min(200, n)
    if estimator.batch_size > n:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=6,
        )
    return int(min(estimator.batch_size, n))


def _check_none_alone(n: int, size: int) -> None:
    """Raise `OptionError` where a batch of one example would come up, whose variance is 0."""
    if size == 1 or n % size == 1:
        raise OptionError(
            f"normalization='batch' needs 2 examples or more in each step; {n} in batches of {size} leave "
            "one alone. Give another batch_size, or normalization='layer'."
        )


def _weighing(orders: Orders, weights: Array) -> Orders:
    """Return the orders, after checking that no batch of them has no weight at all."""

    def checked(epoch: int) -> Any:
        for order, size in orders(epoch):
            if not np.add.reduceat(weights[order], np.arange(0, len(order), size)).all():
                raise ZeroDivisionError("Weights sum to zero, can't be normalized")
            yield order, size

    return checked
