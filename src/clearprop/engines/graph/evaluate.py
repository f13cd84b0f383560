"""Forward and backward over a graph: every value, then every gradient.

**Forward.** Take the nodes in topological order, each after the nodes that feed it, and compute
each from its parents' values. All values are kept, because the derivative of a step depends on
where it was taken.

**Backward.** Let C be the output. Write g_v for ∂C/∂v, the gradient of node v. A node v influences C
only through the nodes u that use it, so the chain rule reads

    g_v = Σ over users u of v:  g_u · ∂u/∂v,        g_C = 1.

That is a recursion from the output towards the inputs: once all users of v have been dealt with,
g_v is complete, and v's own `backward` hands g_v · ∂v/∂p on to each parent p. Taking the nodes in
the reverse of the topological order guarantees "once all users". Each node is visited once, so the
gradients of all inputs, parameters and intermediates together cost about as much as two more
forward passes, however many there are. Layer by layer in a network, the same recursion is BP2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np

from clearprop.arrays import Array
from clearprop.engines.graph import draw
from clearprop.engines.graph.leaves import leaf_values, read_only
from clearprop.engines.graph.nodes import Node
from clearprop.engines.graph.operation import Gradients
from clearprop.engines.graph.topology import Topology
from clearprop.errors import ClearpropError, DTypeError, ShapeError, UnknownNameError

__all__ = ["Graph", "GraphTrace", "NodeMap", "NodeRecord", "evaluate"]

V_co = TypeVar("V_co", covariant=True)
Values = Mapping[Node | str, Any] | Mapping[Node, Any] | Mapping[str, Any]


class NodeMap(Mapping[Node, V_co], Generic[V_co]):
    """Something for every node of a graph, asked by node or by name."""

    def __init__(self, topology: Topology, items: Mapping[Node, V_co]) -> None:
        self._topology = topology
        self._items = items

    def __getitem__(self, node: Node | str) -> V_co:
        if isinstance(node, str):
            node = self._topology.find(node)
        if node not in self._items:
            why = (
                "is not in what was evaluated; ask with also="
                if self._items
                else "has no gradient: gradient=False"
            )
            raise UnknownNameError(f"{node!r} {why}.")
        return self._items[node]

    def get(self, node: Node | str, default: Any = None) -> Any:
        """Return what there is for `node`, or `default`."""
        if node not in self:
            return default
        return self[node]

    def __iter__(self) -> Iterator[Node]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, node: object) -> bool:
        if isinstance(node, str):
            return bool(self._items) and node in self._topology.nodes_by_name
        return node in self._items


class NodeRecord(NamedTuple):
    """What one evaluation found at one node."""

    name: str
    node: Node
    value: Array
    gradient: Array | None


@dataclass(frozen=True, eq=False)
class GraphTrace:
    """What one evaluation found: the value and the gradient ∂C/∂node of every node.

    ``trace.value[node]``, ``trace.gradient["W1"]``, ``trace["W1"]``. A gradient is

    - an array of the node's shape: zeros where the output doesn't depend on the node;
    - None for constants and what is computed from constants alone; and where it is not known,
      because a step between the node and the output has no derivative there (the target of a cost).

    The arrays are read-only: several may share memory, and a record stays what it was.
    """

    topology: Topology
    value: NodeMap[Array]
    gradient: NodeMap[Array | None]

    @property
    def output(self) -> Node:
        """The node whose gradients these are."""
        return self.topology.outputs[0]

    def __getitem__(self, node: Node | str) -> NodeRecord:
        """Return name, node, value and gradient of one node."""
        if isinstance(node, str):
            node = self.topology.find(node)
        value = self.value[node]
        name = self.topology.names.get(node, node.name or node.operation.name)
        return NodeRecord(name, node, value, self.gradient.get(node))

    def contributions(self, node: Node) -> Gradients:
        """Return what `node` hands to each of its parents: ∂C/∂node · ∂node/∂parent, in their order.

        A parent's gradient is the sum of what all its users hand to it. None where the node has no
        known gradient, or no derivative with respect to that parent.
        """
        dC_dnode = self.gradient[node]
        if dC_dnode is None:
            return (None,) * len(self.topology.parents(node))
        return _parts(self.topology, node, self.value, dC_dnode)

    def __repr__(self) -> str:
        return f"<GraphTrace of {len(self.value)} nodes, output {self.topology.names[self.output]!r}>"

    def _repr_svg_(self) -> str | None:
        return draw.svg(self) if len(self.topology.order) <= draw.MAX_NODES else None


@dataclass(frozen=True, eq=False)
class Graph:
    """Everything that `output` depends on, ready to be evaluated many times.

    `also` names further nodes to compute, such as a prediction when `output` is the cost.
    """

    output: Node
    also: tuple[Node, ...] = ()

    @cached_property
    def topology(self) -> Topology:
        """The nodes, their order and their names."""
        return Topology((self.output, *self.also))

    def evaluate(self, values: Values, *, seed: Any = None, gradient: bool = True) -> GraphTrace:
        """Compute every value, then (if `gradient`) every gradient of the output; see `evaluate`."""
        given = {self._node(key): value for key, value in values.items()}
        leaves = frozenset(node for node in given if node.parents)
        topology = Topology(self.topology.outputs, leaves) if leaves else self.topology
        arrays = leaf_values(topology, given)
        value = _forward(topology, arrays)
        gradients: dict[Node, Array | None] = {}
        if gradient:
            gradients = _backward(topology, value, _seed(topology, value[self.output], seed))
            # The output doesn't depend on what was given for nodes outside the graph.
            gradients |= {node: np.zeros_like(arrays[node]) for node in arrays if node not in value}
        return GraphTrace(topology, NodeMap(topology, arrays | value), NodeMap(topology, gradients))

    def _node(self, key: Node | str) -> Node:
        if isinstance(key, Node | str):
            return self.topology.find(key) if isinstance(key, str) else key
        raise DTypeError(f"values are given by node or by name, got the key {key!r}.")

    def __repr__(self) -> str:
        return f"<Graph of {len(self.topology.order)} nodes, output {self.topology.names[self.output]!r}>"

    def _repr_svg_(self) -> str | None:
        return draw.svg(self.topology) if len(self.topology.order) <= draw.MAX_NODES else None


def evaluate(
    output: Node, values: Values, *, also: Sequence[Node] = (), seed: Any = None, gradient: bool = True
) -> GraphTrace:
    """Compute `output` from the given values, and the gradient of it at every node.

    Parameters: `values`, an array for each input and parameter, by node or name; a value given for
    an intermediate replaces what would be computed there ("what if z were …"). `also`, further
    nodes to compute. `seed`, ∂C/∂output, of the output's shape: needed unless the output is a
    single number, where it is 1. ``gradient=False`` leaves the backward pass out.

    Arrays keep their dtype; numbers, lists and integers take the floating dtype of the other arrays.

    Errors: `DataError` for a missing value; `ShapeError` for shapes that don't fit, naming the node;
    `UnknownNameError` for a name that no node has.

    >>> from clearprop.engines import graph
    >>> x, y, z = graph.input("x"), graph.input("y"), graph.input("z")
    >>> s = (x + y).named("s")
    >>> f = (s * z).named("f")
    >>> trace = graph.evaluate(f, {x: 2.0, y: 3.0, z: 4.0})
    >>> for name in "xyzsf":
    ...     print(name, trace.value[name], trace.gradient[name])
    x 2.0 4.0
    y 3.0 4.0
    z 4.0 5.0
    s 5.0 4.0
    f 20.0 1.0

    By hand: ∂f/∂f = 1; the product gives ∂f/∂s = z = 4 and ∂f/∂z = s = 5; the sum passes its 4 on
    to both x and y.
    """
    return Graph(output, tuple(also)).evaluate(values, seed=seed, gradient=gradient)


def _forward(topology: Topology, leaves: Mapping[Node, Array]) -> dict[Node, Array]:
    """Return the value of every node, each computed after its parents."""
    value: dict[Node, Array] = {}
    for node in topology.order:
        if node in leaves:
            value[node] = leaves[node]
            continue
        inputs = [value[parent] for parent in node.parents]
        value[node] = read_only(_call(topology, node, "forward", inputs))
    return value


def _backward(topology: Topology, value: Mapping[Node, Array], seed: Array) -> dict[Node, Array | None]:
    """Return ∂C/∂node for every node, by the chain rule from the output back."""
    total: dict[Node, Array] = {topology.outputs[0]: seed}
    unknown: set[Node] = set()
    for node in reversed(topology.order):
        parents = topology.parents(node)
        if node in unknown:
            # What lies below a gradient that isn't known can't be known either.
            unknown.update(parents)
        elif node in total and node in topology.varying:
            for parent, part in zip(parents, _parts(topology, node, value, total[node]), strict=True):
                if part is None:
                    unknown.add(parent)
                else:
                    total[parent] = total[parent] + part if parent in total else part
    gradient: dict[Node, Array | None] = {}
    for node in topology.order:
        if node not in topology.varying or node in unknown:
            gradient[node] = None
        else:
            gradient[node] = read_only(total[node] if node in total else np.zeros_like(value[node]))
    return gradient


def _parts(topology: Topology, node: Node, value: Mapping[Node, Array], dC_dnode: Array) -> Gradients:
    """Return what `node` hands to each of its parents: its own derivative times its own gradient."""
    parents = topology.parents(node)
    if not parents:
        return ()
    inputs = [value[parent] for parent in parents]
    parts: Gradients = _call(topology, node, "backward", inputs, value[node], read_only(dC_dnode))
    if not isinstance(parts, tuple) or len(parts) != len(parents):
        got = len(parts) if isinstance(parts, tuple) else f"a {type(parts).__name__}"
        raise ShapeError(
            f"{_title(topology, node, 'backward')} must return a tuple of {len(parents)} gradients, one per "
            f"input; got {got}."
        )
    for parent, part in zip(parents, parts, strict=True):
        if part is not None and np.shape(part) != value[parent].shape:
            raise ShapeError(
                f"{_title(topology, node, 'backward')} returned a gradient of shape {np.shape(part)} "
                f"for {topology.names[parent]!r} of shape {value[parent].shape}. "
                "Use sum_to_shape where it broadcasts."
            )
    return parts


def _seed(topology: Topology, output: Array, seed: Any) -> Array:
    """Return ∂C/∂output: what was given, or 1 for a single number."""
    name = topology.names[topology.outputs[0]]
    if seed is None:
        if output.size != 1:
            raise ShapeError(
                f"the output {name!r} has shape {output.shape}, not one number, so its gradient needs a "
                "seed. Give seed=∂C/∂output of that shape, or gradient=False."
            )
        return np.ones_like(output)
    array = np.array(seed)
    if array.shape != output.shape:
        raise ShapeError(f"seed has shape {array.shape}; the output {name!r} has shape {output.shape}.")
    strong = hasattr(seed, "dtype") and np.issubdtype(array.dtype, np.inexact)
    return array if strong or np.iscomplexobj(array) else array.astype(output.dtype)


def _call(
    topology: Topology, node: Node, verb: Literal["forward", "backward"], inputs: Sequence[Array], *more: Any
) -> Any:
    """Return what the forward or backward of the node's operation returns; an error says which node's."""
    try:
        if verb == "forward":
            return node.operation.forward(*inputs)
        return node.operation.backward(tuple(inputs), *more)
    except ClearpropError as error:
        raise type(error)(f"{_title(topology, node, verb)}: {error}") from error
    except (ValueError, IndexError) as error:
        got = " and ".join(
            f"{topology.names[parent]!r} of shape {array.shape}"
            for parent, array in zip(node.parents, inputs, strict=True)
        )
        needs = node.operation.needs if verb == "forward" else ""
        why = f"it needs {needs}" if needs else f"{error}".rstrip(".")
        raise ShapeError(f"{_title(topology, node, verb)} got {got}; {why}.") from error
    except Exception as error:
        error.add_note(f"in {_title(topology, node, verb)}")
        raise


def _title(topology: Topology, node: Node, verb: str) -> str:
    of = "backward of " if verb == "backward" else ""
    return f"{of}node {topology.names[node]!r} ({node.operation.label})"
