"""What an activation is: a frozen description with `forward` and `backward` as pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from clearprop.arrays import Array
from clearprop.errors import UnsupportedError
from clearprop.registry import Described, Registry

__all__ = ["ActivationFunction", "Params", "activations", "register"]

Params = Mapping[str, Array]
NO_PARAMS: Params = {}

activations: Registry[ActivationFunction] = Registry("activation")


def register(*aliases: str) -> Callable[[type[Any]], type[Any]]:
    """Return a class decorator that makes an activation known by its `name` and `aliases`."""
    return activations.register(*aliases)


class ActivationFunction(Described):
    """a = f(z), and how the error passes back through it.

    An elementwise activation supplies `f` and `df`; the general form overrides `forward` and
    `backward` (softmax, PReLU). All are pure: they write to no argument, return no argument
    itself, hold no state, and use the namespace of their argument. The last axis of z is the
    neurons of the layer; any axes before it are examples. A function that takes floats keeps
    their dtype, has no NaN at infinities, and raises no floating-point warning.

    The facts about an activation are properties here, so that they may depend on its options;
    where they do not, a plain class attribute replaces them (``limits = (0.0, 1.0)``).

    To make your own: subclass as a frozen dataclass, give `name`, `f` and `df`, and pass an
    instance wherever a name is accepted. `clearprop.activations.register` adds it to the registry.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Square(ActivationFunction):
    ...     name = "square"
    ...     formula, derivative = "z^2", "2 z"
    ...     def f(self, z):
    ...         return z * z
    ...     def df(self, z, a):
    ...         return 2.0 * z
    >>> import numpy as np
    >>> z = np.array([1.0, 3.0])
    >>> Square().backward(z, Square().forward(z), dC_da=np.array([1.0, 0.5]))[0]
    array([2., 3.])
    """

    kind: ClassVar[str] = "activation"
    formula: ClassVar[str] = ""
    """f in one line, e.g. "1 / (1 + exp(-z))"."""
    derivative: ClassVar[str] = ""
    """f' in one line, in z and a, e.g. "a * (1 - a)"."""
    elementwise: ClassVar[bool] = True
    """Whether a_j depends on z_j alone."""
    distribution: ClassVar[bool] = False
    """Whether the activations of a layer are probabilities of classes that exclude one another, sum 1."""
    ordered: ClassVar[bool] = False
    """Whether the neurons are classes from the lowest to the highest, so that the order of labels counts."""

    @property
    def kinks(self) -> tuple[float, ...]:
        """The z at which f' jumps; empty for a smooth function."""
        return ()

    @property
    def smooth(self) -> bool:
        """Whether f' is continuous everywhere: there are no `kinks`."""
        return not self.kinks

    @property
    def complex_safe(self) -> bool:
        """Whether f is right for complex z near the real axis, away from kinks: the complex step works."""
        return True

    @property
    def limits(self) -> tuple[float, float]:
        """f(-inf) and f(+inf); for softmax, those of a_j as z_j alone goes there."""
        return (-math.inf, math.inf)

    @property
    def initializer(self) -> str:
        """The weight initialiser that a layer uses when none is given."""
        return "glorot_uniform"

    @property
    def gain(self) -> float:
        """The factor by which the initial standard deviation 1/sqrt(n_in) grows to keep activations in size.

        1 / sqrt(E[f(Z)^2]) for Z ~ N(0, 1), after He et al. (2015): where z has a mean square of 1,
        gain * a has one too. The initialiser that uses it is `orthogonal`.
        """
        return 1.0

    def f(self, z: Array) -> Array:
        """Return f(z). z, result: (…, n)."""
        raise UnsupportedError(
            f"activation {self.name!r} has no f(z) of its own. Write f, or override forward and backward."
        )

    def df(self, z: Array, a: Array) -> Array:
        """Return f'(z), elementwise, given a = f(z). At a kink: the slope that the class documents.

        Errors: `UnsupportedError` where a_j depends on other neurons than j.
        """
        raise UnsupportedError(
            f"activation {self.name!r} has no elementwise derivative df(z, a). Use backward(z, a, dC_da)."
        )

    def parameters(self, n: int) -> dict[str, tuple[tuple[int, ...], float]]:
        """Return the learnable parameters for a layer of n neurons: name -> (shape, initial value)."""
        return {}

    def forward(self, z: Array, params: Params = NO_PARAMS) -> Array:
        """Return a = f(z). z: (…, n); a: (…, n)."""
        return self.f(z)

    def backward(
        self, z: Array, a: Array, dC_da: Array, params: Params = NO_PARAMS
    ) -> tuple[Array, dict[str, Array]]:
        """Return dC_dz (…, n) and, per example, the gradient of each own parameter (…, *shape).

        Elementwise: dC_dz = dC_da * f'(z).
        """
        return dC_da * self.df(z, a), {}

    def resolved(self, n: int) -> ActivationFunction:
        """Return this activation for a layer of n neurons, or raise `ShapeError` if it cannot be."""
        return self
