"""NumPy: a mini-batch loop as someone would write it who knows NumPy, and Nielsen's loop over examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from peer_engines.workloads import BETA1, BETA2, EPSILON, Data, Workload, orders

_CHUNK = 1 << 15
"""Adam goes over the parameters in pieces that stay in the processor's cache."""


class NumpyLoop:
    """The whole mini-batch with matrix products; parameters in one flat vector, updated in place."""

    def __init__(self, w: Workload, data: Data, threads: int) -> None:
        self.w, self.data = w, data
        size = sum(n * m + m for n, m in w.layers)
        self.theta, self.gradient, self.m, self.v, self.scratch = np.zeros((5, size), np.float32)
        self.weights_, self.gradients = self._views(self.theta), self._views(self.gradient)
        self.orders = orders(w)
        self.reset()

    def _views(self, flat: Any) -> list[tuple[Any, Any]]:
        views, at = [], 0
        for n, m in self.w.layers:
            views.append((flat[at : at + n * m].reshape(m, n), flat[at + n * m : at + n * m + m]))
            at += n * m + m
        return views

    def reset(self) -> None:
        for (W, b), (W0, b0) in zip(self.weights_, self.data.start, strict=True):
            W[:], b[:] = W0, b0
        self.m[:] = self.v[:] = 0
        self.t = 0
        self.cost = 0.0

    def epochs(self, k: int) -> None:
        for _ in range(k):
            self.in_order(next(self.orders))

    def in_order(self, order: Any) -> None:
        w, X, Y = self.w, self.data.X, self.data.Y
        for begin in range(0, len(order), w.batch):
            batch = order[begin : begin + w.batch]
            self.step(X[batch], Y[batch])

    def step(self, x: Any, y: Any) -> None:
        w, last = self.w, len(self.weights_) - 1
        activations = [x]
        for i, (W, b) in enumerate(self.weights_):
            z = activations[-1] @ W.T
            z += b
            activations.append(z if i == last else _activate(w.hidden, z))
        delta = self._output(activations[-1], y)
        delta *= 1 / len(x)
        for i in range(last, -1, -1):
            a = activations[i]
            np.dot(delta.T, a, out=self.gradients[i][0])
            delta.sum(axis=0, out=self.gradients[i][1])
            if i:
                delta = delta @ self.weights_[i][0]
                delta *= a * (1 - a) if w.hidden == "sigmoid" else a > 0
        self._update()

    def _output(self, z: Any, y: Any) -> Any:
        """Add the cost up and return ∂C/∂z."""
        if self.w.output == "softmax":
            z -= z.max(axis=1, keepdims=True)
            a = np.exp(z)
            total = a.sum(axis=1, keepdims=True)
            self.cost += float(np.log(total).sum() - (z * y).sum())
            a /= total
            a -= y
            return a
        a = _activate("sigmoid", z)
        error = a - y
        self.cost += 0.5 * float((error * error).sum())
        error *= a * (1 - a)
        return error

    def _update(self) -> None:
        w = self.w
        if w.optimizer == "sgd":
            self.gradient *= w.eta
            self.theta -= self.gradient
            return
        self.t += 1
        rate, root = w.eta / (1 - BETA1**self.t), 1 / (1 - BETA2**self.t) ** 0.5
        for begin in range(0, len(self.theta), _CHUNK):
            piece = slice(begin, begin + _CHUNK)
            g, m, v, scratch = self.gradient[piece], self.m[piece], self.v[piece], self.scratch[piece]
            m *= BETA1
            np.multiply(g, 1 - BETA1, out=scratch)
            m += scratch
            v *= BETA2
            g *= g
            g *= 1 - BETA2
            v += g
            np.sqrt(v, out=scratch)
            scratch *= root
            scratch += EPSILON
            np.divide(m, scratch, out=scratch)
            scratch *= rate
            self.theta[piece] -= scratch

    def weights(self) -> list[tuple[Any, Any]]:
        return self.weights_


def _activate(name: str, z: Any) -> Any:
    if name == "relu":
        return np.maximum(z, 0, out=z)
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1
    return np.reciprocal(z, out=z)


class NielsenLoop:
    """The form of the book's first program: one example at a time, columns, gradients added up per batch.

    Written anew after "Neural Networks and Deep Learning", chapter 1, with float32 numbers and, for moons,
    relu and softmax in the places of the sigmoids.
    """

    share = 0.1
    """Of the batches of an epoch: it is slow, and all of them take the same time."""

    def __init__(self, w: Workload, data: Data, threads: int) -> None:
        if w.optimizer != "sgd":
            raise NotImplementedError("the book's program knows plain gradient descent only")
        self.w, self.data = w, data
        self.X, self.Y = data.X[:, :, None], data.Y[:, :, None]
        self.orders = orders(w)
        self.reset()

    def reset(self) -> None:
        self.Ws = [W.copy() for W, _ in self.data.start]
        self.bs = [b.copy()[:, None] for _, b in self.data.start]

    def epochs(self, k: int) -> None:
        for _ in range(k):
            self.in_order(next(self.orders)[: int(self.w.steps * self.share) * self.w.batch])

    def in_order(self, order: Any) -> None:
        for begin in range(0, len(order), self.w.batch):
            self.update_mini_batch(order[begin : begin + self.w.batch])

    def update_mini_batch(self, batch: Any) -> None:
        sum_b, sum_W = [np.zeros_like(b) for b in self.bs], [np.zeros_like(W) for W in self.Ws]
        for index in batch:
            new_b, new_W = self.backprop(self.X[index], self.Y[index])
            sum_b = [s + n for s, n in zip(sum_b, new_b, strict=True)]
            sum_W = [s + n for s, n in zip(sum_W, new_W, strict=True)]
        rate = self.w.eta / len(batch)
        self.Ws = [W - rate * s for W, s in zip(self.Ws, sum_W, strict=True)]
        self.bs = [b - rate * s for b, s in zip(self.bs, sum_b, strict=True)]

    def backprop(self, x: Any, y: Any) -> tuple[list[Any], list[Any]]:
        w, last = self.w, len(self.Ws) - 1
        activations = [x]
        for i, (W, b) in enumerate(zip(self.Ws, self.bs, strict=True)):
            z = np.dot(W, activations[-1]) + b
            if i == last and w.output == "softmax":
                e = np.exp(z - z.max())
                activations.append(e / e.sum())
            else:
                activations.append(_activate("sigmoid" if i == last else w.hidden, z))
        delta = activations[-1] - y
        if w.output == "sigmoid_quadratic":
            delta = delta * activations[-1] * (1 - activations[-1])
        new_b, new_W = [delta] * (last + 1), [np.dot(delta, activations[-2].T)] * (last + 1)
        for i in range(last - 1, -1, -1):
            a = activations[i + 1]
            delta = np.dot(self.Ws[i + 1].T, delta) * (a * (1 - a) if w.hidden == "sigmoid" else a > 0)
            new_b[i], new_W[i] = delta, np.dot(delta, activations[i].T)
        return new_b, new_W

    def weights(self) -> list[tuple[Any, Any]]:
        return [(W, b[:, 0]) for W, b in zip(self.Ws, self.bs, strict=True)]
