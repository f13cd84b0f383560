"""The training loop: epochs of steps on any rung of the ladder.

A run advances in *blocks* of a few steps. Within a block only the step itself is done (gradient,
penalty, clipping, update, and the hooks that asked for it); costs, accuracy and progress are
computed for the whole block at its end.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import Engine, Pass
from clearprop.errors import DataError, DivergenceError, OptionError
from clearprop.model import Draws, Gradient, Model, State
from clearprop.training.batches import Batch, Batches, Orders, weighed, whole_batch
from clearprop.training.callbacks import Callback
from clearprop.training.data import Examples
from clearprop.training.divergence import Snapshot, explain_divergence, explain_first_pass
from clearprop.training.features import all_finite
from clearprop.training.history import History, Row
from clearprop.training.interrupt import InterruptGuard
from clearprop.training.measure import Recent, Tally, join, join_records, measure, step_sums
from clearprop.training.options import FitOptions
from clearprop.training.penalties import clip_by_norm, clip_by_value, limit_row_norms
from clearprop.training.targets import Targets
from clearprop.training.whole_runs import ROLLING_EXAMPLES, whole_runs_of

__all__ = ["TrainingRun"]

_BLOCK_SECONDS = 0.05
_BLOCK_STEPS = 1000


class _Stopped(Exception):
    """Ends a minimisation within a line search."""


@dataclass
class TrainingRun:
    """One call of fit. Callbacks get it: `model`, `state`, `targets`, `history`, `epoch`, `step`, `eta`."""

    model: Model
    state: State
    engine: Engine
    targets: Targets
    options: FitOptions
    batches: Batches
    seed: int
    examples: Examples | None = None
    """The training examples, None for a stream."""
    orders: Orders | None = None
    """The order of the examples in each epoch, None for a stream."""
    fetch: Callable[[Array], Batch] | None = None
    """Returns the batch of these examples again; None for a stream, whose batches must be kept."""
    n_examples: int | None = None
    """Number of training examples, None for a stream."""
    steps_per_epoch: int | None = None
    validation: Examples | None = None
    history: History = field(default_factory=History)
    network: Any = None
    """The network that is being trained, for callbacks."""
    epoch: int = 0
    step: int = 0
    eta: float = math.nan
    stop_reason: str = ""
    diverged: bool = False
    """Whether the last step made a number that is NaN or infinite: it does not count."""
    epochs_before: int = 0
    """Epochs and steps of earlier fits: random numbers go on from there, `epoch` and `step` start at 0."""
    steps_before: int = 0

    def stop(self, reason: str = "callback") -> None:
        """End training after the step at hand; `reason` goes into ``history.stopped``."""
        self.stop_reason = self.stop_reason or reason or "callback"

    def run(self) -> History:
        """Train and return the history. Ctrl-C ends it after the step at hand: KeyboardInterrupt."""
        self.started = time.perf_counter()
        self.slots = self.options.optimizer.init(self.state.theta.size, self.state.theta.dtype)
        self.schedule_state = self.options.schedule.start() if self.options.schedule else {}
        self.eta = self.options.optimizer.eta
        self._steps_in_block = 1
        self._gradient = Gradient(self.model, self.state.theta.dtype)
        # Where nothing is drawn, one position does for all steps.
        self._nowhere = None if self.model.is_random else Draws(self.seed, 0, np.empty(0, np.intp))
        self._stepwise = [c for c in self.options.callbacks if c.every > 0]
        self._recent = Recent(ROLLING_EXAMPLES)
        self._snapshot: Snapshot | None = None
        self._whole_runs = whole_runs_of(self)
        with (
            InterruptGuard(self.stop) as guard,
            np.errstate(over="ignore", invalid="ignore", divide="ignore"),
        ):
            begun: list[Callback] = []
            try:
                for callback in self.options.callbacks:
                    callback.on_fit_begin(self)
                    begun.append(callback)
                self._epochs()
                self.history.stopped = self.stop_reason or "epochs"
            except BaseException as error:
                self.diverged = isinstance(error, DivergenceError)
                self.history.stopped = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
                raise
            finally:
                self.note_position()
                with ExitStack() as ends:  # each one runs, last first, whatever another raises
                    for callback in begun:
                        ends.callback(callback.on_fit_end, self)
                self._whole_runs = None  # which refers to us: its copies of the data go now, not at some time
        if guard.interrupted:
            raise KeyboardInterrupt
        return self.history

    def tell(self, hook: str, *args: Any) -> None:
        """Call a hook of every callback, the first one first."""
        for callback in self.options.callbacks:
            getattr(callback, hook)(self, *args)

    def note_position(self) -> None:
        """Tell the network how far its training has come: an epoch counts once it has begun."""
        if self.network is not None:
            self.network.epochs_trained = self.epochs_before + self.epoch
            self.network.steps_trained = self.steps_before + self.step

    def draws(self, batch: Batch) -> Draws:
        """Return the position that the random numbers of the step at hand are a function of."""
        return Draws(self.seed, self.steps_before + self.step, batch.examples)

    def _epochs(self) -> None:
        if self.options.optimizer.full_batch:
            self._minimize()
            return
        for epoch in range(self.epoch + 1, self.options.epochs + 1):
            self.epoch = epoch
            self.tell("on_epoch_begin")
            tally = Tally()
            if self._whole_runs is not None:
                self._whole_runs.epoch(tally)
            else:
                source = self.batches(self.epoch)
                while self._block(source, tally):
                    pass
            if tally.examples == 0:
                if self.stop_reason:
                    break
                raise DataError(
                    f"epoch {self.epoch} had no batches: the iterable of batches is empty or used up."
                )
            self._end_epoch(tally)
            if self.stop_reason:
                break

    def _block(self, source: Iterator[Batch], tally: Tally) -> bool:
        """Do the steps of a block, then measure them together; return whether there may be more."""
        begun = time.perf_counter()
        if self._snapshot is None or self._snapshot.is_due(begun):
            self._snapshot = Snapshot.take(self, begun)
        self._snapshot.mark(self)
        # Only targets and outputs are kept: the rows of X stay in the processor's cache for one step.
        outputs: list[Any] = []
        targets: list[Array] = []
        weights: list[Array] = []
        for batch in itertools.islice(source, self._steps_in_block):
            self._snapshot.batches.append(batch if self.fetch is None else batch.examples)
            batch, size = weighed(batch, self.options)
            if self.options.penalty_as_seen:
                tally.add_penalties([self._penalty(size, size)], [len(batch.y)])
            outputs.append(self.one_step(batch, size))
            targets.append(batch.y)
            if batch.weights is not None:
                weights.append(batch.weights)
            if self.stop_reason:
                break
        if not outputs:
            return False
        self.measure(outputs, targets, join(weights) if weights else None, tally)
        now = time.perf_counter()
        self.watch_time(now)
        self._steps_in_block = self._next_block(len(outputs), now - begun)
        return not self.stop_reason

    def watch_time(self, now: float) -> None:
        """Stop if the time limit has passed."""
        if self.options.time_limit is not None and now - self.started >= self.options.time_limit:
            self.stop("time limit")

    def again(self, item: Any) -> Batch:
        """Return a batch that the snapshot remembers, read anew where only its indices were kept."""
        return item if self.fetch is None else self.fetch(item)

    def _next_block(self, steps: int, seconds: float) -> int:
        per_step = seconds / steps
        wanted = int(_BLOCK_SECONDS / per_step) if per_step > 0 else _BLOCK_STEPS
        return max(1, min(_BLOCK_STEPS, wanted, 2 * steps))

    def _penalty(self, batch: float, examples: float) -> float:
        """Return the penalty of the parameters as they are, for a batch and a stream of these sizes."""
        penalty, decay = self.options.penalty, self.options.decay
        divisor = penalty.divisor(examples=self.n_examples or examples, batch=batch)
        return float(penalty.value(self.state.theta, decay, divisor=divisor))

    def one_step(self, batch: Batch, size: float) -> Any:
        """Gradient, penalty, clipping, update: the whole of one step. Return the last layer's record."""
        result = self.engine.gradient(
            self.model,
            self.state,
            batch.X,
            batch.y,
            batch.weights,
            self._nowhere or self.draws(batch),
            self._gradient,
        )
        due = [c for c in self._stepwise if (self.step + 1) % c.every == 0] if self._stepwise else ()
        self.apply(result, size, due)
        if due:
            self.note_position()
        for callback in due:
            callback.on_step_end(self)
        return result.output

    def apply(self, result: Pass, n: float, callbacks: Sequence[Callback] = ()) -> None:
        """Update theta and the buffers from the gradient of one batch of n examples, or of that weight."""
        options, state = self.options, self.state
        if callbacks or options.shapes_gradient:
            self._shape_gradient(result.gradient, n, callbacks)
        self.step += 1
        if options.schedule is not None:
            self.eta = self.rate(self.step)
        options.optimizer.update(
            state.theta,
            result.gradient,
            self.slots,
            step=self.step,
            eta=self.eta,
            scale=options.scale,
            decay_mask=options.decay,
        )
        if options.max_norm is not None:
            self._limit_norms(options.max_norm)
        if result.buffers is not state.buffers:
            state.buffers[:] = result.buffers

    def _shape_gradient(self, gradient: Array, n: float, callbacks: Sequence[Callback]) -> None:
        """Add the penalty's gradient, show the sum to callbacks, and clip it."""
        options = self.options
        if options.penalty.active:
            divisor = options.penalty.divisor(examples=self.n_examples or n, batch=n)
            options.penalty.add_gradient(gradient, self.state.theta, options.decay, divisor=divisor)
        for callback in callbacks:
            callback.on_gradient(self, gradient)
        if options.clip_norm is not None:
            clip_by_norm(gradient, options.clip_norm)
        if options.clip_value is not None:
            clip_by_value(gradient, options.clip_value)

    def rate(self, step: int) -> float:
        """Return the rate of a step of the epoch at hand, by the schedule."""
        schedule, per_epoch = self.options.schedule, self.steps_per_epoch
        assert schedule is not None
        return schedule.rate(
            self.options.optimizer.eta,
            step=step,
            epoch=max(self.epoch, 1),
            total_steps=None if per_epoch is None else per_epoch * self.options.epochs,
            steps_per_epoch=per_epoch,
            state=self.schedule_state,
        )

    def _limit_norms(self, limit: float) -> None:
        scale = self.options.scale
        for entry in self.model.layout.entries:
            if entry.name == "W" and (scale is None or scale[entry.offset] != 0):
                limit_row_norms(self.state.theta[entry.block].reshape(entry.shape), limit)

    def measure(self, outputs: list[Any], targets: list[Array], weights: Array | None, tally: Tally) -> None:
        """Compute costs and accuracy of a block's examples as they were when seen; stop if one diverged."""
        record, y = join_records(outputs), join(targets)
        sizes = [len(step) for step in targets]
        costs = step_sums(self.model.costs(record, y), weights, sizes)
        if not (
            math.isfinite(sum(costs)) and all_finite(self.state.theta) and all_finite(self.state.buffers)
        ):
            assert self._snapshot is not None
            explain_divergence(self, self._snapshot)
        correct = self._correct(record, y)
        tally.add(len(y), costs, int(np.count_nonzero(correct)))
        if self.options.metrics:
            tally.keep(self.targets.truth(y), self.targets.scores(record.a), weights)
        self.roll(sizes, costs, step_sums(correct, None, sizes))

    def _correct(self, record: Any, y: Array) -> Array:
        if not self.targets.is_classification:
            return np.zeros(len(y), dtype=bool)
        return self.targets.correct(record.a, y)

    def roll(self, sizes: list[int], costs: list[float], correct: list[float]) -> None:
        """Add a row to ``history.rolling``: over the fewest last steps that hold 1000 examples."""
        self._recent.add(sizes, costs, correct)
        n = self._recent.examples
        row: Row = {"epoch": self.epoch, "step": self.step, "examples": n}
        row["cost"] = self._recent.cost / n
        if self.targets.is_classification:
            row["accuracy"] = self._recent.correct / n
        self.history.rolling.append(row)
        self.tell("on_progress", row)

    def _end_epoch(self, tally: Tally) -> None:
        row: Row = {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": time.perf_counter() - self.started,
            "eta": self.eta,
            "cost": tally.cost / tally.examples,
        }
        if self.targets.is_classification:
            row["accuracy"] = tally.correct / tally.examples
        row |= tally.measured(self.options.metrics)
        if self.options.penalty.active:
            n, seen = tally.examples, self.options.penalty_as_seen
            at_end = min(self.options.batch_size, self.n_examples or n), n
            row["penalty"] = tally.penalty / n if seen else self._penalty(*at_end)
        if self.validation is not None:
            row |= self._validate(self.validation)
        self.history.append(row)
        self.note_position()
        self.tell("on_epoch_end", row)
        schedule = self.options.schedule
        if schedule is not None and schedule.monitors:
            self.schedule_state = schedule.observe(self.schedule_state, row.get("val_cost", row["cost"]))
            if self.schedule_state.get("exhausted"):
                self.stop("rate exhausted")

    def _validate(self, examples: Examples) -> Row:
        """Return the figures of the validation data, none if Ctrl-C came before or meanwhile."""
        measured = measure(
            self.engine,
            self.model,
            self.state,
            self.targets,
            examples,
            self.options.metrics,
            cancelled=lambda: self.stop_reason == "interrupted",
        )
        return {f"val_{name}": value for name, value in measured.items()}

    def _minimize(self) -> None:
        """Train with an optimiser that needs the cost of the whole data set in every step (L-BFGS)."""
        if self.n_examples is None:
            raise OptionError(
                f"optimizer {self.options.optimizer.name!r} needs all data at once, not a stream."
            )
        options = self.options
        self.epoch = 1
        batch = whole_batch(self.batches(1))

        def cost_and_gradient(theta: Array) -> tuple[float, Array]:
            self.watch_time(time.perf_counter())
            if self.stop_reason:
                raise _Stopped  # now, not after a whole line search
            result = self.engine.gradient(self.model, self.state, batch.X, batch.y, batch.weights, None)
            costs = self.model.costs(result.output, batch.y)
            cost = float(np.mean(costs if batch.weights is None else costs * batch.weights))
            if options.penalty.active:
                divisor = options.penalty.divisor(examples=len(batch.y), batch=len(batch.y))
                options.penalty.add_gradient(result.gradient, theta, options.decay, divisor=divisor)
                cost += float(options.penalty.value(theta, options.decay, divisor=divisor))
            return cost, result.gradient

        def iterated(iteration: int, cost: float, theta: Array) -> bool:
            self.epoch = self.step = iteration
            self.eta = options.optimizer.eta
            record = self.engine.output(self.model, self.state, batch.X)
            tally = Tally()
            costs = step_sums(self.model.costs(record, batch.y), batch.weights, [len(batch.y)])
            tally.add(len(batch.y), costs, int(np.count_nonzero(self._correct(record, batch.y))))
            if options.metrics:
                tally.keep(self.targets.truth(batch.y), self.targets.scores(record.a), batch.weights)
            self._end_epoch(tally)
            self.watch_time(time.perf_counter())
            return bool(self.stop_reason)

        try:
            if not math.isfinite(cost_and_gradient(self.state.theta)[0]):
                explain_first_pass(self, batch)
            minimum = options.optimizer.minimize(
                cost_and_gradient, self.state.theta, iterated, scale=options.scale
            )
        except _Stopped:
            return  # theta is that of the last iteration
        if not self.stop_reason and minimum.converged:
            self.stop("converged")
