"""scikit-learn's multi-layer perceptron, by partial_fit: one epoch per call."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from peer_engines.workloads import BETA1, BETA2, EPSILON, Data, Workload


class Scikit:
    """MLPClassifier. It has no quadratic cost of sigmoid outputs and no softmax over two classes.

    There it is given rows of 0 and 1 as targets, for which it trains sigmoid outputs with binary
    cross-entropy: the same shapes, one derivative less. Its Adam has epsilon before the correction.
    """

    def __init__(self, w: Workload, data: Data, threads: int) -> None:
        self.w, self.data = w, data
        self.equations, self.differs = w, ""
        self.y = data.labels
        if w.output != "softmax" or w.sizes[-1] == 2:
            self.equations = replace(w, output="sigmoid_cross_entropy")
            self.differs = "sigmoid outputs with cross-entropy; it has no other cost for these"
            self.y = data.labels if w.sizes[-1] == 1 else data.Y.astype(int)
        if w.optimizer == "adam":
            self.equations = replace(self.equations, epsilon="before")
            self.differs = "Adam's epsilon before the correction of the bias"
        self.classes = np.unique(data.labels) if self.y.ndim == 1 else np.arange(w.sizes[-1])
        self.model = self._make()
        self.reset()

    def _make(self) -> Any:
        w = self.w
        model = MLPClassifier(
            hidden_layer_sizes=w.sizes[1:-1],
            activation="logistic" if w.hidden == "sigmoid" else "relu",
            solver=w.optimizer,
            alpha=0.0,
            batch_size=w.batch,
            learning_rate_init=w.eta,
            momentum=0.0,
            nesterovs_momentum=False,
            random_state=0,
            beta_1=BETA1,
            beta_2=BETA2,
            epsilon=EPSILON,
        )
        with warnings.catch_warnings():  # it clips a batch larger than the data, and says so
            warnings.simplefilter("ignore")
            model.partial_fit(self.data.X[: w.batch], self.y[: w.batch], classes=self.classes)
        return model

    def reset(self) -> None:
        for i, (W, b) in enumerate(self.data.start):
            self.model.coefs_[i][:] = W.T
            self.model.intercepts_[i][:] = b
        vars(self.model).pop("_optimizer", None)  # partial_fit makes a new one, with its slots at 0
        self.model.shuffle = True

    def epochs(self, k: int) -> None:
        for _ in range(k):
            self.model.partial_fit(self.data.X, self.y)

    def in_order(self, order: Any) -> None:
        self.model.shuffle = False
        self.model.partial_fit(self.data.X[order], self.y[order])

    def weights(self) -> list[tuple[Any, Any]]:
        return [(W.T, b) for W, b in zip(self.model.coefs_, self.model.intercepts_, strict=True)]
