"""Network.fit: checks every option, prepares the data, and hands over to the training loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clearprop.checks import as_flag, as_whole
from clearprop.engines import Engine, TrainingOptions, choose_engine
from clearprop.errors import BusyError, DataError
from clearprop.fitting.data import TrainingData, check_fraction, read_training_data, read_validation
from clearprop.fitting.environment import environment
from clearprop.fitting.options import (
    check_metrics,
    check_monitored,
    check_together,
    make_factors,
    make_hooks,
    make_metrics,
    make_optimizer,
    make_penalty,
    positive_or_none,
)
from clearprop.fitting.reading import draft_of
from clearprop.lazy import Lazy
from clearprop.optimizers import Optimizer
from clearprop.training.batches import Batches, Order, Orders, Rest
from clearprop.training.callbacks import Callback, EarlyStopping
from clearprop.training.data import Examples
from clearprop.training.features import all_finite
from clearprop.training.history import History
from clearprop.training.loop import TrainingRun
from clearprop.training.options import FitOptions
from clearprop.training.penalties import Penalty
from clearprop.training.progress import progress_callback
from clearprop.training.seen import BatchesSeen, OrderSeen

if TYPE_CHECKING:
    from pathlib import Path

    from clearprop import schedules
    from clearprop.fitting import checkpoints
    from clearprop.fitting.checkpoints import Checkpoint
    from clearprop.network import Network
    from clearprop.schedules import Schedule
    from clearprop.training.position import Keeper, Position
    from clearprop.training.seen import Seen
else:
    checkpoints = Lazy("clearprop.fitting.checkpoints")
    schedules = Lazy("clearprop.schedules")

__all__ = ["FitPlan", "alone", "fit", "plan_fit"]


def fit(
    network: Network,
    X: Any,
    y: Any = None,
    *,
    optimizer: str | Optimizer = "adam",
    eta: float | None = None,
    epochs: int | None = None,
    batch_size: int = 32,
    X_val: Any = None,
    y_val: Any = None,
    validation_fraction: float = 0.0,
    sample_weight: Any = None,
    class_weight: str | Mapping[Any, float] | None = None,
    schedule: str | Schedule | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    penalty: Penalty | None = None,
    max_norm: float | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    early_stopping: bool | EarlyStopping = False,
    callbacks: Callback | Sequence[Callback] = (),
    metrics: Sequence[Any] = (),
    groups: Mapping[str, Mapping[str, float]] | None = None,
    shuffle: bool = True,
    order: Order | None = None,
    drop_last: bool = False,
    engine: str | None = None,
    progress: bool = False,
    time_limit: float | None = None,
    checkpoint: str | Path | Checkpoint | None = None,
    resume: bool | str | Path = False,
) -> History:
    """Train the network on X and y; return the history. Calling it again goes on from where it is.

    The parameters and the randomness go on: the order of examples and dropout count from
    ``network.epochs_trained`` and ``steps_trained``, so with plain SGD twice one epoch has the bits of two.
    What belongs to one fit starts anew with each: the history's epochs and steps, the schedule, and the
    optimiser's slots (momentum, Adam's means and the step of their correction).

    Data: X (n, d) may be an array, a memory-mapped array, a SciPy sparse matrix, a pandas or polars frame, a
    tuple of arrays (several inputs), or an iterable of batches ``(X, y)`` or ``(X, y, weights)`` that need
    never fit in memory (then y is left out, the iterable is iterated once per epoch, its batches are taken as
    they come, and their weights as they are). y: labels of any type, one-hot rows, or real numbers; `predict`
    gives back what was given.

    Parameters:
        optimizer, eta: a name or an `Optimizer`; eta overrides its learning rate.
        epochs: passes over the data, 10 if left out; for "lbfgs" iterations, its own 200 if left out.
        batch_size, drop_last: examples per step; whether a short last batch is left out.
        X_val, y_val or validation_fraction: validation data, given or split off (stratified for classes;
            preprocessing is fitted to the rest). Their cost is unweighted.
        sample_weight: (n,) >= 0; class_weight: "balanced" or label -> weight. Both are scaled to mean 1.
            They weigh the cost and metrics of training examples, never the accuracy.
        schedule: how eta changes. l1, l2, penalty: see `Penalty`. max_norm: limit on the norm of each row of
            W.
        clip_norm, clip_value: limits on the gradient's norm, and on each of its entries.
        early_stopping: True, or an `EarlyStopping`; the best parameters are restored.
        callbacks, metrics: see `Callback` and ``clearprop.metrics``.
        groups: pattern of addresses -> {"rate": factor on eta, "decay": factor on penalty and weight decay},
            such as ``{"1": {"rate": 0.1}, "*.b": {"decay": 0}}``. For fixed parts see `freeze`.
        shuffle, order: whether each epoch has its own random order; or the order itself, a function of the
            epoch (from 1) or an iterable with one array of indices, or list of batches of indices, per epoch.
        engine: the rung of the ladder; left out, the network's own.
        progress: whether to show a progress bar (needs rich). time_limit: in seconds, of this call.
        checkpoint: the folder for checkpoints of this run, one every 5 minutes, or a `Checkpoint`.
        resume: True goes on from the newest of them, or begins where there is none; or the path of a folder
            or a file that must be there. The network, data and options must be those of the run, which then
            ends with the bits that it would have had; epochs may be raised, time_limit, progress and
            callbacks without a state may be others.

    Errors: one sentence each for data and options that do not fit; `DivergenceError` when the cost becomes
    NaN or infinite (the parameters are then the last finite ones). What is refused leaves the network as it
    was. `BusyError` while another call of fit trains this network; other threads may predict meanwhile, with
    the parameters of a finished step or of the one at hand. Ctrl-C finishes the step at hand, keeps the
    parameters and raises KeyboardInterrupt; the history so far is in ``network.history``.

    >>> import numpy as np
    >>> import clearprop as cp
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0.0, 2.0, 4.0, 6.0])
    >>> net = cp.Network([cp.Dense(1)], seed=0)
    >>> history = net.fit(X, y, optimizer="sgd", epochs=200, batch_size=4)
    >>> net.predict(X).round(1)
    array([0., 2., 4., 6.])
    """
    return plan_fit(
        network,
        X,
        y,
        optimizer=optimizer,
        eta=eta,
        epochs=epochs,
        batch_size=batch_size,
        X_val=X_val,
        y_val=y_val,
        validation_fraction=validation_fraction,
        sample_weight=sample_weight,
        class_weight=class_weight,
        schedule=schedule,
        l1=l1,
        l2=l2,
        penalty=penalty,
        max_norm=max_norm,
        clip_norm=clip_norm,
        clip_value=clip_value,
        early_stopping=early_stopping,
        callbacks=callbacks,
        metrics=metrics,
        groups=groups,
        shuffle=shuffle,
        order=order,
        drop_last=drop_last,
        engine=engine,
        progress=progress,
        time_limit=time_limit,
        checkpoint=checkpoint,
        resume=resume,
    ).run()


@dataclass
class FitPlan:
    """A fit whose options and data are checked; the network is still as it was."""

    network: Network
    draft: Network
    """The network built and prepared for the data."""
    engine: Engine
    options: FitOptions
    data: TrainingData
    validation: Examples | None
    order: Order | None
    history: History
    keeper: Keeper | None = None
    position: Position | None = None

    def start(self) -> TrainingRun:
        """Change the network to what the draft is, and return the run that trains it."""
        network, options = self.network, self.options
        data, validation = self.data, self.validation
        if data.examples is not None:
            data = replace(data, examples=data.examples.settled())
        if validation is not None:
            validation = validation.settled()
        orders = data.orders(options, self.draft.seed, self.order, self.draft.epochs_trained)
        batches = data.batches(orders)
        seen: Seen | None = None
        if self.keeper is not None or self.position is not None:
            seen, orders, batches = self._watched(orders, batches)
        self.history.environment = environment(self.engine.name)
        vars(network).update(vars(self.draft))
        return TrainingRun(
            model=network.model,
            state=network.state,
            engine=self.engine,
            targets=data.targets,
            options=options,
            batches=batches,
            examples=data.examples,
            orders=orders,
            fetch=data.fetch,
            seed=network.seed,
            n_examples=data.n_examples,
            steps_per_epoch=data.steps_per_epoch(options, self.order),
            validation=validation,
            history=self.history,
            network=network,
            epochs_before=network.epochs_trained,
            steps_before=network.steps_trained,
            begin=self.position,
            keeper=self.keeper,
            seen=seen,
        )

    def _watched(self, orders: Orders | None, batches: Batches) -> tuple[Seen | None, Orders | None, Batches]:
        """Return order and batches from where the run goes on, and what watches those of the user's own."""
        seen: BatchesSeen | OrderSeen | None = None
        if orders is None:
            batches = seen = BatchesSeen(batches)
        elif self.order is not None:
            orders = seen = OrderSeen(orders)
        if self.position is not None:
            epoch, tally = self.position.epoch, self.position.tally
            if seen is not None and self.position.seen is not None:
                seen.go_back_to(self.position.seen, epoch, tally is not None)
            if orders is not None and tally is not None:
                orders = Rest(orders, epoch, tally.examples)
        return seen, orders, batches if orders is None else self.data.batches(orders)

    def run(self) -> History:
        """Train the network; see `fit`."""
        with alone(self.network):
            return self.start().run()


