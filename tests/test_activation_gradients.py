"""Every registered activation's df and backward, by complex step, differences and JAX; and mutants."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.activation_cases import POINTS, STEP, away_from_kinks, columns, each, each_elementwise, parameters

from clearprop.activations import ActivationFunction, activations


def check_df_by_complex_step(activation: ActivationFunction) -> None:
    assert activation.complex_safe
    z = columns(activation, away_from_kinks(activation, POINTS, 1e-13))
    numeric = activation.f(z + 1j * STEP).imag / STEP
    np.testing.assert_allclose(activation.df(z, activation.f(z)), numeric, rtol=4e-14, atol=4e-16)


def check_df_by_differences(activation: ActivationFunction) -> None:
    h = 1e-5
    z = POINTS[(np.abs(POINTS) > 2 * h) & (np.abs(POINTS) < 9)]  # at 0, f'' of softsign and elu jumps
    z = columns(activation, away_from_kinks(activation, z, 2 * h))
    numeric = (activation.f(z + h) - activation.f(z - h)) / (2 * h)
    scale = np.maximum(1.0, np.abs(activation.f(z)))
    assert np.max(np.abs(activation.df(z, activation.f(z)) - numeric) / scale) < 2e-9


@each_elementwise
def test_df_is_the_derivative_of_f(activation):
    check_df_by_complex_step(activation)
    check_df_by_differences(activation)


@each_elementwise
@pytest.mark.parametrize("check", [check_df_by_complex_step, check_df_by_differences])
def test_the_checks_catch_a_derivative_that_is_off_by_a_thousandth(activation, check):
    class Mutant(type(activation)):
        def df(self, z, a):
            return super().df(z, a) * 1.001

    mutant = object.__new__(Mutant)
    mutant.__dict__.update(activation.__dict__)
    with pytest.raises(AssertionError):
        check(mutant)


@each_elementwise
def test_complex_arguments_keep_real_values(activation):
    z = columns(activation, POINTS)
    a = activation.f(z)
    np.testing.assert_allclose(activation.f(z + 0j).real, a, rtol=1e-14, atol=4e-16)
    slopes = activation.df(z + 0j, a + 0j)
    np.testing.assert_allclose(slopes.real, activation.df(z, a), rtol=1e-14, atol=4e-16)


@each_elementwise
def test_second_derivative_by_complex_step_on_df(activation):
    z = columns(activation, away_from_kinks(activation, POINTS[np.abs(POINTS) < 9], 1e-2))
    z = z[np.abs(z[:, 0]) > 1e-2]  # softsign's and elu's second derivatives jump at 0
    h = 1e-5
    w = z + 1j * STEP
    exact = activation.df(w, activation.f(w)).imag / STEP
    up, down = (activation.df(v, activation.f(v)) for v in (z + h, z - h))
    scale = np.maximum(1.0, np.abs(up))
    assert np.max(np.abs(exact - (up - down) / (2 * h)) / scale) < 1e-8


def numeric_gradient(function, x: np.ndarray) -> np.ndarray:
    """Return the gradient of a scalar function of an array, by the complex step."""
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[index] += 1j * STEP
        gradient[index] = function(moved).imag / STEP
    return gradient


def check_backward(activation: ActivationFunction) -> None:
    """Check every gradient that backward returns against the complex step, one example at a time."""
    rng = np.random.default_rng(1)
    z, dC_da = rng.normal(size=(2, 3, 22)) * 2
    params = parameters(activation, 22)
    a = activation.forward(z, params)
    dC_dz, dC_dparams = activation.backward(z, a, dC_da, params)
    assert dC_dz.shape == z.shape
    assert set(dC_dparams) == set(params)
    for x in range(3):
        numeric = numeric_gradient(lambda v, x=x: np.sum(dC_da[x] * activation.forward(v, params)), z[x])
        np.testing.assert_allclose(dC_dz[x], numeric, rtol=1e-12, atol=1e-13)
        for name, value in params.items():
            assert dC_dparams[name].shape == (3, *value.shape)
            numeric = numeric_gradient(
                lambda v, x=x, name=name: np.sum(dC_da[x] * activation.forward(z[x], {**params, name: v})),
                value,
            )
            np.testing.assert_allclose(dC_dparams[name][x], numeric, rtol=1e-12, atol=1e-13)


@each
def test_backward_is_the_transposed_jacobian_times_the_upstream_gradient(activation):
    check_backward(activation)


@each
def test_the_check_of_backward_catches_a_thousandth(activation):
    class Mutant(type(activation)):
        def backward(self, z, a, dC_da, params):
            dC_dz, dC_dparams = super().backward(z, a, dC_da, params)
            if dC_dparams:
                return dC_dz, {name: value * 1.001 for name, value in dC_dparams.items()}
            return dC_dz * 1.001, {}

    mutant = object.__new__(Mutant)
    mutant.__dict__.update(activation.__dict__)
    with pytest.raises(AssertionError):
        check_backward(mutant)


@each
def test_zero_upstream_gradient_gives_zero(activation):
    z = np.linspace(-3, 3, 44).reshape(2, 22)
    params = parameters(activation, 22)
    dC_dz, dC_dparams = activation.backward(z, activation.forward(z, params), np.zeros_like(z), params)
    for gradient in (dC_dz, *dC_dparams.values()):
        assert not np.any(gradient)


def test_slopes_at_the_kinks_are_those_documented():
    zero = np.zeros(1)
    expected = {
        "relu": 0.0,
        "leaky_relu": 0.01,
        "prelu": 0.25,
        "elu": 1.0,
        "selu": 1.0507009873554805 * 1.6732632423543772,
    }
    for name, slope in expected.items():
        activation = activations.make(name)
        assert activation.df(zero, activation.f(zero))[0] == pytest.approx(slope, rel=1e-15)
    ends = np.array([-1.0, 1.0])
    assert activations.make("hard_tanh").df(ends, ends).tolist() == [0.0, 0.0]


@each_elementwise
def test_df_jumps_at_the_kinks_and_nowhere_else(activation):
    h = 1e-7
    for z in np.concatenate([np.linspace(-3, 3, 25), activation.kinks]):
        row = columns(activation, np.array([z - h, z + h]))
        left, right = activation.df(row, activation.f(row))
        jump = np.max(np.abs(left - right))
        if activation.kinks and np.min(np.abs(np.array(activation.kinks) - z)) < h:
            assert jump > 1e-3
        else:
            assert jump < 1e-5


@each_elementwise
def test_jax_differentiates_f_to_df(activation):
    z = columns(activation, away_from_kinks(activation, np.linspace(-6, 6, 25) + 0.01, 1e-6))
    with jax.enable_x64(True):
        slopes = jax.jit(jax.grad(lambda v: jnp.sum(activation.f(v))))(jnp.asarray(z))
    np.testing.assert_allclose(activation.df(z, activation.f(z)), slopes, rtol=1e-11, atol=1e-13)


def test_one_s_own_activation_needs_no_registration():
    @dataclasses.dataclass(frozen=True)
    class Sine(ActivationFunction):
        name = "sine"
        limits = (-1.0, 1.0)

        def f(self, z):
            return np.sin(z)

        def df(self, z, a):
            return np.cos(z)

    own = activations.make(Sine())
    assert own == Sine()
    assert "sine" not in activations
    check_df_by_complex_step(own)
    check_backward(own)
