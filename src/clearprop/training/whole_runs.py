"""Training on an engine that does whole runs of steps itself: the loop hands it data, and keeps the books."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import Rows, StepOptions, Steps, Trainer
from clearprop.training.batches import Batch
from clearprop.training.callbacks import Callback
from clearprop.training.data import Examples
from clearprop.training.divergence import Snapshot, explain_parameters, explain_step
from clearprop.training.features import is_sparse
from clearprop.training.measure import Tally

if TYPE_CHECKING:
    from clearprop.training.loop import TrainingRun

__all__ = ["WholeRuns", "whole_runs_of"]

_RUN_SECONDS = 0.05  # so that Ctrl-C is heard and the progress bar moves
_FIRST_STEPS = 64
_READ_BYTES = 1 << 22
_ROLLING_EXAMPLES = 1000


class _Lot(NamedTuple):
    """Examples that lie in memory, and the batches to make of them."""

    rows: Rows
    order: Array
    """Indices into rows."""
    examples: Array | None
    """Which examples of the data set those are; None where rows are all of them."""
    size: int


def whole_runs_of(run: TrainingRun) -> WholeRuns | None:
    """Return what drives a run's engine, None if the engine leaves each step to the loop."""
    options = run.options
    if options.optimizer.full_batch:
        return None
    penalty, divide_by = options.penalty, options.penalty.divide_by
    if run.n_examples is None and divide_by == "examples":  # a stream: as many as the batch has
        divide_by = "batch"
    trainer = run.engine.trainer(
        run.model,
        run.state.theta.dtype,
        StepOptions(
            optimizer=options.optimizer,
            batch_size=options.batch_size,
            examples=run.n_examples,
            l1=penalty.l1,
            l2=penalty.l2,
            divide_by="batch"
            if run.n_examples is None and penalty.divide_by == "examples"
            else penalty.divide_by,
            clip_norm=options.clip_norm,
            clip_value=options.clip_value,
            max_norm=options.max_norm,
            scale=options.scale,
            decay=options.decay,
        ),
    )
    return None if trainer is None else WholeRuns(run, trainer)


