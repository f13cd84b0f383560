"""Fused pairs: the value and the delta of a cost with its canonical output activation, from z.

For each, BP1 (delta = dC_da through the activation) simplifies to a formula in which nothing
overflows: where a is 0 or 1 to the last bit, the product would be inf * 0, the fused delta is a - y.
y' is y after label smoothing.
"""

from __future__ import annotations

import math
from typing import ClassVar

from clearprop.arrays import Array, log_sigmoid, log_softmax, namespace, real_part
from clearprop.costs.base import Cost, FusedPair, register_pair

__all__ = [
    "ExponentialPoisson",
    "IdentityMeanSquaredError",
    "IdentityQuadratic",
    "SigmoidBinaryCrossEntropy",
    "SoftmaxCrossEntropy",
]


@register_pair
class SoftmaxCrossEntropy(FusedPair):
    """Softmax with cross-entropy: C_x = -sum_j y'_j log_softmax(z)_j.

    From da_i/dz_j = a_i (1[i=j] - a_j) and dC_da_i = -y'_i / a_i:
    delta_j = a_j sum_i y'_i - y'_j, which is the book's a - y' because y' sums to 1
    (and stays the gradient of the value where it does not).
    """

    activation: ClassVar[str] = "softmax"
    cost: ClassVar[str] = "cross_entropy"
    formula: ClassVar[str] = "delta = a * sum_j y'_j - y' = a - y'"

    def value(self, cost: Cost, z: Array, y: Array) -> Array:
        """Return -sum_j y'_j log_softmax(z)_j."""
        xp, log_a = namespace(z), log_softmax(z)
        # log_softmax lets an infinite z count as a quarter of the largest number; its cost is infinite.
        impossible = real_part(log_a) < -float(xp.finfo(z.dtype).max) / 8.0
        log_a = xp.where(impossible, -xp.inf, log_a)
        return 0.0 - xp.sum(_times(cost.smoothed(y), log_a), axis=-1)  # type: ignore[no-any-return]

    def delta(self, cost: Cost, z: Array, a: Array, y: Array) -> Array:
        """Return a sum_j y'_j - y'."""
        y = cost.smoothed(y)
        return a * namespace(y).sum(y, axis=-1, keepdims=True) - y  # type: ignore[no-any-return]


@register_pair
class SigmoidBinaryCrossEntropy(FusedPair):
    """Sigmoid with binary cross-entropy: C_x = -sum_j (y'_j ln sigmoid(z_j) + (1 - y'_j) ln sigmoid(-z_j)).

    From da/dz = a (1 - a) and dC_da = (a - y') / (a (1 - a)): delta = a - y'.
    """

    activation: ClassVar[str] = "sigmoid"
    cost: ClassVar[str] = "binary_cross_entropy"
    formula: ClassVar[str] = "delta = a - y'"

    def value(self, cost: Cost, z: Array, y: Array) -> Array:
        """Return -sum_j (y'_j log_sigmoid(z_j) + (1 - y'_j) log_sigmoid(-z_j))."""
        y = cost.smoothed(y)
        each = _times(y, log_sigmoid(z)) + _times(1.0 - y, log_sigmoid(-z))
        return 0.0 - namespace(z).sum(each, axis=-1)  # type: ignore[no-any-return]

    def delta(self, cost: Cost, z: Array, a: Array, y: Array) -> Array:
        """Return a - y'."""
        return a - cost.smoothed(y)


@register_pair
class ExponentialPoisson(FusedPair):
    """Exponential with Poisson: C_x = sum_j (exp(z_j) - y_j z_j).

    From da/dz = a and dC_da = 1 - y/a: delta = a - y.
    """

    activation: ClassVar[str] = "exponential"
    cost: ClassVar[str] = "poisson"
    formula: ClassVar[str] = "delta = a - y"

    def value(self, cost: Cost, z: Array, y: Array) -> Array:
        """Return sum_j (exp(z_j) - y_j z_j); a rate too large for the dtype costs inf."""
        xp = namespace(z)
        overflows = real_part(z) >= math.log(float(xp.finfo(z.dtype).max))
        safe = xp.where(overflows, 0.0, z)
        each = xp.exp(safe) - _times(y, safe)
        return xp.sum(xp.where(overflows, xp.inf, each), axis=-1)  # type: ignore[no-any-return]

    def delta(self, cost: Cost, z: Array, a: Array, y: Array) -> Array:
        """Return a - y."""
        return a - y


@register_pair
class IdentityQuadratic(FusedPair):
    """Identity with the quadratic cost: delta = dC_da = a - y, because da/dz = 1."""

    activation: ClassVar[str] = "identity"
    cost: ClassVar[str] = "quadratic"
    formula: ClassVar[str] = "delta = a - y"

    def value(self, cost: Cost, z: Array, y: Array) -> Array:
        """Return 1/2 ||z - y||^2."""
        return cost.value(z, y)

    def delta(self, cost: Cost, z: Array, a: Array, y: Array) -> Array:
        """Return a - y."""
        return a - y


@register_pair
class IdentityMeanSquaredError(FusedPair):
    """Identity with the mean squared error: delta = dC_da = (2/k) (a - y), because da/dz = 1."""

    activation: ClassVar[str] = "identity"
    cost: ClassVar[str] = "mean_squared_error"
    formula: ClassVar[str] = "delta = 2/k * (a - y)"

    def value(self, cost: Cost, z: Array, y: Array) -> Array:
        """Return (1/k) ||z - y||^2."""
        return cost.value(z, y)

    def delta(self, cost: Cost, z: Array, a: Array, y: Array) -> Array:
        """Return (2/k) (a - y)."""
        return cost.dC_da(a, y)


def _times(y: Array, log_a: Array) -> Array:
    """Return y log_a for y >= 0, with 0 * -inf = 0 (0 ln 0 = 0)."""
    xp = namespace(log_a)
    return y * xp.where((y == 0) & (log_a == -xp.inf), 0.0, log_a)  # type: ignore[no-any-return]
