"""Initialisers: how the weights of a layer are drawn before training.

``draw(shape, gain, stream)`` returns a float64 array; the numbers come from the stream, so they
are a function of the seed and the layer alone. W has shape (n_out, n_in), and the scale of most
initialisers follows from these two sizes. The published ones are what their names say, whatever
the activation; **only `orthogonal` multiplies by the gain of the activation**. An activation
names the initialiser that a layer uses when none is given (`ActivationFunction.initializer`).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Protocol

import numpy as np

from clearprop.checks import check_number
from clearprop.errors import OptionError, ShapeError
from clearprop.registry import Described, Registry, description

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LeCunNormal",
    "LeCunUniform",
    "Normal",
    "Orthogonal",
    "RandomStream",
    "Uniform",
    "Zeros",
    "initializers",
]

Float64 = np.ndarray[Any, np.dtype[np.float64]]
Shape = tuple[int, ...]

initializers: Registry[Initializer] = Registry("initializer")


class RandomStream(Protocol):
    """What an initialiser draws from: `clearprop.random.Stream`, or anything with these two methods."""

    def normal(self, shape: Any) -> Float64:
        """Return independent N(0, 1) numbers."""

    def uniform(self, shape: Any) -> Float64:
        """Return independent numbers, uniform in [0, 1)."""


class Initializer(Described):
    """A distribution of initial parameters.

    To make your own: subclass as a frozen dataclass with `name`, `formula` and `draw`.
    """

    kind: ClassVar[str] = "initializer"
    formula: ClassVar[str] = ""
    """The distribution in one line, e.g. "N(0, 2 / n_in)" (the second number is the variance)."""
    uses_gain: ClassVar[bool] = False
    """Whether the gain of the activation multiplies the weights."""

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return initial parameters, float64. For weights, shape is (n_out, n_in).

        Errors: `ShapeError` if the scale depends on n_in and n_out, and shape has not both.
        """
        raise NotImplementedError


def _fans(initializer: Initializer, shape: Shape) -> tuple[int, int]:
    """Return (n_out, n_in), or raise `ShapeError`."""
    if len(shape) != 2 or min(shape) < 1:
        raise ShapeError(
            f"initializer {initializer.name!r} takes its scale from a weight matrix of shape (n_out, n_in). "
            f"Got shape {tuple(shape)}; for biases use 'zeros', 'normal', 'uniform' or 'constant'."
        )
    return shape[0], shape[1]


def _symmetric(stream: RandomStream, shape: Shape, bound: float) -> Float64:
    """Return numbers uniform in [-bound, bound)."""
    drawn = stream.uniform(shape)  # in place from here: a large matrix is in memory once
    drawn *= 2.0
    drawn -= 1.0
    drawn *= bound
    return drawn


def _scaled_normal(stream: RandomStream, shape: Shape, factor: float) -> Float64:
    """Return factor * N(0, 1)."""
    drawn = stream.normal(shape)
    drawn *= factor
    return drawn


@initializers.register()
@description
class Normal(Initializer):
    """N(0, std²), whatever the size of the layer. With std = 1, Nielsen's first choice (chapter 1).

    With many inputs z then has a standard deviation of about sqrt(n_in), and sigmoids saturate
    (Nielsen, chapter 3); `lecun_normal` is the cure.
    """

    name: ClassVar[str] = "normal"
    formula: ClassVar[str] = "N(0, std^2)"
    std: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "std", at_least=0)

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return std * N(0, 1)."""
        return _scaled_normal(stream, shape, self.std)


@initializers.register()
@description
class Uniform(Initializer):
    """Uniform in [low, high), whatever the size of the layer."""

    name: ClassVar[str] = "uniform"
    formula: ClassVar[str] = "U[low, high)"
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "low")
        check_number(self, "high")
        if self.low > self.high:
            raise OptionError(
                f"low of Uniform must be at most high. Got low={self.low!r}, high={self.high!r}."
            )

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return low + (high - low) * U[0, 1)."""
        return self.low + (self.high - self.low) * stream.uniform(shape)


@initializers.register()
@description
class Constant(Initializer):
    """The same value everywhere. Equal neurons stay equal: for biases, not for weights."""

    name: ClassVar[str] = "constant"
    formula: ClassVar[str] = "value"
    value: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "value")

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return an array full of the value; draws nothing."""
        return np.full(shape, self.value, dtype=np.float64)


@initializers.register()
@description
class Zeros(Initializer):
    """0 everywhere, the usual choice for biases."""

    name: ClassVar[str] = "zeros"
    formula: ClassVar[str] = "0"

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return zeros; draws nothing."""
        return np.zeros(shape, dtype=np.float64)


