"""The operations behind the operators of a node: + - * / ** @, transpose and indexing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.engines.graph.operation import Gradients, Operation, sum_to_shape

__all__ = ["Add", "Divide", "Index", "MatMul", "Multiply", "Negative", "Power", "Subtract", "Transpose"]

BROADCAST = "shapes that broadcast to one another"


class Add(Operation):
    """x + y: the gradient goes to both."""

    needs = BROADCAST

    def forward(self, x: Array, y: Array) -> Array:
        """Return x + y."""
        return x + y

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g, g)."""
        x, y = inputs
        return sum_to_shape(dC_doutput, x.shape), sum_to_shape(dC_doutput, y.shape)


class Subtract(Operation):
    """x - y."""

    needs = BROADCAST

    def forward(self, x: Array, y: Array) -> Array:
        """Return x - y."""
        return x - y

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g, -g)."""
        x, y = inputs
        return sum_to_shape(dC_doutput, x.shape), sum_to_shape(-dC_doutput, y.shape)


class Multiply(Operation):
    """x * y, elementwise: each factor's gradient is scaled by the other factor."""

    needs = BROADCAST

    def forward(self, x: Array, y: Array) -> Array:
        """Return x * y."""
        return x * y

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g * y, g * x)."""
        x, y = inputs
        return sum_to_shape(dC_doutput * y, x.shape), sum_to_shape(dC_doutput * x, y.shape)


class Divide(Operation):
    """x / y, elementwise."""

    needs = BROADCAST

    def forward(self, x: Array, y: Array) -> Array:
        """Return x / y."""
        return x / y

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g / y, -g * (x / y) / y)."""
        x, y = inputs
        dC_dx = dC_doutput / y
        return sum_to_shape(dC_dx, x.shape), sum_to_shape(-dC_dx * output, y.shape)


class Negative(Operation):
    """-x."""

    def forward(self, x: Array) -> Array:
        """Return -x."""
        return -x

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (-g,)."""
        return (-dC_doutput,)


@dataclass(frozen=True, eq=False)
class Power(Operation):
    """x ** p for a constant number p."""

    exponent: float

    @property
    def label(self) -> str:
        """The name and the exponent: "power 2"."""
        return f"power {self.exponent:g}"

    def forward(self, x: Array) -> Array:
        """Return x ** p."""
        return np.asarray(x**self.exponent)

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g * p * x ** (p - 1),); zero where p = 0, for x = 0 too."""
        (x,) = inputs
        if self.exponent == 0:
            return (np.zeros_like(dC_doutput),)
        return (dC_doutput * self.exponent * x ** (self.exponent - 1),)


class MatMul(Operation):
    """x @ y for vectors, matrices and stacks of matrices, as NumPy's matmul.

    With C = C(x @ y) and g = ∂C/∂(x @ y): ∂C/∂x = g @ yᵀ, ∂C/∂y = xᵀ @ g. Each entry of x meets a
    row of y, and each entry of y a column of x; the products sum over where they met.
    """

    needs = "(..., m, k) and (..., k, n)"

    def forward(self, x: Array, y: Array) -> Array:
        """Return x @ y."""
        return np.asarray(x @ y)

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g @ yᵀ, xᵀ @ g)."""
        x, y = inputs
        # A vector is a matrix of one row on the left, of one column on the right.
        rows = x[np.newaxis, :] if x.ndim == 1 else x
        columns = y[:, np.newaxis] if y.ndim == 1 else y
        g = dC_doutput[..., np.newaxis] if y.ndim == 1 else dC_doutput
        g = g[..., np.newaxis, :] if x.ndim == 1 else g
        dC_drows = sum_to_shape(g @ np.swapaxes(columns, -1, -2), rows.shape)
        dC_dcolumns = sum_to_shape(np.swapaxes(rows, -1, -2) @ g, columns.shape)
        return dC_drows.reshape(x.shape), dC_dcolumns.reshape(y.shape)


@dataclass(frozen=True, eq=False)
class Transpose(Operation):
    """x with its axes in another order; the last two swapped if `axes` is None."""

    axes: tuple[int, ...] | None = None

    needs = "the axes that it orders (the last two if none are named)"

    def forward(self, x: Array) -> Array:
        """Return x, transposed."""
        return np.swapaxes(x, -1, -2) if self.axes is None else np.transpose(x, self.axes)

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g with the axes back in their places,)."""
        if self.axes is None:
            return (np.swapaxes(dC_doutput, -1, -2),)
        positive = [axis % dC_doutput.ndim for axis in self.axes]
        return (np.transpose(dC_doutput, np.argsort(positive)),)


@dataclass(frozen=True, eq=False)
class Index(Operation):
    """x[key] for any NumPy index: slices, integers, lists of integers, masks.

    An entry taken more than once gets the sum of its gradients, one never taken gets zero.
    """

    key: Any

    @property
    def label(self) -> str:
        """The index as it is written: "[..., 0:2]"."""
        keys = self.key if isinstance(self.key, tuple) else (self.key,)
        return f"[{', '.join(_index_text(key) for key in keys)}]"

    def forward(self, x: Array) -> Array:
        """Return x[key]."""
        return np.asarray(x[self.key])

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (zeros with g added at key,)."""
        (x,) = inputs
        dC_dx = np.zeros(x.shape, dC_doutput.dtype)
        np.add.at(dC_dx, self.key, dC_doutput)
        return (dC_dx,)


def _index_text(key: Any) -> str:
    if key is Ellipsis:
        return "..."
    if isinstance(key, slice):
        parts = (key.start, key.stop) if key.step is None else (key.start, key.stop, key.step)
        return ":".join("" if part is None else str(part) for part in parts)
    text = str(key)
    return text if len(text) <= 12 else f"{text[:10]}…"
