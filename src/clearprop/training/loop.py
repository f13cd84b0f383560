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
from numpy.typing import ArrayLike

from clearprop.arrays import Array
from clearprop.engines import Engine, Pass
from clearprop.errors import DataError
from clearprop.model import Draws, Gradient, Model, State
from clearprop.training.batches import Batch, Batches, Orders, weighed
from clearprop.training.callbacks import Callback
from clearprop.training.data import Examples
from clearprop.training.divergence import LastFinite, check_finite, explain_divergence
from clearprop.training.epoch_row import epoch_row, penalty_of
from clearprop.training.evaluations import Evaluations
from clearprop.training.features import all_finite
from clearprop.training.history import History, Row
from clearprop.training.interrupt import InterruptGuard
from clearprop.training.measure import Recent, Tally, join, join_records, step_sums
from clearprop.training.minimization import minimize
from clearprop.training.options import FitOptions
from clearprop.training.penalties import clip_by_norm, clip_by_value, limit_norms
from clearprop.training.position import Keeper, Position
from clearprop.training.seen import Seen
from clearprop.training.targets import Targets
from clearprop.training.whole_runs import ROLLING_EXAMPLES, whole_runs_of

__all__ = ["TrainingRun"]

_BLOCK_SECONDS = 0.05
_BLOCK_STEPS = 1000
_FROM_OUTSIDE = ("interrupted", "terminated", "time limit")


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
    ended_by: str = ""
    """Why training ended of its own accord: a callback, early stopping, convergence."""
    cut_by: str = ""
    """What ended it from outside: "interrupted", "terminated" or "time limit"."""
    cut_short: bool = False
    """Whether the last epoch was interrupted, and its validation left out: that row is no whole one."""
    failed_step: int | None = None
    """The step that made a number that is NaN or infinite and so does not count; None where none is known."""
    epochs_before: int = 0
    """Epochs and steps of earlier fits: random numbers go on from there, `epoch` and `step` start at 0."""
    steps_before: int = 0
    begin: Position | None = None
    """Where the run goes on from; None for one that begins."""
    keeper: Keeper | None = None
    """What keeps positions of the run."""
    seen: Seen | None = None
    """What watches the user's own order or iterable, so that a run can go on in it."""
    start: Array | None = None
    """The parameters before the first step, for L-BFGS with a keeper."""
    evaluations: Evaluations | None = None
    """What L-BFGS was told so far, with a keeper."""

    def stop(self, reason: str = "callback") -> None:
        """End training after the step at hand; `reason` goes into ``history.stopped``."""
        if reason in _FROM_OUTSIDE:
            self.cut_by = self.cut_by or reason
        else:
            self.ended_by = self.ended_by or reason or "callback"

    @property
    def stop_reason(self) -> str:
        """Why training ends after the step at hand, "" while it goes on."""
        return self.ended_by or self.cut_by

    @property
    def interrupted(self) -> bool:
        """Whether a signal has come: what takes its time is left out from then on."""
        return self.cut_by in ("interrupted", "terminated")

    def run(self) -> History:
        """Train and return the history. Ctrl-C ends it after the step at hand: KeyboardInterrupt."""
        self.started = self.called = time.perf_counter()
        self.slots = self.options.optimizer.init(self.state.theta.size, self.state.theta.dtype)
        self.schedule_state = self.options.schedule.start() if self.options.schedule else {}
        self.eta = self.options.optimizer.eta
        self._steps_in_block = 1
        self._gradient = Gradient(self.model, self.state.theta.dtype)
        # Where nothing is drawn, one position does for all steps.
        self._nowhere = None if self.model.is_random else Draws(self.seed, 0, np.empty(0, np.intp))
        self._stepwise = [c for c in self.options.callbacks if c.every > 0]
        self.recent = Recent(ROLLING_EXAMPLES)
        self._snapshot: LastFinite | None = None
        if self.begin is not None:
            self.begin.place(self)
        self._whole_runs = whole_runs_of(self)
        with (
            InterruptGuard(self.stop, terminate=self.keeper is not None) as guard,
            np.errstate(over="ignore", invalid="ignore", divide="ignore"),
        ):
            begun: list[Callback] = []
            try:
                for callback in self.options.callbacks:
                    callback.on_fit_begin(self)
                    begun.append(callback)
                if self.begin is not None:
                    self.begin.place_callbacks(self)
                else:
                    self.offer_position(ended=True)  # now, so that what cannot be kept is known at once
                self._epochs()
                check_finite(self, self._snapshot if self._whole_runs is None else self._whole_runs.kept)
                self.history.stopped = self.stop_reason or "epochs"
            except BaseException as error:
                self.history.stopped = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
                raise
            finally:
                self.note_position()
                with ExitStack() as ends:  # each one runs, last first, whatever another raises
                    for callback in begun:
                        ends.callback(callback.on_fit_end, self)
                self._whole_runs = None  # which refers to us: its copies of the data go now, not at some time
        guard.raise_if_stopped()
        if self.keeper is not None:
            self.keeper.finish()
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
            if not self.stop_reason:
                minimize(self)
            return
        tally = None if self.begin is None else self.begin.tally
        for epoch in range(self.epoch + 1, self.options.epochs + 1):
            if self.stop_reason and tally is None:  # of a run that had ended
                break
            self.epoch = epoch
            if tally is None:
                self.tell("on_epoch_begin")
            self._one_epoch(Tally() if tally is None else tally)
            tally = None

    def _one_epoch(self, tally: Tally) -> None:
        """Do the steps of an epoch, or the rest of them, and what belongs to its end."""
        if self._whole_runs is not None:
            self._whole_runs.epoch(tally)
        else:
            source = self.batches(self.epoch)
            while not self.stop_reason and self._block(source, tally):
                self.offer_position(tally)
        if tally.examples == 0:
            if self.stop_reason:
                return
            raise DataError(
                f"epoch {self.epoch} had no batches: the iterable of batches is empty or used up."
            )
        self.end_epoch(tally)
        if not self._kept_at_cut:
            is_last = self.epoch >= self.options.epochs
            self.offer_position(epoch_ended=True, ended=bool(self.stop_reason) or is_last)

    def offer_position(
        self, tally: Tally | None = None, *, epoch_ended: bool = False, ended: bool = False
    ) -> None:
        """Let the keeper keep the run's position, if it wants to.

        tally: of the epoch at hand; None between epochs. ended: whether there is no later occasion.
        """
        keeper = self.keeper
        if keeper is None or (self.stop_reason and not ended):
            return
        if ended or keeper.is_due(self, epoch_ended):
            self.note_position()
            keeper.keep(Position.of(self, tally))

    def bring_up_to_date(self) -> None:
        """Bring theta, the buffers and the slots up to date, where an engine has them."""
        if self._whole_runs is not None:
            self._whole_runs.show_all()

    def _output(self, X: Array) -> Any:
        """Return the last layer's record in inference mode; between runs of steps only."""
        runs = self._whole_runs
        return self.engine.output(self.model, self.state, X) if runs is None else runs.output(X)

    def _block(self, source: Iterator[Batch], tally: Tally) -> bool:
        """Do the steps of a block, then measure them together; return whether there may be more."""
        begun = time.perf_counter()
        if self._snapshot is None or self._snapshot.is_due(begun):
            check_finite(self, self._snapshot)
            self._snapshot = LastFinite.take(self, begun)
        self._snapshot.mark(self)
        # Only targets and outputs are kept: the rows of X stay in the processor's cache for one step.
        outputs: list[Any] = []
        targets: list[Array] = []
        weights: list[Array] = []
        for batch in itertools.islice(source, self.most_steps(self._steps_in_block)):
            self._snapshot.batches.append(batch if self.fetch is None else batch.examples)
            batch, size = weighed(batch, self.options)
            if self.options.penalty_as_seen:
                tally.add_penalties([penalty_of(self, size, size)], [len(batch.y)])
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

    def most_steps(self, wanted: int) -> int:
        """Return how many steps may be done before the keeper must be asked."""
        due = None if self.keeper is None else self.keeper.steps_until_due(self.step)
        return wanted if due is None else max(1, min(wanted, due))

    def watch_time(self, now: float) -> None:
        """Stop if the time limit has passed."""
        if self.options.time_limit is not None and now - self.called >= self.options.time_limit:
            self.stop("time limit")

    def again(self, item: Any) -> Batch:
        """Return a batch that the snapshot remembers, read anew where only its indices were kept."""
        return item if self.fetch is None else self.fetch(item)

    def _next_block(self, steps: int, seconds: float) -> int:
        per_step = seconds / steps
        wanted = int(_BLOCK_SECONDS / per_step) if per_step > 0 else _BLOCK_STEPS
        return max(1, min(_BLOCK_STEPS, wanted, 2 * steps))

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
        if options.schedule is not None:
            self.eta = self.rate(self.step + 1)  # which may raise
        self.step += 1
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
            limit_norms(self.model.layout, state.theta, options.scale, options.max_norm)
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
        correct = self.correct(record, y)
        tally.add(len(y), costs, int(np.count_nonzero(correct)))
        if self.options.metrics:
            tally.keep(self.targets.truth(y), self.targets.scores(record.a), weights)
        self.roll(sizes, costs, step_sums(correct, None, sizes))

    def correct(self, record: Any, y: Array) -> Array:
        """Return which examples are right, (n,); none where there are no classes."""
        if not self.targets.is_classification:
            return np.zeros(len(y), dtype=bool)
        return self.targets.correct(record.a, y)

    def roll(self, sizes: ArrayLike, costs: ArrayLike, correct: ArrayLike) -> None:
        """Add a row to ``history.rolling``: over the fewest last steps that hold 1000 examples."""
        self.recent.add(sizes, costs, correct)
        n = self.recent.examples
        row: Row = {"epoch": self.epoch, "step": self.step, "examples": n}
        row["cost"] = self.recent.cost / n
        if self.targets.is_classification:
            row["accuracy"] = self.recent.correct / n
        self.history.rolling.append(row)
        self.tell("on_progress", row)

    def end_epoch(self, tally: Tally) -> None:
        """Measure, add a row to the history, and tell callbacks and the schedule.

        What cuts the epoch short before its row is whole ends it here and now, but not for the keeper: a run
        that goes on from there ends the epoch as if nothing had been.
        """
        row = epoch_row(self, tally, self._output)
        self.cut_short = self.interrupted  # asked once: whoever asks must get the same answer
        self._kept_at_cut = bool(self.cut_by)
        if self._kept_at_cut:
            self.offer_position(tally, ended=True)
        self.history.append(row)
        self.note_position()
        self.tell("on_epoch_end", row)
        if (schedule := self.options.schedule) is not None and schedule.monitors:
            self.schedule_state = schedule.observe(self.schedule_state, row.get("val_cost", row["cost"]))
            if self.schedule_state.get("exhausted"):
                self.stop("rate exhausted")
