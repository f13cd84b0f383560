"""Our own array functions: precision against scipy and mpmath, complex arguments, extremes, dtypes, JAX."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.special

from clearprop import arrays
from clearprop.arrays import (
    at_least,
    at_most,
    clip,
    erf,
    expit,
    is_complex,
    log_sigmoid,
    log_softmax,
    logsumexp,
    magnitude,
    namespace,
    normal_cdf,
    real_part,
    softmax,
    softplus,
)

POINTWISE = [erf, normal_cdf, expit, softplus, log_sigmoid, magnitude]
ROWS = [softmax, log_softmax, logsumexp]
STEP = 1e-30

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def relative(ours, exact):
    """Return the largest relative error, with an error of 0 where both are 0."""
    ours, exact = np.asarray(ours), np.asarray(exact)
    return np.max(np.abs(ours - exact) / np.where(exact == 0, 1.0, np.abs(exact)))


# Precision -------------------------------------------------------------------------------


def test_erf_to_a_few_units_in_the_last_place():
    tiny_to_large = np.logspace(-307, 1.5, 3000)
    z = np.concatenate([tiny_to_large, -tiny_to_large, np.linspace(-6.5, 6.5, 20_001)])
    assert relative(erf(z), scipy.special.erf(z)) < 1e-15


@pytest.mark.parametrize("z", [1e-300, 1e-8, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 5.9])
def test_erf_against_many_digits(z):
    assert abs(erf(np.array([z]))[0] / float(mpmath.erf(z)) - 1) < 5e-16


def test_published_values_of_erf():
    # Abramowitz and Stegun, table 7.1
    np.testing.assert_allclose(
        erf(np.array([0.5, 1.0, 1.5])), [0.5204998778, 0.8427007929, 0.9661051465], atol=5e-11
    )


def test_normal_cdf_is_accurate_in_the_lower_tail():
    z = np.linspace(-37.0, 9.0, 400)
    exact = np.array([float(mpmath.ncdf(mpmath.mpf(float(v)))) for v in z])
    error = np.abs(normal_cdf(z) / exact - 1)
    assert np.max(error / np.maximum(1.0, z * z)) < 2e-14
    assert np.max(error[z > -9]) < 5e-14
    assert np.max(error[z > -1]) < 1e-15


def test_erf_is_odd_and_complements():
    z = np.linspace(0, 8, 500)
    np.testing.assert_array_equal(erf(-z), -erf(z))
    np.testing.assert_allclose(normal_cdf(z) + normal_cdf(-z), 1.0, rtol=3e-16)


@pytest.mark.parametrize(
    ("ours", "exact"),
    [
        (expit, lambda z: 1 / (1 + mpmath.exp(-z))),
        (softplus, lambda z: mpmath.log1p(mpmath.exp(z))),
        (log_sigmoid, lambda z: -mpmath.log1p(mpmath.exp(-z))),
    ],
    ids=["expit", "softplus", "log_sigmoid"],
)
def test_logistic_family_against_many_digits(ours, exact):
    z = np.concatenate([np.linspace(-700, 700, 141), np.linspace(-5, 5, 101)])
    with mpmath.workdps(400):  # 1 + exp(-700) needs them
        values = np.array([float(exact(mpmath.mpf(float(v)))) for v in z])
    assert relative(ours(z), values) < 6e-16


def test_logsumexp_against_scipy():
    z = np.random.default_rng(0).normal(size=(20, 7)) * 300
    np.testing.assert_allclose(logsumexp(z), scipy.special.logsumexp(z, axis=-1), rtol=1e-15)
    np.testing.assert_allclose(log_softmax(z), scipy.special.log_softmax(z, axis=-1), rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(softmax(z), scipy.special.softmax(z, axis=-1), rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(np.sum(softmax(z), axis=-1), 1.0, rtol=1e-15)


# Complex arguments -----------------------------------------------------------------------


@pytest.mark.parametrize("y", [1e-30, 1e-8, 0.01, 0.5, 1.0, 2.5, 4.0, -1.0])
def test_erf_of_complex_arguments(y):
    x = np.concatenate([np.linspace(-6, 6, 49), [1e-300, 1e-12, 1e-5]])
    z = x + 1j * y
    with mpmath.workdps(100):
        exact = np.array([complex(mpmath.erf(mpmath.mpc(v.real, v.imag))) for v in z])
    ours = erf(z)
    assert relative(ours, exact) < 4e-15
    if abs(y) < 0.1:  # the imaginary part is the derivative, so it counts for itself
        assert relative(ours.imag, exact.imag) < 4e-15


@pytest.mark.parametrize("y", [1e-30, 1.0, 5.0])
def test_normal_cdf_of_complex_arguments(y):
    z = np.linspace(-6, 6, 25) + 1j * y
    with mpmath.workdps(100):
        exact = np.array([complex((1 + mpmath.erf(mpmath.mpc(v) / mpmath.sqrt(2))) / 2) for v in z])
    np.testing.assert_allclose(normal_cdf(z), exact, rtol=2e-14, atol=2e-15)


def test_erf_too_far_from_the_real_axis_is_nan_not_wrong():
    assert np.all(np.isnan(erf(np.array([1.0 + 4.1j, 0.0 - 50.0j]))))


DERIVATIVES = {
    erf: lambda z: 2 / math.sqrt(math.pi) * np.exp(-z * z),
    normal_cdf: lambda z: np.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    expit: lambda z: scipy.special.expit(z) * scipy.special.expit(-z),
    softplus: scipy.special.expit,
    log_sigmoid: lambda z: scipy.special.expit(-z),
    magnitude: np.sign,
}


@pytest.mark.parametrize("function", POINTWISE)
def test_complex_step_gives_the_derivative(function):
    z = np.concatenate([np.linspace(-8, 8, 64), [-700.0, -30.0, 30.0, 700.0]])
    derivative = function(z + 1j * STEP).imag / STEP
    np.testing.assert_allclose(derivative, DERIVATIVES[function](z), rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("function", POINTWISE)
def test_complex_functions_continue_the_real_ones(function):
    z = np.linspace(-8, 8, 64)
    np.testing.assert_allclose(function(z + 0j).real, function(z), rtol=1e-14, atol=3e-16)


def test_logsumexp_by_complex_step_is_softmax():
    z = np.array([0.3, -1.2, 2.0])
    for j in range(3):
        moved = z.astype(complex)
        moved[j] += 1j * STEP
        assert logsumexp(moved).imag / STEP == pytest.approx(softmax(z)[j], rel=1e-14)
        assert (log_softmax(moved).imag / STEP)[0] == pytest.approx((j == 0) - softmax(z)[j], rel=1e-14)


def test_branches_look_at_the_real_part():
    z = np.array([-2 + 1j, 0.5 + 1j, 3 - 1j])
    np.testing.assert_array_equal(at_least(z, 0.0), [0, 0.5 + 1j, 3 - 1j])
    np.testing.assert_array_equal(at_most(z, 1.0), [-2 + 1j, 0.5 + 1j, 1])
    np.testing.assert_array_equal(clip(z, -1.0, 1.0), [-1, 0.5 + 1j, 1])
    np.testing.assert_array_equal(magnitude(z), [2 - 1j, 0.5 + 1j, 3 - 1j])
    np.testing.assert_array_equal(real_part(z), [-2, 0.5, 3])


# Extremes and dtypes ---------------------------------------------------------------------


@each_dtype
def test_extremes(dtype):
    z = np.array([-np.inf, -1000, 0, 1000, np.inf], dtype)
    inf = np.inf
    np.testing.assert_array_equal(erf(z), [-1, -1, 0, 1, 1])
    np.testing.assert_array_equal(normal_cdf(z), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(expit(z), [0, 0, 0.5, 1, 1], rtol=0, atol=np.finfo(dtype).tiny)
    np.testing.assert_array_equal(softplus(z)[[0, 1, 3, 4]], [0, 0, 1000, inf])
    np.testing.assert_array_equal(log_sigmoid(z)[[0, 1, 3, 4]], [-inf, -1000, 0, 0])


@each_dtype
def test_rows_of_extremes(dtype):
    inf, largest = np.inf, np.finfo(dtype).max
    z = np.array([[inf, 0], [inf, inf], [-inf, 0], [-inf, -inf], [inf, -inf], [largest, -largest]], dtype)
    np.testing.assert_array_equal(softmax(z), [[1, 0], [0.5, 0.5], [0, 1], [0.5, 0.5], [1, 0], [1, 0]])
    np.testing.assert_array_equal(logsumexp(z), np.array([inf, inf, 0, -inf, inf, largest], dtype))
    assert np.all(np.isfinite(log_softmax(z)))
    assert np.all(log_softmax(z)[:, 0] <= 0)


@pytest.mark.parametrize("function", POINTWISE + ROWS)
@each_dtype
def test_nan_stays_nan(function, dtype):
    assert np.all(np.isnan(function(np.array([np.nan, np.nan], dtype))))


@each_dtype
def test_denormals(dtype):
    smallest = np.array([np.finfo(dtype).smallest_subnormal])
    np.testing.assert_array_equal(erf(smallest), smallest)
    assert expit(smallest)[0] == normal_cdf(smallest)[0] == 0.5


@pytest.mark.parametrize("function", POINTWISE + ROWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_dtype_is_kept_and_arguments_unchanged(function, dtype):
    z = np.linspace(-3, 3, 8).reshape(2, 4).astype(dtype)
    before = z.copy()
    result = function(z)
    assert result.dtype == dtype
    assert result.shape == (z.shape[:1] if function is logsumexp else z.shape)
    assert not np.shares_memory(result, z)
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize("function", POINTWISE + ROWS)
def test_float32_is_float64_rounded(function):
    z = np.linspace(-5, 5, 40, dtype=np.float32).reshape(5, 8)
    np.testing.assert_allclose(function(z), function(z.astype(np.float64)), rtol=3e-6, atol=2e-7)


@pytest.mark.parametrize("function", POINTWISE + ROWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_jax_under_jit_agrees_with_numpy(function, dtype):
    z = np.linspace(-7, 7, 40).reshape(5, 8).astype(dtype)
    z[0, :2] = -1000, 1000
    if dtype is np.complex128:
        z = z + 0.5j
    with jax.enable_x64(dtype is not np.float32):
        ours = jax.jit(function)(jnp.asarray(z))
    assert ours.dtype == dtype
    rtol, atol = (1e-5, 1e-6) if dtype is np.float32 else (2e-14, 1e-14)
    np.testing.assert_allclose(ours, function(z), rtol=rtol, atol=atol)


def test_namespace():
    assert namespace(np.ones(2)) is np
    assert namespace(np.float64(1)) is np
    assert namespace(jnp.ones(2)) is jnp
    assert is_complex(jnp.ones(2) * 1j)
    assert not is_complex(jnp.ones(2))


def test_is_complex_asks_the_namespace_where_a_dtype_has_no_kind():
    class Foreign:
        dtype = "complex128"

        def __array_namespace__(self):
            return self

        def isdtype(self, dtype, kind):
            return dtype == "complex128" and kind == "complex floating"

    assert is_complex(Foreign())  # type: ignore[arg-type]


def test_the_fit_has_positive_coefficients_and_the_right_slope_at_zero():
    assert min(arrays.ERFC_P + arrays.ERFC_Q) > 0
    assert arrays.ERFC_P[0] == pytest.approx(2 / math.sqrt(math.pi), rel=1e-16)
