"""Metrics for classes and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import check_choice, check_number, check_whole
from clearprop.errors import DataError, OptionError
from clearprop.training.metrics.base import Metric, correct, metrics, predicted_classes, sklearn_metrics

__all__ = ["AUC", "F1", "Accuracy", "BalancedAccuracy", "LogLoss", "TopKAccuracy"]


@metrics.register()
@dataclass(frozen=True)
class Accuracy(Metric):
    """The (weighted) fraction of examples predicted right; multi-label: with every label right.

    threshold: above it one output means class 1; 0.5 for probabilities, 0 for outputs in [-1, 1].

    >>> Accuracy()(np.array([1, 0, 1, 1]), np.array([[0.9], [0.2], [0.4], [0.8]]))
    0.75
    """

    name: ClassVar[str] = "accuracy"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_number(self, "threshold")

    def score(self, task: str, y_true: Array, outputs: Array, sample_weight: Array | None) -> float:
        """Return the accuracy; see `Metric.score`."""
        return float(np.average(correct(task, y_true, outputs, self.threshold), weights=sample_weight))


@metrics.register("top_k")
@dataclass(frozen=True)
class TopKAccuracy(Metric):
    """The (weighted) fraction of examples whose class is among the k largest outputs.

    >>> TopKAccuracy(2)(np.array([0, 1]), np.array([[0.3, 0.5, 0.2], [0.4, 0.1, 0.5]]))
    0.5
    """

    name: ClassVar[str] = "top_k_accuracy"
    tasks: ClassVar[frozenset[str]] = frozenset({"multiclass"})
    k: int = 5

    def __post_init__(self) -> None:
        check_whole(self, "k", at_least=1)

    def score(self, task: str, y_true: Array, outputs: Array, sample_weight: Array | None) -> float:
        """Return the top-k accuracy; see `Metric.score`."""
        classes = outputs.shape[1]
        if self.k >= classes:
            raise OptionError(
                f"top_k_accuracy with k={self.k} is always 1 for {classes} classes. Set k below {classes}."
            )
        if self.k == 1:
            return Accuracy().score(task, y_true, outputs, sample_weight)
        return sklearn_metrics(self.name).top_k_accuracy_score(  # type: ignore[no-any-return]
            y_true, outputs, k=self.k, labels=np.arange(classes), sample_weight=sample_weight
        )


@metrics.register()
@dataclass(frozen=True)
class BalancedAccuracy(Metric):
    """The mean recall of the classes that occur in y_true.

    By hand: class 0 has 2 of 3 right, class 1 has 1 of 1: (2/3 + 1) / 2 = 0.8333.

    >>> outputs = np.array([[0.1], [0.2], [0.9], [0.8]])
    >>> round(BalancedAccuracy()(np.array([0, 0, 0, 1]), outputs), 4)
    0.8333
    """

    name: ClassVar[str] = "balanced_accuracy"
    tasks: ClassVar[frozenset[str]] = frozenset({"binary", "multiclass"})
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_number(self, "threshold")

    def score(self, task: str, y_true: Array, outputs: Array, sample_weight: Array | None) -> float:
        """Return the balanced accuracy; see `Metric.score`."""
        # The macro recall over the classes of y_true is balanced accuracy, without the warning
        # that balanced_accuracy_score gives when a class is predicted that y_true lacks.
        return sklearn_metrics(self.name).recall_score(  # type: ignore[no-any-return]
            y_true,
            predicted_classes(task, outputs, self.threshold),
            labels=np.unique(y_true),
            average="macro",
            sample_weight=sample_weight,
            zero_division=0.0,
        )


@metrics.register("cross_entropy")
@dataclass(frozen=True)
class LogLoss(Metric):
    """The (weighted) mean of -log(probability given to the true class), natural logarithm.

    Outputs are probabilities in [0, 1]; rows of several outputs are divided by their sum, so those
    of sigmoids count in proportion. Multi-label: the mean over labels of the binary log losses.
    Computed in float64, where a probability of 0 counts as 2.2e-16.

    By hand: -(log 0.8 + log 0.5) / 2 = 0.458145.

    >>> round(LogLoss()(np.array([1, 0]), np.array([[0.8], [0.5]])), 6)
    0.458145
    """

    name: ClassVar[str] = "log_loss"
    greater_is_better: ClassVar[bool] = False

    def score(self, task: str, y_true: Array, outputs: Array, sample_weight: Array | None) -> float:
        """Return the log loss; see `Metric.score`."""
        a = outputs.astype(np.float64)
        if a.min() < 0 or a.max() > 1 + 1e-6:
            raise DataError(
                f"log_loss needs outputs that are probabilities; they range from {a.min():g} to {a.max():g}. "
                "Give the last layer a sigmoid or softmax."
            )
        if task == "multilabel":
            columns = range(a.shape[1])
            return float(np.mean([self._binary(y_true[:, j], a[:, j], sample_weight) for j in columns]))
        if a.shape[1] == 1:
            return self._binary(y_true, a[:, 0], sample_weight)
        total = a.sum(axis=1, keepdims=True)
        a = np.where(total > 0, a / np.where(total > 0, total, 1), 1 / a.shape[1])
        return self._log_loss(y_true, a, sample_weight)

    def _binary(self, y_true: Array, a: Array, sample_weight: Array | None) -> float:
        a = np.minimum(a, 1)
        return self._log_loss(y_true, np.stack([1 - a, a], axis=1), sample_weight)

    def _log_loss(self, y_true: Array, a: Array, sample_weight: Array | None) -> float:
        labels = np.arange(a.shape[1])
        return float(
            sklearn_metrics(self.name).log_loss(y_true, a, labels=labels, sample_weight=sample_weight)
        )


@metrics.register("auc")
@dataclass(frozen=True)
class AUC(Metric):
    """The area under the ROC curve: how often a positive example outranks a negative one.

    Multiclass: the mean over classes of one against the rest; multi-label: the mean over labels.
    Classes and labels of which y_true has only positives or only negatives are left out of the mean.
    Two outputs: the second less the first is the score.

    By hand: of the pairs (0.8, 0.3), (0.8, 0.6), (0.4, 0.3), (0.4, 0.6) three are in order: 0.75.

    >>> AUC()(np.array([1, 0, 1, 0]), np.array([[0.8], [0.3], [0.4], [0.6]]))
    0.75
    """

    name: ClassVar[str] = "roc_auc"

    def score(self, task: str, y_true: Array, outputs: Array, sample_weight: Array | None) -> float:
        """Return the area; see `Metric.score`."""
        if task == "binary":
            scores = outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, 1] - outputs[:, 0]
            columns = [(y_true == 1, scores)]
        elif task == "multiclass":
            columns = [(y_true == j, outputs[:, j]) for j in range(outputs.shape[1])]
        else:
            columns = [(y_true[:, j] > 0, outputs[:, j]) for j in range(outputs.shape[1])]
        mixed = [(positive, scores) for positive, scores in columns if 0 < positive.sum() < len(positive)]
        if not mixed:
            raise DataError(
                "roc_auc has no value: y_true holds one class only. Use more, or stratified, validation data."
            )
        roc_auc = sklearn_metrics(self.name).roc_auc_score
        return float(np.mean([roc_auc(y, scores, sample_weight=sample_weight) for y, scores in mixed]))


@metrics.register()
@dataclass(frozen=True)
class F1(Metric):
    """The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN), and 0 where that is 0/0.

    Binary: of class 1. Multiclass and multi-label: `average` over classes that occur in y_true or
    the predictions, or over labels: "macro" (plain mean), "weighted" (by number of true
    examples) or "micro" (of the summed counts).

    By hand: TP = 1, FP = 1, FN = 1 give 2 / 4 = 0.5.

    >>> F1()(np.array([1, 0, 1, 0]), np.array([[0.8], [0.3], [0.4], [0.6]]))
    0.5
    """

    name: ClassVar[str] = "f1"
    average: str = "macro"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_choice(self, "average", ("macro", "weighted", "micro"))
        check_number(self, "threshold")

    def score(self, task: str, y_true: Array, outputs: Array, sample_weight: Array | None) -> float:
        """Return the F1 score; see `Metric.score`."""
        return sklearn_metrics(self.name).f1_score(  # type: ignore[no-any-return]
            y_true,
            predicted_classes(task, outputs, self.threshold),
            average="binary" if task == "binary" else self.average,
            sample_weight=sample_weight,
            zero_division=0.0,
        )
