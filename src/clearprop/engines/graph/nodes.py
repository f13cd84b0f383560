"""A node is a place in a graph: an operation, the nodes that feed it, and a name.

Nodes hold no values. They are immutable, and the parents of a node exist before it does, so a graph
can have no cycle; what an evaluation finds is kept in a `GraphTrace`. Operators and the functions
of this module build nodes; what is not a node becomes a constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any, ClassVar

import numpy as np

from clearprop.activations.base import ActivationFunction, activations
from clearprop.costs.base import Cost, costs, fused_pair
from clearprop.engines.graph import arithmetic, functions, learning
from clearprop.engines.graph.functions import Axis
from clearprop.engines.graph.operation import Constant, Input, Operation, Parameter, Role
from clearprop.errors import DTypeError, OptionError

__all__ = [
    "Node",
    "Operand",
    "activate",
    "apply",
    "columns",
    "concatenate",
    "constant",
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
    "tanh",
    "transpose",
    "where",
]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Node:
    """An operation applied to the results of other nodes.

    Operators make new nodes: ``x @ W.T + b``, ``-x``, ``x ** 2``, ``x[:, 1:3]``. Two nodes are equal
    only if they are the same node. Errors: `DTypeError` for what is no operation or no node.
    """

    operation: Operation
    parents: tuple[Node, ...] = ()
    name: str | None = None

    __array_ufunc__: ClassVar[None] = None  # so that array * node asks the node, not the array
    __iter__: ClassVar[None] = None  # indexing alone would make a node look like an endless sequence

    def __post_init__(self) -> None:
        if not isinstance(self.operation, Operation):
            raise DTypeError(
                f"a node needs an Operation, got {self.operation!r}. Give an instance, as in apply(Exp(), x)."
            )
        for parent in self.parents:
            if not isinstance(parent, Node):
                raise DTypeError(
                    f"the parents of a node are nodes, got {parent!r}. Use apply(), which wraps constants."
                )

    @property
    def role(self) -> Role:
        """What the node is: "input", "parameter", "constant" or "intermediate"."""
        return self.operation.role

    @property
    def T(self) -> Node:
        """The transpose: the last two axes swapped."""
        return transpose(self)

    def named(self, name: str) -> Node:
        """Return the same step under this name: ``z = (x @ W.T + b).named("z")``.

        The result is a node of its own; use it in place of the old one.
        """
        return Node(self.operation, self.parents, name)

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {self.name!r}"
        return f"<Node{name}: {self.operation.label}>"

    def __add__(self, other: Operand) -> Node:
        return apply(arithmetic.Add(), self, other)

    def __radd__(self, other: Operand) -> Node:
        return apply(arithmetic.Add(), other, self)

    def __sub__(self, other: Operand) -> Node:
        return apply(arithmetic.Subtract(), self, other)

    def __rsub__(self, other: Operand) -> Node:
        return apply(arithmetic.Subtract(), other, self)

    def __mul__(self, other: Operand) -> Node:
        return apply(arithmetic.Multiply(), self, other)

    def __rmul__(self, other: Operand) -> Node:
        return apply(arithmetic.Multiply(), other, self)

    def __truediv__(self, other: Operand) -> Node:
        return apply(arithmetic.Divide(), self, other)

    def __rtruediv__(self, other: Operand) -> Node:
        return apply(arithmetic.Divide(), other, self)

    def __matmul__(self, other: Operand) -> Node:
        return apply(arithmetic.MatMul(), self, other)

    def __rmatmul__(self, other: Operand) -> Node:
        return apply(arithmetic.MatMul(), other, self)

    def __neg__(self) -> Node:
        return apply(arithmetic.Negative(), self)

    def __pow__(self, exponent: float) -> Node:
        if not isinstance(exponent, Number):
            raise DTypeError(
                f"the exponent of ** must be a number, got {exponent!r}. Write exp(y * log(x)) for x ** y."
            )
        return apply(arithmetic.Power(exponent), self)

    def __getitem__(self, key: Any) -> Node:
        return apply(arithmetic.Index(key), self)


Operand = Node | Any
"""A node, or a number or array, which becomes a constant."""


def input(name: str) -> Node:
    """Return a node for data, given at each evaluation."""
    return Node(Input(), (), name)


def parameter(name: str) -> Node:
    """Return a node for a weight or bias, given at each evaluation."""
    return Node(Parameter(), (), name)


def constant(value: Any, name: str | None = None) -> Node:
    """Return a node for a fixed number or array; it gets no gradient.

    An array is copied; a number or list takes the dtype that the graph is evaluated in.
    """
    return Node(Constant(value.copy() if isinstance(value, np.ndarray) else value), (), name)


def apply(operation: Operation, *operands: Operand, name: str | None = None) -> Node:
    """Return the node of `operation` applied to `operands`; what is not a node becomes a constant."""
    parents = tuple(item if isinstance(item, Node) else constant(item) for item in operands)
    return Node(operation, parents, name)


def exp(x: Operand) -> Node:
    """Return exp(x)."""
    return apply(functions.Exp(), x)


def log(x: Operand) -> Node:
    """Return the natural logarithm of x."""
    return apply(functions.Log(), x)


def sqrt(x: Operand) -> Node:
    """Return the square root of x."""
    return apply(functions.Sqrt(), x)


def tanh(x: Operand) -> Node:
    """Return tanh(x)."""
    return apply(functions.Tanh(), x)


def maximum(x: Operand, y: Operand) -> Node:
    """Return the larger of x and y, elementwise; ``maximum(z, 0.0)`` is relu with slope 1/2 at 0."""
    return apply(functions.Maximum(), x, y)


def where(mask: Any, x: Operand, y: Operand) -> Node:
    """Return x where the constant `mask` is true, else y."""
    return apply(functions.Where(np.array(mask, dtype=bool)), x, y)


def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Node:
    """Return the sum over `axis`, over everything if None."""
    return apply(functions.Sum(axis, keepdims), x)


def mean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Node:
    """Return the mean over `axis`, over everything if None."""
    return apply(functions.Mean(axis, keepdims), x)


def concatenate(parts: Sequence[Operand], axis: int = -1) -> Node:
    """Return the parts one after another along `axis`, the last by default: ``[x, 1]``."""
    return apply(functions.Concatenate(axis), *parts)


def columns(x: Operand, which: int | slice | Sequence[int]) -> Node:
    """Return some columns: entries along the last axis, by number, slice or list of numbers."""
    return apply(arithmetic.Index((..., list(which) if isinstance(which, Sequence) else which)), x)


def reshape(x: Operand, shape: Sequence[int]) -> Node:
    """Return the entries of x in another shape; one length may be -1."""
    return apply(functions.Reshape(tuple(shape)), x)


def transpose(x: Operand, axes: Sequence[int] | None = None) -> Node:
    """Return x with its axes in the order `axes`, or with the last two swapped."""
    return apply(arithmetic.Transpose(None if axes is None else tuple(axes)), x)


def stop_gradient(x: Operand) -> Node:
    """Return x, taken as a constant: no gradient goes back through it."""
    return apply(functions.StopGradient(), x)


def activate(
    z: Operand, activation: str | ActivationFunction, params: Mapping[str, Operand] | None = None
) -> Node:
    """Return a = f(z) for an activation of clearprop, by name or object; `params` are its own parameters."""
    params = params or {}
    return apply(learning.ApplyActivation(activations.make(activation), tuple(params)), z, *params.values())


def per_example_cost(a: Operand, y: Operand, cost: str | Cost) -> Node:
    """Return C_x(a, y), one cost per example. a, y: (…, k); result: (…). Its mean is the cost C."""
    return apply(learning.ApplyCost(costs.make(cost)), a, y)


def fused_per_example_cost(
    z: Operand, y: Operand, activation: str | ActivationFunction, cost: str | Cost
) -> Node:
    """Return C_x(f(z), y) by the stable formula of a canonical pair, such as softmax and cross_entropy.

    Errors: `OptionError` where the two are no registered pair.
    """
    f, c = activations.make(activation), costs.make(cost)
    pair = fused_pair(f.name, c.name)
    if pair is None:
        raise OptionError(
            f"activation {f.name!r} and cost {c.name!r} are no fused pair. "
            "Use per_example_cost(activate(z, ...), y, ...)."
        )
    return apply(learning.ApplyFusedPair(pair, f, c), z, y)
