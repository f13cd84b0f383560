"""Going on from a step of a recorded run, with something changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from clearprop.checks import as_flag, as_whole
from clearprop.engines import Engine, TrainingOptions, choose_engine
from clearprop.errors import OptionError, UnknownNameError, did_you_mean, one_of
from clearprop.fitting.data import TrainingData, read_training_data
from clearprop.fitting.environment import environment
from clearprop.fitting.options import (
    check_metrics,
    check_monitored,
    check_together,
    make_hooks,
    make_metrics,
    make_optimizer,
    make_penalty,
    penalty_mask,
    positive_or_none,
)
from clearprop.fitting.reading import draft_of, read_examples
from clearprop.model import State
from clearprop.optimizers import optimizers
from clearprop.recorder.course import Course
from clearprop.schedules import schedules
from clearprop.specification import check_seed
from clearprop.training.batches import Orders, Part, Rest, example_batch, example_batches, example_orders
from clearprop.training.callbacks import EarlyStopping
from clearprop.training.data import Examples
from clearprop.training.history import History
from clearprop.training.loop import TrainingRun
from clearprop.training.options import FitOptions
from clearprop.training.position import Position
from clearprop.training.snapshot import Snapshot

if TYPE_CHECKING:
    from clearprop.network import Network

__all__ = ["OPTIONS", "network_at", "resume"]

OPTIONS = (
    "eta",
    "optimizer",
    "epochs",
    "batch_size",
    "schedule",
    "l1",
    "l2",
    "penalty",
    "max_norm",
    "clip_norm",
    "clip_value",
    "shuffle",
    "engine",
    "seed",
    "X",
    "y",
    "sample_weight",
    "class_weight",
    "X_val",
    "y_val",
    "metrics",
    "callbacks",
    "time_limit",
)
"""What can be changed, by the names of `fit`."""
_ANEW = ("X", "seed", "shuffle")
"""What gives the epoch at hand another order, so that there is no rest of it."""


def network_at(course: Course, at: Snapshot) -> Network:
    """Return the network of a run as it stood at a snapshot, independent of the one that was trained."""
    network = draft_of(course.network)
    network._model = course.model
    network._state = State(course.model, at.theta.copy(), at.buffers.copy())
    network._few_rows, network.history, network.extra = None, None, dict(network.extra)
    network.steps_trained = course.steps_before + at.step
    network.epochs_trained = course.epochs_before + course.epoch_after(at.step)
    return network


@dataclass(frozen=True)
class _Place:
    """Where the new run begins: which epoch goes on, or begins, in the count of the old one."""

    epoch: int
    skip: int
    """How many examples of that epoch are behind us."""
    offset: int
    """How many epochs, and steps, the new run does not count: 0, or all that are behind it."""
    step_offset: int


def resume(course: Course, at: Snapshot, changed: Mapping[str, Any]) -> tuple[Network, History]:
    """Train on from a snapshot; see `Recording.resume`."""
    _check_names(changed)
    network = network_at(course, at)
    if "seed" in changed:
        network.seed = check_seed(changed["seed"])
    data = _data(course, network, changed)
    options = _options(course, network, data, changed)
    validation = _validation(course, network, data, changed)
    if validation is not None:
        check_metrics(options.metrics, data.targets, validation.y)
    check_together(options, course.model, data, None)
    if validation is None and course.validation_left_out is not None:
        _check_unwatched(options)
    check_monitored(options, data.targets, validation is not None)
    engine, why = _engine(course, network, options, changed)
    orders = _orders(course, data, options, network.seed, changed)
    place = _place(course, at.step, options, orders, changed)
    if not options.optimizer.full_batch and not course.takes_all:
        options = replace(options, epochs=_epochs_left(at.step, options.epochs, place))
    history = History()
    history.engine, history.environment = why, environment(engine.name)
    history.sample_weighted = data.examples is not None and data.examples.weights is not None
    network.history, network.penalty = history, options.penalty
    begin = _begin(course, at, place, changed)
    run = _run(course, network, engine, data, validation, options, orders, place, begin)
    return network, run.run()


def _check_names(changed: Mapping[str, Any]) -> None:
    for name in changed:
        if name not in OPTIONS:
            hint = did_you_mean(name, OPTIONS)
            raise UnknownNameError(f"resume cannot change {name!r}.{hint} It can: {one_of(OPTIONS)}.")
    for one, other in (("X", "y"), ("X_val", "y_val")):
        if (one in changed) != (other in changed):
            missing = other if one in changed else one
            raise OptionError(f"{one} and {other} go together; {missing} is missing.")
    for name in ("sample_weight", "class_weight"):
        if name in changed and "X" not in changed:
            raise OptionError(f"{name} belongs to data: give X and y too.")


# What it trains on, and how --------------------------------------------------------------------------


def _data(course: Course, network: Network, changed: Mapping[str, Any]) -> TrainingData:
    if "X" not in changed:
        return TrainingData(course.targets, course.examples)
    weights = changed.get("sample_weight"), changed.get("class_weight")
    data = read_training_data(network, changed["X"], changed["y"], *weights, None, 0.0)
    if data.examples is None:
        raise OptionError("resume needs data that lie as a whole, not an iterable of batches.")
    return replace(data, examples=data.examples.settled())


def _validation(
    course: Course, network: Network, data: TrainingData, changed: Mapping[str, Any]
) -> Examples | None:
    if "X_val" not in changed:
        return course.validation
    X, y = changed["X_val"], changed["y_val"]
    return read_examples(network, X, y, data.targets, None, "X_val", "y_val").settled()


def _check_unwatched(options: FitOptions) -> None:
    """Raise `OptionError` where the cost on validation data that were left out decides what is done."""
    schedule = options.schedule
    watching = [type(schedule).__name__] if schedule is not None and schedule.monitors else []
    watching += ["EarlyStopping" for c in options.callbacks if isinstance(c, EarlyStopping) and not c.monitor]
    if watching:
        raise OptionError(
            f"{watching[0]} watches the validation cost, and the validation data of this run were left out. "
            "Give them to load_recording as to fit, or others to resume as X_val and y_val."
        )


def _options(course: Course, network: Network, data: TrainingData, changed: Mapping[str, Any]) -> FitOptions:
    old = course.options
    new: dict[str, Any] = {"callbacks": (), "time_limit": None}
    if any(name in changed for name in ("optimizer", "eta", "epochs")):
        optimizer = optimizers.make(changed.get("optimizer", old.optimizer))
        counts_anew = optimizer.full_batch is not old.optimizer.full_batch
        epochs = changed.get("epochs", None if counts_anew else old.epochs)
        new["optimizer"], new["epochs"] = make_optimizer(optimizer, changed.get("eta"), epochs)
    if any(name in changed for name in ("l1", "l2", "penalty")):
        given = make_penalty(changed.get("l1", 0.0), changed.get("l2", 0.0), changed.get("penalty"))
        new["penalty"] = given
        if given.scope != old.penalty.scope:
            new["decay"] = penalty_mask(course.model, given).astype(network.dtype)
    if "schedule" in changed:
        schedule = changed["schedule"]
        new["schedule"] = None if schedule is None else schedules.make(schedule)
    if "metrics" in changed:
        new["metrics"] = make_metrics(changed["metrics"], data.targets)
    for name, read in _READ.items():
        if name in changed:
            new[name] = read(changed[name])
    return replace(old, **new)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "batch_size": partial(as_whole, "batch_size", at_least=1),
    "shuffle": partial(as_flag, "shuffle"),
    "max_norm": partial(positive_or_none, "max_norm"),
    "clip_norm": partial(positive_or_none, "clip_norm"),
    "clip_value": partial(positive_or_none, "clip_value"),
    "time_limit": partial(positive_or_none, "time_limit"),
    "callbacks": lambda given: tuple(make_hooks(given, False)),
}


def _engine(
    course: Course, network: Network, options: FitOptions, changed: Mapping[str, Any]
) -> tuple[Engine, str]:
    if "engine" in changed:
        needed = TrainingOptions(options.optimizer.name, network.dtype.name)
        return choose_engine(changed["engine"], course.model, needed)
    return course.engine, f"engine: {course.engine.name}, as in the run that goes on."


# Where it begins -------------------------------------------------------------------------------------


def _orders(
    course: Course, data: TrainingData, options: FitOptions, seed: int, changed: Mapping[str, Any]
) -> Orders:
    """Return the order of the examples in each epoch, in the old run's count, from its beginning."""
    if course.own_order is not None and "X" not in changed:
        return course.own_order.again
    assert data.examples is not None
    return example_orders(len(data.examples), options, seed, None, course.epochs_before)


