"""What a metric is, the checks that all of them share, and predicted classes."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_choice
from clearprop.errors import DataError, DTypeError, MissingDependencyError, OptionError, ShapeError, one_of
from clearprop.registry import Described, Registry

__all__ = [
    "CLASSIFICATION",
    "REGRESSION",
    "TASKS",
    "Metric",
    "correct",
    "greater_is_better",
    "metrics",
    "metrics_for",
    "predicted_classes",
    "sklearn_metrics",
]

TASKS = ("binary", "multiclass", "multilabel", "regression")
CLASSIFICATION = frozenset(TASKS[:3])
REGRESSION = frozenset(TASKS[3:])

metrics: Registry[Metric] = Registry("metric")


class Metric(Described):
    """One number for how well outputs fit y_true.

    To make your own: subclass as a frozen dataclass with `tasks` and `score`; an instance is
    accepted wherever a name is.
    """

    kind: ClassVar[str] = "metric"
    tasks: ClassVar[frozenset[str]] = CLASSIFICATION
    """Which of `TASKS` it suits."""
    greater_is_better: ClassVar[bool] = True

    def check_task(self, task: str) -> None:
        """Raise `OptionError`, naming metrics that fit, unless this one suits `task`."""
        if task not in self.tasks:
            raise OptionError(
                f"metric {self.name!r} is for {_listed(self.tasks)}; this task is {task!r}. "
                f"Choose one of {one_of(metrics_for(task))}."
            )

    def __call__(
        self, y_true: Array, outputs: Array, sample_weight: Array | None = None, *, task: str | None = None
    ) -> float:
        """Return the metric as a float.

        y_true: (n,) or (n, k). outputs: (n, k) or (n,). sample_weight: (n,), >= 0, or None for all 1.
        task: one of `TASKS`; None infers it from the shapes.
        Errors: `OptionError` for a task that this metric does not suit; `ShapeError`; `DataError`
        for what is not finite, not a class index, or has no defined value.
        """
        y_true, outputs = self._tidy(y_true, outputs)
        task = self._inferred(y_true, outputs) if task is None else task
        self.check_task(task)
        if task == "regression" or task == "multilabel":
            _check_same_shape(self.name, y_true, outputs)
        else:
            y_true = _class_indices(self.name, y_true, _number_of_classes(self.name, task, outputs))
        if sample_weight is not None:
            sample_weight = _weights(self.name, sample_weight, len(y_true))
            # What has no weight is not there: else a class of weight 0 has a recall of 0/0.
            counts = sample_weight > 0
            y_true, outputs, sample_weight = y_true[counts], outputs[counts], sample_weight[counts]
        return float(self.score(task, y_true, outputs, sample_weight))

    def score(self, task: str, y_true: Array, outputs: Array, sample_weight: Array | None) -> float:
        """Return the metric of checked arguments: y_true (n,) ints or (n, k); outputs (n, k)."""
        raise NotImplementedError

    def _tidy(self, y_true: Array, outputs: Array) -> tuple[Array, Array]:
        y_true, outputs = np.asarray(y_true), np.asarray(outputs)
        outputs = outputs[:, np.newaxis] if outputs.ndim == 1 else outputs
        if outputs.ndim != 2 or y_true.ndim not in (1, 2) or len(y_true) != len(outputs):
            raise ShapeError(
                f"metric {self.name!r} needs y_true (n,) or (n, k) and outputs (n, k). "
                f"Got {y_true.shape} and {outputs.shape}."
            )
        if len(y_true) == 0:
            raise DataError(f"metric {self.name!r} has no value for no examples: y_true is empty.")
        if not np.all(np.isfinite(outputs)):
            raise DataError(f"metric {self.name!r} needs finite outputs; some are NaN or infinite.")
        if y_true.ndim == 2 and y_true.shape[1] == 1:
            y_true = y_true[:, 0]
        return y_true, outputs

    def _inferred(self, y_true: Array, outputs: Array) -> str:
        if self.tasks == REGRESSION:
            return "regression"
        if y_true.ndim == 2:
            return "multilabel"
        return "binary" if outputs.shape[1] <= 2 else "multiclass"


def metrics_for(task: str) -> list[str]:
    """Return the names of the registered metrics that suit `task`.

    >>> metrics_for("regression")
    ['mean_absolute_error', 'root_mean_squared_error', 'r2']
    """
    as_choice("task", task, TASKS)
    return [name for name in metrics if task in metrics[name].tasks]


def greater_is_better(column: str) -> bool:
    """Return whether a larger value of this column of the history is better: a metric's own answer.

    "val_" in front does not matter. What is no metric, as a cost, is better when smaller.

    >>> greater_is_better("val_accuracy"), greater_is_better("log_loss"), greater_is_better("cost")
    (True, False, False)
    """
    if not isinstance(column, str):
        raise DTypeError(f"column must be the name of a column of the history. Got {column!r}.")
    name = column.removeprefix("val_")
    return name in metrics and metrics[name].greater_is_better


def predicted_classes(task: str, outputs: Array, threshold: float = 0.5) -> Array:
    """Return the predicted class indices (n,), or for "multilabel" 0/1 (n, k), of outputs (n, k).

    Several outputs: the neuron with the largest output, the first of equals. One output, and each
    of several labels: 1 where the output is above the threshold. Nothing is checked.
    """
    if task == "multilabel":
        return _above(outputs, threshold)
    if outputs.shape[1] == 1:
        return _above(outputs[:, 0], threshold)
    winners: Array = outputs.argmax(axis=1)
    return winners


def correct(task: str, y_true: Array, outputs: Array, threshold: float = 0.5) -> Array:
    """Return, per example (n,), whether the prediction is right; for "multilabel", all of its labels.

    Nothing is checked: this is what a rolling accuracy calls after every mini-batch.

    >>> correct("multiclass", np.array([0, 2]), np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]]))
    array([ True, False])
    """
    right: Array = predicted_classes(task, outputs, threshold) == y_true
    return np.all(right, axis=1) if right.ndim == 2 else right


def _above(outputs: Array, threshold: float) -> Array:
    return (outputs > threshold).astype(np.intp)


def sklearn_metrics(metric: str) -> Any:
    """Return the module sklearn.metrics for this metric, or raise `MissingDependencyError`."""
    try:
        return importlib.import_module("sklearn.metrics")
    except ImportError:
        raise MissingDependencyError(
            f"The metric {metric!r} needs scikit-learn. Run: pip install scikit-learn"
        ) from None


def _listed(tasks: frozenset[str]) -> str:
    return one_of(task for task in TASKS if task in tasks)


def _check_same_shape(name: str, y_true: Array, outputs: Array) -> None:
    columns = 1 if y_true.ndim == 1 else y_true.shape[1]
    if columns != outputs.shape[1]:
        raise ShapeError(
            f"metric {name!r} compares y_true with outputs of the same shape; y_true has shape "
            f"{y_true.shape}, outputs have shape {outputs.shape}."
        )
    if not np.isfinite(y_true).all():
        raise DataError(f"metric {name!r} needs finite y_true; some are NaN or infinite.")


def _number_of_classes(name: str, task: str, outputs: Array) -> int:
    n_out: int = outputs.shape[1]
    if (n_out <= 2) if task == "binary" else (n_out >= 2):
        return max(n_out, 2)
    needed = "one output or two" if task == "binary" else "one output per class"
    raise ShapeError(f"metric {name!r} of the task {task!r} needs {needed}. Got outputs {outputs.shape}.")


def _class_indices(name: str, y_true: Array, classes: int) -> Array:
    wanted = f"metric {name!r} needs class indices from 0 to {classes - 1} in y_true, one per example"
    if y_true.ndim != 1:
        raise ShapeError(f"{wanted}. Got shape {y_true.shape}.")
    if not (np.issubdtype(y_true.dtype, np.number) or y_true.dtype == np.bool_):
        raise DataError(f"{wanted}. Got {y_true.dtype}: encode the labels first.")
    indices = y_true.astype(np.intp)
    wrong = (indices != y_true) | (indices < 0) | (indices >= classes)
    if wrong.any():
        raise DataError(f"{wanted}. Got {y_true[wrong][0]}.")
    return indices


def _weights(name: str, sample_weight: Array, n: int) -> Array:
    weight = np.asarray(sample_weight)
    if weight.shape != (n,):
        raise ShapeError(
            f"sample_weight of metric {name!r} has shape {weight.shape}; y_true has n={n} examples."
        )
    if not (np.all(np.isfinite(weight)) and weight.min() >= 0 and weight.max() > 0):
        raise DataError(f"sample_weight of metric {name!r} must be finite, >= 0 and not all 0.")
    return weight
