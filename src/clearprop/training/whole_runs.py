"""Training on an engine that does whole runs of steps itself: the loop hands it data, and keeps the books."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import Rows, StepOptions, Steps, Trainer
from clearprop.errors import DivergenceError
from clearprop.training.batches import Batch
from clearprop.training.callbacks import Callback
from clearprop.training.data import Examples
from clearprop.training.divergence import LastFinite, explain_step
from clearprop.training.exchange import Exchange
from clearprop.training.features import is_sparse
from clearprop.training.hooks import others_run_between_epochs, overrides
from clearprop.training.measure import MOST_AT_ONCE, Tally, step_sizes
from clearprop.training.weights import mean_one_in_steps

if TYPE_CHECKING:
    from clearprop.training.loop import TrainingRun

__all__ = ["ROLLING_EXAMPLES", "WholeRuns", "whole_runs_of"]

ROLLING_EXAMPLES = 1000
"""How many of the last examples the rolling figures are about."""
_RUN_SECONDS = 0.05  # so that Ctrl-C is heard and the progress bar moves
_FIRST_STEPS = 64
_READ_BYTES = 1 << 22


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
            divide_by=divide_by,
            clip_norm=options.clip_norm,
            clip_value=options.clip_value,
            max_norm=options.max_norm,
            scale=options.scale,
            decay=options.decay,
            mean_over_weights=options.mean_over_weights,
            penalty_as_seen=options.penalty_as_seen,
            predicts=0 if run.validation is None else min(MOST_AT_ONCE, len(run.validation.y)),
        ),
    )
    return None if trainer is None else WholeRuns(run, trainer)


class WholeRuns:
    """The epochs of a training run on an engine's `Trainer`."""

    def __init__(self, run: TrainingRun, trainer: Trainer) -> None:
        self._run, self._trainer = run, trainer
        self._exchange = Exchange(run, trainer)
        self._expected = _FIRST_STEPS
        self._stepwise = [c for c in run.options.callbacks if c.every > 0]
        self._looks = any(c.reads_theta and overrides(c, "on_progress") for c in run.options.callbacks)
        self._others_run = others_run_between_epochs(run)
        self._in_memory = None if run.examples is None else _in_memory(run.examples)

    def epoch(self, tally: Tally) -> None:
        """Train on the batches of one epoch, and bring the network up to date."""
        run = self._run
        try:
            for lot in self._lots():
                at = 0
                while at < len(lot.order) and not run.stop_reason:
                    at += self._some(lot, at, tally)
                    run.offer_position(tally)
                if run.stop_reason:
                    break
        except DivergenceError:
            raise  # what explained it has put the parameters in their place
        except BaseException:
            self._exchange.leave()
            raise
        if self._others_run:
            self._exchange.to_loop()
        else:  # nobody will change what the trainer has
            self._exchange.show()
        self._exchange.check_finite()

    def show_all(self) -> None:
        """Bring the network and the slots up to date for code that only looks; raise if it is not finite."""
        self._exchange.show_all()
        if self._exchange.kept is not None:
            self._exchange.check_finite()

    @property
    def kept(self) -> LastFinite | None:
        """Where the run can go back to; None before the first step."""
        return self._exchange.kept

    def output(self, X: Array) -> Any:
        """Return the last layer's record in inference mode, by the parameters as they are now."""
        return self._exchange.output(X)

    def _bring_up_to_date(self) -> None:
        """Bring the network up to date for code that may look at it; raise if it is not finite."""
        self._exchange.to_loop()
        self._exchange.check_finite()

    # -- the data -------------------------------------------------------------------------------------

    def _lots(self) -> Iterator[_Lot]:
        run = self._run
        if run.examples is None or run.orders is None:
            yield from self._streamed()
            return
        rows, chosen = self._in_memory, run.examples.rows
        for order, size in run.orders(run.epoch):
            if rows is not None:
                yield (
                    _Lot(rows, order, None, size)
                    if chosen is None
                    else _Lot(rows, chosen[order], order, size)
                )
                continue
            some = max(1, _READ_BYTES // (run.examples.row_bytes * size)) * size
            for begin in range(0, len(order), some):
                indices = order[begin : begin + some]
                rows_read = _contiguous(*run.examples.take(indices))
                yield _Lot(rows_read, np.arange(len(indices)), indices, size)

    def _streamed(self) -> Iterator[_Lot]:
        """Yield each batch of a stream; the code that makes it sees theta as of the last step."""
        batches = self._run.batches(self._run.epoch)
        while True:
            self._bring_up_to_date()
            batch = next(batches, None)
            if batch is None:
                return
            n = len(batch.y)
            yield _Lot(_contiguous(batch.X, batch.y, batch.weights), np.arange(n), batch.examples, n)

    # -- a run of steps -------------------------------------------------------------------------------

    def _some(self, lot: _Lot, at: int, tally: Tally) -> int:
        """Do some steps of a lot from its place `at`; return how many examples they took."""
        now, kept = time.perf_counter(), self._exchange.kept
        if kept is None or kept.is_due(now):
            del kept
            self._exchange.keep(now)
        taken = self._steps(lot, at, tally)
        self._run.watch_time(time.perf_counter())
        return taken

    def _steps(self, lot: _Lot, at: int, tally: Tally) -> int:
        run, options = self._run, self._run.options
        left = -(-(len(lot.order) - at) // lot.size)
        most = run.most_steps(max(1, min(self._expected, self._steps_until_due(), left)))
        hooks = [c for c in self._stepwise if (run.step + 1) % c.every == 0 and _wants_gradients(c)]
        if hooks:  # one step, before which theta is up to date
            most = 1
            self._bring_up_to_date()
        order = lot.order[at : at + most * lot.size]
        etas = [run.rate(run.step + 1 + i) for i in range(most)] if options.schedule else [run.eta]
        outputs = np.empty((len(order), run.model.n_out), lot.rows.y.dtype) if options.metrics else None
        self._exchange.to_trainer()
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
            self._seconds_left(begun),
            *run.targets.rule,
            outputs,
            partial(self._show_gradient, hooks) if hooks else None,
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

    def _seconds_left(self, now: float) -> float:
        limit = self._run.options.time_limit
        return _RUN_SECONDS if limit is None else min(_RUN_SECONDS, max(0.0, self._run.called + limit - now))

    def _count(self, lot: _Lot, order: Array, result: Steps, outputs: Array | None, tally: Tally) -> None:
        """Add what a run of steps gave to the epoch's sums and the rolling figures, and call the hooks."""
        run, n = self._run, len(order)
        tally.add(n, result.costs, int(result.correct.sum()))
        if result.penalties is not None:
            tally.add_penalties(result.penalties, step_sizes(n, lot.size))
        if outputs is not None:
            weights = None if lot.rows.weights is None else lot.rows.weights[order]
            if weights is not None and run.options.mean_over_weights:
                weights = mean_one_in_steps(weights, lot.size)
            tally.keep(run.targets.truth(lot.rows.y[order]), run.targets.scores(outputs[:n]), weights)
        self._call_back()
        if self._looks:
            self._bring_up_to_date()
        last = min(result.done, -(-ROLLING_EXAMPLES // lot.size) + 1)
        sizes = np.full(last, lot.size)
        sizes[-1] = n - (result.done - 1) * lot.size
        run.roll(sizes, result.costs[-last:], result.correct[-last:])

    # -- callbacks between steps ----------------------------------------------------------------------

    def _steps_until_due(self) -> int:
        """Return how many steps a run may have: to the next hook, or before one that wants the gradient."""
        step = self._run.step
        return min(
            (c.every - step % c.every - int(_wants_gradients(c)) for c in self._stepwise),
            default=self._expected,
        )

    def _show_gradient(self, callbacks: Sequence[Callback], gradient: Array) -> None:
        buffers = self._run.state.buffers.copy()
        for callback in callbacks:
            callback.on_gradient(self._run, gradient)
        self._exchange.in_step(buffers)

    def _call_back(self) -> None:
        run = self._run
        due = [c for c in self._stepwise if run.step % c.every == 0]
        if not due:
            return
        self._bring_up_to_date()
        run.note_position()
        for callback in due:
            callback.on_step_end(run)

    # -- when it diverges -----------------------------------------------------------------------------

    def _diverged(self, lot: _Lot, at: int) -> NoReturn:
        assert self._exchange.kept is not None
        self._bring_up_to_date()
        explain_step(self._run, _batch(lot, at), self._exchange.kept.size)


def _wants_gradients(callback: Callback) -> bool:
    return overrides(callback, "on_gradient")


def _batch(lot: _Lot, at: int) -> Batch:
    """Return the batch at a place of a lot."""
    order = lot.order[at : at + lot.size]
    X = lot.rows.X[order]
    examples = order if lot.examples is None else lot.examples[at : at + lot.size]
    weights = None if lot.rows.weights is None else lot.rows.weights[order]
    return Batch(X.toarray() if is_sparse(X) else X, lot.rows.y[order], weights, examples)


def _contiguous(X: Any, y: Array, weights: Array | None) -> Rows:
    """Return rows as an engine reads them: those that are not contiguous copied once."""
    if isinstance(X, np.ndarray):
        X = np.ascontiguousarray(X)
    return Rows(X, np.ascontiguousarray(y), None if weights is None else np.ascontiguousarray(weights))


def _in_memory(examples: Examples) -> Rows | None:
    """Return the examples as an engine can read them by index, None if they must be read by us.

    Of examples that are some rows of X, the index is that of X.
    """
    X = examples.X
    if examples.preprocessing is not None or X.dtype != examples.dtype:
        return None
    y, weights = examples.y, examples.weights
    if examples.rows is not None:
        y = _placed(y, examples.rows, X.shape[0])
        weights = None if weights is None else _placed(weights, examples.rows, X.shape[0])
    rows = _contiguous(None, y, weights)
    if is_sparse(X):
        return rows._replace(X=X) if X.indices.dtype == np.int32 else None
    readable = isinstance(X, np.ndarray) and X.flags.aligned and X.strides[0] % X.itemsize == 0
    if not readable or X.strides[0] < 0 or (X.shape[1] > 1 and X.strides[1] != X.itemsize):
        return None
    return rows._replace(X=X)


def _placed(values: Array, rows: Array, n: int) -> Array:
    """Return values of some rows in the places that those have among n."""
    placed = np.zeros((n, *values.shape[1:]), values.dtype)
    placed[rows] = values
    return placed
