"""The `graph` rung: the network as a computational graph of array nodes; see `clearprop.engines.graph`.

The final node is the cost C = (1/n) Σ_x w_x C_x, and the chain rule over the graph finds the gradient of
every input, parameter and intermediate. How each layer is made of nodes: `clearprop.engines.graph_layers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import graph
from clearprop.engines.base import Engine, Pass, TrainingOptions, new_buffers, register_engine, weighted
from clearprop.engines.graph import Node
from clearprop.engines.graph_layers import (
    Reading,
    Section,
    build_chain,
    build_layer,
    read_backward,
    read_chain,
    read_forward,
)
from clearprop.model import Draws, Gradient, Model, State
from clearprop.trace import Trace, make_trace

__all__ = ["GraphEngine", "NetworkGraph"]


@dataclass(frozen=True, eq=False)
class NetworkGraph:
    """A network, one batch and its cost as a graph, with the value of every leaf.

    ``evaluate()`` gives a `GraphTrace`: the value and the gradient of every node by its name
    ("1.W", "2.z", "C"); shown in a notebook, it is a drawing.
    """

    output: Node
    """The final node: the cost C, or the outputs of the network where there are no targets."""
    outputs: Node
    """The network's outputs a^L."""
    sections: tuple[Section, ...]
    values: dict[Node, Array]
    """The value of every input and parameter."""

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """Every quantity of every layer by name, e.g. "1.W", "2.z", "3.body.1.a"; and "X", "C"."""
        found = {"X": self.sections[0].nodes["a_prev"], "C": self.output}
        for top in self.sections:
            for section in top.walk():
                found |= {f"{section.address}.{name}": node for name, node in section.nodes.items()}
        return found

    def evaluate(self, gradient: bool = True) -> graph.GraphTrace:
        """Compute the value and, if `gradient`, the gradient ∂C/∂node of every node."""
        return graph.evaluate(self.output, self.values, also=[self.outputs], gradient=gradient)


@register_engine
class GraphEngine(Engine):
    """The network as a graph of array nodes.

    >>> from clearprop.costs import Quadratic
    >>> from clearprop.layers import Dense, size_chain
    >>> model = Model(size_chain([Dense(1, "identity")], 2), Quadratic())
    >>> state = State(model, np.array([0.5, 0.25, 1.0]), np.zeros(0))
    >>> network = GraphEngine().build(model, state, np.array([[1.0, -2.0]]), np.array([[3.0]]))
    >>> found = network.evaluate()
    >>> print(found.value["1.z"], found.value["C"], found.gradient["1.W"])
    [[1.]] 2.0 [[-2.  4.]]
    """

    name: ClassVar[str] = "graph"
    summary: ClassVar[str] = "a computational graph of array nodes; for networks that are no chains"

    def supports(self, model: Model, options: TrainingOptions | None = None) -> str | None:
        """Return None, or the layer that this rung cannot make of nodes."""
        for address, layer in model.walk():
            if type(layer) not in build_layer.registry:
                return f"layers[{address}] {type(layer).__name__} has no nodes on the {self.name} rung."
        return None

    def build(
        self,
        model: Model,
        state: State,
        X: Array,
        y: Array | None = None,
        weights: Array | None = None,
        draws: Draws | None = None,
    ) -> NetworkGraph:
        """Return the graph of the network and its cost for one batch; without y, that of its outputs."""
        x = graph.input("X")
        sections = build_chain(model.layers, "", x, state.buffer_tree, model.draw(draws), draws is not None)
        values = {x: X}
        for entry, node in zip(model.layout.entries, _parameters(sections), strict=True):
            values[node] = state.theta[entry.block].reshape(entry.shape)
        outputs = sections[-1].nodes["a"]
        if y is None:
            return NetworkGraph(outputs, outputs, sections, values)
        target = graph.input("y")
        costs = _costs(model, sections[-1], target)
        if weights is not None:
            costs = graph.constant(weights, "weights") * costs
        return NetworkGraph(graph.mean(costs).named("C"), outputs, sections, values | {target: y})

    def output(self, model: Model, state: State, X: Array) -> Any:
        """Return the last layer's forward record in inference mode."""
        network = self.build(model, state, X)
        found = Reading(network.evaluate(gradient=False), len(X))
        return read_forward(model.layers[-1], network.sections[-1], found)

    def trace(
        self,
        model: Model,
        state: State,
        X: Array,
        y: Array,
        weights: Array | None = None,
        draws: Draws | None = None,
    ) -> Trace:
        """Return the open record of one pass."""
        network = self.build(model, state, X, y, weights, draws)
        found = Reading(network.evaluate(), len(X))
        forward, backward = (read_chain(network.sections, found, r) for r in (read_forward, read_backward))
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
        """Return the outputs and ∂C/∂theta of one batch: the gradients of the parameter nodes."""
        network = self.build(model, state, X, y, weights, draws)
        found = Reading(network.evaluate(), len(X))
        forward = read_chain(network.sections, found, read_forward)
        blocks = [found.total(node).reshape(-1) for node in _parameters(network.sections)]
        flat = np.concatenate([np.zeros(0, state.theta.dtype), *blocks])
        return Pass(forward[-1], flat, new_buffers(model, state, forward, draws))


def _parameters(sections: Sequence[Section]) -> Iterator[Node]:
    """Yield the parameter nodes in the order of theta."""
    for top in sections:
        for section in top.walk():
            yield from (section.nodes[name] for name in section.layer.parameters())


def _costs(model: Model, last: Section, target: Node) -> Node:
    """Return the node of C_x, (n,); straight from z where the activation and the cost are a fused pair."""
    if model.pair is None:
        return graph.per_example_cost(last.nodes["a"], target, model.cost).named("C_x")
    activation = last.layer.activation  # type: ignore[attr-defined]  # a fused pair has one
    return graph.fused_per_example_cost(last.nodes["z"], target, activation, model.cost).named("C_x")
