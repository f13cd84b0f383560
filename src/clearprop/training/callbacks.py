"""Hooks into training: what happens between steps, at the end of an epoch, when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_choice, as_flag, as_items, as_number, as_whole
from clearprop.errors import DTypeError, OptionError, UnknownNameError, did_you_mean, one_of
from clearprop.lazy import Lazy
from clearprop.training.history import Row
from clearprop.training.penalties import norm

if TYPE_CHECKING:
    from clearprop.training import metrics
    from clearprop.training.loop import TrainingRun
else:
    metrics = Lazy("clearprop.training.metrics")

_NORMS = ("gradient", "parameter")

__all__ = ["Callback", "EarlyStopping", "NormHistory", "Norms", "as_callbacks"]


class Callback:
    """Documented hooks that do nothing. Override those you want; `run` is the `TrainingRun`.

    Between steps ``run.state.theta`` and all views of it are current. ``run.stop("why")`` ends training after
    the step at hand. Set `every` to k to get `on_gradient` and `on_step_end` at every k-th step (0: never).
    Of several callbacks the first is called first; at the end of training the last is.
    L-BFGS, whose steps are SciPy's, calls `on_epoch_end` after each of its iterations, and no hook of steps.
    """

    every: int = 0
    reads_theta: bool = True
    """Whether `on_progress` looks at parameters; False spares an engine that has its own the copying.

    In every other hook they are current, and what is changed there counts, whatever this says; but for the
    running statistics of a normalisation in `on_gradient`, which the step at hand is about to set.
    """
    reads_slots: bool = True
    """Whether a hook looks at ``run.slots``, such as Adam's m and v, or changes them.

    False spares an engine that has its own the copying, and a run their memory; a class made from one that
    says False, and that does look, says True again.
    """
    changes_parameters: bool = True
    """Whether a hook that this class defines changes parameters, buffers or slots while training goes on.

    False spares an engine that has its own the reading back, and a run a copy of the parameters to go back to
    if they become NaN; what such a hook changes all the same may be lost. It is about the hooks of the very
    class that says so: those of a class made from it may change them until that one says so, too.
    """

    def on_fit_begin(self, run: TrainingRun) -> None:
        """Do something before the first step, also of a run that goes on from a checkpoint."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of this callback: plain data and arrays by name, {} for nothing.

        Asked between steps. Numbers, text, None, lists and dictionaries come back as they were, arrays bit
        for bit. A callback that counts or remembers something from step to step must have it, or a run that
        is resumed is not the one that was stopped.
        """
        return {}

    def restore(self, run: TrainingRun, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned; called after `on_fit_begin` of a run that is resumed."""

    def on_epoch_begin(self, run: TrainingRun) -> None:
        """Do something before the first step of an epoch; ``run.epoch`` counts from 1."""

    def on_gradient(self, run: TrainingRun, gradient: Array) -> None:
        """Look at ∂C/∂theta of the step (penalty included, before clipping); it may be changed in place.

        The array is the run's own memory and is written again in the next step: copy what you keep.
        """

    def on_step_end(self, run: TrainingRun) -> None:
        """Do something after an update; ``run.step`` counts from 1."""

    def on_progress(self, run: TrainingRun, rolling: Row) -> None:
        """Do something after a few steps; `rolling` is the newest row of ``history.rolling``."""

    def on_epoch_end(self, run: TrainingRun, row: Row) -> None:
        """Do something after an epoch; `row` is its row of the history and may be added to."""

    def on_fit_end(self, run: TrainingRun) -> None:
        """Do something at the end of training, also if it was stopped or failed (``history.stopped``)."""


