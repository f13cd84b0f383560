"""The options of fit: each checked alone, then together."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_number, as_whole
from clearprop.errors import DTypeError, OptionError, UnknownNameError, did_you_mean
from clearprop.fitting.data import TrainingData
from clearprop.lazy import Lazy
from clearprop.model import Layout, Model
from clearprop.optimizers import Optimizer, optimizers
from clearprop.training.batches import Order
from clearprop.training.callbacks import Callback, EarlyStopping, as_callbacks
from clearprop.training.options import FitOptions
from clearprop.training.penalties import Penalty
from clearprop.training.targets import Targets

if TYPE_CHECKING:
    from clearprop.trace import Trace
    from clearprop.training import metrics as known_metrics
else:
    known_metrics = Lazy("clearprop.training.metrics")

__all__ = [
    "check_metrics",
    "check_monitored",
    "check_patterns",
    "check_together",
    "make_factors",
    "make_hooks",
    "make_metrics",
    "make_optimizer",
    "make_penalty",
    "matches",
    "penalized_gradient",
    "penalty_mask",
    "positive_or_none",
]

DEFAULT_EPOCHS = 10


def positive_or_none(name: str, value: Any) -> float | None:
    """Return a limit as a float > 0, or None."""
    return None if value is None else as_number(name, value, above=0)


def make_optimizer(
    optimizer: str | Optimizer, eta: float | None, epochs: int | None
) -> tuple[Optimizer, int]:
    """Return the optimiser and the number of epochs; for L-BFGS these are its iterations.

    Errors: `OptionError` for a rate given to an optimiser that has none.
    """
    chosen: Optimizer = optimizers.make(optimizer)
    epochs = None if epochs is None else as_whole("epochs", epochs, at_least=1)
    if chosen.full_batch:
        if eta is not None:
            raise OptionError(
                f"optimizer {chosen.name!r} has no learning rate: its line search finds the step. Leave eta "
                "out."
            )
        if epochs is not None:
            chosen = dataclasses.replace(chosen, max_iterations=epochs)  # type: ignore[type-var]
        return chosen, chosen.max_iterations  # type: ignore[attr-defined]
    if eta is not None:
        chosen = dataclasses.replace(chosen, eta=eta)  # type: ignore[type-var]
    return chosen, DEFAULT_EPOCHS if epochs is None else epochs


def make_penalty(l1: float, l2: float, penalty: Penalty | None) -> Penalty:
    """Return the penalty that l1 and l2, or penalty, mean. Errors: `OptionError` if both are given."""
    if penalty is None:
        return Penalty(l1=l1, l2=l2)
    if not isinstance(penalty, Penalty):
        raise DTypeError(f"penalty must be a Penalty(l1, l2, …). Got {penalty!r}.")
    if l1 or l2:
        raise OptionError("give l1 and l2, or penalty=Penalty(l1, l2, …), not both.")
    return penalty


def make_hooks(
    callbacks: Callback | Sequence[Callback], early_stopping: bool | EarlyStopping
) -> list[Callback]:
    """Return the callbacks, early stopping last: it may monitor what the others add to the history."""
    if not isinstance(early_stopping, bool | EarlyStopping):
        raise DTypeError(
            f"early_stopping must be True, False or an EarlyStopping(patience=…). Got {early_stopping!r}."
        )
    stopper = EarlyStopping() if early_stopping is True else early_stopping
    return as_callbacks([*as_callbacks(callbacks), *([stopper] if stopper else [])])


def make_metrics(metrics: Any, targets: Targets) -> list[Any]:
    """Return the metrics by name or object, each tried, so that none fails only after an epoch of training.

    Errors: `OptionError` for a metric that does not suit the task or the number of classes;
    `MissingDependencyError` for one that needs a package.
    """
    several = isinstance(metrics, Sequence | set | frozenset) and not isinstance(metrics, str)
    chosen = [known_metrics.metrics.make(metric) for metric in (metrics if several else [metrics])]
    for metric in chosen:
        metric.check_task(targets.task)
        truth = _every_class(targets)
        metric(truth, _perfect(targets, truth))
    return chosen


def check_metrics(chosen: Sequence[Any], targets: Targets, y: Array) -> None:
    """Try each metric on validation targets y (encoded), where it may have no value: `DataError` says so."""
    truth = targets.truth(y)
    for metric in chosen:
        metric(truth, _perfect(targets, truth))


def _every_class(targets: Targets) -> Array:
    """Return targets as metrics take them, in which every class occurs."""
    k = targets.n_out
    if targets.task == "regression":
        return np.linspace(0.0, 1.0, 2 * k).reshape(2, k)
    return np.repeat([[0], [1]], k, axis=1) if targets.task == "multilabel" else np.arange(max(k, 2))


def _perfect(targets: Targets, truth: Array) -> Array:
    """Return outputs as metrics take them, where all is right."""
    if targets.task == "regression":
        return truth
    if targets.task == "multilabel":
        return 0.25 + truth / 2
    return 0.25 + truth[:, None] / 2 if targets.n_out == 1 else np.eye(targets.n_out)[truth]


def check_patterns(model: Model, patterns: Sequence[str]) -> None:
    """Raise `UnknownNameError` for a pattern that matches no parameter."""
    for pattern in patterns:
        if not any(matches(entry.address, pattern) for entry in model.layout.entries):
            known = ", ".join(entry.address for entry in model.layout.entries)
            raise UnknownNameError(f"no parameter matches {pattern!r}. There are: {known}.")


def matches(address: str, pattern: str) -> bool:
    """Return whether a parameter's address is the pattern, lies inside it, or fits it as a glob.

    >>> matches("3.body.1.W", "3"), matches("3.body.1.W", "*.W"), matches("30.W", "3")
    (True, True, False)
    """
    return address == pattern or address.startswith(pattern + ".") or fnmatch.fnmatchcase(address, pattern)


def penalty_mask(model: Model, penalty: Penalty) -> Array:
    """Return which parameters a penalty and weight decay apply to, as booleans over theta."""
    return model.layout.mask(lambda entry: entry.decays or penalty.scope == "all")


def penalized_gradient(trace: Trace, theta: Array, penalty: Penalty) -> Array:
    """Return ∂C/∂theta of a trace with that of the penalty, whose data set the batch is taken for."""
    gradient, n = trace.gradient, len(trace.costs)
    if penalty.active:
        divisor = penalty.divisor(examples=n, batch=n)
        penalty.add_gradient(gradient, theta, penalty_mask(trace.model, penalty), divisor=divisor)
    return gradient


def make_factors(
    model: Model,
    frozen: Sequence[str],
    groups: Mapping[str, Mapping[str, float]] | None,
    penalty: Penalty,
    dtype: Any,
) -> tuple[Array | None, Array]:
    """Return the factor on the rate (None for all 1) and on penalty and decay of every parameter.

    The latter are booleans where no group has another factor: a quarter of the memory.

    Errors: `UnknownNameError` for a pattern that matches nothing; `OptionError` if nothing is left to train.
    """
    layout = model.layout
    decay = penalty_mask(model, penalty)
    if groups is None and not frozen and layout.size:
        return None, decay
    scale = np.ones(layout.size, dtype=dtype)
    for pattern, factors in _checked_groups(groups).items():
        hit = _hit(layout, pattern)
        if not hit.any():
            known = ", ".join(entry.address for entry in layout.entries)
            raise UnknownNameError(f"groups: no parameter matches {pattern!r}. There are: {known}.")
        scale[hit] *= factors.get("rate", 1.0)
        if "decay" in factors:
            decay = decay.astype(dtype, copy=False)
            decay[hit] = factors["decay"]
    for pattern in frozen:
        scale[_hit(layout, pattern)] = 0
    if not scale.any():
        raise OptionError(
            "there is nothing to train: every parameter is frozen. Call unfreeze()."
            if layout.size
            else "there is nothing to train: this network has no parameters."
        )
    return (None if np.all(scale == 1) else scale), decay


def _hit(layout: Layout, pattern: str) -> Array:
    return layout.mask(lambda entry: matches(entry.address, pattern))


def _checked_groups(groups: Any) -> dict[str, dict[str, float]]:
    if groups is None:
        return {}
    if not isinstance(groups, Mapping) or not all(isinstance(f, Mapping) for f in groups.values()):
        raise DTypeError(
            'groups must be a dictionary such as {"1": {"rate": 0.1}, "*.b": {"decay": 0}}. '
            f"Got {groups!r}."
        )
    checked: dict[str, dict[str, float]] = {}
    for pattern, factors in groups.items():
        for name in factors:
            if name not in ("rate", "decay"):
                hint = did_you_mean(str(name), ("rate", "decay"))
                raise OptionError(f"groups[{pattern!r}] has {name!r}; it may have 'rate' and 'decay'.{hint}")
        checked[str(pattern)] = {
            name: as_number(f"{name} of groups[{pattern!r}]", value, at_least=0)
            for name, value in factors.items()
        }
    return checked


# Together ----------------------------------------------------------------------------------------


def check_together(options: FitOptions, model: Model, data: TrainingData, order: Order | None) -> None:
    """Raise `OptionError` for options that contradict each other or the data."""
    if options.optimizer.full_batch:
        _check_full_batch(options, model, data, order)
    if data.once and options.epochs > 1:
        raise OptionError(
            f"this iterable of batches can be iterated only once, but there are {options.epochs} epochs. "
            "Give an object "
            "whose __iter__ starts anew (a list, a class), or epochs=1."
        )
    if options.drop_last:
        if order is not None:
            raise OptionError(
                "drop_last does not go with order: leave out of the order what should be left out."
            )
        if data.n_examples is None:
            raise OptionError(
                "drop_last does not go with an iterable of batches: let it leave out the last batch."
            )
        if data.n_examples < options.batch_size:
            raise OptionError(
                f"drop_last leaves nothing: {data.n_examples} examples are fewer than one batch of "
                f"{options.batch_size}."
            )
    if model.couples_examples and order is None and data.n_examples is not None:
        _check_no_single(options, data.n_examples)
    if order is not None:
        _check_order(options, order)
    if options.schedule is not None:
        _check_schedule(options, data, order)


def _check_no_single(options: FitOptions, n: int) -> None:
    """Raise if a batch of one example would come up, whose variance is 0: before any step is taken."""
    alone = options.batch_size == 1 or n == 1 or (n % options.batch_size == 1 and not options.drop_last)
    if alone:
        raise OptionError(
            f"BatchNorm needs at least 2 examples in each batch; {n} examples in batches of "
            f"{options.batch_size} leave one alone. Give another batch_size, or drop_last=True."
        )


def _check_order(options: FitOptions, order: Any) -> None:
    """Raise for an order that holds no arrays of indices, or too few, as far as it shows beforehand."""
    if callable(order):
        return
    if not isinstance(order, Iterable) or isinstance(order, str | Mapping):
        raise DTypeError(
            "order must be a function of the epoch or an iterable of index arrays, one per epoch. Got "
            f"{order!r}."
        )
    if isinstance(order, Sequence | np.ndarray):
        if any(isinstance(item, int | float | np.generic) for item in order):
            raise OptionError(
                "order must hold one array of indices per epoch; it holds single numbers. "
                "For one epoch give order=[indices]."
            )
        if len(order) < options.epochs:
            raise OptionError(
                f"order has {len(order)} items for {options.epochs} epochs. Give one for each epoch."
            )


def _check_full_batch(options: FitOptions, model: Model, data: TrainingData, order: Order | None) -> None:
    name = options.optimizer.name
    if data.n_examples is None:
        raise OptionError(f"optimizer {name!r} needs all data at once, not an iterable of batches.")
    if model.is_random or model.couples_examples:
        raise OptionError(
            f"optimizer {name!r} needs a cost that is the same each time; dropout and batch norm change it."
        )
    given = {
        "schedule": options.schedule,
        "clip_norm": options.clip_norm,
        "clip_value": options.clip_value,
        "max_norm": options.max_norm,
        "order": order,
        "drop_last": options.drop_last or None,
    }
    for option, value in given.items():
        if value is not None:
            raise OptionError(
                f"{option} does not go with optimizer {name!r}: it takes all examples in every step, and its "
                "line "
                "search sets the step. Leave it out."
            )
    if options.scale is not None and not np.isin(options.scale, (0, 1)).all():
        raise OptionError(f"optimizer {name!r} has no rate to scale: 'rate' in groups must be 0 or 1.")


def _check_schedule(options: FitOptions, data: TrainingData, order: Order | None) -> None:
    """Raise for a schedule that cannot follow these data, or would follow the cost the wrong way round."""
    schedule, per_epoch = options.schedule, data.steps_per_epoch(options, order)
    assert schedule is not None
    if schedule.monitors and schedule.maximizes:
        raise OptionError(
            f"schedule {schedule.name!r} with greater_is_better=True would take a rising cost for progress: "
            "fit monitors the cost. Leave greater_is_better out."
        )
    # If it must know the number of steps, it says so now.
    schedule.rate(
        options.optimizer.eta,
        step=1,
        epoch=1,
        total_steps=None if per_epoch is None else per_epoch * options.epochs,
        steps_per_epoch=per_epoch,
        state=schedule.start(),
    )


def check_monitored(options: FitOptions, targets: Targets, has_validation: bool) -> None:
    """Raise `UnknownNameError` for early stopping on a column that there will not be."""
    others = [c for c in options.callbacks if not isinstance(c, EarlyStopping)]
    if any(type(c).on_epoch_end is not Callback.on_epoch_end for c in others):
        return  # it may add the column
    measured = ["cost", *(["accuracy"] if targets.is_classification else [])]
    named = [metric.name for metric in options.metrics if isinstance(metric, known_metrics.Metric)]
    columns = ["epoch", "step", "seconds", "eta", *dict.fromkeys([*measured, *named])]
    columns += ["penalty"] if options.penalty.active else []
    columns += [f"val_{name}" for name in dict.fromkeys([*measured, *named])] if has_validation else []
    for callback in options.callbacks:
        if isinstance(callback, EarlyStopping):
            callback.check_column(columns)
