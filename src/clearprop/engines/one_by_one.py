"""One example after another: what the `neuron` and `example` rungs share.

A rung states the equations of one example. Here stand the loop over the examples of a batch and how
their records join to the records of the batch: rows are stacked, the gradients of parameters are
added up in the order of the batch and divided by n, and none is kept. So the result is the same
`Trace` as on every other rung.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.engines.base import Engine, Pass, TrainingOptions, new_buffers, weighted
from clearprop.errors import UnsupportedError
from clearprop.layers import Layer, Tree
from clearprop.model import Draws, Gradient, Model, State
from clearprop.trace import Trace, make_trace

__all__ = [
    "Joiner",
    "OneByOne",
    "backward_chain",
    "backward_parts",
    "forward_chain",
    "forward_parts",
    "unknown_layer",
]


Rule = Callable[..., Any]
"""A rung's `forward` or `backward` of one layer for one example."""


def unknown_layer(layer: Layer, *_: Any) -> Any:
    """Raise `UnsupportedError`: the rung has no equations for this kind of layer."""
    raise UnsupportedError(f"this rung has no equations for the layer {type(layer).__name__}.")


# The way through chains and parts, with the rung's own `forward` or `backward` of one layer.


def forward_chain(
    forward: Rule, chain: Sequence[Layer], a: Any, params: Any, buffers: Any, noise: Any
) -> tuple[Any, ...]:
    """Return the forward records of one example, first layer to last."""
    records = []
    for i, layer in enumerate(chain):
        records.append(forward(layer, a, params[i], buffers[i], noise[i] if noise is not None else None))
        a = records[-1].a
    return tuple(records)


def backward_chain(
    backward: Rule, chain: Sequence[Layer], records: Any, dC_da: Any, params: Any
) -> tuple[Any, ...]:
    """Return the backward records of one example in the order of the layers; computed last to first."""
    found: list[Any] = []
    for i in reversed(range(len(chain))):
        found.insert(0, backward(chain[i], records[i], dC_da, params[i]))
        dC_da = found[0].dC_da_prev
    return tuple(found)


def forward_parts(
    forward: Rule, layer: Layer, given: Mapping[str, Any], params: Tree, buffers: Tree, noise: Tree | None
) -> dict[str, tuple[Any, ...]]:
    """Return the forward records of every part of a combinator, each on what it is given."""
    return {
        part: forward_chain(
            forward, chain, given[part], params[part], buffers[part], noise[part] if noise else None
        )
        for part, chain in layer.parts().items()
    }


def backward_parts(
    backward: Rule, layer: Layer, record: Any, errors: Mapping[str, Any], params: Tree
) -> dict[str, tuple[Any, ...]]:
    """Return the backward records of every part of a combinator, each from its own error."""
    return {
        part: backward_chain(backward, chain, record.parts[part], errors[part], params[part])
        for part, chain in layer.parts().items()
    }


class Joiner:
    """Joins the records of one layer, example by example, to the record of the batch."""

    def __init__(self, layer: Layer) -> None:
        self.gradients = {f"dC_d{name}" for name in layer.parameters()}
        # Statistics that a layer keeps as buffers are those of all examples, not of one.
        self.shared = {"mean", "variance"} if layer.buffers() else set()
        self.parts = {part: [Joiner(inner) for inner in chain] for part, chain in layer.parts().items()}
        self.rows: dict[str, list[Any]] = {}
        self.sums: dict[str, Any] = {}
        self.kind: Any = None

    def add(self, record: Any) -> None:
        """Add the record of the next example; of gradients only their sum is kept."""
        self.kind = type(record)
        for name, value in record._asdict().items():
            if name == "parts":
                for part, joiners in self.parts.items():
                    for joiner, inner in zip(joiners, value[part], strict=True):
                        joiner.add(inner)
            elif name not in self.gradients:
                self.rows.setdefault(name, []).append(value)
            elif name in self.sums:
                self.sums[name] += value
            else:
                self.sums[name] = np.array(value)

    def joined(self, n: int, dtype: Any) -> Any:
        """Return the record of the batch of n examples."""
        return self.kind(**{name: self._field(name, n, dtype) for name in self.kind._fields})

    def _field(self, name: str, n: int, dtype: Any) -> Any:
        if name == "parts":
            return {
                part: tuple(joiner.joined(n, dtype) for joiner in joiners)
                for part, joiners in self.parts.items()
            }
        if name == "n":
            return n
        if name in self.gradients:
            return np.asarray(self.sums[name] / n, dtype)
        rows = self.rows[name]
        if rows[0] is None or isinstance(rows[0], bool):
            return rows[0]
        if isinstance(rows[0], Mapping):
            return {key: np.array([row[key] for row in rows], dtype) for key in rows[0]}
        return np.array(rows[0] if name in self.shared else rows, dtype)


