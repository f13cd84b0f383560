"""Keras on the JAX backend, by Model.fit."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from peer_engines.workloads import BETA1, BETA2, EPSILON, Data, Workload


class Keras:
    """Sequential of Dense layers; several steps in each call of the compiled function.

    Its cost of sigmoid outputs is the mean over outputs, so the rate is larger by n_out / 2. Its Adam has
    epsilon before the correction.
    """

    @classmethod
    def forms(cls, w: Workload, threads: int) -> dict[str, dict[str, Any]]:
        """How many steps a compiled call has."""
        return {"32 steps per call": {"per_call": 32}, "1 step per call": {"per_call": 1}}

    def __init__(self, w: Workload, data: Data, threads: int, per_call: int) -> None:
        self.w, self.data, self.per_call = w, data, per_call
        self.equations, self.differs = w, ""
        if w.optimizer == "adam":
            self.equations = replace(w, epsilon="before")
            self.differs = "Adam's epsilon before the correction of the bias"
        last = "softmax" if w.output == "softmax" else "sigmoid"
        names = [w.hidden] * (len(w.sizes) - 2) + [last]
        self.model = keras.Sequential([keras.Input((w.sizes[0],))])
        for n, name in zip(w.sizes[1:], names, strict=True):
            self.model.add(keras.layers.Dense(n, activation=name))
        self.reset()

    def reset(self) -> None:
        w = self.w
        self.model.set_weights([p for W, b in self.data.start for p in (W.T, b)])
        softmax = w.output == "softmax"
        if w.optimizer == "sgd":
            optimizer = keras.optimizers.SGD(w.eta if softmax else w.eta * w.sizes[-1] / 2)
        else:
            optimizer = keras.optimizers.Adam(w.eta, beta_1=BETA1, beta_2=BETA2, epsilon=EPSILON)
        if getattr(self.model, "optimizer", None) is None:
            self.model.compile(
                optimizer,
                loss="categorical_crossentropy" if softmax else "mean_squared_error",
                steps_per_execution=self.per_call,
                jit_compile=True,
            )
            return
        for variable in self.model.optimizer.variables:  # a new optimiser would be compiled anew
            if "learning_rate" not in variable.path:
                variable.assign(np.zeros(variable.shape))

    def epochs(self, k: int) -> None:
        self.model.fit(self.data.X, self.data.Y, batch_size=self.w.batch, epochs=k, shuffle=True, verbose=0)

    def in_order(self, order: Any) -> None:
        X, Y = self.data.X[order], self.data.Y[order]
        self.model.fit(X, Y, batch_size=self.w.batch, epochs=1, shuffle=False, verbose=0)

    def weights(self) -> list[tuple[Any, Any]]:
        flat = self.model.get_weights()
        return [(W.T, b) for W, b in zip(flat[::2], flat[1::2], strict=True)]
