"""The graph engine: backpropagation as the chain rule over a computational graph.

A node is a place in a graph: an operation, the nodes that feed it, a name. An operation is a small
class with `forward` and `backward`, pure functions of arrays. `evaluate` runs forward through the
graph and then backward, and returns the value and the gradient of every input, parameter and
intermediate. This is the general idea of which the layer equations BP1 to BP4 are one case; it is
for reading, for networks that are not chains, and for operations of your own.

A neuron with two inputs, a logarithmic cost, and all gradients:

>>> from clearprop.engines import graph
>>> x, w, b = graph.input("x"), graph.parameter("w"), graph.parameter("b")
>>> z = (w @ x + b).named("z")
>>> a = (1 / (1 + graph.exp(-z))).named("a")
>>> C = -graph.log(a)
>>> trace = graph.evaluate(C, {x: [1.0, -2.0], w: [0.5, 0.25], b: 0.0})
>>> print(trace.value["a"], trace.gradient["z"], trace.gradient["w"], trace.gradient["x"])
0.5 -0.5 [-0.5  1. ] [-0.25  -0.125]

By hand: dC/dz = a - 1 = -0.5; dC/dw = dC/dz * x; dC/dx = dC/dz * w.
"""

from __future__ import annotations

from clearprop.engines.graph import draw
from clearprop.engines.graph.evaluate import Graph, GraphTrace, NodeMap, NodeRecord, evaluate
from clearprop.engines.graph.nodes import (
    Node,
    activate,
    apply,
    columns,
    concatenate,
    constant,
    exp,
    fused_per_example_cost,
    input,
    log,
    maximum,
    mean,
    parameter,
    per_example_cost,
    reshape,
    sqrt,
    stop_gradient,
    sum,
    tanh,
    transpose,
    where,
)
from clearprop.engines.graph.operation import Operation, sum_to_shape
from clearprop.engines.graph.topology import Topology, topological_order

__all__ = [
    "Graph",
    "GraphTrace",
    "Node",
    "NodeMap",
    "NodeRecord",
    "Operation",
    "Topology",
    "activate",
    "apply",
    "columns",
    "concatenate",
    "constant",
    "draw",
    "evaluate",
    "exp",
    "fused_per_example_cost",
    "input",
    "log",
    "maximum",
    "mean",
    "parameter",
    "per_example_cost",
    "reshape",
    "sqrt",
    "stop_gradient",
    "sum",
    "sum_to_shape",
    "tanh",
    "topological_order",
    "transpose",
    "where",
]
