"""Training with an optimiser that needs the cost of the whole data set in every step (L-BFGS)."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import OptionError
from clearprop.training.batches import Batch, whole_batch
from clearprop.training.divergence import explain_first_pass
from clearprop.training.evaluations import Evaluations
from clearprop.training.measure import Tally, step_sums

if TYPE_CHECKING:
    from clearprop.training.loop import TrainingRun

__all__ = ["minimize"]


class _Stopped(Exception):
    """Ends a minimisation within a line search."""


def minimize(run: TrainingRun) -> None:
    """Train a run by its optimiser's `minimize`; an iteration counts as an epoch of one step."""
    if run.n_examples is None:
        raise OptionError(f"optimizer {run.options.optimizer.name!r} needs all data at once, not a stream.")
    _Minimization(run).run()


class _Minimization:
    """One minimisation: the data as one batch, and how many iterations were there before it was resumed."""

    def __init__(self, run: TrainingRun) -> None:
        self._run = run
        self._behind = 0 if run.start is None else run.step
        """Iterations that are done again, but for what is told of them."""
        run.epoch = max(run.epoch, 1)
        self._batch: Batch = whole_batch(run.batches(1))

    def run(self) -> None:
        """Train to the end."""
        run = self._run
        optimizer, state = run.options.optimizer, run.state
        if run.keeper is not None and run.start is None:
            run.start, run.evaluations = state.theta.copy(), Evaluations()
        ask = self._cost_and_gradient
        if run.evaluations is not None:
            log = run.evaluations
            ask = lambda theta: log.answer(theta, self._cost_and_gradient)  # noqa: E731
        try:
            if run.start is None or not run.step:
                cost, _ = self._cost_and_gradient(state.theta)
                if not math.isfinite(cost):
                    explain_first_pass(run, self._batch)
            minimum = optimizer.minimize(ask, state.theta, self._iterated, scale=run.options.scale)
        except _Stopped:
            run.offer_position(ended=True)
            return  # theta is that of the last iteration
        if not run.stop_reason and minimum.converged:
            run.stop("converged")
        if not run.cut_short:
            run.offer_position(ended=True)

    def _cost_and_gradient(self, theta: Array) -> tuple[float, Array]:
        run, batch = self._run, self._batch
        options, n = run.options, len(batch.y)
        run.watch_time(time.perf_counter())
        if run.stop_reason:
            raise _Stopped  # now, not after a whole line search
        result = run.engine.gradient(run.model, run.state, batch.X, batch.y, batch.weights, None)
        costs = run.model.costs(result.output, batch.y)
        cost = float(np.mean(costs if batch.weights is None else costs * batch.weights))
        if options.penalty.active:
            divisor = options.penalty.divisor(examples=n, batch=n)
            options.penalty.add_gradient(result.gradient, theta, options.decay, divisor=divisor)
            cost += float(options.penalty.value(theta, options.decay, divisor=divisor))
        return cost, result.gradient

    def _iterated(self, iteration: int, cost: float, theta: Array) -> bool:
        run, batch = self._run, self._batch
        if iteration <= self._behind:
            return False
        run.epoch = run.step = iteration
        run.eta = run.options.optimizer.eta
        record = run.engine.output(run.model, run.state, batch.X)
        tally = Tally()
        costs = step_sums(run.model.costs(record, batch.y), batch.weights, [len(batch.y)])
        tally.add(len(batch.y), costs, int(np.count_nonzero(run.correct(record, batch.y))))
        if run.options.metrics:
            tally.keep(run.targets.truth(batch.y), run.targets.scores(record.a), batch.weights)
        run.end_epoch(tally)
        run.watch_time(time.perf_counter())
        if not run.stop_reason:
            run.offer_position(epoch_ended=True)
        return bool(run.stop_reason)