_trained: set[int] = set()
_looking = threading.Lock()


@contextmanager
def alone(network: Network) -> Iterator[None]:
    """Let nobody else train this network meanwhile. Errors: `BusyError` if somebody does."""
    with _looking:
        if id(network) in _trained:
            raise BusyError(
                "this network is being trained by another fit. Wait for it, or train a copy, net.copy()."
            )
        _trained.add(id(network))
    try:
        yield
    finally:
        _trained.discard(id(network))


def plan_fit(
    network: Network,
    X: Any,
    y: Any,
    *,
    optimizer: str | Optimizer,
    eta: float | None,
    epochs: int | None,
    batch_size: int,
    X_val: Any,
    y_val: Any,
    validation_fraction: float,
    sample_weight: Any,
    class_weight: str | Mapping[Any, float] | None,
    schedule: str | Schedule | None,
    l1: float,
    l2: float,
    penalty: Penalty | None,
    max_norm: float | None,
    clip_norm: float | None,
    clip_value: float | None,
    early_stopping: bool | EarlyStopping,
    callbacks: Callback | Sequence[Callback],
    metrics: Sequence[Any],
    groups: Mapping[str, Mapping[str, float]] | None,
    shuffle: bool,
    order: Order | None,
    drop_last: bool,
    engine: str | None,
    progress: bool,
    time_limit: float | None,
    checkpoint: str | Path | Checkpoint | None,
    resume: bool | str | Path,
) -> FitPlan:
    """Check what `fit` was given and return what it would do; the network stays as it is."""
    chosen, epochs = make_optimizer(optimizer, eta, epochs)
    batch_size = as_whole("batch_size", batch_size, at_least=1)
    regularization = make_penalty(l1, l2, penalty)
    hooks = make_hooks(callbacks, early_stopping)
    # Built and prepared in the network's place, so that what is refused changes nothing.
    draft = draft_of(network)
    validation_fraction = check_fraction(validation_fraction)
    data = read_training_data(draft, X, y, sample_weight, class_weight, order, validation_fraction)
    data, validation = read_validation(draft, data, X_val, y_val, validation_fraction)
    model = draft.model
    _check_theta(draft)
    scale, decay = make_factors(model, draft.frozen, groups, regularization, draft.dtype)
    options = FitOptions(
        optimizer=chosen,
        epochs=epochs,
        batch_size=batch_size,
        schedule=None if schedule is None else schedules.schedules.make(schedule),
        penalty=regularization,
        max_norm=positive_or_none("max_norm", max_norm),
        clip_norm=positive_or_none("clip_norm", clip_norm),
        clip_value=positive_or_none("clip_value", clip_value),
        shuffle=as_flag("shuffle", shuffle),
        drop_last=as_flag("drop_last", drop_last),
        time_limit=positive_or_none("time_limit", time_limit),
        metrics=make_metrics(metrics, data.targets),
        callbacks=[*hooks, *([progress_callback()] if as_flag("progress", progress) else [])],
        scale=scale,
        decay=decay,
    )
    check_together(options, model, data, order)
    check_monitored(options, data.targets, validation is not None)
    if validation is not None:
        check_metrics(options.metrics, data.targets, validation.y)
    needed = TrainingOptions(chosen.name, draft.dtype.name)
    rung, why = choose_engine(draft.engine if engine is None else engine, model, needed)
    history = History()
    history.engine = why
    history.class_weight = dict(class_weight) if isinstance(class_weight, Mapping) else class_weight
    history.sample_weighted = sample_weight is not None or data.weighted_stream
    draft.history, draft.penalty = history, regularization
    plan = FitPlan(network, draft, rung, options, data, validation, order, history)
    if checkpoint is not None or resume:
        checkpoints.prepare(plan, checkpoint, resume)
    return plan


def _check_theta(network: Network) -> None:
    """Raise `DataError` unless training starts from finite parameters."""
    for entry in network.model.layout.entries:
        if not all_finite(network.theta[entry.block]):
            raise DataError(
                f"the parameter {entry.address} holds NaN or infinity, so training cannot start from it. "
                "Call initialize()."
            )
