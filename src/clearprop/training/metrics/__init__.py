"""Metrics: what is reported and monitored while training; never differentiated.

    metrics.make("accuracy")(y_true, outputs, sample_weight)

y_true is encoded: class indices (n,) for "binary" and "multiclass", 0/1 (n, k) for "multilabel",
real numbers (n,) or (n, k) for "regression". outputs (n, k) are the network's outputs a. A binary
classifier has one output, the probability of class 1, or two, one per class.

Accuracy and the two errors are plain NumPy, since they run during training; the rest are
scikit-learn's, which is imported when one of them is called.
"""

from __future__ import annotations

from clearprop.training.metrics.base import (
    TASKS,
    Metric,
    correct,
    greater_is_better,
    metrics,
    metrics_for,
    predicted_classes,
)
from clearprop.training.metrics.classification import (
    AUC,
    F1,
    Accuracy,
    BalancedAccuracy,
    LogLoss,
    TopKAccuracy,
)
from clearprop.training.metrics.regression import R2, MeanAbsoluteError, RootMeanSquaredError

__all__ = [
    "AUC",
    "F1",
    "R2",
    "TASKS",
    "Accuracy",
    "BalancedAccuracy",
    "LogLoss",
    "MeanAbsoluteError",
    "Metric",
    "RootMeanSquaredError",
    "TopKAccuracy",
    "correct",
    "greater_is_better",
    "metrics",
    "metrics_for",
    "predicted_classes",
]
