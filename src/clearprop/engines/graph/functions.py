"""The other built-in operations: elementwise functions, reductions, and moving entries about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clearprop.arrays import Array
from clearprop.engines.graph.arithmetic import BROADCAST
from clearprop.engines.graph.operation import Gradients, Operation, sum_to_shape

__all__ = [
    "Axis",
    "Concatenate",
    "Exp",
    "Log",
    "Maximum",
    "Mean",
    "Reshape",
    "Sqrt",
    "StopGradient",
    "Sum",
    "Tanh",
    "Where",
]

Axis = int | tuple[int, ...] | None


class Exp(Operation):
    """exp(x), its own derivative."""

    def forward(self, x: Array) -> Array:
        """Return exp(x)."""
        return np.asarray(np.exp(x))

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g * exp(x),)."""
        return (dC_doutput * output,)


class Log(Operation):
    """The natural logarithm."""

    def forward(self, x: Array) -> Array:
        """Return log(x)."""
        return np.asarray(np.log(x))

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g / x,)."""
        return (dC_doutput / inputs[0],)


class Sqrt(Operation):
    """The square root."""

    def forward(self, x: Array) -> Array:
        """Return sqrt(x)."""
        return np.asarray(np.sqrt(x))

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g / (2 sqrt(x)),)."""
        return (dC_doutput / (2 * output),)


class Tanh(Operation):
    """The hyperbolic tangent."""

    def forward(self, x: Array) -> Array:
        """Return tanh(x)."""
        return np.asarray(np.tanh(x))

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g * (1 - tanh(x)^2),)."""
        return (dC_doutput * (1 - output * output),)


class Maximum(Operation):
    """The larger of x and y, elementwise; equal ones share the gradient half and half.

    Complex numbers are compared by their real parts, as the complex step needs.
    """

    needs = BROADCAST

    def forward(self, x: Array, y: Array) -> Array:
        """Return max(x, y)."""
        return np.where(x.real >= y.real, x, y)

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g where x > y, g where y > x), half of it to each where they are equal."""
        x, y = inputs
        half = dC_doutput / 2
        nothing = np.zeros_like(dC_doutput)
        larger, smaller = x.real > y.real, x.real < y.real
        dC_dx = np.where(larger, dC_doutput, np.where(smaller, nothing, half))
        return sum_to_shape(dC_dx, x.shape), sum_to_shape(dC_doutput - dC_dx, y.shape)


@dataclass(frozen=True, eq=False)
class Where(Operation):
    """x where a constant mask is true, y where it is false."""

    mask: Array

    needs = "a mask and shapes that broadcast to one another"

    def forward(self, x: Array, y: Array) -> Array:
        """Return x where the mask is true, else y."""
        return np.where(self.mask, x, y)

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g where the mask is true, g where it is false), zero elsewhere."""
        x, y = inputs
        nothing = np.zeros_like(dC_doutput)
        dC_dx = np.where(self.mask, dC_doutput, nothing)
        dC_dy = np.where(self.mask, nothing, dC_doutput)
        return sum_to_shape(dC_dx, x.shape), sum_to_shape(dC_dy, y.shape)


@dataclass(frozen=True, eq=False)
class Sum(Operation):
    """The sum over some axes, or over all; every summand gets the gradient of the sum."""

    axis: Axis = None
    keepdims: bool = False

    @property
    def label(self) -> str:
        """The name and the axis: "sum axis 1"."""
        return self.name if self.axis is None else f"{self.name} axis {self.axis}"

    def forward(self, x: Array) -> Array:
        """Return the sum of x over the axes."""
        return np.asarray(np.sum(x, axis=self.axis, keepdims=self.keepdims))

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g repeated along the axes,)."""
        (x,) = inputs
        return (np.broadcast_to(dC_doutput.reshape(self._kept(x)), x.shape),)

    def _kept(self, x: Array) -> tuple[int, ...]:
        """Return the shape of the sum with the axes kept, of length 1."""
        axes = range(x.ndim) if self.axis is None else np.atleast_1d(self.axis) % x.ndim
        return tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))


@dataclass(frozen=True, eq=False)
class Mean(Sum):
    """The mean over some axes, or over all: the sum divided by the number of summands."""

    def forward(self, x: Array) -> Array:
        """Return the mean of x over the axes."""
        return np.asarray(np.mean(x, axis=self.axis, keepdims=self.keepdims))

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g / k repeated along the axes,), k the number of summands."""
        (x,) = inputs
        summands = x.size // max(output.size, 1)
        return super().backward(inputs, output, dC_doutput / summands)


@dataclass(frozen=True, eq=False)
class Concatenate(Operation):
    """Arrays put one after another along an axis; the gradient is cut at the seams."""

    axis: int = -1

    needs = "shapes that are equal but for the axis of concatenation"

    def forward(self, *parts: Array) -> Array:
        """Return the parts, joined."""
        return np.concatenate(parts, axis=self.axis)

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return the piece of g that belongs to each part."""
        seams = np.cumsum([part.shape[self.axis] for part in inputs])[:-1]
        return tuple(np.split(dC_doutput, seams, axis=self.axis))


@dataclass(frozen=True, eq=False)
class Reshape(Operation):
    """The same entries in another shape (one length may be -1)."""

    shape: tuple[int, ...]

    needs = "as many entries as the new shape holds"

    @property
    def label(self) -> str:
        """The name and the new shape."""
        return f"reshape {self.shape}"

    def forward(self, x: Array) -> Array:
        """Return x in the new shape."""
        return x.reshape(self.shape)

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (g in the shape of x,)."""
        return (dC_doutput.reshape(inputs[0].shape),)


class StopGradient(Operation):
    """x itself, taken as a constant: the gradient that reaches it goes no further."""

    name = "stop gradient"

    def forward(self, x: Array) -> Array:
        """Return x."""
        return x

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> Gradients:
        """Return (zeros,)."""
        return (np.zeros_like(dC_doutput),)
