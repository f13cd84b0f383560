"""The rectifiers: elementwise activations that keep positive z and damp negative z.

Each states f and f' once. A factor that would make 0 * inf at an infinite z is held at a finite
number, `FAR`, beyond which the other factor has settled.
"""

from __future__ import annotations

import math
from typing import ClassVar

from clearprop.activations.base import ActivationFunction, activations
from clearprop.arrays import (
    Array,
    at_least,
    at_most,
    clip,
    expit,
    magnitude,
    namespace,
    normal_cdf,
    real_part,
    softplus,
)
from clearprop.checks import check_number
from clearprop.registry import description

__all__ = ["ELU", "GELU", "SELU", "GELUTanh", "LeakyReLU", "Mish", "ReLU", "SiLU", "Softplus"]

FAR = 1e3


@activations.register()
@description
class ReLU(ActivationFunction):
    """f(z) = max(0, z), the rectified linear unit (Nair and Hinton, 2010). f'(0) is taken as 0.

    >>> import numpy as np
    >>> ReLU().f(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """

    name: ClassVar[str] = "relu"
    formula: ClassVar[str] = "max(0, z)"
    derivative: ClassVar[str] = "1 if z > 0 else 0"
    kinks = (0.0,)
    limits = (0.0, math.inf)
    initializer = "he_normal"
    gain = math.sqrt(2.0)

    def f(self, z: Array) -> Array:
        """Return max(0, z)."""
        return at_least(z, 0.0)

    def df(self, z: Array, a: Array) -> Array:
        """Return 1 where z > 0, else 0."""
        slope: Array = namespace(z).asarray(real_part(z) > 0, dtype=z.dtype)
        return slope


@activations.register()
@description
class LeakyReLU(ActivationFunction):
    """f(z) = z for z > 0, else s z: ReLU with a small slope s on the left (Maas, Hannun, Ng, 2013).

    Parameters: `negative_slope` s > 0 (for 0, use relu). f'(0) is taken as s.

    >>> import numpy as np
    >>> LeakyReLU(0.1).f(np.array([-1.0, 2.0]))
    array([-0.1,  2. ])
    """

    name: ClassVar[str] = "leaky_relu"
    formula: ClassVar[str] = "z if z > 0 else negative_slope * z"
    derivative: ClassVar[str] = "1 if z > 0 else negative_slope"
    initializer = "he_normal"
    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        check_number(self, "negative_slope", above=0)

    @property
    def kinks(self) -> tuple[float, ...]:
        """0, unless the slopes are equal."""
        return () if self.negative_slope == 1.0 else (0.0,)

    @property
    def gain(self) -> float:
        """sqrt(2 / (1 + s^2))."""
        return math.sqrt(2.0 / (1.0 + self.negative_slope**2))

    def f(self, z: Array) -> Array:
        """Return z where z > 0, else s z."""
        a: Array = namespace(z).where(real_part(z) > 0, z, self.negative_slope * z)
        return a

    def df(self, z: Array, a: Array) -> Array:
        """Return 1 where z > 0, else s."""
        xp = namespace(z)
        slope: Array = xp.asarray(xp.where(real_part(z) > 0, 1.0, self.negative_slope), dtype=z.dtype)
        return slope


@activations.register()
@description
class ELU(ActivationFunction):
    """f(z) = z for z > 0, else alpha (exp(z) - 1) (Clevert, Unterthiner, Hochreiter, 2015).

    Parameters: `alpha` > 0; only for 1 is f' continuous. f'(0) is taken as alpha.

    >>> import numpy as np
    >>> ELU().f(np.array([-1.0, 0.0, 2.0]))
    array([-0.63212056,  0.        ,  2.        ])
    """

    name: ClassVar[str] = "elu"
    formula: ClassVar[str] = "z if z > 0 else alpha * (exp(z) - 1)"
    derivative: ClassVar[str] = "1 if z > 0 else a + alpha"
    initializer = "he_normal"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "alpha", above=0)

    @property
    def kinks(self) -> tuple[float, ...]:
        """0, unless alpha is 1."""
        return () if self.alpha == 1.0 else (0.0,)

    @property
    def limits(self) -> tuple[float, float]:
        """-alpha and infinity."""
        return (-self.alpha, math.inf)

    @property
    def gain(self) -> float:
        """1 / sqrt(1/2 + alpha^2 E[(exp(Z) - 1)^2, Z < 0])."""
        return 1.0 / math.sqrt(0.5 + 0.144945417492923863 * self.alpha**2)

    def f(self, z: Array) -> Array:
        """Return z where z > 0, else alpha (exp(z) - 1)."""
        return _elu(z, 1.0, self.alpha)

    def df(self, z: Array, a: Array) -> Array:
        """Return 1 where z > 0, else alpha exp(z)."""
        return _elu_slope(z, 1.0, self.alpha)


