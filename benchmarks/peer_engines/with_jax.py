"""JAX: one jitted call per step, and one per epoch with lax.scan."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from peer_engines.workloads import BETA1, BETA2, EPSILON, Data, Workload, orders


def cost_of(w: Workload, layout: str, parameters: Any, x: Any, y: Any) -> Any:
    """Return the mean cost of a batch. x, y: rows of inputs and of targets.

    layout: "rows" of examples, as one writes it; "columns"; or "vector", for one example.
    """
    if layout == "vector":
        return _cost(w, lambda a, W, b: W @ a + b, parameters, x[0], y[0], 1)
    if layout == "columns":
        return _cost(w, lambda a, W, b: W @ a + b[:, None], parameters, x.T, y.T, len(x))
    return _cost(w, lambda a, W, b: a @ W.T + b, parameters, x, y, len(x), axis=-1)


def _cost(w: Workload, affine: Any, parameters: Any, a: Any, y: Any, n: int, axis: int = 0) -> Any:
    for W, b in parameters[:-1]:
        z = affine(a, W, b)
        a = jax.nn.sigmoid(z) if w.hidden == "sigmoid" else jnp.maximum(z, 0)
    z = affine(a, *parameters[-1])
    if w.output == "softmax":
        return -(jax.nn.log_softmax(z, axis=axis) * y).sum() / n
    return 0.5 * ((jax.nn.sigmoid(z) - y) ** 2).sum() / n


def step(w: Workload, layout: str, state: Any, x: Any, y: Any) -> Any:
    """Return (parameters, m, v, t, sum of costs) after one step."""
    parameters, m, v, t, total = state
    cost, gradients = jax.value_and_grad(partial(cost_of, w, layout))(parameters, x, y)
    each = jax.tree.map
    if w.optimizer == "sgd":
        return each(lambda p, g: p - w.eta * g, parameters, gradients), m, v, t, total + cost
    t = t + 1
    m = each(lambda m_, g: m_ + (1 - BETA1) * (g - m_), m, gradients)
    v = each(lambda v_, g: v_ + (1 - BETA2) * (g * g - v_), v, gradients)
    # 1 - beta^t without cancellation: in float32 the plain form is wrong in the fifth digit at t = 1.
    rate, correction = -w.eta / jnp.expm1(t * np.log(BETA1)), -1 / jnp.expm1(t * np.log(BETA2))
    parameters = each(
        lambda p, m_, v_: p - rate * m_ / (jnp.sqrt(v_ * correction) + EPSILON), parameters, m, v
    )
    return parameters, m, v, t, total + cost


class JaxSteps:
    """One call per step."""

    layout = "rows"

    @classmethod
    def forms(cls, w: Workload, threads: int) -> dict[str, dict[str, Any]]:
        """Where rows are gathered."""
        return {
            "rows gathered in the call": {"whole": False},
            "rows gathered by NumPy": {"whole": True},
        }

    def __init__(self, w: Workload, data: Data, threads: int, whole: bool) -> None:
        self.w, self.data, self.whole = w, data, whole
        self.X, self.Y = jnp.asarray(data.X), jnp.asarray(data.Y)
        self.orders = orders(w)
        self.reset()
        self._compile()

    def _compile(self) -> None:
        def one(state: Any, X: Any, Y: Any, index: Any) -> Any:
            return step(self.w, self.layout, state, _rows(X, index), _rows(Y, index))

        self._step = jax.jit(partial(step, self.w, self.layout) if self.whole else one, donate_argnums=0)

    def reset(self) -> None:
        parameters = [(jnp.array(W), jnp.array(b)) for W, b in self.data.start]
        slots = [] if self.w.optimizer == "sgd" else parameters
        m, v = jax.tree.map(jnp.zeros_like, slots), jax.tree.map(jnp.zeros_like, slots)
        self.state = (parameters, m, v, jnp.float32(0), jnp.float32(0))
        jax.block_until_ready(self.state)

    def epochs(self, k: int) -> None:
        for _ in range(k):
            self._epoch(next(self.orders).astype(np.int32))
        jax.block_until_ready(self.state)

    def in_order(self, order: Any) -> None:
        self._epoch(order.astype(np.int32))
        jax.block_until_ready(self.state)

    def _epoch(self, order: Any) -> None:
        for index in order.reshape(-1, self.w.batch):
            if self.whole:
                self.state = self._step(self.state, self.data.X[index], self.data.Y[index])
            else:
                self.state = self._step(self.state, self.X, self.Y, index)

    def weights(self) -> list[tuple[Any, Any]]:
        return [(np.asarray(W), np.asarray(b)) for W, b in self.state[0]]


class JaxScan(JaxSteps):
    """One call per epoch: lax.scan over the batches, the state donated."""

    @classmethod
    def forms(cls, w: Workload, threads: int) -> dict[str, dict[str, Any]]:
        """Where rows are gathered, how many steps the loop's body holds, and how a batch lies."""
        found: dict[str, dict[str, Any]] = {}
        if w.batch == 1:  # XLA joins outer product and update in one pass over W
            for unroll in (1, 4):
                told = f"each example a vector, {unroll} step(s) unrolled"
                found[told] = {"whole": False, "unroll": unroll, "layout": "vector"}
        # The smallest networks are faster with examples as columns, so they try those first.
        small = len(w.sizes) < 5 and max(w.sizes) <= 128
        for layout in ("columns", "rows") if small else ("rows", "columns"):
            told = ", examples as columns" if layout == "columns" else ""
            each, once = "rows gathered in each step" + told, "rows gathered once per epoch" + told
            found[each] = {"whole": False, "layout": layout}
            found[f"{once}, 4 steps unrolled"] = {"whole": True, "unroll": 4, "layout": layout}
            if layout == "rows":
                found[f"{each}, 4 steps unrolled"] = {"whole": False, "unroll": 4}
                found[once] = {"whole": True}
        return found

    def __init__(
        self, w: Workload, data: Data, threads: int, whole: bool, unroll: int = 1, layout: str = "rows"
    ) -> None:
        self.unroll, self.layout = unroll, layout
        super().__init__(w, data, threads, whole)

    def _compile(self) -> None:
        w = self.w

        def epoch(state: Any, X: Any, Y: Any, order: Any) -> Any:
            def by_index(state: Any, index: Any) -> Any:
                return step(w, self.layout, state, _rows(X, index), _rows(Y, index)), None

            def by_rows(state: Any, rows: Any) -> Any:
                return step(w, self.layout, state, *rows), None

            batches = order.reshape(-1, w.batch)
            if not self.whole:
                return lax.scan(by_index, state, batches, unroll=self.unroll)[0]
            return lax.scan(by_rows, state, (_rows(X, batches), _rows(Y, batches)), unroll=self.unroll)[0]

        self._step = jax.jit(epoch, donate_argnums=0)

    def _epoch(self, order: Any) -> None:
        self.state = self._step(self.state, self.X, self.Y, order)


def _rows(X: Any, index: Any) -> Any:
    # No check of bounds: the indices are a permutation.
    return X.at[index].get(mode="promise_in_bounds", unique_indices=True)
