"""Costs, accuracy and metrics: of the examples as training saw them, and of a data set in inference mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from clearprop.arrays import Array
from clearprop.model import Model
from clearprop.training.data import Examples
from clearprop.training.history import Row
from clearprop.training.targets import Targets

__all__ = [
    "MOST_AT_ONCE",
    "Recent",
    "Tally",
    "join",
    "join_records",
    "measure",
    "step_sizes",
    "step_sums",
    "weights_for",
]


MOST_AT_ONCE = 1024
"""How many rows `measure` predicts at once."""
_FEW = 64  # steps that Python adds up faster than NumPy does


@dataclass
class Tally:
    """Sums over the examples of an epoch."""

    examples: int = 0
    cost: float = 0.0
    correct: int = 0
    penalty: float = 0.0
    """Sum over the examples of the penalty that the step of each had."""
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
        return {m.name: float(m(truth, outputs, weights_for(m, weights))) for m in metrics}

    def add(self, examples: int, costs: ArrayLike, correct: int) -> None:
        """Add a block: its number of examples, the sum of costs of each of its steps, how many were right.

        One step after the other, so that the total does not depend on how steps were joined to blocks.
        """
        self.examples += examples
        # Not sum(), which rounds a block as a whole: each partial sum is rounded, as if added by itself.
        exact = np.asarray(costs, np.float64)
        if len(exact) <= _FEW:
            for cost in exact.tolist():
                self.cost += cost
        else:
            self.cost = float(np.add.accumulate(np.concatenate([[self.cost], exact]))[-1])
        self.correct += correct

    def add_penalties(self, penalties: ArrayLike, sizes: ArrayLike) -> None:
        """Add the penalty of each step of a block, and how many examples the step had."""
        self.penalty += float(np.dot(penalties, np.asarray(sizes, np.float64)))


class Recent:
    """Sums over the fewest last steps that hold so many examples, or over all while there are fewer.

    >>> recent = Recent(5)
    >>> recent.add([3, 3, 3], [0.5, 1.0, 1.5], [1.0, 2.0, 3.0])
    >>> recent.examples, recent.cost, recent.correct
    (6, 2.5, 5.0)
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._steps = np.empty((3, 0))  # examples, costs, right ones: a row each, a column for each step

    def add(self, sizes: ArrayLike, costs: ArrayLike, correct: ArrayLike) -> None:
        """Add steps: how many examples each had, the sum of their costs, how many were right."""
        steps = np.concatenate([self._steps, np.array([sizes, costs, correct], np.float64)], axis=1)
        held = np.add.accumulate(steps[0, ::-1])  # by the last step, the last two, …
        self._steps = steps[:, -(int(np.searchsorted(held, self._wanted)) + 1) :]

    def _total(self, row: int) -> float:
        # One after the other: sum() of NumPy and of newer Pythons would add in an order of its own.
        return float(np.add.accumulate(self._steps[row])[-1])

    @property
    def examples(self) -> int:
        """How many examples they hold."""
        return int(self._total(0))

    @property
    def steps(self) -> tuple[list[int], list[float], list[float]]:
        """What `add` would have to be given for the same sums."""
        sizes, costs, correct = self._steps.tolist()
        return [int(size) for size in sizes], costs, correct

    @property
    def cost(self) -> float:
        """The sum of their costs."""
        return self._total(1)

    @property
    def correct(self) -> float:
        """How many were right."""
        return self._total(2)


class _Output(NamedTuple):
    z: Array | None
    a: Array


def weights_for(metric: Any, weights: Array | None) -> Array | None:
    """Return the weights a metric gets: none for the accuracy, everywhere the plain share of examples."""
    return None if metric.name == "accuracy" else weights


def step_sums(costs: Array, weights: Array | None, sizes: Sequence[int]) -> list[float]:
    """Return the (weighted) sum of costs of each step, added in float64. costs: (n,); sizes sum to n.

    >>> step_sums(np.array([1.0, 2.0, 3.0]), None, [2, 1])
    [3.0, 3.0]
    """
    exact = costs.astype(np.float64)
    if weights is not None:
        exact *= weights
    starts = np.cumsum([0, *sizes[:-1]])
    return np.add.reduceat(exact, starts).tolist()  # type: ignore[no-any-return]


def step_sizes(n: int, size: int) -> Array:
    """Return how many of n examples each step has: `size`, the last one what is left.

    >>> step_sizes(5, 2).tolist()
    [2, 2, 1]
    """
    sizes = np.full(-(-n // size), size)
    sizes[-1] = n - size * (len(sizes) - 1)
    return sizes


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
    output: Callable[[Array], Any],
    model: Model,
    targets: Targets,
    examples: Examples,
    metrics: Sequence[Any] = (),
    batch_size: int = MOST_AT_ONCE,
    cancelled: Callable[[], bool] | None = None,
) -> Row:
    """Return cost, accuracy (for classes) and metrics of a data set in inference mode, as one row.

    output: returns the last layer's record of a batch, as `Engine.output` does.
    The cost is the weighted mean of the examples' costs, without penalty; metrics weigh examples likewise.
    The accuracy is the plain share of examples that are right, whatever they weigh. An empty row once
    `cancelled`.
    """
    outputs: list[Array] = []
    tally = Tally()
    for X, y, weights in examples.batches(batch_size):
        if cancelled is not None and cancelled():
            return {}
        record = output(X)
        costs = step_sums(model.costs(record, y), weights, [len(y)])
        right = int(np.count_nonzero(targets.correct(record.a, y))) if targets.is_classification else 0
        tally.add(len(y), costs, right)
        if metrics:
            outputs.append(record.a)
    row: Row = {"cost": tally.cost / tally.examples}
    if targets.is_classification:
        row["accuracy"] = tally.correct / tally.examples
    if metrics:
        a, truth = targets.scores(np.concatenate(outputs)), targets.truth(examples.y)
        for metric in metrics:
            row[metric.name] = float(metric(truth, a, weights_for(metric, examples.weights)))
    return row
