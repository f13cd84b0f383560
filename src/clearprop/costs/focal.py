"""Focal costs: cross-entropies in which examples that are already right count for little.

With gamma = 0 they are the cross-entropies themselves.
"""

from __future__ import annotations

from typing import Any, ClassVar

from clearprop.arrays import Array, namespace
from clearprop.checks import check_number
from clearprop.costs.base import ElementwiseCost, divide, register, xlogy
from clearprop.registry import description

__all__ = ["BinaryFocal", "Focal"]


@register()
@description
class Focal(ElementwiseCost):
    """C_x = -sum_j y_j (1 - a_j)^g ln a_j: the sum over k classes; a and y are distributions over them.

    The factor (1 - a)^g takes weight from examples whose class is found already, so that rare and hard ones
    are heard; for classes that are merely rare, class weights in fit are the plainer way, and the two go
    together. It makes probabilities too modest: a = y does not cost least unless y is one class, so
    calibrate before reading them as probabilities.
    dC_da = y (1 - a)^g (g ln a / (1 - a) - 1/a).
    Parameters: `gamma`, g >= 0.
    Source: Lin et al. (2017), Focal loss for dense object detection, equation 4, for k classes.

    >>> import numpy as np
    >>> a, y = np.array([[0.25, 0.5, 0.25]]), np.array([[0.0, 1.0, 0.0]])
    >>> Focal(2.0).value(a, y), Focal(2.0).dC_da(a, y)
    (array([0.1732868]), array([[ 0.        , -1.19314718,  0.        ]]))
    """

    name: ClassVar[str] = "focal"
    formula: ClassVar[str] = "-sum_j y_j * (1 - a_j)^g * ln a_j"
    targets: ClassVar[str] = "distribution"
    outputs: ClassVar[str] = "distribution"
    default_output_activation: ClassVar[str] = "softmax"
    least_at_target: ClassVar[bool] = False
    gamma: float = 2.0

    def __post_init__(self) -> None:
        check_number(self, "gamma", at_least=0)

    def c(self, a: Array, y: Array) -> Array:
        """Return -y (1 - a)^g ln a, with 0 ln 0 = 0."""
        return 0.0 - _cost(y, a, 1.0 - a, self.gamma)

    def dc(self, a: Array, y: Array) -> Array:
        """Return y (1 - a)^g (g ln a / (1 - a) - 1/a), with 0/0 = 0."""
        return _slope(y, a, 1.0 - a, self.gamma)


@register()
@description
class BinaryFocal(ElementwiseCost):
    """C_x = -sum_j (y_j (1 - a_j)^g ln a_j + (1 - y_j) a_j^g ln(1 - a_j)): the sum over the outputs.

    `Focal` for labels that need not exclude one another, and for two classes with one sigmoid output.
    dC_da = y (1 - a)^g (g ln a / (1 - a) - 1/a) - (1 - y) a^g (g ln(1 - a) / a - 1/(1 - a)).
    Parameters: `gamma`, g >= 0.
    Source: Lin et al. (2017), Focal loss for dense object detection, equation 4.

    >>> import numpy as np
    >>> a, y = np.array([[0.5, 0.75]]), np.array([[1.0, 0.0]])
    >>> BinaryFocal(2.0).value(a, y), BinaryFocal(2.0).dC_da(a, y)
    (array([0.95307737]), array([[-1.19314718,  4.32944154]]))
    """

    name: ClassVar[str] = "binary_focal"
    formula: ClassVar[str] = "-sum_j (y_j * (1 - a_j)^g * ln a_j + (1 - y_j) * a_j^g * ln(1 - a_j))"
    targets: ClassVar[str] = "probability"
    outputs: ClassVar[str] = "probability"
    default_output_activation: ClassVar[str] = "sigmoid"
    least_at_target: ClassVar[bool] = False
    gamma: float = 2.0

    def __post_init__(self) -> None:
        check_number(self, "gamma", at_least=0)

    def c(self, a: Array, y: Array) -> Array:
        """Return -(y (1 - a)^g ln a + (1 - y) a^g ln(1 - a)), with 0 ln 0 = 0."""
        d = 1.0 - a
        return 0.0 - (_cost(y, a, d, self.gamma) + _cost(1.0 - y, d, a, self.gamma))

    def dc(self, a: Array, y: Array) -> Array:
        """Return the slope that the class states, with 0/0 = 0."""
        d = 1.0 - a
        return _slope(y, a, d, self.gamma) - _slope(1.0 - y, d, a, self.gamma)


def _cost(y: Array, a: Array, d: Array, gamma: float) -> Array:
    """Return y d^g ln a, where d = 1 - a."""
    each: Any = d**gamma * xlogy(y, a)
    return each  # type: ignore[no-any-return]


def _slope(y: Array, a: Array, d: Array, gamma: float) -> Array:
    """Return the derivative of -y d^g ln a by a, where d = 1 - a: d^g (g y ln a / d - y / a)."""
    steepness: Any = divide(y, a)
    if gamma:  # g ln a is 0 for g = 0, also where ln a is infinite
        xp, none = namespace(a), d == 0
        steepness = steepness - gamma * xp.where(none, -y, xlogy(y, a) / xp.where(none, 1.0, d))
    return 0.0 - d**gamma * steepness  # type: ignore[no-any-return]
