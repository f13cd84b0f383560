"""The nine workloads, their data and initial weights, and a float64 reference of their equations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from peer_engines.inputs import random_inputs, real_inputs

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Workload:
    """A network, how it is trained, and how many examples make an epoch of the benchmark.

    hidden: "sigmoid" or "relu". output: "sigmoid_quadratic", "softmax", or, for peers that have no quadratic
    cost of sigmoid outputs, "sigmoid_cross_entropy". epsilon: where Adam's stands, "after" or "before" the
    correction of the bias.
    """

    name: str
    sizes: tuple[int, ...]
    hidden: str
    output: str
    optimizer: str
    eta: float
    batch: int
    steps: int
    proof_batches: int = 20
    epsilon: str = "after"

    @property
    def examples(self) -> int:
        return self.steps * self.batch

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(n_in, n_out) of each layer."""
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    def shorter(self, factor: int) -> Workload:
        """The same with fewer steps per epoch, at least 2."""
        steps = max(self.steps // factor, 2)
        return replace(self, steps=steps, proof_batches=min(self.proof_batches, steps))


_LIST = [
    Workload("xor", (2, 3, 3, 1), "sigmoid", "sigmoid_quadratic", "sgd", 1.0, 50, 500),
    Workload("moons", (2, 100, 2), "relu", "softmax", "sgd", 0.1, 32, 500),
    Workload("nielsen", (784, 30, 10), "sigmoid", "sigmoid_quadratic", "sgd", 3.0, 10, 500),
    Workload("online", (784, 30, 10), "sigmoid", "sigmoid_quadratic", "sgd", 0.5, 1, 2000),
    Workload("mnist128", (784, 128, 10), "relu", "softmax", "adam", 1e-3, 64, 100),
    Workload("tabular", (54, 256, 256, 7), "relu", "softmax", "adam", 1e-3, 256, 60),
    Workload("mid", (784, 512, 512, 10), "relu", "softmax", "adam", 1e-3, 128, 40),
    Workload("deep", (64, *[64] * 20, 10), "relu", "softmax", "adam", 1e-3, 64, 200),
    Workload("big", (1024, 2048, 2048, 10), "relu", "softmax", "adam", 1e-3, 1024, 8, 5),
]
WORKLOADS = {workload.name: workload for workload in _LIST}


@dataclass(frozen=True)
class Data:
    """X (n, n_in) and Y (n, n_out) in float32, the labels (n,) of Y's rows, and the initial weights."""

    X: Any
    Y: Any
    labels: Any
    start: list[tuple[Any, Any]]
    """(W, b) of each layer; W is (n_out, n_in)."""
    title: str

    def start_copy(self) -> list[tuple[Any, Any]]:
        return [(W.copy(), b.copy()) for W, b in self.start]


def make_data(w: Workload, seed: int = 0, real: bool = True) -> Data:
    """Return the workload's own data where it can be found (and is wanted), else random numbers."""
    n_out = w.sizes[-1]
    found = real_inputs(w.name, w.examples, seed) if real else None
    X, labels, title = found or random_inputs(w.examples, w.sizes[0], n_out, w.hidden == "sigmoid", seed)
    Y = np.eye(n_out, dtype=np.float32)[labels] if n_out > 1 else labels[:, None].astype(np.float32)
    rng = np.random.default_rng([seed, 2])
    gain = 2.0 if w.hidden == "relu" else 1.0
    start = [
        (
            rng.normal(0, np.sqrt(gain / n), (m, n)).astype(np.float32),
            rng.normal(0, 0.1, m).astype(np.float32),
        )
        for n, m in w.layers
    ]
    return Data(X, Y, labels, start, title)


def orders(w: Workload, seed: int = 0) -> Iterator[Any]:
    """One random order of the examples after the other; the same for every contender that takes one."""
    rng = np.random.default_rng([seed, 1])
    while True:
        yield rng.permutation(w.examples)


def proof_orders(w: Workload) -> list[Any]:
    """The first batches of three orders (of one, for the largest network), on which all are compared.

    Of several, because rounding alone may flip a relu and so lead a deep network's weights elsewhere; wrong
    equations lead elsewhere every time.
    """
    drawn = orders(w, 7)
    return [next(drawn)[: w.proof_batches * w.batch] for _ in range(3 if w.proof_batches == 20 else 1)]


def forward(w: Workload, weights: list[tuple[Any, Any]], x: Any) -> list[Any]:
    """Return the activations of every layer, x first."""
    activations = [x]
    for W, b in weights[:-1]:
        z = activations[-1] @ W.T + b
        activations.append(1 / (1 + np.exp(-z)) if w.hidden == "sigmoid" else np.maximum(z, 0))
    W, b = weights[-1]
    z = activations[-1] @ W.T + b
    if w.output == "softmax":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        activations.append(e / e.sum(axis=1, keepdims=True))
    else:
        activations.append(1 / (1 + np.exp(-z)))
    return activations


def reference(w: Workload, data: Data, order: Any) -> list[tuple[Any, Any]]:
    """Return the weights after the batches of `order`, by the plainest NumPy in float64."""
    weights = [(W.astype(np.float64), b.astype(np.float64)) for W, b in data.start]
    slots = [[np.zeros((2, *p.shape)) for p in pair] for pair in weights]
    for t, begin in enumerate(range(0, len(order), w.batch), start=1):
        batch = order[begin : begin + w.batch]
        activations = forward(w, weights, data.X[batch].astype(np.float64))
        delta = activations[-1] - data.Y[batch]
        if w.output == "sigmoid_quadratic":
            delta = delta * activations[-1] * (1 - activations[-1])
        for i in range(len(weights) - 1, -1, -1):
            (W, b), a = weights[i], activations[i]
            gradients = (delta.T @ a / len(batch), delta.mean(axis=0))
            delta = (delta @ W) * (a * (1 - a) if w.hidden == "sigmoid" else a > 0)
            W -= _change(w, gradients[0], slots[i][0], t)
            b -= _change(w, gradients[1], slots[i][1], t)
    return weights


def _change(w: Workload, gradient: Any, slot: Any, t: int) -> Any:
    if w.optimizer == "sgd":
        return w.eta * gradient
    m, v = slot
    m += (1 - BETA1) * (gradient - m)
    v += (1 - BETA2) * (gradient * gradient - v)
    m_hat = m / (1 - BETA1**t)
    epsilon = EPSILON if w.epsilon == "after" else EPSILON / np.sqrt(1 - BETA2**t)
    return w.eta * m_hat / (np.sqrt(v / (1 - BETA2**t)) + epsilon)


def distance(weights: list[tuple[Any, Any]], wanted: list[tuple[Any, Any]], data: Data) -> float:
    """Return ||W - W_ref|| / ||W_ref - W_0|| over all parameters."""
    off = sum(
        float(((p - q) ** 2).sum())
        for ps, qs in zip(weights, wanted, strict=True)
        for p, q in zip(ps, qs, strict=True)
    )
    way = sum(
        float(((q - s) ** 2).sum())
        for qs, ss in zip(wanted, data.start, strict=True)
        for q, s in zip(qs, ss, strict=True)
    )
    return float(np.sqrt(off / way))