class WholeRuns:
    """The epochs of a training run on an engine's `Trainer`, which has the parameters in between."""

    def __init__(self, run: TrainingRun, trainer: Trainer) -> None:
        self._run, self._trainer = run, trainer
        self._expected = _FIRST_STEPS
        self._stepwise = [c for c in run.options.callbacks if c.every > 0]
        self._read_anew = True
        self._looks = any(c.reads_theta and _overrides(c, "on_progress") for c in run.options.callbacks)
        self._snapshot: Snapshot | None = None

    def epoch(self, tally: Tally) -> None:
        """Train on the batches of one epoch, and bring the network up to date."""
        run = self._run
        self._read_anew = True  # callbacks may have changed what they looked at
        for lot in self._lots():
            at = 0
            while at < len(lot.order) and not run.stop_reason:
                at += self._some(lot, at, tally)
            if run.stop_reason:
                break
        self._hand_over()

    # -- the data -------------------------------------------------------------------------------------

    def _lots(self) -> Iterator[_Lot]:
        run = self._run
        if run.examples is None or run.orders is None:
            for batch in run.batches(run.epoch):
                n = len(batch.y)
                yield _Lot(Rows(batch.X, batch.y, batch.weights), np.arange(n), batch.examples, n)
            return
        rows = _in_memory(run.examples)
        for order, size in run.orders(run.epoch):
            if rows is not None:
                yield _Lot(rows, order, None, size)
                continue
            some = max(1, _READ_BYTES // (run.examples.row_bytes * size)) * size
            for begin in range(0, len(order), some):
                indices = order[begin : begin + some]
                yield _Lot(Rows(*run.examples.take(indices)), np.arange(len(indices)), indices, size)

    # -- a run of steps -------------------------------------------------------------------------------

    def _some(self, lot: _Lot, at: int, tally: Tally) -> int:
        """Do some steps of a lot from its place `at`; return how many examples they took."""
        run = self._run
        begun = time.perf_counter()
        self._take_snapshot(begun)
        if self._read_anew:
            self._trainer.read(run.state)
            self._read_anew = False
        taken = self._steps(lot, at, tally, self._gradient_hooks(run.step + 1))
        run.watch_time(time.perf_counter())
        return taken

    def _steps(self, lot: _Lot, at: int, tally: Tally, hooks: Sequence[Callback]) -> int:
        run, options = self._run, self._run.options
        most = min(self._expected, self._steps_until_due())
        if hooks:  # one step, before which theta is up to date
            most = 1
            self._hand_over()
        order = lot.order[at : at + most * lot.size]
        etas = [run.rate(run.step + 1 + i) for i in range(most)] if options.schedule else [run.eta]
        outputs = np.empty((len(order), run.model.n_out), lot.rows.y.dtype) if options.metrics else None
        rule, middle = run.targets.rule
        seconds = _RUN_SECONDS
        if options.time_limit is not None:
            seconds = min(seconds, max(0.0, run.started + options.time_limit - time.perf_counter()))
        begun = time.perf_counter()
        result = self._trainer.steps(
            lot.rows,
            order,
            None if lot.examples is None else lot.examples[at : at + len(order)],
            lot.size,
            np.array(etas),
            run.seed,
            run.steps_before + run.step,
            run.step,
            seconds,
            rule,
            middle,
            outputs,
            partial(_show, run, hooks) if hooks else None,
        )
        seconds = time.perf_counter() - begun
        if result.done:
            self._expected = max(1, int(2 * result.done * _RUN_SECONDS / max(seconds, 1e-6)))
            run.step += result.done
            run.eta = etas[min(result.done, len(etas)) - 1]
        if not result.finite:
            self._diverged(lot, at + result.done * lot.size)
        taken = min(result.done * lot.size, len(order))
        self._count(lot, order[:taken], result, outputs, tally)
        return taken

    def _count(self, lot: _Lot, order: Array, result: Steps, outputs: Array | None, tally: Tally) -> None:
        """Add what a run of steps gave to the epoch's sums and the rolling figures."""
        run, n = self._run, len(order)
        tally.add(n, result.costs, int(result.correct.sum()))
        if outputs is not None:
            weights = None if lot.rows.weights is None else lot.rows.weights[order]
            tally.keep(run.targets.truth(lot.rows.y[order]), run.targets.scores(outputs[:n]), weights)
        self._call_back()
        if self._looks:
            self._hand_over()
            self._read_anew = True
        last = min(result.done, -(-_ROLLING_EXAMPLES // lot.size) + 1)
        sizes = [lot.size] * last
        sizes[-1] = n - (result.done - 1) * lot.size
        run.roll(sizes, result.costs[-last:].tolist(), result.correct[-last:].astype(float).tolist())

    def _hand_over(self) -> None:
        """Bring theta and the buffers up to date; raise if they are not finite."""
        run = self._run
        if self._read_anew:
            return  # nothing has changed since
        self._trainer.write(run.state)
        if not (np.isfinite(run.state.theta).all() and np.isfinite(run.state.buffers).all()):
            assert self._snapshot is not None
            explain_parameters(run, self._snapshot)

    # -- callbacks between steps ----------------------------------------------------------------------

    def _steps_until_due(self) -> int:
        """Return how many steps a run may have: to the next hook, or before one that wants the gradient."""
        step = self._run.step
        return min(
            (c.every - step % c.every - int(_wants_gradients(c)) for c in self._stepwise),
            default=self._expected,
        )

    def _gradient_hooks(self, step: int) -> list[Callback]:
        return [c for c in self._stepwise if step % c.every == 0 and _wants_gradients(c)]

    def _call_back(self) -> None:
        run = self._run
        due = [c for c in self._stepwise if run.step % c.every == 0]
        if not due:
            return
        self._hand_over()
        self._read_anew = True
        run.note_position()
        for callback in due:
            callback.on_step_end(run)

    # -- when it diverges -----------------------------------------------------------------------------

    def _take_snapshot(self, now: float) -> None:
        run = self._run
        if self._snapshot is None or self._snapshot.is_due(now):
            if not self._read_anew:
                self._trainer.write(run.state)
                if not np.isfinite(run.state.theta).all():
                    assert self._snapshot is not None
                    explain_parameters(run, self._snapshot)
            self._snapshot = Snapshot.take(run, now, slots=False)

    def _diverged(self, lot: _Lot, at: int) -> None:
        run = self._run
        assert self._snapshot is not None
        self._hand_over()
        explain_step(run, _batch(lot, at), self._snapshot)


def _overrides(callback: Callback, hook: str) -> bool:
    """Return whether a callback has a hook of its own, of its class or of the object."""
    own = getattr(callback, hook)
    return getattr(own, "__func__", own) is not getattr(Callback, hook)


def _wants_gradients(callback: Callback) -> bool:
    return _overrides(callback, "on_gradient")


def _show(run: TrainingRun, callbacks: Sequence[Callback], gradient: Array) -> None:
    for callback in callbacks:
        callback.on_gradient(run, gradient)


def _batch(lot: _Lot, at: int) -> Batch:
    """Return the batch at a place of a lot."""
    order = lot.order[at : at + lot.size]
    X = lot.rows.X[order]
    examples = order if lot.examples is None else lot.examples[at : at + lot.size]
    weights = None if lot.rows.weights is None else lot.rows.weights[order]
    return Batch(X.toarray() if is_sparse(X) else X, lot.rows.y[order], weights, examples)


def _in_memory(examples: Examples) -> Rows | None:
    """Return the examples as an engine can read them by index, None if they must be read by us."""
    X, y = examples.X, examples.y
    if examples.preprocessing is not None or examples.rows is not None or X.dtype != examples.dtype:
        return None
    if is_sparse(X):
        if X.indices.dtype != np.int32:
            return None
        return Rows(X, y, examples.weights)
    readable = isinstance(X, np.ndarray) and X.flags.aligned and X.strides[0] % X.itemsize == 0
    if not readable or X.strides[0] < 0 or (X.shape[1] > 1 and X.strides[1] != X.itemsize):
        return None
    return Rows(X, y, examples.weights)
