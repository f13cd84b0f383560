"""The shape of a graph: which nodes it has, in what order they can be computed, and their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from clearprop.engines.graph.nodes import Node
from clearprop.errors import UnknownNameError, did_you_mean

__all__ = ["Topology", "topological_order"]

SHOWN = 12  # names listed in an error message


def topological_order(outputs: Sequence[Node], leaves: frozenset[Node] = frozenset()) -> tuple[Node, ...]:
    """Return every node that `outputs` depend on, each after all its parents.

    Depth first, parents from left to right, so the order is a function of the graph alone. A stack
    of our own takes the place of recursion, so depth is limited by memory only. The search stops
    at `leaves`.

    >>> from clearprop.engines import graph
    >>> x, y = graph.input("x"), graph.input("y")
    >>> [node.name for node in topological_order([((x + y).named("s") * x).named("p")])]
    ['x', 'y', 's', 'p']
    """
    order: dict[Node, None] = {}
    opened: set[Node] = set()
    stack = list(reversed(outputs))
    while stack:
        node = stack[-1]
        if node in opened:
            stack.pop()
            order.setdefault(node)
            continue
        opened.add(node)
        if node not in leaves:
            stack.extend(parent for parent in reversed(node.parents) if parent not in opened)
    return tuple(order)


@dataclass(frozen=True, eq=False)
class Topology:
    """The nodes that `outputs` depend on, cut at `leaves` (nodes whose values are given)."""

    outputs: tuple[Node, ...]
    leaves: frozenset[Node] = frozenset()

    @cached_property
    def order(self) -> tuple[Node, ...]:
        """Every node, each after all its parents."""
        return topological_order(self.outputs, self.leaves)

    def parents(self, node: Node) -> tuple[Node, ...]:
        """Return the nodes that feed `node`; none where the graph is cut."""
        return () if node in self.leaves else node.parents

    @cached_property
    def varying(self) -> frozenset[Node]:
        """The nodes that depend on an input, a parameter or a given value: those with a gradient."""
        found: set[Node] = set()
        for node in self.order:
            own = node.role in ("input", "parameter") or node in self.leaves
            if own or any(parent in found for parent in self.parents(node)):
                found.add(node)
        return frozenset(found)

    @cached_property
    def names(self) -> dict[Node, str]:
        """A name for every node: its own, else its operation and a number, as in "add_2"."""
        taken = {node.name for node in self.order if node.name is not None}
        counts: Counter[str] = Counter()
        names = {}
        for node in self.order:
            name = node.name
            while name is None or (node.name is None and name in taken):
                word = node.operation.name.replace(" ", "_")
                counts[word] += 1
                name = f"{word}_{counts[word]}"
            names[node] = name
        return names

    @cached_property
    def nodes_by_name(self) -> dict[str, list[Node]]:
        """The nodes of each name; more than one where names were given twice."""
        nodes: dict[str, list[Node]] = {}
        for node, name in self.names.items():
            nodes.setdefault(name, []).append(node)
        return nodes

    def find(self, name: str) -> Node:
        """Return the node called `name`; raise `UnknownNameError` if none or several are."""
        nodes = self.nodes_by_name.get(name, [])
        if len(nodes) == 1:
            return nodes[0]
        if nodes:
            raise UnknownNameError(f"{len(nodes)} nodes of the graph are called {name!r}. Ask with the node.")
        hint = did_you_mean(name, self.nodes_by_name)
        raise UnknownNameError(f"the graph has no node {name!r}.{hint} It has {_listed(self.nodes_by_name)}.")


def _listed(names: Iterable[str]) -> str:
    names = [repr(name) for name in names]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
