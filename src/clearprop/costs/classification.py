"""Costs of classifiers: binary and categorical cross-entropy, hinge and squared hinge.

They are written ``0.0 - x`` rather than ``-x`` so that a perfect answer costs 0, not -0.
"""

from __future__ import annotations

from typing import ClassVar

from clearprop.arrays import Array, at_least, namespace, real_part
from clearprop.checks import check_number
from clearprop.costs.base import ElementwiseCost, divide, register, xlogy
from clearprop.registry import description

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "Hinge", "SquaredHinge"]


@register("bce")
@description
class BinaryCrossEntropy(ElementwiseCost):
    """C_x = -sum_j (y_j ln a_j + (1 - y_j) ln(1 - a_j)): the sum over the outputs (Nielsen, equation 63).

    Each output is the probability of a label of its own; labels need not exclude one another.
    dC_da = (1 - y)/(1 - a) - y/a. With a sigmoid output, delta = a - y.
    Parameters: `label_smoothing`, s in [0, 1): y is replaced by y' = (1 - s) y + s/2.

    >>> import numpy as np
    >>> a, y = np.array([[0.5, 0.75]]), np.array([[1.0, 0.0]])
    >>> BinaryCrossEntropy().value(a, y), BinaryCrossEntropy().dC_da(a, y)
    (array([2.07944154]), array([[-2.,  4.]]))
    """

    name: ClassVar[str] = "binary_cross_entropy"
    formula: ClassVar[str] = "-sum_j (y_j * ln a_j + (1 - y_j) * ln(1 - a_j))"
    targets: ClassVar[str] = "probability"
    outputs: ClassVar[str] = "probability"
    default_output_activation: ClassVar[str] = "sigmoid"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "label_smoothing", at_least=0, below=1)

    def smoothed(self, y: Array) -> Array:
        """Return y' = (1 - s) y + s/2."""
        s = self.label_smoothing
        return (1.0 - s) * y + s / 2.0 if s else y

    def c(self, a: Array, y: Array) -> Array:
        """Return -(y ln a + (1 - y) ln(1 - a)), with 0 ln 0 = 0."""
        return 0.0 - (xlogy(y, a) + xlogy(1.0 - y, 1.0 - a))

    def dc(self, a: Array, y: Array) -> Array:
        """Return (1 - y)/(1 - a) - y/a, with 0/0 = 0."""
        return divide(1.0 - y, 1.0 - a) - divide(y, a)


@register("categorical_cross_entropy")
@description
class CrossEntropy(ElementwiseCost):
    """C_x = -sum_j y_j ln a_j: the sum over the outputs; a and y are distributions over k classes.

    The negative log-likelihood of the true class if y is one-hot; y may be any distribution.
    dC_da = -y/a. With a softmax output, delta = a - y.
    Parameters: `label_smoothing`, s in [0, 1): y is replaced by y' = (1 - s) y + s/k.

    >>> import numpy as np
    >>> a, y = np.array([[0.25, 0.5, 0.25]]), np.array([[0.0, 1.0, 0.0]])
    >>> CrossEntropy().value(a, y), CrossEntropy().dC_da(a, y)
    (array([0.69314718]), array([[ 0., -2.,  0.]]))
    """

    name: ClassVar[str] = "cross_entropy"
    formula: ClassVar[str] = "-sum_j y_j * ln a_j"
    targets: ClassVar[str] = "distribution"
    outputs: ClassVar[str] = "distribution"
    default_output_activation: ClassVar[str] = "softmax"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "label_smoothing", at_least=0, below=1)

    def smoothed(self, y: Array) -> Array:
        """Return y' = (1 - s) y + s/k."""
        s = self.label_smoothing
        return (1.0 - s) * y + s / y.shape[-1] if s else y

    def c(self, a: Array, y: Array) -> Array:
        """Return -y ln a, with 0 ln 0 = 0."""
        return 0.0 - xlogy(y, a)

    def dc(self, a: Array, y: Array) -> Array:
        """Return -y/a, with 0/0 = 0."""
        return 0.0 - divide(y, a)


@register()
@description
class Hinge(ElementwiseCost):
    """C_x = sum_j max(0, 1 - y_j a_j): the sum over the outputs, for targets y_j of -1 or +1.

    dC_da = -y where the margin y a is below 1, else 0. The outputs are scores, not probabilities.

    >>> import numpy as np
    >>> a, y = np.array([[0.5, 3.0]]), np.array([[-1.0, 1.0]])
    >>> Hinge().value(a, y), Hinge().dC_da(a, y)
    (array([1.5]), array([[1., 0.]]))
    """

    name: ClassVar[str] = "hinge"
    formula: ClassVar[str] = "sum_j max(0, 1 - y_j a_j)"
    targets: ClassVar[str] = "sign"
    smooth: ClassVar[bool] = False

    def c(self, a: Array, y: Array) -> Array:
        """Return max(0, 1 - y a)."""
        return _missing(a, y)

    def dc(self, a: Array, y: Array) -> Array:
        """Return -y where y a < 1, else 0."""
        return 0.0 - y * namespace(a).sign(real_part(_missing(a, y)))  # type: ignore[no-any-return]

    def kinks(self, a: Array, y: Array) -> Array:
        """Return min_j |1 - y_j a_j|: for y of -1 or +1 the distance of a from the margin."""
        xp = namespace(a)
        return xp.min(xp.abs(1.0 - y * real_part(a)), axis=-1)  # type: ignore[no-any-return]


@register()
@description
class SquaredHinge(ElementwiseCost):
    """C_x = sum_j max(0, 1 - y_j a_j)^2: the sum over the outputs, for targets y_j of -1 or +1.

    dC_da = -2 y max(0, 1 - y a): the hinge without its kink.

    >>> import numpy as np
    >>> a, y = np.array([[0.5, 3.0]]), np.array([[-1.0, 1.0]])
    >>> SquaredHinge().value(a, y), SquaredHinge().dC_da(a, y)
    (array([2.25]), array([[3., 0.]]))
    """

    name: ClassVar[str] = "squared_hinge"
    formula: ClassVar[str] = "sum_j max(0, 1 - y_j a_j)^2"
    targets: ClassVar[str] = "sign"

    def c(self, a: Array, y: Array) -> Array:
        """Return max(0, 1 - y a)^2."""
        missing = _missing(a, y)
        return missing * missing

    def dc(self, a: Array, y: Array) -> Array:
        """Return -2 y max(0, 1 - y a)."""
        return 0.0 - 2.0 * y * _missing(a, y)


def _missing(a: Array, y: Array) -> Array:
    """Return max(0, 1 - y a), what the margin lacks; for complex a by its real part."""
    return at_least(1.0 - y * a, 0.0)