def _elu(z: Array, right: float, left: float) -> Array:
    xp = namespace(z)
    a: Array = xp.where(real_part(z) > 0, right * z, left * xp.expm1(at_most(z, 0.0)))
    return a


def _elu_slope(z: Array, right: float, left: float) -> Array:
    xp = namespace(z)  # not a + left, which would cancel in the tail
    slope: Array = xp.where(real_part(z) > 0, right, left * xp.exp(at_most(z, 0.0)))
    return slope


SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


@activations.register()
@description
class SELU(ActivationFunction):
    """f(z) = 1.0507 z for z > 0, else 1.0507 * 1.6733 (exp(z) - 1): the self-normalising ELU.

    The constants make mean 0 and variance 1 a fixed point from layer to layer, with weights of
    variance 1/n_in (Klambauer, Unterthiner, Mayr, Hochreiter, 2017). f'(0) is the left slope, 1.7581.

    >>> import numpy as np
    >>> SELU().f(np.array([-1.0, 0.0, 2.0]))
    array([-1.11133074,  0.        ,  2.10140197])
    """

    name: ClassVar[str] = "selu"
    formula: ClassVar[str] = "1.0507 * (z if z > 0 else 1.6733 * (exp(z) - 1))"
    derivative: ClassVar[str] = "1.0507 if z > 0 else a + 1.7581"
    kinks = (0.0,)
    limits = (-SELU_SCALE * SELU_ALPHA, math.inf)
    initializer = "lecun_normal"

    def f(self, z: Array) -> Array:
        """Return 1.0507 z where z > 0, else 1.7581 (exp(z) - 1)."""
        return _elu(z, SELU_SCALE, SELU_SCALE * SELU_ALPHA)

    def df(self, z: Array, a: Array) -> Array:
        """Return 1.0507 where z > 0, else 1.7581 exp(z)."""
        return _elu_slope(z, SELU_SCALE, SELU_SCALE * SELU_ALPHA)


@activations.register()
@description
class GELU(ActivationFunction):
    """f(z) = z Phi(z), Phi the standard normal distribution function (Hendrycks and Gimpel, 2016), exact.

    >>> import numpy as np
    >>> GELU().f(np.array([-1.0, 0.0, 1.0]))
    array([-0.15865525,  0.        ,  0.84134475])
    """

    name: ClassVar[str] = "gelu"
    formula: ClassVar[str] = "z * (1 + erf(z / sqrt(2))) / 2"
    derivative: ClassVar[str] = "(1 + erf(z / sqrt(2))) / 2 + z * exp(-z^2 / 2) / sqrt(2 pi)"
    limits = (0.0, math.inf)
    initializer = "he_normal"
    gain = 1.53353044119523553

    def f(self, z: Array) -> Array:
        """Return z Phi(z)."""
        return at_least(z, -FAR) * normal_cdf(z)

    def df(self, z: Array, a: Array) -> Array:
        """Return Phi(z) + z phi(z), phi the standard normal density; Phi is read back from a."""
        xp = namespace(z)
        near = clip(z, -FAR, FAR)
        tiny = xp.abs(z) < 1e-30
        cdf = xp.where(tiny, 0.5, at_most(a, FAR) / xp.where(tiny, 1.0, near))
        slope: Array = cdf + near * (xp.exp(-0.5 * near * near) * (1.0 / math.sqrt(2.0 * math.pi)))
        return slope


GELU_RATE = 2.0 * math.sqrt(2.0 / math.pi)
GELU_CUBIC = 0.044715


@activations.register()
@description
class GELUTanh(ActivationFunction):
    """f(z) = z (1 + tanh(u)) / 2, u = sqrt(2/pi) (z + 0.044715 z^3): the tanh form of GELU.

    Hendrycks and Gimpel, 2016. Computed as z sigma(2u), which is the same and does not cancel
    for negative z. It differs from `gelu` by at most 0.0005.

    >>> import numpy as np
    >>> GELUTanh().f(np.array([-1.0, 0.0, 1.0]))
    array([-0.15880801,  0.        ,  0.84119199])
    """

    name: ClassVar[str] = "gelu_tanh"
    formula: ClassVar[str] = "z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z^3)))"
    derivative: ClassVar[str] = (
        "s + z * s * (1 - s) * 2 sqrt(2 / pi) * (1 + 0.134145 * z^2), s = a / z = sigma(2 u)"
    )
    limits = (0.0, math.inf)
    initializer = "he_normal"
    gain = 1.53358052166614692

    def f(self, z: Array) -> Array:
        """Return z sigma(2u)."""
        near = clip(z, -FAR, FAR)
        return at_least(z, -FAR) * expit(GELU_RATE * near * (1.0 + GELU_CUBIC * near * near))

    def df(self, z: Array, a: Array) -> Array:
        """Return s + z s (1 - s) 2 du/dz, s = sigma(2u)."""
        near = clip(z, -FAR, FAR)
        square = near * near
        u2 = GELU_RATE * near * (1.0 + GELU_CUBIC * square)
        return expit(u2) + near * _expit_slope(u2) * (GELU_RATE * (1.0 + 3.0 * GELU_CUBIC * square))


