"""Every registered activation's values: oracles, stability, dtypes, purity, the same source under jax.jit."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from tests.activation_cases import columns, each, each_dtype, each_elementwise, parameters

from clearprop.activations import PerNeuron, activations

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. (2017)


def ordinal(z):
    """The cumulative logit model as the textbook has it, by differences of its cumulative probabilities."""
    cuts = z[..., 1:2] + np.cumsum(np.logaddexp(0, np.insert(z[..., 2:], 0, -np.inf, axis=-1)), axis=-1)
    below = scipy.special.expit(cuts - z[..., :1])
    below = np.concatenate([np.zeros_like(z[..., :1]), below, np.ones_like(z[..., :1])], axis=-1)
    return np.diff(below, axis=-1)


FORMULAS = {
    "identity": lambda z: z,
    "sigmoid": scipy.special.expit,
    "tanh": np.tanh,
    "scaled_tanh": lambda z: 1.7159 * np.tanh(2 * z / 3),
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
    "selu": lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(z)),
    "gelu": lambda z: z * scipy.special.ndtr(z),
    "gelu_tanh": lambda z: z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z * scipy.special.expit(z),
    "mish": lambda z: z * np.tanh(np.logaddexp(0, z)),
    "softplus": lambda z: np.logaddexp(0, z),
    "softsign": lambda z: z / (1 + np.abs(z)),
    "hard_tanh": lambda z: np.clip(z, -1, 1),
    "exponential": np.exp,
    "softmax": lambda z: scipy.special.softmax(z, axis=-1),
    "increasing": lambda z: np.cumsum(
        np.concatenate([z[..., :1], np.logaddexp(0, z[..., 1:])], axis=-1), axis=-1
    ),
    "ordinal": ordinal,
    "prelu": lambda z: np.where(z > 0, z, 0.25 * z),
    "per_neuron": lambda z: np.where(np.arange(z.shape[-1]) % 2 == 0, np.tanh(z), np.maximum(z, 0)),
}

TORCH = {
    "tanh": lambda F, z: F.tanh(z),
    "relu": lambda F, z: F.relu(z),
    "leaky_relu": lambda F, z: F.leaky_relu(z),
    "elu": lambda F, z: F.elu(z),
    "selu": lambda F, z: F.selu(z),
    "gelu": lambda F, z: F.gelu(z),
    "gelu_tanh": lambda F, z: F.gelu(z, approximate="tanh"),
    "silu": lambda F, z: F.silu(z),
    "mish": lambda F, z: F.mish(z),
    "softplus": lambda F, z: F.softplus(z, threshold=1000),
    "softsign": lambda F, z: F.softsign(z),
    "hard_tanh": lambda F, z: F.hardtanh(z),
    "softmax": lambda F, z: F.softmax(z, dim=-1),
    "prelu": lambda F, z: F.leaky_relu(z, 0.25),
}
Z = np.linspace(-8, 8, 66).reshape(3, 22)


@pytest.mark.parametrize("name", activations)
def test_values_are_those_of_the_formula(name):
    np.testing.assert_allclose(activations.make(name).f(Z), FORMULAS[name](Z), rtol=1e-13, atol=2e-15)


@pytest.mark.parametrize("name", TORCH)
def test_values_agree_with_pytorch(name):
    torch = pytest.importorskip("torch")
    theirs = TORCH[name](torch.nn.functional, torch.from_numpy(Z)).numpy()
    np.testing.assert_allclose(activations.make(name).f(Z), theirs, rtol=1e-13, atol=2e-15)


def test_the_book_s_sigmoid_bit_for_bit():
    z = np.random.default_rng(0).normal(size=(50, 30)) * 20
    a = activations.make("sigmoid").f(z)
    textbook = 1.0 / (1.0 + np.exp(-z))
    assert np.array_equal(a, textbook)
    assert np.array_equal(activations.make("sigmoid").df(z, a), textbook * (1.0 - textbook))


def test_tails_keep_their_relative_precision():
    z = np.array([-30.0])
    e = math.exp(-30.0)
    assert activations.make("sigmoid").f(z)[0] == pytest.approx(e / (1 + e), rel=1e-15)
    assert activations.make("softplus").f(z)[0] == pytest.approx(math.log1p(e), rel=1e-15)
    assert activations.make("silu").f(z)[0] == pytest.approx(-30 * e / (1 + e), rel=1e-15)
    assert activations.make("mish").f(z)[0] == pytest.approx(-30 * math.tanh(math.log1p(e)), rel=1e-15)
    assert activations.make("gelu").f(z)[0] == pytest.approx(-30 * scipy.special.ndtr(-30.0), rel=1e-12)


def test_scaled_tanh_maps_one_to_one():
    assert activations.make("scaled_tanh").f(np.array([1.0, -1.0])) == pytest.approx([1.0, -1.0], abs=2e-5)


# Stability, dtypes, purity ---------------------------------------------------------------

EXTREMES = np.array([-np.inf, -1e30, -1000.0, -5e-324, -0.0, 0.0, 5e-324, 1e-38, 1000.0, 1e30, np.inf])


@each_elementwise
@each_dtype
def test_extreme_arguments_give_no_nan_and_the_limits(activation, dtype):
    with np.errstate(under="ignore"):
        z = EXTREMES.astype(dtype)
    rows = columns(activation, z)
    a = activation.f(rows)
    slope = activation.df(rows, a)
    assert not np.any(np.isnan(a))
    assert not np.any(np.isnan(slope))
    smallest = 1e3 * np.finfo(dtype).tiny  # sigma(-inf) is below the smallest normal number, not quite 0
    for j in range(rows.shape[1]):
        neuron = activation.neuron(j) if isinstance(activation, PerNeuron) else activation
        np.testing.assert_allclose(a[[0, -1], j], neuron.limits, rtol=np.finfo(dtype).eps, atol=smallest)
        if neuron.name != "exponential":
            assert np.all(np.isfinite(slope[:, j]))
            assert np.all(np.isfinite(a[1:-1, j]))
            np.testing.assert_allclose(slope[[-3, -2], j], slope[-1, j], atol=1e-6)  # softsign's: 1/1001^2
            np.testing.assert_allclose(slope[[1, 2], j], slope[0, j], atol=1e-6)


@pytest.mark.parametrize("name", ["relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "mish", "softplus"])
@each_dtype
def test_rectifiers_have_slope_one_at_plus_infinity_and_zero_at_minus(name, dtype):
    activation = activations.make(name)
    z = np.array([-np.inf, np.inf], dtype)
    scale = 1.0507009873554805 if name == "selu" else 1.0
    slopes = activation.df(z, activation.f(z))
    np.testing.assert_allclose(
        slopes, [0.0, scale], rtol=np.finfo(dtype).eps, atol=1e3 * np.finfo(dtype).tiny
    )


@each_dtype
def test_softmax_of_extreme_rows(dtype):
    inf = np.inf
    z = np.array(
        [[1000, 0, -1000], [inf, 0, -inf], [inf, inf, 0], [-inf, -inf, -inf], [-inf, 0, 0], [3e38, -3e38, 0]],
        dtype,
    )
    third = dtype(1) / dtype(3)
    expected = [[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0], [third] * 3, [0, 0.5, 0.5], [1, 0, 0]]
    softmax = activations.make("softmax")
    a = softmax.f(z)
    np.testing.assert_array_equal(a, np.array(expected, dtype))
    assert not np.any(np.isnan(softmax.backward(z, a, np.ones_like(z))[0]))


@each
def test_nan_stays_nan(activation):
    z = np.full((1, 22), np.nan)
    params = parameters(activation, 22)
    assert np.all(np.isnan(activation.forward(z, params)))


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_dtype_is_kept(activation, dtype):
    z = np.linspace(-3, 3, 44).reshape(2, 22).astype(dtype)
    params = parameters(activation, 22, dtype)
    a = activation.forward(z, params)
    dC_dz, dC_dparams = activation.backward(z, a, np.ones_like(z), params)
    assert a.dtype == dtype
    assert activation.f(z).dtype == dtype
    assert {value.dtype for value in (dC_dz, *dC_dparams.values())} == {np.dtype(dtype)}
    if activation.elementwise:
        assert activation.df(z, a).dtype == dtype


@each
def test_float32_values_are_the_float64_ones_rounded(activation):
    z = np.linspace(-5, 5, 44, dtype=np.float32).reshape(2, 22)
    wide = z.astype(np.float64)
    a = activation.f(z)
    np.testing.assert_allclose(a, activation.f(wide), rtol=2e-6, atol=2e-7)
    if activation.elementwise:
        exact = activation.df(wide, activation.f(wide))
        np.testing.assert_allclose(activation.df(z, a), exact, rtol=2e-6, atol=4e-7)


@each
def test_arguments_are_unchanged_and_results_are_new_arrays(activation):
    z, dC_da = np.random.default_rng(2).normal(size=(2, 4, 22))
    params = parameters(activation, 22)
    given = [z, dC_da, *params.values()]
    before = [array.copy() for array in given]
    for array in given:
        array.flags.writeable = False
    a = activation.forward(z, params)
    a.flags.writeable = False
    dC_dz, dC_dparams = activation.backward(z, a, dC_da, params)
    again = activation.backward(z, activation.forward(z, params), dC_da, params)[0]
    assert np.array_equal(dC_dz, again)
    results = [a, dC_dz, *dC_dparams.values()]
    if activation.elementwise:
        results.append(activation.df(z, a))
    for result in results:
        assert not any(np.shares_memory(result, array) for array in given)
        assert result is a or not np.shares_memory(result, a)
    for array, old in zip(given, before, strict=True):
        assert np.array_equal(array, old)


@each
@pytest.mark.parametrize("shape", [(22,), (0, 22), (2, 3, 22)])
def test_any_axes_may_come_before_the_neurons(activation, shape):
    z = np.random.default_rng(3).normal(size=shape)
    params = parameters(activation, 22)
    a = activation.forward(z, params)
    dC_dz, dC_dparams = activation.backward(z, a, np.ones(shape), params)
    assert a.shape == dC_dz.shape == shape
    for name, value in dC_dparams.items():
        assert value.shape == shape[:-1] + params[name].shape
    if z.ndim == 3:
        np.testing.assert_array_equal(a[1, 2], activation.forward(z[1, 2], params))


# The same source on jax.numpy ------------------------------------------------------------


@each
@each_dtype
def test_jax_under_jit_agrees_with_numpy(activation, dtype):
    extremes = np.resize([-1000.0, -200.0, -0.0, 0.0, 1e-30, -1e-30, 200.0, 1000.0], 22)
    z = np.stack([*np.linspace(-6, 6, 66).reshape(3, 22), extremes]).astype(dtype)
    dC_da = np.cos(np.arange(z.size)).reshape(z.shape).astype(dtype)
    params = parameters(activation, 22, dtype)

    def both(z, dC_da, params):
        a = activation.forward(z, params)
        return a, activation.backward(z, a, dC_da, params)

    a, (dC_dz, dC_dparams) = both(z, dC_da, params)
    with jax.enable_x64(dtype is np.float64):
        a_jax, (dC_dz_jax, dC_dparams_jax) = jax.jit(both)(
            jnp.asarray(z), jnp.asarray(dC_da), {name: jnp.asarray(value) for name, value in params.items()}
        )
    rtol, atol = (1e-13, 1e-14) if dtype is np.float64 else (2e-5, 2e-6)
    pairs = [(a_jax, a), (dC_dz_jax, dC_dz), *((dC_dparams_jax[name], dC_dparams[name]) for name in params)]
    for ours, reference in pairs:
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, reference, rtol=rtol, atol=atol)
