"""What an ONNX graph is made of, and the formula of every elementwise activation in its operators.

A formula is written with arithmetic on tensors, of operators that onnxruntime has in single and in double
precision. Constants stand in the graph as tensors: an operator's own options are single precision only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clearprop.activations.rectifiers import FAR, GELU_CUBIC, GELU_RATE, SELU_ALPHA, SELU_SCALE, Mish
from clearprop.arrays import ERFC_END, ERFC_P, ERFC_Q, Array

__all__ = ["ONNX_FORMULAS", "Graph", "Tensor"]

ROOT_HALF = math.sqrt(0.5)


class Graph:
    """The nodes and constants of a model, as far as they are written."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.constants: dict[str, Array] = {}

    def op(self, kind: str, *inputs: Tensor | float, **options: Any) -> Tensor:
        """Append a node and return its output."""
        names = [self.tensor(value).name for value in inputs]
        name = f"t{len(self.nodes)}"
        self.nodes.append((kind, names, name, options))
        return Tensor(self, name)

    def named(self, tensor: Tensor, name: str) -> Tensor:
        """Return the tensor under a name of its own."""
        if tensor.name != f"t{len(self.nodes) - 1}":  # not what the last node gives: others may read it
            tensor = self.op("Identity", tensor)
        kind, inputs, _, options = self.nodes.pop()
        self.nodes.append((kind, inputs, name, options))
        return Tensor(self, name)

    def constant(self, values: Any, name: str, dtype: Any = None) -> Tensor:
        """Return constants as a tensor."""
        self.constants[name] = np.array(values, dtype=dtype or self.dtype, order="C")
        return Tensor(self, name)

    def tensor(self, value: Tensor | float) -> Tensor:
        """Return a tensor as it is, and a number as a constant without dimensions."""
        return value if isinstance(value, Tensor) else self.constant(value, f"number {float(value)!r}")


class Tensor:
    """A tensor of the graph, with the arithmetic that a formula needs."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name

    def __add__(self, other: Tensor | float) -> Tensor:
        return self.graph.op("Add", self, other)

    def __sub__(self, other: Tensor | float) -> Tensor:
        return self.graph.op("Sub", self, other)

    def __mul__(self, other: Tensor | float) -> Tensor:
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other: Tensor | float) -> Tensor:
        return self.graph.op("Div", self, other)

    def __radd__(self, other: float) -> Tensor:
        return self.graph.op("Add", other, self)

    def __rsub__(self, other: float) -> Tensor:
        return self.graph.op("Sub", other, self)

    def __rmul__(self, other: float) -> Tensor:
        return self.graph.op("Mul", other, self)

    def __neg__(self) -> Tensor:
        return self.graph.op("Neg", self)

    def at_least(self, low: float) -> Tensor:
        """Return max(self, low)."""
        return self.graph.op("Max", self, low)

    def at_most(self, high: float) -> Tensor:
        """Return min(self, high)."""
        return self.graph.op("Min", self, high)

    def where_positive(self, right: Tensor, left: Tensor) -> Tensor:
        """Return right where self > 0, else left."""
        return self.graph.op("Where", self.graph.op("Greater", self, 0.0), right, left)

    def do(self, kind: str, **options: Any) -> Tensor:
        """Return the result of an operator on this tensor alone."""
        return self.graph.op(kind, self, **options)


# -- the formulas ----------------------------------------------------------------------------------


def _expm1(z: Tensor) -> Tensor:
    """Return exp(z) - 1 for z <= 0 as 2 t / (1 - t), t = tanh(z / 2), which keeps its digits near 0."""
    t = (z * 0.5).do("Tanh")
    return 2.0 * t / (1.0 - t)


def _horner(coefficients: Sequence[float], x: Tensor) -> Tensor:
    total = x * coefficients[-1] + coefficients[-2]
    for c in reversed(coefficients[:-2]):
        total = total * x + c
    return total


def _gelu(z: Tensor) -> Tensor:
    if z.graph.dtype == np.float32:
        return z.at_least(-FAR) * 0.5 * (1.0 + (z * ROOT_HALF).do("Erf"))
    x = (z.do("Abs") * ROOT_HALF).at_most(ERFC_END)  # onnxruntime has no Erf in double
    tail = 0.5 * (-(x * _horner(ERFC_P, x) / _horner(ERFC_Q, x))).do("Exp")
    return z.at_least(-FAR) * z.where_positive(1.0 - tail, tail)


def _gelu_tanh(z: Tensor) -> Tensor:
    near = z.at_least(-FAR).at_most(FAR)
    return z.at_least(-FAR) * (GELU_RATE * near * (1.0 + GELU_CUBIC * near * near)).do("Sigmoid")


def _mish(z: Tensor) -> Tensor:
    e = z.at_most(Mish.ONE_FROM).do("Exp")
    m = e * (e + 2.0)
    return z.at_least(-FAR) * (m / (m + 2.0))


def _softsign(z: Tensor) -> Tensor:
    far = z.at_least(-1e30).at_most(1e30)
    return far / (1.0 + far.do("Abs"))


def _elu(z: Tensor, right: float, left: float) -> Tensor:
    return z.where_positive(z * right if right != 1.0 else z, left * _expm1(z.at_most(0.0)))


ONNX_FORMULAS: dict[str, Callable[..., Tensor]] = {
    "identity": lambda z: z,
    "sigmoid": lambda z: z.do("Sigmoid"),
    "tanh": lambda z: z.do("Tanh"),
    "scaled_tanh": lambda z: 1.7159 * (z * (2.0 / 3.0)).do("Tanh"),
    "softsign": _softsign,
    "hard_tanh": lambda z: z.at_least(-1.0).at_most(1.0),
    "exponential": lambda z: z.do("Exp"),
    "relu": lambda z: z.do("Relu"),
    "leaky_relu": lambda z, negative_slope: z.where_positive(z, negative_slope * z),
    "elu": lambda z, alpha: _elu(z, 1.0, alpha),
    "selu": lambda z: _elu(z, SELU_SCALE, SELU_SCALE * SELU_ALPHA),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda z: z.at_least(-FAR) * z.do("Sigmoid"),
    "mish": _mish,
    "softplus": lambda z: z.at_least(0.0) + (1.0 + (-z.do("Abs")).do("Exp")).do("Log"),
}
