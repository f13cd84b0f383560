"""Elementwise activations that are no rectifiers: the identity, the sigmoids, the exponential.

Each states f and f' once. Where f' can be had from a = f(z), it is.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from clearprop.activations.base import NO_PARAMS, ActivationFunction, Params, activations
from clearprop.arrays import Array, clip, constant, expit, magnitude, namespace, real_part
from clearprop.registry import description

__all__ = ["Exponential", "HardTanh", "Identity", "ScaledTanh", "Sigmoid", "Softsign", "Tanh"]


@activations.register("linear")
@description
class Identity(ActivationFunction):
    """f(z) = z: the linear neuron; layers of it collapse to one affine map (Nielsen, chapter 2, exercise).

    The result is a copy, never z itself, so that the z and the a of a trace are different arrays.

    >>> Identity().f(np.array([-1.0, 2.0]))
    array([-1.,  2.])
    """

    name: ClassVar[str] = "identity"
    formula: ClassVar[str] = "z"
    derivative: ClassVar[str] = "1"

    def f(self, z: Array) -> Array:
        """Return a copy of z."""
        return +z

    def df(self, z: Array, a: Array) -> Array:
        """Return ones."""
        out: Array = namespace(z).ones_like(z)
        return out

    def backward(
        self, z: Array, a: Array, dC_da: Array, params: Params = NO_PARAMS
    ) -> tuple[Array, dict[str, Array]]:
        """Return a copy of dC_da, and no gradients of parameters."""
        return +dC_da, {}


@activations.register("logistic")
@description
class Sigmoid(ActivationFunction):
    """sigma(z) = 1 / (1 + exp(-z)), the logistic sigmoid (Nielsen, chapter 1, equation 3).

    Its slope is at most 1/4, so errors shrink on their way back, and it saturates at both ends.
    The value is the formula's bit for bit, but without its overflow: see `clearprop.arrays.expit`.

    >>> Sigmoid().f(np.array([-2.0, 0.0, 2.0]))
    array([0.11920292, 0.5       , 0.88079708])
    """

    name: ClassVar[str] = "sigmoid"
    formula: ClassVar[str] = "1 / (1 + exp(-z))"
    derivative: ClassVar[str] = "a * (1 - a)"
    limits = (0.0, 1.0)
    gain = 1.84622854533860541

    def f(self, z: Array) -> Array:
        """Return 1 / (1 + exp(-z))."""
        return expit(z)

    def forward(self, z: Array, params: Params = NO_PARAMS) -> Array:
        """Return a = f(z)."""
        return expit(z)

    def df(self, z: Array, a: Array) -> Array:
        """Return a (1 - a)."""
        slope: Array = constant(1.0, a) - a
        slope *= a  # our own array
        return slope


@activations.register()
@description
class Tanh(ActivationFunction):
    """f(z) = tanh(z) = 2 sigma(2z) - 1: a sigmoid centred at 0 (Nielsen, chapter 3, equation 109).

    >>> Tanh().f(np.array([-1.0, 0.0, 1.0]))
    array([-0.76159416,  0.        ,  0.76159416])
    """

    name: ClassVar[str] = "tanh"
    formula: ClassVar[str] = "tanh(z)"
    derivative: ClassVar[str] = "1 - a^2"
    limits = (-1.0, 1.0)
    gain = 1.59253741972283143

    def f(self, z: Array) -> Array:
        """Return tanh(z)."""
        a: Array = namespace(z).tanh(z)
        return a

    def df(self, z: Array, a: Array) -> Array:
        """Return 1 - a^2."""
        return 1.0 - a * a


@activations.register()
@description
class ScaledTanh(ActivationFunction):
    """f(z) = 1.7159 tanh(2z/3), with f(1) = 1 and f(-1) = -1 (LeCun et al., Efficient BackProp, 1998).

    Targets of ±1 then lie where the second derivative is largest, away from saturation.

    >>> ScaledTanh().f(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-1.,  0.,  1.])
    """

    name: ClassVar[str] = "scaled_tanh"
    formula: ClassVar[str] = "1.7159 * tanh(2/3 * z)"
    derivative: ClassVar[str] = "2/3 * (1.7159 - a^2 / 1.7159)"
    limits = (-1.7159, 1.7159)
    initializer = "lecun_normal"
    gain = 1.15436945397614281

    def f(self, z: Array) -> Array:
        """Return 1.7159 tanh(2z/3)."""
        a: Array = 1.7159 * namespace(z).tanh(z * (2.0 / 3.0))
        return a

    def df(self, z: Array, a: Array) -> Array:
        """Return (2/3) (1.7159 - a^2 / 1.7159)."""
        t = a * (1.0 / 1.7159)
        return (1.7159 * 2.0 / 3.0) * ((1.0 - t) * (1.0 + t))


@activations.register()
@description
class Softsign(ActivationFunction):
    """f(z) = z / (1 + |z|): tanh with polynomial tails (Bergstra et al., 2009; Glorot and Bengio, 2010).

    >>> Softsign().f(np.array([-3.0, 0.0, 1.0]))
    array([-0.75,  0.  ,  0.5 ])
    """

    name: ClassVar[str] = "softsign"
    formula: ClassVar[str] = "z / (1 + |z|)"
    derivative: ClassVar[str] = "1 / (1 + |z|)^2"
    limits = (-1.0, 1.0)
    gain = 2.33753336310853966

    def f(self, z: Array) -> Array:
        """Return z / (1 + |z|)."""
        z = clip(z, -1e30, 1e30)  # from 1e17 on the quotient is 1; inf / inf would be NaN
        return z / (1.0 + magnitude(z))

    def df(self, z: Array, a: Array) -> Array:
        """Return 1 / (1 + |z|)^2."""
        r = 1.0 / (1.0 + magnitude(z))
        return r * r


@activations.register()
@description
class HardTanh(ActivationFunction):
    """f(z) = z held between -1 and 1 (Collobert, 2004). f' is taken as 0 at both kinks.

    >>> HardTanh().f(np.array([-3.0, 0.5, 1.5]))
    array([-1. ,  0.5,  1. ])
    """

    name: ClassVar[str] = "hard_tanh"
    formula: ClassVar[str] = "max(-1, min(1, z))"
    derivative: ClassVar[str] = "1 if -1 < z < 1 else 0"
    kinks = (-1.0, 1.0)
    limits = (-1.0, 1.0)
    gain = 1.39203614044830975

    def f(self, z: Array) -> Array:
        """Return max(-1, min(1, z))."""
        return clip(z, -1.0, 1.0)

    def df(self, z: Array, a: Array) -> Array:
        """Return 1 where -1 < z < 1, else 0."""
        xp = namespace(z)
        slope: Array = xp.asarray(xp.abs(real_part(z)) < 1, dtype=z.dtype)
        return slope


@activations.register()
@description
class Exponential(ActivationFunction):
    """f(z) = exp(z): the positive rate of a count, the canonical partner of the Poisson cost.

    Beyond the largest number of the dtype (z > 709.78, in float32 88.72) the value is inf.

    >>> Exponential().f(np.array([-np.inf, 0.0, 1.0]))
    array([0.        , 1.        , 2.71828183])
    """

    name: ClassVar[str] = "exponential"
    formula: ClassVar[str] = "exp(z)"
    derivative: ClassVar[str] = "a"
    limits = (0.0, math.inf)
    gain = math.exp(-1.0)

    def f(self, z: Array) -> Array:
        """Return exp(z)."""
        with np.errstate(over="ignore"):  # inf is the answer, not an accident
            a: Array = namespace(z).exp(z)
        return a

    def df(self, z: Array, a: Array) -> Array:
        """Return a copy of a = exp(z)."""
        return +a
