"""What the training loop and an engine's trainer exchange: parameters, buffers, slots; who has the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import Trainer
from clearprop.model import State
from clearprop.training.divergence import LastFinite, check_finite, explain_parameters
from clearprop.training.hooks import hooks, others_run_between_epochs

if TYPE_CHECKING:
    from clearprop.training.loop import TrainingRun

__all__ = ["Exchange"]


class Exchange:
    """Who has the newest parameters, buffers and slots: the trainer after a run of steps, else the loop."""

    def __init__(self, run: TrainingRun, trainer: Trainer) -> None:
        self._run, self._trainer = run, trainer
        self._with_slots = any(c.reads_slots and bool(hooks(c)) for c in run.options.callbacks)
        self._trainer_is_ahead = False
        self._loop_may_differ = True
        self._has_slots = False
        # Parameters come from the trainer only if they are finite. So theta itself is where the run can go
        # back to, unless other code may write to it.
        self._copies = run.examples is None or others_run_between_epochs(run)
        self._step = run.step
        """The step after which theta was as it is, but for what other code has changed since."""
        self.kept: LastFinite | None = None

    def keep(self, now: float) -> None:
        """Keep where the run stands, to go back to."""
        self.show()
        self.check_finite()
        self.kept = None  # first, or two copies of the parameters lie in memory
        self.kept = LastFinite.take(self._run, now, slots=False, copies=self._copies)

    def to_trainer(self) -> None:
        """Give the trainer what code outside it may have changed; it is then the one that goes on."""
        if self._loop_may_differ:
            self.check_finite()
            self._trainer.read(self._run.state)
            if self._with_slots or not self._has_slots:
                self._trainer.read_slots(self._run.slots)
        self._loop_may_differ, self._trainer_is_ahead, self._has_slots = False, True, True

    def in_step(self, buffers: Array) -> None:
        """Give the trainer what a hook within a step may have changed; buffers are the step's own affair."""
        self._run.state.buffers[:] = buffers
        self._trainer.read(self._run.state)
        if self._with_slots:
            self._trainer.read_slots(self._run.slots)

    def to_loop(self) -> None:
        """Bring theta, the buffers and the slots up to date, for code that may look and change them.

        Errors: `DivergenceError` where they are not finite.
        """
        if self._trainer_is_ahead:
            if not self._trainer.is_finite():
                self._raise()
            self._trainer.write(self._run.state)
            if self._with_slots:
                self._trainer.write_slots(self._run.slots)
            self._step = self._run.step
            if self.kept is not None and not self._copies:
                self.kept.step = self._step
        self._loop_may_differ, self._trainer_is_ahead = True, False

    def leave(self) -> None:
        """Bring theta and the rest up to date, because something has failed; if they are finite.

        If not, the run is where theta was last brought up to date.
        """
        if not self._trainer_is_ahead or self._trainer.is_finite():
            self.to_loop()
        else:
            self._trainer_is_ahead, self._run.step = False, self._step

    def _raise(self) -> NoReturn:
        state = self._run.state
        found = State(self._run.model, np.empty_like(state.theta), np.empty_like(state.buffers))
        self._trainer.write(found)
        self._trainer_is_ahead = False
        assert self.kept is not None
        explain_parameters(self._run, found, self.kept)

    def show(self) -> None:
        """Bring them up to date for code that only looks."""
        changed = self._loop_may_differ
        self.to_loop()
        self._loop_may_differ = changed

    def show_all(self) -> None:
        """Bring them and the slots up to date for code that only looks."""
        self.show()
        if self._has_slots and not self._with_slots:  # else they have just come along
            self._trainer.write_slots(self._run.slots)

    def check_finite(self) -> None:
        """Raise where other code has put into theta or the buffers what is not finite."""
        if self._copies:
            check_finite(self._run, self.kept)

    def output(self, X: Array) -> Any:
        """Return the last layer's record in inference mode, by the newest parameters."""
        if self._loop_may_differ:
            self._trainer.read(self._run.state)
        return self._trainer.output(X)