class EarlyStopping(Callback):
    """Stop when a column of the history has not improved for some epochs, and restore the best parameters.

    Parameters:
        monitor: column; left out, "val_cost" (or "cost" without validation data).
        patience: how many epochs without improvement are borne.
        min_delta: by how much it must get better to count as better.
        restore_best: whether theta and buffers of the best epoch are restored at the end. After Ctrl-C or an
            error
            they are not: then the parameters are those of the last finished step.
        greater_is_better: left out, what the metric of that name says; for a cost, smaller is better.

    `best` is the best value of the column, `best_epoch` its epoch.
    """

    reads_slots = False
    changes_parameters = False

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = True,
        greater_is_better: bool | None = None,
    ) -> None:
        if monitor is not None and not isinstance(monitor, str):
            raise DTypeError(f"monitor of EarlyStopping must be the name of a column. Got {monitor!r}.")
        self.monitor = monitor
        self.patience = as_whole("patience of EarlyStopping", patience, at_least=1)
        self.min_delta = as_number("min_delta of EarlyStopping", min_delta, at_least=0)
        self.restore_best = as_flag("restore_best of EarlyStopping", restore_best)
        self.greater_is_better = (
            None
            if greater_is_better is None
            else as_flag("greater_is_better of EarlyStopping", greater_is_better)
        )
        self._forget()

    def _forget(self) -> None:
        self.best = math.nan
        self.best_epoch = 0
        self._saved: tuple[Array, Array] | None = None

    def on_fit_begin(self, run: TrainingRun) -> None:
        """Forget what an earlier fit left."""
        self._forget()

    def state(self) -> dict[str, Any]:
        """Return the best value, its epoch, and the parameters and buffers of then."""
        saved = {} if self._saved is None else dict(zip(("theta", "buffers"), self._saved, strict=True))
        return {"best": self.best, "best_epoch": self.best_epoch, **saved}

    def restore(self, run: TrainingRun, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self._saved = (state["theta"], state["buffers"]) if "theta" in state else None

    def check_column(self, columns: Sequence[str]) -> None:
        """Raise `UnknownNameError` unless the column to monitor is among `columns`."""
        if self.monitor is None or self.monitor in columns:
            return
        hint = did_you_mean(self.monitor, columns)
        if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in columns):
            hint = " Give X_val and y_val, or validation_fraction."
        raise UnknownNameError(
            f"EarlyStopping monitors {self.monitor!r}, which the history does not have.{hint} "
            f"It has: {one_of(columns)}."
        )

    def on_epoch_end(self, run: TrainingRun, row: Row) -> None:
        """Compare with the best so far; stop after `patience` epochs without improvement."""
        if run.cut_short:
            return  # the epoch was cut short, and its validation left out
        self.check_column(list(row))
        column = self.monitor or ("val_cost" if "val_cost" in row else "cost")
        if self._improves(row[column], self._greater(run, column)):
            self.best, self.best_epoch = row[column], run.epoch
            if self.restore_best:
                self._saved = None  # first, or two copies of the parameters lie in memory
                self._saved = run.state.theta.copy(), run.state.buffers.copy()
        elif run.epoch - self.best_epoch >= self.patience and not run.cut_by:
            run.stop("early stopping")

    def _greater(self, run: TrainingRun, column: str) -> bool:
        if self.greater_is_better is not None:
            return self.greater_is_better
        own = {metric.name: metric.greater_is_better for metric in run.options.metrics}
        return bool(own.get(column.removeprefix("val_"), metrics.greater_is_better(column)))

    def _improves(self, value: float, greater: bool) -> bool:
        if math.isnan(self.best):
            return not math.isnan(value)
        return value > self.best + self.min_delta if greater else value < self.best - self.min_delta

    def on_fit_end(self, run: TrainingRun) -> None:
        """Restore the best parameters, unless training was interrupted or failed."""
        if self._saved is not None and run.history.stopped not in ("interrupted", "failed"):
            run.state.theta[:], run.state.buffers[:] = self._saved
        self._saved = None


