"""What a checkpoint must hold to be gone on from: a signed file may still say what no run ever was.

`check_content` looks at a file by itself, `check_fits` at what it says beside the run that would go on from
it. Both before anything of the network is changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import ClearpropError, FileFormatError
from clearprop.training.callbacks import EarlyStopping, NormHistory
from clearprop.training.position import Position, stateful

if TYPE_CHECKING:
    from clearprop.fitting.method import FitPlan

__all__ = ["check_content", "check_fits"]

_MOST = 1 << 53  # whole numbers up to here are exact in float64, too
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_SUMS = ("examples", "features", "X", "y", "weights")
_CONDITIONS = ("clearprop", "engine", "dtype", "machine")
_ORDER, _BATCHES = {"order"}, {"now", "count", "last", "alike", "earlier"}
_NORMS = ("gradient", "parameter")


def _need(is_so: bool, what: str) -> None:
    if not is_so:
        raise ValueError(what)


def _is_whole(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < _MOST


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_array(value: Any, shape: tuple[int | None, ...], *dtypes: Any) -> bool:
    """Return whether value is an array of this shape (None: any length) and of one of these types."""
    return (
        isinstance(value, np.ndarray)
        and value.ndim == len(shape)
        and all(wanted in (None, n) for wanted, n in zip(shape, value.shape, strict=True))
        and (not dtypes or value.dtype in dtypes)
    )


# By itself ---------------------------------------------------------------------------------------


def check_content(data: Mapping[str, Any], n: int, dtype: Any) -> None:
    """Raise `ValueError`, `KeyError` or `TypeError` for what `fit` does not write. n: parameters of dtype."""
    _check_run(data["run"])
    for name in ("step", "epoch"):
        _need(_is_whole(data[name]), f"{name} is no count")
    _need(isinstance(data["before"], list) and len(data["before"]) == 2, "before is no pair")
    for name in ("before", "resumed"):
        _need(isinstance(data[name], list) and all(map(_is_whole, data[name])), f"{name} holds no counts")
    _need(_is_number(data["eta"]) and data["eta"] >= 0, "eta is no rate")
    _need(_is_number(data["seconds"]) and data["seconds"] >= 0, "seconds is no time")
    _need(isinstance(data["stop_reason"], str), "stop_reason is no text")
    for name in ("slots", "schedule_state"):
        _need(isinstance(data[name], dict), f"{name} is no dictionary")
    for name, slot in data["slots"].items():
        _need(_is_array(slot, (n,), dtype), f"the slot {name!r} is not like the parameters")
    recent = data["recent"]
    _need(_is_array(recent, (3, None), np.float64) and bool(np.isfinite(recent).all()), "recent is no table")
    _need(bool(((recent[0] >= 0) & (recent[0] < _MOST)).all()), "recent holds no counts")
    _check_rows(data["rows"], "rows", ("epoch", "step", "seconds", "eta", "cost"))
    _check_rows(data["rolling"], "rolling", ("epoch", "step", "examples", "cost"))
    if data["tally"] is not None:
        _check_tally(data["tally"])
    _need(isinstance(data["callbacks"], list), "callbacks is no list")
    for name, state in data["callbacks"]:
        _need(isinstance(name, str) and isinstance(state, dict), "callbacks does not hold names and states")
    if data["seen"] is not None:
        _check_seen(data["seen"])
    _need(data["start"] is None or _is_array(data["start"], (n,), dtype), "start is not like the parameters")
    _need((data["start"] is None) == (data["evaluations"] is None), "start and evaluations go together")
    if data["evaluations"] is not None:
        _check_log(data["evaluations"], n)


def _check_run(run: Any) -> None:
    _need(isinstance(run, dict) and _is_whole(run["epochs"], 1), "run is no description of one")
    for name in ("data", "validation"):
        if run[name] is not None:
            sums = run[name]
            _need(isinstance(sums, dict) and sums.keys() == set(_SUMS), f"{name} is no fingerprint")
            _need(all(_is_whole(sums[what]) for what in _SUMS[:2]), f"{name} holds no counts")
            _need(all(isinstance(sums[what], str) for what in ("X", "y")), f"{name} holds no sums")
            _need(isinstance(sums["weights"], str | None), f"{name} holds no sums")
    conditions = run["conditions"]
    _need(isinstance(conditions, dict) and conditions.keys() >= set(_CONDITIONS), "conditions are missing")
    _need(all(isinstance(value, str | int | None) for value in conditions.values()), "conditions are no text")


def _check_rows(data: Any, what: str, needed: tuple[str, ...]) -> None:
    names, values, kinds = data["names"], data["values"], data["kinds"]
    _need(isinstance(names, list) and all(isinstance(n, str) for n in names), f"{what} has no names")
    _need(len(set(names)) == len(names), f"{what} has a name twice")
    _need(_is_array(values, (None, len(names)), np.float64), f"{what} is no table")
    _need(_is_array(kinds, values.shape, np.uint8) and bool((kinds <= 2).all()), f"{what} has no kinds")
    whole = values[kinds == 2]
    _need(bool((np.abs(whole) < _MOST).all()) and bool((whole % 1 == 0).all()), f"{what} has no counts")
    for name in needed if len(values) else ():
        _need(name in names and bool((kinds[:, names.index(name)] > 0).all()), f"{what} lacks {name!r}")


def _check_tally(tally: Any) -> None:
    n = tally["examples"]
    _need(_is_whole(n, 1) and _is_whole(tally["correct"]) and tally["correct"] <= n, "tally holds no counts")
    _need(_is_number(tally["cost"]) and _is_number(tally["penalty"]), "tally holds no sums")
    kept = tally["kept"]
    _need(isinstance(kept, dict), "kept is no dictionary")
    if kept:
        _need(kept.keys() - {"weights"} == {"truth", "outputs"}, "kept does not hold truth and outputs")
        for name, values in kept.items():
            shape = (n,) if name == "weights" or np.ndim(values) == 1 else (n, None)
            _need(_is_array(values, shape), f"{name} has not a row for each example")


def _check_seen(seen: Any) -> None:
    _need(isinstance(seen, dict) and seen.keys() in (_ORDER, _BATCHES), "seen is of no order and no batches")
    for name, value in seen.items():
        if name in ("count", "alike"):
            _need(_is_whole(value, -1), f"{name} is no count")
        else:
            _need(isinstance(value, str), f"{name} is no sum")


def _check_log(log: Any, n: int) -> None:
    asked = len(log["points"])
    _need(_is_array(log["points"], (asked, 16), np.uint8), "points are no sums")
    _need(_is_array(log["costs"], (asked,), np.float64), "costs are no numbers")
    shape = (asked, n) if asked else (0, None)
    _need(_is_array(log["gradients"], shape, *_FLOATS), "gradients are not like the parameters")


# Beside the run ----------------------------------------------------------------------------------


def check_fits(plan: FitPlan, position: Position, path: str) -> None:
    """Raise `FileFormatError` where a position is none that this run can ever have been in."""
    try:
        _check_numbers(plan, position)
        _check_progress(plan, position)
        _check_schedule(plan, position)
        _check_metrics(plan, position)
        _check_callbacks(plan, position)
    except Warning:
        raise  # of a metric or a schedule, where warnings are errors: that is no fault of the file
    except Exception as error:  # whatever a schedule or a metric of the user's own raises over it
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise FileFormatError(f"{path} is not sound: {what}.") from None


def _check_numbers(plan: FitPlan, position: Position) -> None:
    network, optimizer, numbers = plan.draft, plan.options.optimizer, position.numbers
    _need(numbers.theta.dtype == network.dtype, f"its parameters are {numbers.theta.dtype}")
    try:
        optimizer.restore(numbers.slots, numbers.theta.size, network.dtype)
    except ClearpropError as error:
        raise ValueError(str(error).rstrip(".")) from None
    if position.start is not None or optimizer.full_batch:
        _need(optimizer.full_batch, f"{optimizer.name} has no start")
        _need(position.start is not None or not numbers.step, "the start is missing")


def _check_progress(plan: FitPlan, position: Position) -> None:
    options, epoch, step, tally = plan.options, position.epoch, position.numbers.step, position.tally
    _need(tally is None or epoch > 0, "it is within an epoch, but in none")
    per_epoch = plan.data.steps_per_epoch(options, plan.order)
    if options.optimizer.full_batch:
        _need(step <= epoch, f"step {step} is beyond epoch {epoch}")
    else:
        if per_epoch is not None:
            _need(step <= epoch * per_epoch, f"step {step} is beyond epoch {epoch}")
        _need(len(position.rows) == epoch - (tally is not None), f"it has {len(position.rows)} epochs' rows")
    if tally is not None and plan.data.n_examples is not None:
        _need(tally.examples <= plan.data.n_examples, "its epoch has more examples than there are")
    watched = None
    if plan.data.examples is None:
        watched = _BATCHES
    elif plan.order is not None:
        watched = _ORDER
    seen = None if position.seen is None else set(position.seen)
    _need(seen == watched, "it does not say what of the order or the batches was seen")


def _check_schedule(plan: FitPlan, position: Position) -> None:
    """Let the schedule do its next two things with the state that it would be given."""
    schedule, state = plan.options.schedule, position.schedule_state
    begun = {} if schedule is None else schedule.start()
    _need(begun.keys() <= state.keys(), "the state of its schedule is not whole")
    if schedule is None:
        return
    for name, value in begun.items():
        if isinstance(value, bool):
            _need(isinstance(state[name], bool), f"{name} of its schedule is no flag")
        elif isinstance(value, int | float):
            _need(_is_number(state[name]), f"{name} of its schedule is no number")
    if schedule.monitors:
        per_epoch = plan.data.steps_per_epoch(plan.options, plan.order)
        rate = schedule.rate(
            plan.options.optimizer.eta,
            step=position.numbers.step + 1,
            epoch=max(position.epoch, 1),
            total_steps=None if per_epoch is None else per_epoch * plan.options.epochs,
            steps_per_epoch=per_epoch,
            state=state,
        )
        _need(_is_number(rate) and 0 <= rate <= plan.options.optimizer.eta * 1e6, "its schedule has no rate")
        schedule.observe(state, 1.0)


def _check_metrics(plan: FitPlan, position: Position) -> None:
    tally, metrics = position.tally, plan.options.metrics
    if tally is not None:
        _need(bool(tally.kept) == bool(metrics), "what its metrics are of is missing, or too much")
        tally.measured(metrics)


def _check_callbacks(plan: FitPlan, position: Position) -> None:
    ours = stateful(plan.options.callbacks)
    names = [name for name, _ in position.callbacks]
    _need(names == [type(c).__name__ for c in ours], f"it holds the states of the callbacks {names}")
    for callback, (name, state) in zip(ours, position.callbacks, strict=True):
        if type(callback) is EarlyStopping:
            _need(_is_early(state, position), f"the state of {name} is none")
        elif type(callback) is NormHistory:
            _need(_is_norms(state), f"the state of {name} is none")


def _is_early(state: Mapping[str, Any], position: Position) -> bool:
    saved: dict[str, Array] = {name: state[name] for name in state.keys() - {"best", "best_epoch"}}
    numbers = position.numbers
    like = {"theta": numbers.theta, "buffers": numbers.buffers}
    return (
        isinstance(state["best"], int | float)
        and _is_whole(state["best_epoch"])
        and state["best_epoch"] <= position.epoch
        and (not saved or saved.keys() == like.keys())
        and all(_is_array(value, like[name].shape, like[name].dtype) for name, value in saved.items())
    )


def _is_norms(state: Mapping[str, Any]) -> bool:
    names, steps = state["names"], state["steps"]
    return (
        state.keys() == {"names", "steps", *_NORMS}
        and isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and _is_array(steps, (None,), np.int64)
        and all(_is_array(state[what], (len(steps), len(names)), np.float64) for what in _NORMS)
    )
