"""Whether a fit is the one that a checkpoint was taken in: what its bits are a function of, compared."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.errors import ClearpropError, DataError, FileFormatError, OptionError, UnsupportedError
from clearprop.fitting.conditions import conditions_here, first_other
from clearprop.io.strict_json import plain
from clearprop.training.callbacks import Callback
from clearprop.training.fingerprint import check_data, check_validation, digest, fingerprint, other_validation
from clearprop.training.options import options_as_data
from clearprop.training.position import Position, stateful

if TYPE_CHECKING:
    from clearprop.fitting.method import FitPlan

__all__ = ["check_epochs", "check_same", "describe_run"]

_MAY_DIFFER = ("epochs", "max_iterations")
_SAMPLES = 1000


def describe_run(plan: FitPlan) -> dict[str, Any]:
    """Return what the bits of a fit are a function of, besides its architecture, as plain data."""
    network, options, data = plan.draft, plan.options, plan.data
    examples, validation = data.examples, plan.validation
    callbacks = [[type(c).__name__, _options_of(c)] for c in stateful(options.callbacks)]
    return {
        "dtype": network.dtype.name,
        "seed": network.seed,
        "targets": _as_data(data.targets.config()),
        **{name: _as_data(value) for name, value in options_as_data(options).items()},
        "groups": [
            None if factors is None else digest(factors.astype(network.dtype, copy=False))
            for factors in (options.scale, options.decay)
        ],
        "metrics": [metric.name for metric in options.metrics],
        "callbacks": callbacks,
        "order": "of your own" if plan.order is not None else "by the seed",
        "data": None if examples is None else fingerprint(examples),
        "validation": None if validation is None else fingerprint(validation),
        "conditions": conditions_here(plan.engine.name, network.dtype.name),
    }


def _as_data(value: Any) -> Any:
    try:
        return plain(value, "an option")
    except ClearpropError:  # of a class of the user's own
        return _named(value)


def _named(value: Any) -> Any:
    """Return what is no plain data as such, the same in every process: no address is part of it."""
    if isinstance(value, list | tuple):
        return [_as_data(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _as_data(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return [str(value.dtype), list(value.shape), digest(value)]
    if isinstance(value, int | float | complex | bytes):
        return repr(value)
    named = value if hasattr(value, "__qualname__") else type(value)
    name = f"{named.__module__}.{named.__qualname__}"
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return name
    return {"name": name, **{f.name: _as_data(getattr(value, f.name)) for f in dataclasses.fields(value)}}


def _options_of(callback: Callback) -> dict[str, Any]:
    """Return what a callback was made with, as far as it keeps it under the names of its parameters."""
    names = list(inspect.signature(type(callback)).parameters)
    return {name: _as_data(getattr(callback, name)) for name in names if hasattr(callback, name)}


def check_same(then: Mapping[str, Any], now: Mapping[str, Any], path: str, exact: bool) -> None:
    """Raise one sentence that names the first thing in which a fit is not the run of a checkpoint.

    Errors: `DataError` for other data; `OptionError` for another option; `UnsupportedError` where the bits
    cannot be had here, unless they need not be `exact`.
    """
    if then.keys() != now.keys() or _holds_array(dict(then)):
        raise FileFormatError(f"{path} is not sound: it does not say what its run was, or says too much.")
    for name in then:
        if name not in ("data", "validation", "conditions", *_MAY_DIFFER):
            _check_option(name, then[name], now[name], path)
    if (then["data"] is None) != (now["data"] is None):
        kind = "an iterable of batches" if then["data"] is None else "arrays"
        raise DataError(f"these are not the data of {path}: it trained on {kind}. Give the same.")
    if now["data"] is not None:
        check_data(then["data"], now["data"], path)
    _check_validation(then["validation"], now["validation"], path)
    other = first_other(then["conditions"], now["conditions"]) if exact else None
    if other is not None:
        raise UnsupportedError(
            f"the bits of the run in {path} cannot be had here: {other}; or go on with "
            "Checkpoint(…, exact=False) (--inexact), whose numbers are close, but not the same."
        )


def _holds_array(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_array, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_array, value))
    return isinstance(value, np.ndarray)


def _check_option(name: str, then: Any, now: Any, path: str) -> None:
    if isinstance(then, dict) and isinstance(now, dict):
        keys = [key for key in {**then, **now} if key not in _MAY_DIFFER and then.get(key) != now.get(key)]
        if not keys:
            return
        if then.get("name") == now.get("name"):
            name, then, now = f"{keys[0]} of {name}", then.get(keys[0]), now.get(keys[0])
    if then == now:
        return
    if name == "groups":
        what = "its groups, frozen parameters or the scope of its penalty are others here"
    else:
        what = f"its {name} was {_short(then)}, here it is {_short(now)}"
    raise OptionError(
        f"the run in {path} cannot be resumed so: {what}. Give the same as then, or begin anew elsewhere."
    )


def _short(value: Any) -> str:
    if isinstance(value, dict) and "name" in value:
        value = value["name"]
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _check_validation(then: Any, now: Any, path: str) -> None:
    if then is not None and now is None:
        raise other_validation(path, "it had some, and none are given here. Give the same as then")
    if now is not None:
        check_validation(then, now, path, True)


def check_epochs(plan: FitPlan, then: int, position: Position, path: str) -> None:
    """Raise `OptionError` where another number of epochs would have changed the steps that are done."""
    options, now = plan.options, plan.options.epochs
    if now == then:
        return
    done = position.numbers.step
    if now < position.epoch:
        raise OptionError(
            f"the run in {path} is in epoch {position.epoch} already. Give epochs={position.epoch} or more."
        )
    schedule, per_epoch = options.schedule, plan.data.steps_per_epoch(options, plan.order)
    if schedule is None or per_epoch is None:
        return
    for step in np.unique(np.linspace(1, max(done, 1), _SAMPLES, dtype=np.int64)).tolist():
        rates = [
            schedule.rate(
                options.optimizer.eta,
                step=step,
                epoch=-(-step // per_epoch),
                total_steps=per_epoch * epochs,
                steps_per_epoch=per_epoch,
                state=schedule.start(),
            )
            for epochs in (then, now)
        ]
        if done and rates[0] != rates[1]:
            raise OptionError(
                f"the run in {path} cannot be resumed with epochs={now}: its schedule {schedule.name!r} "
                f"spreads over all {then} epochs, so the steps that are done would have had other rates. "
                f"Give epochs={then}."
            )
