"""What happens after each epoch of a stochastic solver: the loss, the score, the rate, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clearprop.arrays import Array
from clearprop.optimizers import Optimizer
from clearprop.training.callbacks import Callback
from clearprop.training.history import Row

if TYPE_CHECKING:
    from clearprop.training.loop import TrainingRun

__all__ = ["Course", "Pace"]

_LOWEST_RATE = 1e-6


@dataclass
class Pace:
    """How fast an estimator learns, and what its optimiser remembers: `partial_fit` goes on from here.

    It keeps the options of the first call, as scikit-learn's does.
    """

    optimizer: Optimizer
    rule: str
    """"constant", "invscaling" or "adaptive"; "adam" has "constant" only."""
    power_t: float
    learning_rate: float
    steps: int = 0
    epochs: int = 0
    slots: dict[str, Array] = field(default_factory=dict)
    schedule_state: dict[str, Any] = field(default_factory=dict)

    def epoch_ends(self, examples: int) -> None:
        """Lower the rate of "invscaling"; examples: how many were seen so far, each time it was."""
        if self.rule == "invscaling":
            self.learning_rate = self.optimizer.eta / (examples + 1) ** self.power_t

    def may_go_on(self) -> tuple[bool, str]:
        """Return whether "adaptive" goes on, at a fifth of the rate, and that in words."""
        if self.rule != "adaptive":
            return False, "Stopping."
        if self.learning_rate <= _LOWEST_RATE:
            return False, "Learning rate too small. Stopping."
        self.learning_rate /= 5.0
        return True, f"Setting learning rate to {self.learning_rate:f}"


class Course(Callback):
    """Keeps an estimator's record of its training, as scikit-learn's own loop does.

    Parameters: `estimator`; its `pace`; `examples`, how many there are for training; `score`, a function that
    returns the score of the held-out examples, or None; `loss`, the column of the history that is the loss
    without the penalty.
    """

    reads_theta = False
    changes_parameters = False

    def __init__(
        self, estimator: Any, pace: Pace, examples: int, score: Callable[[], float] | None, loss: str
    ) -> None:
        self.estimator, self.pace, self.examples = estimator, pace, examples
        self.score, self.loss = score, loss

    def on_fit_begin(self, run: TrainingRun) -> None:
        """Go on from where the pace is."""
        run.step, run.eta, run.epoch = self.pace.steps, self.pace.learning_rate, self.pace.epochs
        self.epochs = run.options.epochs - self.pace.epochs
        run.schedule_state.update(self.pace.schedule_state)
        for name, slot in self.pace.slots.items():
            run.slots[name][:] = slot

    def on_epoch_end(self, run: TrainingRun, row: Row) -> None:
        """Record loss and score, change the rate, stop if nothing got better for long enough."""
        if run.stop_reason == "interrupted":
            return
        self.record(row[self.loss] + row.get("penalty", 0.0))
        if self.score is not None:
            row["validation_score"] = self.estimator.validation_scores_[-1]
        self.pace.epoch_ends(self.estimator.t_)
        if self._stands_still():
            run.stop("converged")
        if run.options.schedule is None:
            run.eta = self.pace.learning_rate

    def record(self, loss: float) -> None:
        """Add an epoch with this loss to the estimator's attributes."""
        estimator = self.estimator
        estimator.n_iter_ += 1
        estimator.loss_ = loss
        estimator.t_ += self.examples
        estimator.loss_curve_.append(loss)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        if self.score is None:
            self._compare_loss(loss)
        else:
            self._compare_score(self.score())

    def _compare_loss(self, loss: float) -> None:
        estimator = self.estimator
        worse = loss > estimator.best_loss_ - estimator.tol
        estimator._no_improvement_count = estimator._no_improvement_count + 1 if worse else 0
        if loss < estimator.best_loss_:
            estimator.best_loss_ = loss

    def _compare_score(self, score: float) -> None:
        estimator = self.estimator
        estimator.validation_scores_.append(score)
        if estimator.verbose:
            print(f"Validation score: {score:f}")
        worse = score < estimator.best_validation_score_ + estimator.tol
        estimator._no_improvement_count = estimator._no_improvement_count + 1 if worse else 0
        if score > estimator.best_validation_score_:
            estimator.best_validation_score_ = score
            estimator._best = estimator._now()

    def _stands_still(self) -> bool:
        """Return whether to stop; where "adaptive" goes on instead, the count begins anew."""
        estimator = self.estimator
        if estimator._no_improvement_count <= estimator.n_iter_no_change:
            return False
        what = "Training loss did not improve" if self.score is None else "Validation score did not improve"
        goes_on, words = self.pace.may_go_on()
        if estimator.verbose:
            patience = f"tol={estimator.tol:f} for {estimator.n_iter_no_change} consecutive epochs"
            print(f"{what} more than {patience}. {words}")
        if goes_on:
            estimator._no_improvement_count = 0
        return not goes_on

    def after_divergence(self, run: TrainingRun) -> None:
        """Record the epochs that are left of a training whose numbers are no longer finite.

        Their losses are NaN. A class is still read from outputs that are NaN, so that the score of a
        classifier is a number, and the same in each of them; patience ends as at other times.
        """
        run.state.theta[:] = math.nan
        if self.score is not None:
            score = self.score()
            self.score = lambda: score
        while self.estimator.n_iter_ < self.epochs and not run.ended_by:
            self.record(math.nan)
            self.pace.epoch_ends(self.estimator.t_)
            if self._stands_still():
                run.stop("converged")

    def on_fit_end(self, run: TrainingRun) -> None:
        """Keep what the optimiser remembers, for `partial_fit`."""
        self.pace.steps, self.pace.epochs = run.step, run.epoch
        self.pace.schedule_state = dict(run.schedule_state)
        self.pace.slots = {name: run.slots[name] for name in self.pace.optimizer.slots}
