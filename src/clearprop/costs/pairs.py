"""Fused pairs: the value and the delta of a cost with its canonical output activation, from z.

For each, BP1 (delta = dC_da through the activation) simplifies to a formula in which nothing
overflows: where a is 0 or 1 to the last bit, the product would be inf * 0, the fused delta is a - y.
y' is y after label smoothing.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from clearprop.arrays import Array, expit, log_sigmoid, log_softmax, namespace, real_part
from clearprop.costs.base import Cost, FusedPair, register_pair
from clearprop.ordering import log_class_probabilities, through_margins

__all__ = [
    "ExponentialPoisson",
    "IdentityMeanSquaredError",
    "IdentityQuadratic",
    "OrdinalCrossEntropy",
    "SigmoidBinaryCrossEntropy",
    "SigmoidBinaryFocal",
    "SoftmaxCrossEntropy",
    "SoftmaxFocal",
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
        return 0.0 - namespace(z).sum(_times(cost.smoothed(y), _log_shares(z)), axis=-1)  # type: ignore[no-any-return]

    def delta(self, cost: Cost, z: Array, a: Array, y: Array) -> Array:
        """Return a sum_j y'_j - y'."""
        y = cost.smoothed(y)
        return a * namespace(y).sum(y, axis=-1, keepdims=True) - y  # type: ignore[no-any-return]


@register_pair
class OrdinalCrossEntropy(FusedPair):
    """Ordinal with cross-entropy: C_x = -sum_j y'_j ln(sigmoid(u_{j+1}) - sigmoid(u_j)).

    The likelihood of the cumulative logit model (McCullagh 1980). dC_da_j a_j = -y'_j, which is all that the
    activation's backward pass needs, so delta is finite where a_j is 0.
    """

    activation: ClassVar[str] = "ordinal"
    cost: ClassVar[str] = "cross_entropy"
    formula: ClassVar[str] = "delta = -sum_j y'_j d(ln a_j)/dz"

    def value(self, cost: Cost, z: Array, y: Array) -> Array:
        """Return -sum_j y'_j ln a_j, each logarithm without cancellation."""
        each = _times(cost.smoothed(y), log_class_probabilities(z))
        return 0.0 - namespace(z).sum(each, axis=-1)  # type: ignore[no-any-return]

    def delta(self, cost: Cost, z: Array, a: Array, y: Array) -> Array:
        """Return ∂C_x/∂z from ∂C_x/∂(ln a_j) = -y'_j."""
        return through_margins(z, -cost.smoothed(y))


@register_pair
class SoftmaxFocal(FusedPair):
    """Softmax with the focal cost: C_x = -sum_j y_j (1 - a_j)^g log_softmax(z)_j.

    With G_j = dC_da_j a_j = y_j (1 - a_j)^g (g a_j ln a_j / (1 - a_j) - 1): delta_j = G_j - a_j sum_i G_i.
    """

    activation: ClassVar[str] = "softmax"
    cost: ClassVar[str] = "focal"
    formula: ClassVar[str] = "delta = G - a sum_i G_i, G = y (1 - a)^g (g a ln a / (1 - a) - 1)"

    def value(self, cost: Cost, z: Array, y: Array) -> Array:
        """Return -sum_j y_j (1 - a_j)^g ln a_j, with ln a from z."""
        xp, log_a, c = namespace(z), _log_shares(z), _gamma(cost)
        return 0.0 - xp.sum((0.0 - xp.expm1(log_a)) ** c * _times(y, log_a), axis=-1)  # type: ignore[no-any-return]

    def delta(self, cost: Cost, z: Array, a: Array, y: Array) -> Array:
        """Return G_j - a_j sum_i G_i."""
        xp, log_a = namespace(z), _log_shares(z)
        G = y * _focal_slope(a, 0.0 - xp.expm1(log_a), log_a, _gamma(cost))
        return G - a * xp.sum(G, axis=-1, keepdims=True)  # type: ignore[no-any-return]


@register_pair
class SigmoidBinaryFocal(FusedPair):
    """Sigmoid with the binary focal cost.

    With p = sigmoid(z) and q = sigmoid(-z) = 1 - p:
    delta = y q^g (g p ln p - q) - (1 - y) p^g (g q ln q - p).
    """

    activation: ClassVar[str] = "sigmoid"
    cost: ClassVar[str] = "binary_focal"
    formula: ClassVar[str] = "delta = y q^g (g p ln p - q) - (1 - y) p^g (g q ln q - p), p = a, q = 1 - a"

    def value(self, cost: Cost, z: Array, y: Array) -> Array:
        """Return -sum_j (y q^g ln p + (1 - y) p^g ln q), with both logarithms from z."""
        g = _gamma(cost)
        each = expit(-z) ** g * _times(y, log_sigmoid(z)) + expit(z) ** g * _times(1.0 - y, log_sigmoid(-z))
        return 0.0 - namespace(z).sum(each, axis=-1)  # type: ignore[no-any-return]

    def delta(self, cost: Cost, z: Array, a: Array, y: Array) -> Array:
        """Return y q^g (g p ln p - q) - (1 - y) p^g (g q ln q - p)."""
        p, q, g = expit(z), expit(-z), _gamma(cost)
        up = q * _focal_slope(p, q, log_sigmoid(z), g)
        down = p * _focal_slope(q, p, log_sigmoid(-z), g)
        return y * up - (1.0 - y) * down  # type: ignore[no-any-return]


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


def _log_shares(z: Array) -> Array:
    """Return ln softmax(z), -inf where a share is impossible because a z is infinite."""
    xp, log_a = namespace(z), log_softmax(z)
    # log_softmax lets an infinite z count as a quarter of the largest number; its cost is infinite.
    impossible = real_part(log_a) < -float(xp.finfo(z.dtype).max) / 8.0
    return xp.where(impossible, -xp.inf, log_a)  # type: ignore[no-any-return]


def _gamma(cost: Cost) -> float:
    return cost.gamma  # type: ignore[attr-defined, no-any-return]  # only the focal costs come here


def _focal_slope(a: Array, d: Array, log_a: Array, gamma: float) -> Array:
    """Return d^g (g a ln a / d - 1), where d = 1 - a: the slope of -d^g ln a by ln a.

    As a goes to 1 the quotient ln a / d goes to -1; as a goes to 0, a ln a goes to 0 (a itself may stay at
    the smallest number).
    """
    xp = namespace(a)
    each: Any = d**gamma
    if gamma:  # g ln a is 0 for g = 0
        sure = d == 0
        product = a * xp.where(log_a == -xp.inf, 0.0, log_a)
        ratio = xp.where(sure, -1.0, product / xp.where(sure, 1.0, d))
        return each * (gamma * ratio - 1.0)  # type: ignore[no-any-return]
    return 0.0 - each  # type: ignore[no-any-return]