@initializers.register("scaled_normal")
@description
class LeCunNormal(Initializer):
    """N(0, 1/n_in): z has the variance of the inputs (LeCun et al., Efficient BackProp, 1998).

    Nielsen's second choice (chapter 3), there without a name; also known as "scaled_normal".
    The normal distribution is whole, not truncated.
    """

    name: ClassVar[str] = "lecun_normal"
    formula: ClassVar[str] = "N(0, 1 / n_in)"

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return N(0, 1) / sqrt(n_in)."""
        _, n_in = _fans(self, shape)
        drawn = stream.normal(shape)
        drawn /= math.sqrt(n_in)
        return drawn


@initializers.register()
@description
class LeCunUniform(Initializer):
    """U(-r, r) with r = sqrt(3 / n_in), so that the variance is 1/n_in as for `lecun_normal`."""

    name: ClassVar[str] = "lecun_uniform"
    formula: ClassVar[str] = "U(-r, r), r = sqrt(3 / n_in)"

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return U(-r, r)."""
        _, n_in = _fans(self, shape)
        return _symmetric(stream, shape, math.sqrt(3.0 / n_in))


@initializers.register("xavier_normal")
@description
class GlorotNormal(Initializer):
    """N(0, 2 / (n_in + n_out)): a compromise between forward and backward (Glorot and Bengio, 2010)."""

    name: ClassVar[str] = "glorot_normal"
    formula: ClassVar[str] = "N(0, 2 / (n_in + n_out))"

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return sqrt(2 / (n_in + n_out)) * N(0, 1)."""
        return _scaled_normal(stream, shape, math.sqrt(2.0 / sum(_fans(self, shape))))


@initializers.register("xavier_uniform")
@description
class GlorotUniform(Initializer):
    """U(-r, r) with r = sqrt(6 / (n_in + n_out)) (Glorot and Bengio, 2010, equation 16)."""

    name: ClassVar[str] = "glorot_uniform"
    formula: ClassVar[str] = "U(-r, r), r = sqrt(6 / (n_in + n_out))"

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return U(-r, r)."""
        return _symmetric(stream, shape, math.sqrt(6.0 / sum(_fans(self, shape))))


@initializers.register("kaiming_normal")
@description
class HeNormal(Initializer):
    """N(0, 2/n_in), which makes up for the half that ReLU cuts off (He, Zhang, Ren, Sun, 2015)."""

    name: ClassVar[str] = "he_normal"
    formula: ClassVar[str] = "N(0, 2 / n_in)"

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return sqrt(2 / n_in) * N(0, 1)."""
        _, n_in = _fans(self, shape)
        return _scaled_normal(stream, shape, math.sqrt(2.0 / n_in))


@initializers.register("kaiming_uniform")
@description
class HeUniform(Initializer):
    """U(-r, r) with r = sqrt(6 / n_in), so that the variance is 2/n_in as for `he_normal`."""

    name: ClassVar[str] = "he_uniform"
    formula: ClassVar[str] = "U(-r, r), r = sqrt(6 / n_in)"

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return U(-r, r)."""
        _, n_in = _fans(self, shape)
        return _symmetric(stream, shape, math.sqrt(6.0 / n_in))


@initializers.register()
@description
class Orthogonal(Initializer):
    """gain * Q, Q uniform among matrices with orthonormal rows or columns, whichever are fewer.

    Lengths pass unchanged through a deep linear network (Saxe, McClelland, Ganguli, 2013); the
    gain of the activation makes up for what it takes away. Q comes from the QR decomposition
    of a normal matrix, with R's diagonal made positive, which is what makes it uniform (Mezzadri,
    2007). The decomposition is LAPACK's, so the last bits depend on its build.
    """

    name: ClassVar[str] = "orthogonal"
    formula: ClassVar[str] = "gain * Q, Q Q^T = 1 or Q^T Q = 1"
    uses_gain: ClassVar[bool] = True

    def draw(self, shape: Shape, gain: float, stream: RandomStream) -> Float64:
        """Return gain * Q."""
        n_out, n_in = _fans(self, shape)
        tall = stream.normal((max(n_out, n_in), min(n_out, n_in)))
        q, r = np.linalg.qr(tall)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return gain * np.ascontiguousarray(q if n_out >= n_in else q.T)
