"""Costs of real outputs: quadratic, mean squared and absolute error, Huber, log-cosh, pinball, Poisson.

Throughout d_j = a_j - y_j, and k is the number of outputs.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from clearprop.arrays import Array, at_most, clip, magnitude, namespace, real_part
from clearprop.checks import as_number, check_number
from clearprop.costs.base import ElementwiseCost, divide, register, xlogy
from clearprop.errors import OptionError, ShapeError
from clearprop.registry import description

__all__ = [
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Pinball",
    "Poisson",
    "Quadratic",
]


@register()
@description
class Quadratic(ElementwiseCost):
    """C_x = 1/2 ||a - y||^2, the sources' cost: the sum over the outputs (Nielsen, equation 26).

    dC_da = a - y.

    >>> import numpy as np
    >>> a, y = np.array([[1.0, 3.0]]), np.array([[0.0, 1.0]])
    >>> Quadratic().value(a, y), Quadratic().dC_da(a, y)
    (array([2.5]), array([[1., 2.]]))
    """

    name: ClassVar[str] = "quadratic"
    formula: ClassVar[str] = "1/2 * sum_j (a_j - y_j)^2"

    def c(self, a: Array, y: Array) -> Array:
        """Return 1/2 d^2."""
        d = a - y
        half_square: Array = 0.5 * d * d
        return half_square

    def dc(self, a: Array, y: Array) -> Array:
        """Return d."""
        return a - y


@register("mse")
@description
class MeanSquaredError(ElementwiseCost):
    """C_x = (1/k) sum_j (a_j - y_j)^2: the mean over the outputs.

    dC_da = (2/k) (a - y).

    >>> import numpy as np
    >>> a, y = np.array([[1.0, 3.0]]), np.array([[0.0, 1.0]])
    >>> MeanSquaredError().value(a, y), MeanSquaredError().dC_da(a, y)
    (array([2.5]), array([[1., 2.]]))
    """

    name: ClassVar[str] = "mean_squared_error"
    formula: ClassVar[str] = "1/k * sum_j (a_j - y_j)^2"
    reduction: ClassVar[str] = "mean"

    def c(self, a: Array, y: Array) -> Array:
        """Return d^2."""
        d = a - y
        square: Array = d * d
        return square

    def dc(self, a: Array, y: Array) -> Array:
        """Return 2 d."""
        slope: Array = 2.0 * (a - y)
        return slope


@register("mae")
@description
class MeanAbsoluteError(ElementwiseCost):
    """C_x = (1/k) sum_j |a_j - y_j|: the mean over the outputs. Its minimum is the median of y.

    dC_da = sign(a - y) / k, and 0 at a = y.

    >>> import numpy as np
    >>> a, y = np.array([[1.0, 3.0]]), np.array([[0.0, 6.0]])
    >>> MeanAbsoluteError().value(a, y), MeanAbsoluteError().dC_da(a, y)
    (array([2.]), array([[ 0.5, -0.5]]))
    """

    name: ClassVar[str] = "mean_absolute_error"
    formula: ClassVar[str] = "1/k * sum_j |a_j - y_j|"
    reduction: ClassVar[str] = "mean"
    smooth: ClassVar[bool] = False

    def c(self, a: Array, y: Array) -> Array:
        """Return |d|."""
        return magnitude(a - y)

    def dc(self, a: Array, y: Array) -> Array:
        """Return sign(d)."""
        return _sign(a - y)

    def kinks(self, a: Array, y: Array) -> Array:
        """Return min_j |d_j|."""
        return _nearest(a - y)


@register()
@description
class Huber(ElementwiseCost):
    """C_x = (1/k) sum_j of 1/2 d_j^2 while |d_j| <= t, else t (|d_j| - t/2): the mean over the outputs.

    dC_da = clip(d, -t, t) / k: squared error near the target, absolute error for outliers.
    Parameters: `threshold`, t > 0, in the units of y (Huber 1964).

    >>> import numpy as np
    >>> a, y = np.array([[0.5, 3.0]]), np.array([[0.0, 0.0]])
    >>> Huber(1.0).value(a, y), Huber(1.0).dC_da(a, y)
    (array([1.3125]), array([[0.25, 0.5 ]]))
    """

    name: ClassVar[str] = "huber"
    formula: ClassVar[str] = "1/k * sum_j (1/2 d_j^2 if |d_j| <= t else t (|d_j| - t/2)), d = a - y"
    reduction: ClassVar[str] = "mean"
    threshold: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "threshold", above=0)

    def c(self, a: Array, y: Array) -> Array:
        """Return d^2 / 2, or t (|d| - t/2) where |d| > t."""
        size = magnitude(a - y)
        near = at_most(size, self.threshold)
        # One formula for both branches, so that nothing overflows in the branch not taken.
        each: Array = near * (size - 0.5 * near)
        return each

    def dc(self, a: Array, y: Array) -> Array:
        """Return d clipped to [-t, t]."""
        return clip(a - y, -self.threshold, self.threshold)


@register()
@description
class LogCosh(ElementwiseCost):
    """C_x = (1/k) sum_j ln cosh(a_j - y_j): the mean over the outputs.

    dC_da = tanh(a - y) / k: about d^2/2 near the target and |d| - ln 2 far from it, and smooth.

    >>> import numpy as np
    >>> a, y = np.array([[0.0, 1000.0]]), np.array([[0.0, 0.0]])
    >>> LogCosh().value(a, y), LogCosh().dC_da(a, y)
    (array([499.65342641]), array([[0. , 0.5]]))
    """

    name: ClassVar[str] = "log_cosh"
    formula: ClassVar[str] = "1/k * sum_j ln cosh(a_j - y_j)"
    reduction: ClassVar[str] = "mean"

    def c(self, a: Array, y: Array) -> Array:
        """Return ln cosh d as ln(1 + 2 sinh^2(d/2)) for |d| < 1, else |d| + ln(1 + exp(-2|d|)) - ln 2."""
        xp = namespace(a)
        size = magnitude(a - y)
        small = real_part(size) < 1.0
        half_sinh = xp.sinh(0.5 * xp.where(small, size, 0.0))
        near = xp.log1p(2.0 * half_sinh * half_sinh)
        far = size + xp.log1p(xp.exp(-2.0 * size)) - math.log(2.0)
        return xp.where(small, near, far)  # type: ignore[no-any-return]

    def dc(self, a: Array, y: Array) -> Array:
        """Return tanh d."""
        return namespace(a).tanh(a - y)  # type: ignore[no-any-return]


@register()
@description
class Pinball(ElementwiseCost):
    """C_x = (1/k) sum_j max(q (y_j - a_j), (q - 1) (y_j - a_j)): the mean over the outputs.

    Its minimum is the q-quantile of y. dC_da = -q/k below the target, (1 - q)/k above it and 0 at it.
    Parameters: `quantile`, q in (0, 1), or one q per output, to predict several quantiles at once: y then is
    one number per example, (n,), which every output is compared with, or a target for each output. With the
    output activation "increasing" and rising quantiles the predictions cannot cross.
    Source: Koenker and Bassett 1978.

    >>> import numpy as np
    >>> a, y = np.array([[1.0, 1.0]]), np.array([[2.0, 0.0]])
    >>> Pinball(0.9).value(a, y), Pinball(0.9).dC_da(a, y)
    (array([0.5]), array([[-0.45,  0.05]]))
    """

    name: ClassVar[str] = "pinball"
    formula: ClassVar[str] = "1/k * sum_j max(q (y_j - a_j), (q - 1) (y_j - a_j))"
    reduction: ClassVar[str] = "mean"
    smooth: ClassVar[bool] = False
    quantile: float | tuple[float, ...] = 0.5

    def __post_init__(self) -> None:
        q: Any = self.quantile
        if isinstance(q, np.ndarray):
            q = q.tolist()
        checked: float | tuple[float, ...]
        if not isinstance(q, tuple | list):
            checked = as_number("quantile of Pinball", q, above=0, below=1)
        elif q:
            checked = tuple(
                as_number(f"quantile[{i}] of Pinball", each, above=0, below=1) for i, each in enumerate(q)
            )
        else:
            raise OptionError("quantile of Pinball is empty. Give one number, or one per output.")
        object.__setattr__(self, "quantile", checked)

    def c(self, a: Array, y: Array) -> Array:
        """Return q (y - a) where y > a, else (1 - q) (a - y)."""
        d = a - y
        return d * self._slope(d)

    def dc(self, a: Array, y: Array) -> Array:
        """Return -q where y > a, 1 - q where y < a, 0 where they are equal."""
        return self._slope(a - y)

    def kinks(self, a: Array, y: Array) -> Array:
        """Return min_j |d_j|."""
        return _nearest(a - y)

    @property
    def outputs_per_target(self) -> int:
        """The number of quantiles where there are several, else 1."""
        return len(self.quantile) if isinstance(self.quantile, tuple) else 1

    def check_activation(self, activation: str) -> None:
        """Raise `OptionError` unless the quantiles rise, where the outputs do."""
        q = self.quantile
        if activation == "increasing" and isinstance(q, tuple) and list(q) != sorted(q):
            raise OptionError(
                f"the outputs of 'increasing' rise, so the quantiles of Pinball must rise too. Got {q}; "
                f"give {tuple(sorted(q))}."
            )

    def check_targets(self, y: Array, *, name: str = "y") -> None:
        """Raise `ShapeError` unless y has one output per quantile; else as every cost."""
        self._q(y, f"{name} has")
        super().check_targets(y, name=name)

    def _slope(self, d: Array) -> Array:
        xp, q = namespace(d), self._q(d)
        sign = _sign(d)
        return xp.where(real_part(d) < 0, q * sign, (1.0 - q) * sign)  # type: ignore[no-any-return]

    def _q(self, a: Array, what: str = "the outputs or targets have") -> Array | float:
        if not isinstance(self.quantile, tuple):
            return self.quantile
        if a.shape[-1:] != (len(self.quantile),):
            raise ShapeError(
                f"pinball has {len(self.quantile)} quantiles, one per output, but {what} shape {a.shape}. "
                "Give as many quantiles as outputs, or one number."
            )
        return namespace(a).asarray(self.quantile, dtype=a.dtype)  # type: ignore[no-any-return]


@register()
@description
class Poisson(ElementwiseCost):
    """C_x = sum_j (a_j - y_j ln a_j): the sum over the outputs, for counts y >= 0 and rates a > 0.

    The negative log-likelihood of independent Poisson counts, without the constant ln y!.
    dC_da = 1 - y / a. With an exponential output, delta = a - y.

    >>> import numpy as np
    >>> a, y = np.array([[1.0, 2.0]]), np.array([[3.0, 0.0]])
    >>> Poisson().value(a, y), Poisson().dC_da(a, y)
    (array([3.]), array([[-2.,  1.]]))
    """

    name: ClassVar[str] = "poisson"
    formula: ClassVar[str] = "sum_j (a_j - y_j * ln a_j)"
    targets: ClassVar[str] = "count"
    outputs: ClassVar[str] = "positive"
    default_output_activation: ClassVar[str] = "exponential"

    def c(self, a: Array, y: Array) -> Array:
        """Return a - y ln a, with 0 ln 0 = 0."""
        # An infinite rate costs inf; the logarithm must not make that inf - inf.
        return a - xlogy(y, namespace(a).where(a == float("inf"), 1.0, a))

    def dc(self, a: Array, y: Array) -> Array:
        """Return 1 - y / a."""
        return 1.0 - divide(y, a)


def _sign(d: Array) -> Array:
    """Return the sign of the real part of d: -1, 0 or 1."""
    return namespace(d).sign(real_part(d))  # type: ignore[no-any-return]


def _nearest(d: Array) -> Array:
    xp = namespace(d)
    return xp.min(xp.abs(real_part(d)), axis=-1)  # type: ignore[no-any-return]