def _place(
    course: Course, step: int, options: FitOptions, orders: Orders, changed: Mapping[str, Any]
) -> _Place:
    if course.takes_all or options.optimizer.full_batch:
        epoch, skip = (step if course.takes_all else course.epoch_after(step)) + 1, 0
    else:
        epoch, skip = course.place_after(step)
        if skip and (
            any(name in changed for name in _ANEW) or skip >= sum(len(part) for part, _ in orders(epoch))
        ):
            epoch, skip = epoch + 1, 0
    if type(options.optimizer) is type(course.options.optimizer) and not course.takes_all:
        return _Place(epoch, skip, 0, 0)
    return _Place(epoch, skip, epoch - 1, step)


def _epochs_left(step: int, epochs: int, place: _Place) -> int:
    """Return the number of epochs as the new run counts them."""
    if place.epoch > epochs:
        raise OptionError(
            f"after step {step} there is nothing left of {epochs} epochs: the next would be epoch "
            f"{place.epoch}. Give epochs={place.epoch} or more, or an earlier step."
        )
    return epochs - place.offset


def _begin(course: Course, at: Snapshot, place: _Place, changed: Mapping[str, Any]) -> Position:
    """Return where the new run begins, in its own count: with the slots and the schedule's state of then."""
    numbers = replace(at, step=at.step - place.step_offset)
    epoch = place.epoch - place.offset - 1
    if place.step_offset or course.takes_all:
        return Position(replace(numbers, slots={}), epoch)
    return Position(numbers, epoch, {} if "schedule" in changed else course.state_of(place.epoch))


def _run(
    course: Course,
    network: Network,
    engine: Engine,
    data: TrainingData,
    validation: Examples | None,
    options: FitOptions,
    orders: Orders,
    place: _Place,
    begin: Position,
) -> TrainingRun:
    examples, own = data.examples, course.own_order
    assert examples is not None
    assert network.history is not None
    counted: Orders = Rest(partial(_shifted, orders, place.offset), place.epoch - place.offset, place.skip)
    return TrainingRun(
        model=course.model,
        state=network.state,
        engine=engine,
        targets=data.targets,
        options=options,
        batches=example_batches(examples, counted),
        seed=network.seed,
        examples=examples,
        orders=counted,
        fetch=partial(example_batch, examples),
        n_examples=len(examples),
        steps_per_epoch=None
        if own is not None and orders == own.again
        else data.steps_per_epoch(options, None),
        validation=validation,
        history=network.history,
        network=network,
        begin=begin,
        epochs_before=course.epochs_before + place.offset,
        steps_before=course.steps_before + place.step_offset,
    )


def _shifted(orders: Orders, offset: int, epoch: int) -> Iterator[Part]:
    return orders(epoch + offset)
