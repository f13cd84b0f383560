"""Where a run stands between two steps: everything that it needs to go on as if it had never stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from clearprop.arrays import Array
from clearprop.optimizers import saved_slots
from clearprop.training.callbacks import Callback
from clearprop.training.history import Row
from clearprop.training.snapshot import Snapshot

if TYPE_CHECKING:
    from clearprop.training.evaluations import Evaluations
    from clearprop.training.loop import TrainingRun
    from clearprop.training.measure import Tally

__all__ = ["Keeper", "Position"]

RecentSteps = tuple[list[int], list[float], list[float]]
"""Of the last steps: how many examples each had, the sum of their costs, how many were right."""


class Keeper(Protocol):
    """What keeps positions of a run: the loop asks it between steps and at the end of an epoch."""

    def steps_until_due(self, step: int) -> int | None:
        """Return after how many further steps it wants to be asked; None where steps do not matter."""

    def is_due(self, run: TrainingRun, epoch_ended: bool) -> bool:
        """Return whether the run's position is to be kept now."""

    def keep(self, position: Position) -> None:
        """Keep a position, before this returns: its arrays are the run's own memory."""

    def finish(self) -> None:
        """Raise what kept the last position from being kept, if anything did; called after training."""


@dataclass(frozen=True)
class Position:
    """Where a run stands: its numbers, and what else its next steps and its history are a function of.

    No state of a random generator is part of it: order and dropout are functions of seed and position.
    """

    numbers: Snapshot
    epoch: int = 0
    """The epoch at hand if there is a tally of it, else the last that has ended."""
    schedule_state: Mapping[str, Any] = field(default_factory=dict)
    tally: Tally | None = None
    """The sums over the part of the epoch that is behind; None between two epochs."""
    eta: float | None = None
    stop_reason: str = ""
    """Why training had ended of its own accord: it does not go on."""
    seconds: float = 0.0
    recent: RecentSteps = ((), (), ())  # type: ignore[assignment]  # a default that nobody can change
    rows: tuple[Row, ...] = ()
    rolling: tuple[Row, ...] = ()
    resumed: tuple[int, ...] = ()
    before: tuple[int, int] = (0, 0)
    """Epochs and steps of earlier fits."""
    callbacks: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Class name and state of each callback that has one, in order."""
    seen: Mapping[str, Any] | None = None
    """What the user's own order or iterable of batches gave so far, where there is one."""
    start: Array | None = None
    """The parameters before the first step, for an optimiser that takes all examples (L-BFGS)."""
    evaluations: Evaluations | None = None
    """What such an optimiser was told so far."""

    @classmethod
    def of(cls, run: TrainingRun, tally: Tally | None) -> Position:
        """Return where a run stands, in its own memory. tally: of the epoch at hand, None between two."""
        run.bring_up_to_date()
        back = 1 if run.options.optimizer.full_batch and tally is not None else 0  # it is told of it again
        return cls(
            Snapshot(run.step - back, run.state.theta, run.state.buffers, saved_slots(run.slots)),
            run.epoch - back,
            run.schedule_state,
            None if back else tally,
            run.eta,
            run.ended_by,
            time.perf_counter() - run.started,
            run.recent.steps,
            tuple(run.history.rows),
            tuple(run.history.rolling),
            tuple(run.history.resumed),
            (run.epochs_before, run.steps_before),
            tuple((type(c).__name__, c.state()) for c in stateful(run.options.callbacks)),
            None if run.seen is None else run.seen.state(),
            run.start,
            run.evaluations,
        )

    def place(self, run: TrainingRun) -> None:
        """Put a run that has not begun where this position is, but for its callbacks."""
        state, numbers = run.state, self.numbers
        state.theta[:] = numbers.theta if self.start is None or self.stop_reason else self.start
        state.buffers[:] = numbers.buffers
        if numbers.slots:
            run.slots = run.options.optimizer.restore(numbers.slots, state.theta.size, state.theta.dtype)
        run.step = numbers.step
        run.epoch = self.epoch if self.tally is None else self.epoch - 1
        if self.schedule_state:
            run.schedule_state = dict(self.schedule_state)
        if self.eta is not None:
            run.eta = self.eta
        run.ended_by = self.stop_reason
        run.started -= self.seconds
        run.recent.add(*self.recent)
        run.history.rows[:], run.history.rolling[:] = map(dict, self.rows), map(dict, self.rolling)
        run.history.resumed = list(self.resumed)
        run.start, run.evaluations = self.start, self.evaluations

    def place_callbacks(self, run: TrainingRun) -> None:
        """Give the callbacks of a run the state that they had."""
        for callback, (_, state) in zip(stateful(run.options.callbacks), self.callbacks, strict=False):
            callback.restore(run, state)


def stateful(callbacks: Any) -> list[Callback]:
    """Return the callbacks whose class has a `state` of its own."""
    return [c for c in callbacks if type(c).state is not Callback.state]
