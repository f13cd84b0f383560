"""Costs, accuracy and metrics: of the examples as training saw them, and of a data set in inference mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import Engine
from clearprop.model import Model, State
from clearprop.training.data import Examples
from clearprop.training.history import Row
from clearprop.training.targets import Targets

__all__ = ["Tally", "join", "join_records", "measure"]


@dataclass
class Tally:
    """Sums over the examples of an epoch."""

    examples: int = 0
    cost: float = 0.0
    correct: float = 0.0
    kept: list[tuple[Array, Array, Array | None]] = field(default_factory=list)
    """Truth, outputs and weights of each block, where metrics were asked for."""

    def keep(self, truth: Array, outputs: Array, weights: Array | None) -> None:
        """Remember truth, outputs and weights of a block for `measured`."""
        self.kept.append((truth, outputs, weights))

    def measured(self, metrics: Sequence[Any]) -> Row:
        """Return the metrics over the examples of the epoch as they were when each was seen."""
        if not self.kept:
            return {}
        truth, outputs = (np.concatenate([block[i] for block in self.kept]) for i in (0, 1))
        weights = None if self.kept[0][2] is None else np.concatenate([w for *_, w in self.kept])
        return {metric.name: float(metric(truth, outputs, weights)) for metric in metrics}

    def add(self, examples: int, cost: float, correct: float) -> None:
        """Add the sums over a block: its number of examples, their costs, how many were right."""
        self.examples += examples
        self.cost += cost
        self.correct += correct


class _Output(NamedTuple):
    z: Array | None
    a: Array


def join(arrays: list[Array]) -> Array:
    """Return arrays as one, joined along the examples; a single array as it is, uncopied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def join_records(outputs: list[Any]) -> Any:
    """Return the last layer's records of several batches as one."""
    if len(outputs) == 1:
        return outputs[0]
    a = join([record.a for record in outputs])
    z = np.concatenate([record.z for record in outputs]) if hasattr(outputs[0], "z") else None
    return _Output(z, a)


def measure(
    engine: Engine,
    model: Model,
    state: State,
    targets: Targets,
    examples: Examples,
    metrics: Sequence[Any] = (),
    batch_size: int = 1024,
    cancelled: Callable[[], bool] | None = None,
) -> Row:
    """Return cost, accuracy (for classes) and metrics of a data set in inference mode, as one row.

    The cost is the weighted mean of the examples' costs, without penalty. An empty row once `cancelled`.
    """
    outputs: list[Array] = []
    total, correct, n = 0.0, 0.0, 0
    for X, y, weights in examples.batches(batch_size):
        if cancelled is not None and cancelled():
            return {}
        record = engine.output(model, state, X)
        costs = model.costs(record, y)
        total += float((costs if weights is None else costs * weights).sum())
        if targets.is_classification:
            right = targets.correct(record.a, y)
            correct += float((right if weights is None else right * weights).sum())
        n += len(y)
        if metrics:
            outputs.append(record.a)
    row: Row = {"cost": total / n}
    if targets.is_classification:
        row["accuracy"] = correct / n
    if metrics:
        a, truth = targets.scores(np.concatenate(outputs)), targets.truth(examples.y)
        for metric in metrics:
            row[metric.name] = float(metric(truth, a, examples.weights))
    return row
