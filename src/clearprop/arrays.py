"""Array namespaces: the same mathematics on NumPy and on ``jax.numpy``.

Layer, activation and cost formulas call ``xp = namespace(z)`` and use only functions of the
Python array API standard, so one source runs on every array library; what the standard lacks
(erf, expit, …) stands here as our own small functions. Complex arguments are allowed where
a function is smooth, because the complex-step check needs them; branches look at the real part.

Every function here keeps the dtype of its argument, overflows nowhere and raises no
floating-point warning, at infinities neither (complex arguments are meant to be finite).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

__all__ = [
    "Array",
    "at_least",
    "at_most",
    "clip",
    "constant",
    "distinct",
    "erf",
    "expit",
    "has_masked",
    "is_complex",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "magnitude",
    "matmul",
    "namespace",
    "normal_cdf",
    "real_part",
    "softmax",
    "softplus",
    "sum_examples",
]

# NumPy arrays for users of the library; any array-API array inside the mathematics.
Array = np.ndarray[Any, np.dtype[Any]]


def namespace(x: Any) -> Any:
    """Return the array namespace of `x`: `numpy`, ``jax.numpy``, …

    >>> namespace(np.ones(3)) is np
    True
    """
    if isinstance(x, np.ndarray | np.generic):
        return np
    return x.__array_namespace__()


def has_masked(values: Any) -> bool:
    """Return whether `values` is an array with masked entries.

    ``np.ma`` is loaded when it is first named, which takes as long as much of this library; where nobody has
    loaded it, nobody has masked anything.

    >>> has_masked(np.zeros(2)), has_masked(np.ma.masked_equal([1, 2], 2))
    (False, True)
    """
    masked = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(values, masked.MaskedArray) and bool(masked.is_masked(values))


def distinct(values: Array) -> Array:
    """Return the different values, sorted; there is no NaN among them.

    >>> distinct(np.array([3, 1, 3]))
    array([1, 3])
    """
    return np.unique(values, return_counts=True)[0]  # with counts: without, it loads np.ma (see `has_masked`)


@cache
def _largest(xp: Any, dtype: Any) -> float:
    """Return the largest finite number of a real or complex dtype."""
    return float(xp.finfo(dtype).max)


@cache
def _largest_exponent(xp: Any, dtype: Any) -> int:
    """Return the largest whole x for which exp(x) is finite: 709 in float64, 88 in float32."""
    return math.floor(math.log(_largest(xp, dtype)))


# Constants as arrays of no dimension: with a small array NumPy takes twice as long for a Python number.
_REAL = tuple(np.dtype(t) for t in (np.float32, np.float64))
_LOWEST_EXPONENT = {dtype: np.array(-_largest_exponent(np, dtype), dtype) for dtype in _REAL}


def matmul(x: Array, y: Array, out: Array | None = None) -> Array:
    """Return the product of two matrices, written into `out` where NumPy arrays are given one.

    >>> matmul(np.ones((1, 2)), np.ones((2, 1)))
    array([[2.]])
    """
    if type(x) is np.ndarray:
        return x.dot(y, out)  # the same product as x @ y, called up to a microsecond faster
    return x @ y if out is None else np.matmul(x, y, out=out)


def sum_examples(x: Array, out: Array | None = None) -> Array:
    """Return the sum over the first axis, written into `out` where a NumPy array is given.

    >>> sum_examples(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([4., 6.])
    """
    return namespace(x).sum(x, axis=0) if out is None else np.add.reduce(x, axis=0, out=out)


@lru_cache(maxsize=256)
def _constant(value: float, dtype: Any) -> Array:
    return np.array(value, dtype)


def constant(value: float, x: Array) -> Any:
    """Return a number in the form that computes fastest with x, whose dtype it does not change.

    >>> (constant(1.0, np.zeros(2, np.float32)) - np.zeros(2, np.float32)).dtype
    dtype('float32')
    """
    return _constant(value, x.dtype) if type(x) is np.ndarray else value


# Branches on the real part ---------------------------------------------------------------


def is_complex(x: Array) -> bool:
    """Tell whether x has a complex dtype.

    >>> is_complex(np.array([1j])), is_complex(np.array([1.0]))
    (True, False)
    """
    kind = getattr(x.dtype, "kind", None)  # ten times faster than isdtype, where the library has it
    return kind == "c" if kind else bool(namespace(x).isdtype(x.dtype, "complex floating"))


def real_part(x: Array) -> Array:
    """Return the real part of x: x itself unless it is complex. Branches look at this.

    >>> real_part(np.array([1 + 2j]))
    array([1.])
    """
    part: Array = namespace(x).real(x) if is_complex(x) else x
    return part


def at_least(z: Array, low: float) -> Array:
    """Return max(z, low); a complex z whose real part is below low becomes low. NaN stays NaN.

    >>> at_least(np.array([-2.0, 3.0]), 0.0)
    array([0., 3.])
    """
    xp = namespace(z)
    out: Array = xp.where(xp.real(z) < low, low, z) if is_complex(z) else xp.maximum(z, low)
    return out


def at_most(z: Array, high: float) -> Array:
    """Return min(z, high); a complex z whose real part is above high becomes high. NaN stays NaN.

    >>> at_most(np.array([-2.0, 3.0]), 0.0)
    array([-2.,  0.])
    """
    xp = namespace(z)
    out: Array = xp.where(xp.real(z) > high, high, z) if is_complex(z) else xp.minimum(z, high)
    return out


def clip(z: Array, low: float, high: float) -> Array:
    """Return z held between low and high, by the real part where z is complex.

    >>> clip(np.array([-2.0, 0.5, 3.0]), -1.0, 1.0)
    array([-1. ,  0.5,  1. ])
    """
    return at_most(at_least(z, low), high)


def magnitude(z: Array) -> Array:
    """Return |z|; for complex z its analytic continuation z * sign(Re z), not the modulus.

    >>> magnitude(np.array([-3 + 1j]))
    array([3.-1.j])
    """
    xp = namespace(z)
    out: Array = xp.where(xp.real(z) < 0, -z, z) if is_complex(z) else xp.abs(z)
    return out


# The logistic family ---------------------------------------------------------------------


def expit(z: Array) -> Array:
    """Return the logistic sigmoid 1 / (1 + exp(-z)), stable at both ends.

    This is the textbook's formula bit for bit wherever it does not overflow: only the exponent
    is held at the largest that the dtype can raise e to. So the relative error is a few units in
    the last place however negative z is; below z = -709 (-88 in float32) the result stays at a
    number smaller than the smallest normal one, 1e-308 (6e-39).

    >>> expit(np.array([-700.0, 0.0, 1000.0]))
    array([9.85967654e-305, 5.00000000e-001, 1.00000000e+000])
    """
    low = _LOWEST_EXPONENT.get(z.dtype)
    if low is not None and type(z) is np.ndarray and z.ndim:
        # The hot path of training: the same steps, no calls but NumPy's, and one new array.
        a: Array = np.maximum(z, low)
        np.exp(np.negative(a, a), a)
        one = _constant(1.0, z.dtype)
        a += one
        return np.divide(one, a, a)
    xp = namespace(z)
    out: Array = 1.0 / (1.0 + xp.exp(-at_least(z, -_largest_exponent(xp, z.dtype))))
    return out


def softplus(z: Array) -> Array:
    """Return ln(1 + exp(z)) = max(z, 0) + ln(1 + exp(-|z|)).

    >>> softplus(np.array([-1000.0, 0.0, 1000.0]))
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    xp = namespace(z)
    out: Array = at_least(z, 0.0) + xp.log1p(xp.exp(-magnitude(z)))
    return out


def log_sigmoid(z: Array) -> Array:
    """Return ln(1 / (1 + exp(-z))) = -softplus(-z).

    >>> log_sigmoid(np.array([-1000.0, 0.0]))
    array([-1.00000000e+03, -6.93147181e-01])
    """
    return -softplus(-z)


def _below_maximum(z: Array) -> Array:
    """Return z minus the maximum of its row; infinite z count as a quarter of the largest number."""
    xp = namespace(z)
    if not is_complex(z):
        big = _largest(xp, z.dtype) / 4.0  # so that inf - inf never occurs
        z = clip(z, -big, big)
    below: Array = z - xp.max(real_part(z), axis=-1, keepdims=True)
    return below


def logsumexp(z: Array) -> Array:
    """Return ln(sum_j exp(z_j)) over the last axis. z: (…, n); result: (…).

    >>> logsumexp(np.array([1000.0, 1000.0]))
    np.float64(1000.6931471805599)
    """
    xp = namespace(z)
    top = xp.max(real_part(z), axis=-1)
    out: Array = top + xp.log(xp.sum(xp.exp(_below_maximum(z)), axis=-1))
    return out


def log_softmax(z: Array) -> Array:
    """Return ln softmax(z)_j = z_j - logsumexp(z) over the last axis. z, result: (…, n).

    An infinite z_j counts as a quarter of the largest finite number, so that nothing becomes NaN
    and y_j * log_softmax(z)_j is 0 where y_j is.

    >>> log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    xp = namespace(z)
    below = _below_maximum(z)
    out: Array = below - xp.log(xp.sum(xp.exp(below), axis=-1, keepdims=True))
    return out


def softmax(z: Array) -> Array:
    """Return exp(z_j) / sum_i exp(z_i) over the last axis. z, result: (…, n).

    Infinite z_j of the same sign share equally, so a row of -inf gives 1/n each.

    >>> softmax(np.array([[0.0, 1000.0], [-np.inf, -np.inf]]))
    array([[0. , 1. ],
           [0.5, 0.5]])
    """
    xp = namespace(z)
    e = xp.exp(_below_maximum(z))
    out: Array = e / xp.sum(e, axis=-1, keepdims=True)
    return out


# The Gaussian family ---------------------------------------------------------------------

# -ln(erfc(x)) = x P(x) / Q(x) for x in [0, 28], beyond which erfc is 0 in float64. P and Q are a
# weighted minimax fit (Lawson's iteration in 60-digit arithmetic). The relative error is below
# 1.3e-17 (1 + (x/2)^3); every coefficient is positive, so nothing cancels.
ERFC_END = 28.0
ERFC_P = (
    1.128379167095512559,
    3.003969733178272259,
    3.842412744742258878,
    3.0504070383873611385,
    1.6434572073793846848,
    0.61988414234974551054,
    0.16319559515021211657,
    0.028945383927722324411,
    0.0031907701697266130436,
    0.00018658209729100381259,
    4.6326068579966094145e-6,
    3.3344263519018854141e-8,
)
ERFC_Q = (
    1.0,
    2.098009277239962636,
    2.1304948044431480906,
    1.3272156527320454374,
    0.54938078909724279191,
    0.1535226898902788586,
    0.028238248366649266181,
    0.0031685575668926971399,
    0.00018636900817043074512,
    4.6324835494861557169e-6,
    3.3344440797628927947e-8,
)
ERF_LARGEST_IMAGINARY = 4.0
ERF_TERMS = 21  # of the series in n, enough for |Im z| <= 4; n |Im z| <= 84 keeps cosh finite in float32


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Return sum_k c_k x^k by Horner's rule."""
    y: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        y = y * x + c
    out: Array = y
    return out


def _log_erfc(x: Array) -> Array:
    """Return ln(erfc(x)) for real x >= 0, held at x = 28."""
    x = at_most(x, ERFC_END)
    return -(x * _polynomial(ERFC_P, x) / _polynomial(ERFC_Q, x))


def erf(z: Array) -> Array:
    """Return the Gaussian error function, 2/sqrt(pi) * integral of exp(-t^2) from 0 to z.

    Real z: relative error below 1e-15 (a few units in the last place), from tiny z to infinity.
    Complex z: Abramowitz and Stegun 7.1.29, correct for |Im z| <= 4; NaN beyond.

    >>> erf(np.array([0.0, 1e-20, 1.0, -np.inf]))
    array([ 0.00000000e+00,  1.12837917e-20,  8.42700793e-01, -1.00000000e+00])
    >>> erf(np.array([1 + 1e-30j])).imag / 1e-30  # the complex step: 2/sqrt(pi) exp(-1)
    array([0.4151075])
    """
    xp = namespace(z)
    x = real_part(z)
    size = -xp.expm1(_log_erfc(xp.abs(x)))
    out: Array = xp.where(x < 0, -size, size)
    return out + _erf_off_axis(x, xp.imag(z)) if is_complex(z) else out


def normal_cdf(z: Array) -> Array:
    """Return Phi(z) = (1 + erf(z / sqrt 2)) / 2, the standard normal distribution function.

    The relative error is about z^2 units in the last place for negative z, so the lower tail is
    accurate too. Complex z: as `erf`, for |Im z| <= 5.6.

    >>> normal_cdf(np.array([-np.inf, -10.0, 0.0, 1.0]))
    array([0.00000000e+00, 7.61985302e-24, 5.00000000e-01, 8.41344746e-01])
    """
    xp = namespace(z)
    x = real_part(z)
    tail = 0.5 * xp.exp(_log_erfc(xp.abs(x) * math.sqrt(0.5)))
    out: Array = xp.where(x < 0, tail, 1.0 - tail)
    if is_complex(z):
        return out + 0.5 * _erf_off_axis(x * math.sqrt(0.5), xp.imag(z) * math.sqrt(0.5))
    return out


def _erf_off_axis(x: Array, y: Array) -> Array:
    """Return erf(x + iy) - erf(x). (Abramowitz and Stegun 7.1.29)."""
    xp = namespace(x)
    x = clip(x, -ERFC_END, ERFC_END)  # exp(-x^2) is 0 from there on
    y = xp.where(xp.abs(y) <= ERF_LARGEST_IMAGINARY, y, xp.nan)
    xy = x * y
    near = xp.abs(xy) < 1e-9  # there sin(2xy)/(2x) = y to the last bit, while x may be 0
    safe = xp.where(near, 1.0, x)
    cos, sin = xp.cos(2.0 * xy), xp.sin(2.0 * xy)
    re = xp.where(near, xy * y, xp.sin(xy) ** 2 / safe)
    im = xp.where(near, y, sin / (2.0 * safe))
    for n in range(1, ERF_TERMS + 1):
        cosh, sinh = xp.cosh(n * y), xp.sinh(n * y)
        weight = 2.0 * math.exp(-n * n / 4.0) / (n * n + 4.0 * x * x)
        re = re + weight * (2.0 * x * (1.0 - cosh * cos) + n * sinh * sin)
        im = im + weight * (2.0 * x * cosh * sin + n * sinh * cos)
    scale = xp.exp(-x * x) / math.pi
    out: Array = scale * re + 1j * (scale * im)
    return out