@dataclass(frozen=True)
class Norms:
    """Norms per layer at one step."""

    step: int
    gradient: dict[str, float]
    """‖∂C/∂W‖ by address, such as "1.W"."""
    parameter: dict[str, float]
    """‖W‖ before the update, by the same address."""


class NormHistory(Callback):
    """Record ‖∂C/∂W‖ and ‖W‖ of every layer at every k-th step: what vanishes or explodes shows here.

    Parameters: `every` k; `names`, which parameters ("W" by default).
    `rows` holds the `Norms` of the last fit; `column("1.W")` gives the gradient norms of one of them.
    """

    changes_parameters = False

    def __init__(self, every: int = 1, names: str | Sequence[str] = ("W",)) -> None:
        self.every = as_whole("every of NormHistory", every, at_least=1)
        self.names = (names,) if isinstance(names, str) else as_items("names", names)
        self.rows: list[Norms] = []

    def on_fit_begin(self, run: TrainingRun) -> None:
        """Forget what an earlier fit left."""
        known = list(dict.fromkeys(entry.name for entry in run.model.layout.entries))
        for name in self.names:
            if name not in known:
                hint = did_you_mean(name, known)
                raise UnknownNameError(
                    f"NormHistory: no parameter is called {name!r}.{hint} There are: {one_of(known)}."
                )
        self.rows = []

    def on_gradient(self, run: TrainingRun, gradient: Array) -> None:
        """Record the norms of this step."""
        entries = [entry for entry in run.model.layout.entries if entry.name in self.names]
        self.rows.append(
            Norms(
                run.step + 1,
                {entry.address: norm(gradient[entry.block]) for entry in entries},
                {entry.address: norm(run.state.theta[entry.block]) for entry in entries},
            )
        )

    def state(self) -> dict[str, Any]:
        """Return the rows as arrays: a line for each step, a column for each address."""
        names = list(self.addresses)
        norms = {what: [list(getattr(row, what).values()) for row in self.rows] for what in _NORMS}
        tables = {what: np.array(rows).reshape(len(self.rows), len(names)) for what, rows in norms.items()}
        return {"steps": np.array([row.step for row in self.rows], np.int64), "names": names, **tables}

    def restore(self, run: TrainingRun, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        names = state["names"]
        lines = zip(state["steps"].tolist(), *(state[what].tolist() for what in _NORMS), strict=True)
        self.rows = [
            Norms(step, *(dict(zip(names, values, strict=True)) for values in both)) for step, *both in lines
        ]

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that were recorded."""
        return tuple(self.rows[0].gradient) if self.rows else ()

    def column(self, address: str, what: str = "gradient") -> list[float]:
        """Return the norms of one parameter over the steps; what: "gradient" or "parameter"."""
        as_choice("what", what, ("gradient", "parameter"))
        if self.rows and address not in self.addresses:
            hint = did_you_mean(address, self.addresses)
            raise UnknownNameError(f"NormHistory has no {address!r}.{hint} It has: {one_of(self.addresses)}.")
        return [getattr(row, what)[address] for row in self.rows]


def as_callbacks(callbacks: Any) -> list[Callback]:
    """Return one callback or a sequence of them as a list. Errors: `DTypeError`, `OptionError`."""
    if callbacks is None:
        return []
    found = list(callbacks) if isinstance(callbacks, Sequence | set) else [callbacks]
    for callback in found:
        if isinstance(callback, type) and issubclass(callback, Callback):
            raise DTypeError(
                f"callbacks holds the class {callback.__name__}; make an object: {callback.__name__}()."
            )
        if not isinstance(callback, Callback):
            raise DTypeError(
                f"a callback must be an object derived from clearprop.Callback. Got {callback!r}."
            )
        as_whole(f"every of {type(callback).__name__}", callback.every, at_least=0)
    repeated = [c for i, c in enumerate(found) if any(c is other for other in found[:i])]
    if repeated:
        raise OptionError(f"callbacks holds the same {type(repeated[0]).__name__} twice. Give it once.")
    return found
