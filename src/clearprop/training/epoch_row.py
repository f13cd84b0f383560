"""The row of the history that an epoch gives."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from clearprop.arrays import Array
from clearprop.training.data import Examples
from clearprop.training.history import Row
from clearprop.training.measure import Tally, measure

if TYPE_CHECKING:
    from clearprop.training.loop import TrainingRun

__all__ = ["epoch_row", "penalty_of"]


def epoch_row(run: TrainingRun, tally: Tally, output: Callable[[Array], Any]) -> Row:
    """Return the figures of an epoch, validation included, as one row; see `History`.

    output: what `measure` predicts with.
    """
    row: Row = {
        "epoch": run.epoch,
        "step": run.step,
        "seconds": time.perf_counter() - run.started,
        "eta": run.eta,
        "cost": tally.cost / tally.examples,
    }
    if run.targets.is_classification:
        row["accuracy"] = tally.correct / tally.examples
    row |= tally.measured(run.options.metrics)
    if run.options.penalty.active:
        row["penalty"] = _penalty(run, tally)
    if run.validation is not None:
        row |= _validated(run, run.validation, output)
    return row


def _penalty(run: TrainingRun, tally: Tally) -> float:
    n = tally.examples
    if run.options.penalty_as_seen:
        return tally.penalty / n
    return penalty_of(run, min(run.options.batch_size, run.n_examples or n), n)


def penalty_of(run: TrainingRun, batch: float, examples: float) -> float:
    """Return the penalty of the parameters as they are, for a batch and a stream of these sizes."""
    penalty = run.options.penalty
    divisor = penalty.divisor(examples=run.n_examples or examples, batch=batch)
    return float(penalty.value(run.state.theta, run.options.decay, divisor=divisor))


def _validated(run: TrainingRun, examples: Examples, output: Callable[[Array], Any]) -> Row:
    """Return the figures of the validation data, none if a signal came before or meanwhile."""
    measured = measure(
        output,
        run.model,
        run.targets,
        examples,
        run.options.metrics,
        cancelled=lambda: run.interrupted,
    )
    return {f"val_{name}": value for name, value in measured.items()}