class OneByOne(Engine):
    """A rung that takes the examples of a batch one at a time.

    A subclass gives the equations of one example: `convert`, `forward`, `backward`, and `known`.
    """

    known: ClassVar[Mapping[type, Any]]
    """The kinds of layers that this rung has equations for."""

    @abstractmethod
    def convert(self, array: Array) -> Any:
        """Return an array in the form that the rung computes with."""

    @abstractmethod
    def forward(
        self, model: Model, x: Any, params: Sequence[Tree], buffers: Sequence[Tree], noise: Any
    ) -> tuple[Any, ...]:
        """Return the forward records of one example x, one per layer."""

    @abstractmethod
    def backward(
        self, model: Model, forward: Sequence[Any], y: Any, weight: float, params: Sequence[Tree]
    ) -> tuple[Any, ...]:
        """Return the backward records of one example, one per layer."""

    def supports(self, model: Model, options: TrainingOptions | None = None) -> str | None:
        """Return None, or the layer that has no equations here or, in training, couples examples."""
        for address, layer in model.walk():
            if type(layer) not in self.known:
                return f"layers[{address}] {type(layer).__name__} has no equations on the {self.name} rung."
        return None if options is None else self._coupled(model)

    def _coupled(self, model: Model) -> str | None:
        for address, layer in model.walk():
            if layer.couples_examples:
                return (
                    f"layers[{address}] {type(layer).__name__} couples the examples of a batch in training, "
                    f"and the {self.name} rung takes them one at a time."
                )
        return None

    def output(self, model: Model, state: State, X: Array) -> Any:
        """Return the last layer's forward record in inference mode."""
        params, buffers = self._converted(state.params), self._converted(state.buffer_tree)
        last = Joiner(model.layers[-1])
        for x in X:
            last.add(self.forward(model, self.convert(x), params, buffers, None)[-1])
        return last.joined(len(X), state.theta.dtype)

    def trace(
        self,
        model: Model,
        state: State,
        X: Array,
        y: Array,
        weights: Array | None = None,
        draws: Draws | None = None,
    ) -> Trace:
        """Return the open record of one pass; `UnsupportedError` in training if a layer couples examples."""
        forward, backward = self._run(model, state, X, y, weights, draws)
        return make_trace(
            model,
            X=X,
            y=y,
            weights=weights,
            costs=model.costs(forward[-1], y),
            forward=forward,
            backward=backward,
            dC_da=weighted(model.cost.dC_da(forward[-1].a, y), weights),
            engine=self.name,
            training=draws is not None,
        )

    def gradient(
        self,
        model: Model,
        state: State,
        X: Array,
        y: Array,
        weights: Array | None = None,
        draws: Draws | None = None,
        out: Gradient | None = None,
    ) -> Pass:
        """Return the outputs and ∂C/∂theta of one batch; errors as `trace`."""
        forward, backward = self._run(model, state, X, y, weights, draws)
        trees = [layer.gradients(record) for layer, record in zip(model.layers, backward, strict=True)]
        return Pass(forward[-1], model.layout.flatten(trees), new_buffers(model, state, forward, draws))

    def _run(
        self, model: Model, state: State, X: Array, y: Array, weights: Array | None, draws: Draws | None
    ) -> tuple[list[Any], list[Any]]:
        coupled = self._coupled(model) if draws is not None else None
        if coupled is not None:
            raise UnsupportedError(coupled)
        params, buffers = self._converted(state.params), self._converted(state.buffer_tree)
        noise = model.draw(draws)
        forward, backward = [[Joiner(layer) for layer in model.layers] for _ in range(2)]
        for x in range(len(X)):
            drawn = None if noise is None else self._converted([_row(tree, x) for tree in noise])
            records = self.forward(model, self.convert(X[x]), params, buffers, drawn)
            weight = 1.0 if weights is None else float(weights[x])
            back = self.backward(model, records, self.convert(y[x]), weight, params)
            for joiners, found in ((forward, records), (backward, back)):
                for joiner, record in zip(joiners, found, strict=True):
                    joiner.add(record)
        n, dtype = len(X), state.theta.dtype
        return [joiner.joined(n, dtype) for joiner in forward], [
            joiner.joined(n, dtype) for joiner in backward
        ]

    def _converted(self, trees: Sequence[Tree]) -> tuple[Tree, ...]:
        return tuple(_map(tree, self.convert) for tree in trees)


def _map(tree: Tree, change: Callable[[Array], Any]) -> Tree:
    """Return the tree with every array changed."""
    return {
        name: tuple(_map(inner, change) for inner in value) if isinstance(value, tuple) else change(value)
        for name, value in tree.items()
    }


def _row(tree: Tree, x: int) -> Tree:
    """Return the numbers of example x from a tree of rows."""
    return _map(tree, lambda rows: rows[x])