def _expit_slope(z: Array) -> Array:
    """Return sigma(z) (1 - sigma(z)) = e / (1 + e)^2, e = exp(-|z|), accurate in both tails."""
    e: Array = namespace(z).exp(-magnitude(z))
    r: Array = 1.0 / (1.0 + e)
    return e * r * r


@activations.register("swish")
@description
class SiLU(ActivationFunction):
    """f(z) = z sigma(z) (Elfwing, Uchibe, Doya, 2017; as swish: Ramachandran, Zoph, Le, 2017).

    >>> import numpy as np
    >>> SiLU().f(np.array([-1.0, 0.0, 1.0]))
    array([-0.26894142,  0.        ,  0.73105858])
    """

    name: ClassVar[str] = "silu"
    formula: ClassVar[str] = "z / (1 + exp(-z))"
    derivative: ClassVar[str] = "s + z * s * (1 - s), s = 1 / (1 + exp(-z))"
    limits = (0.0, math.inf)
    initializer = "he_normal"
    gain = 1.67653247033109116

    def f(self, z: Array) -> Array:
        """Return z sigma(z)."""
        return at_least(z, -FAR) * expit(z)

    def df(self, z: Array, a: Array) -> Array:
        """Return sigma(z) + z sigma(z) (1 - sigma(z))."""
        slope: Array = expit(z) + clip(z, -FAR, FAR) * _expit_slope(z)
        return slope


@activations.register()
@description
class Mish(ActivationFunction):
    """f(z) = z tanh(softplus(z)) (Misra, 2019).

    With e = exp(z) and m = e (e + 2), tanh(ln(1 + e)) = m / (m + 2): one exponential, no cancellation.

    >>> import numpy as np
    >>> Mish().f(np.array([-1.0, 0.0, 1.0]))
    array([-0.30340146,  0.        ,  0.86509839])
    """

    name: ClassVar[str] = "mish"
    formula: ClassVar[str] = "z * tanh(ln(1 + exp(z)))"
    derivative: ClassVar[str] = "t + z * (1 - t^2) / (1 + exp(-z)), t = tanh(ln(1 + exp(z)))"
    limits = (0.0, math.inf)
    initializer = "he_normal"
    gain = 1.4868475812732081
    ONE_FROM: ClassVar[float] = 20.0
    """z from which t is 1 to the last bit of float64, while exp(z)^4 is finite in float32."""

    def f(self, z: Array) -> Array:
        """Return z m / (m + 2)."""
        e = namespace(z).exp(at_most(z, self.ONE_FROM))
        m = e * (e + 2.0)
        a: Array = at_least(z, -FAR) * (m / (m + 2.0))
        return a

    def df(self, z: Array, a: Array) -> Array:
        """Return m / (m + 2) + 4 z e (1 + e) / (m + 2)^2."""
        near = clip(z, -FAR, self.ONE_FROM)
        e = namespace(z).exp(near)
        m = e * (e + 2.0)
        r = 1.0 / (m + 2.0)
        slope: Array = r * (m + 4.0 * near * (e * (1.0 + e) * r))
        return slope


@activations.register()
@description
class Softplus(ActivationFunction):
    """f(z) = ln(1 + exp(z)), a smooth ReLU whose slope is the sigmoid (Dugas et al., 2001).

    >>> import numpy as np
    >>> Softplus().f(np.array([-1.0, 0.0, 1.0]))
    array([0.31326169, 0.69314718, 1.31326169])
    """

    name: ClassVar[str] = "softplus"
    formula: ClassVar[str] = "ln(1 + exp(z))"
    derivative: ClassVar[str] = "1 - exp(-a)"
    limits = (0.0, math.inf)
    initializer = "he_normal"
    gain = 1.04186683553530171

    def f(self, z: Array) -> Array:
        """Return ln(1 + exp(z))."""
        return softplus(z)

    def df(self, z: Array, a: Array) -> Array:
        """Return sigma(z) = 1 - exp(-a)."""
        slope: Array = -namespace(z).expm1(-a)
        return slope
