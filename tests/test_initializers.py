"""Initialisers: the right distribution, the right scale, a function of the stream alone."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from clearprop.activations import activations
from clearprop.errors import DTypeError, OptionError, ShapeError, UnknownNameError
from clearprop.initializers import Constant, Normal, Uniform, initializers
from clearprop.random import Purpose, stream

SHAPE = (120, 80)  # (n_out, n_in)
N_OUT, N_IN = SHAPE
each = pytest.mark.parametrize("name", initializers)


def source(seed: int = 0):
    return stream(seed, Purpose.INITIAL_WEIGHTS, 1)


def draw(spec, shape=SHAPE, gain=1.0, seed=0):
    return initializers.make(spec).draw(shape, gain, source(seed))


STANDARD_DEVIATIONS = {
    "normal": 1.0,
    "uniform": math.sqrt(1 / 12),
    "constant": 0.0,
    "zeros": 0.0,
    "lecun_normal": math.sqrt(1 / N_IN),
    "lecun_uniform": math.sqrt(1 / N_IN),
    "glorot_normal": math.sqrt(2 / (N_IN + N_OUT)),
    "glorot_uniform": math.sqrt(2 / (N_IN + N_OUT)),
    "he_normal": math.sqrt(2 / N_IN),
    "he_uniform": math.sqrt(2 / N_IN),
    "orthogonal": math.sqrt(1 / N_OUT),
}


@each
def test_standard_deviation(name):
    W = draw(name)
    assert W.shape == SHAPE
    assert W.dtype == np.float64
    n = W.size
    mean = 0.5 if name == "uniform" else 0.0
    expected = STANDARD_DEVIATIONS[name]
    assert np.std(W) == pytest.approx(expected, rel=4 / math.sqrt(2 * n))  # four standard errors
    assert np.mean(W) == pytest.approx(mean, abs=4 * expected / math.sqrt(n) + 1e-300)


@pytest.mark.parametrize(
    ("name", "variance"),
    [("lecun_uniform", 1 / N_IN), ("glorot_uniform", 2 / (N_IN + N_OUT)), ("he_uniform", 2 / N_IN)],
)
def test_uniform_ones_fill_their_interval_and_no_more(name, variance):
    bound = math.sqrt(3 * variance)
    W = draw(name)
    assert 0.999 * bound < np.max(np.abs(W)) <= bound
    assert np.min(W) < -0.999 * bound


@pytest.mark.parametrize("name", ["normal", "lecun_normal", "glorot_normal", "he_normal"])
def test_normal_ones_have_normal_tails(name):
    standard = draw(name) / STANDARD_DEVIATIONS[name]
    assert np.mean(standard**4) == pytest.approx(3.0, abs=4 * math.sqrt(96 / standard.size))
    assert np.max(np.abs(standard)) > 3


@each
def test_draws_are_a_function_of_the_stream(name):
    assert np.array_equal(draw(name), draw(name))
    if name not in ("zeros", "constant"):
        assert not np.array_equal(draw(name), draw(name, seed=1))


@each
def test_only_those_that_say_so_use_the_gain(name):
    factor = 2.0 if initializers[name].uses_gain else 1.0
    np.testing.assert_array_equal(draw(name, gain=2.0), factor * draw(name))


def test_orthogonal_is_the_one_that_uses_the_gain():
    assert [name for name in initializers if initializers[name].uses_gain] == ["orthogonal"]


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (1, 4)])
def test_orthogonal_rows_or_columns(shape):
    W = draw("orthogonal", shape)
    product = W @ W.T if shape[0] <= shape[1] else W.T @ W
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=2e-15 * max(shape))
    assert W.flags.c_contiguous


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_orthogonal_is_the_q_of_a_qr_decomposition_with_a_positive_diagonal(shape):
    normal = stream(3, Purpose.INITIAL_WEIGHTS, 2).normal((5, 3))
    W = initializers.make("orthogonal").draw(shape, 1.0, stream(3, Purpose.INITIAL_WEIGHTS, 2))
    R = (W if shape == (5, 3) else W.T).T @ normal
    np.testing.assert_allclose(R, np.triu(R), atol=1e-14)
    assert np.all(np.diagonal(R) > 0)


def test_orthogonal_is_uniform_in_sign():
    corners = [draw("orthogonal", (3, 3), seed=seed)[0, 0] for seed in range(300)]
    assert np.mean(corners) == pytest.approx(
        0.0, abs=4 / math.sqrt(3 * 300)
    )  # Var = 1/3; without the sign fix: all < 0


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "tanh", "selu", "identity"])
def test_the_gain_keeps_the_size_of_activations_through_a_deep_network(name):
    activation = activations.make(name)
    a = np.random.default_rng(0).normal(size=(40, 200))
    for layer in range(20):
        W = initializers.make("orthogonal").draw(
            (200, 200), activation.gain, stream(0, Purpose.INITIAL_WEIGHTS, layer)
        )
        a = activation.f(a @ W.T)
    assert 0.3 < np.mean(a * a) < 3.0


def test_the_sources_choice():
    np.testing.assert_array_equal(draw("normal"), source().normal(SHAPE))
    np.testing.assert_array_equal(draw(Normal(0.5)), 0.5 * source().normal(SHAPE))
    np.testing.assert_array_equal(draw("scaled_normal"), source().normal(SHAPE) / math.sqrt(N_IN))


def test_options():
    assert set(np.unique(draw(Constant(0.3)))) == {0.3}
    W = draw(Uniform(-2.0, 3.0))
    assert -2.0 <= np.min(W) < -1.99
    assert 2.99 < np.max(W) < 3.0
    assert not np.any(draw("zeros"))


@pytest.mark.parametrize("name", ["normal", "uniform", "constant", "zeros"])
def test_those_without_fans_draw_biases_too(name):
    assert draw(name, (7,)).shape == (7,)


@pytest.mark.parametrize(
    "name", [name for name in initializers if name not in ("normal", "uniform", "constant", "zeros")]
)
@pytest.mark.parametrize("shape", [(7,), (0, 3), (3, 0), (2, 3, 4)])
def test_those_with_fans_need_a_weight_matrix(name, shape):
    with pytest.raises(ShapeError, match=r"\(n_out, n_in\)"):
        draw(name, shape)


@each
def test_descriptions(name):
    initializer = initializers.make(name)
    assert initializer.formula
    assert initializers.make(json.loads(json.dumps(initializer.config()))) == initializer
    assert hash(initializers.make(name)) == hash(initializer)
    for field in dataclasses.fields(initializer):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(initializer, field.name, 1.0)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("scaled_normal", "lecun_normal"),
        ("xavier_uniform", "glorot_uniform"),
        ("xavier_normal", "glorot_normal"),
        ("kaiming_uniform", "he_uniform"),
        ("kaiming_normal", "he_normal"),
    ],
)
def test_aliases(alias, name):
    assert initializers.make(alias) == initializers.make(name)


@pytest.mark.parametrize("name", activations)
def test_every_activation_names_a_known_initializer(name):
    activation = activations.make(name)
    W = initializers.make(activation.initializer).draw((4, 3), activation.gain, source())
    assert W.shape == (4, 3)


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "normal", "std": -1.0},
        {"name": "normal", "std": "1"},
        {"name": "normal", "std": math.inf},
        {"name": "uniform", "low": 2.0, "high": 1.0},
        {"name": "constant", "value": math.nan},
        {"name": "constant", "value": True},
    ],
)
def test_bad_options_are_named(spec):
    option = list(spec)[1]
    wrong_type = isinstance(spec[option], bool | str)
    with pytest.raises(DTypeError if wrong_type else OptionError, match=f"{option} of "):
        initializers.make(spec)


def test_unknown_names_get_a_suggestion():
    with pytest.raises(UnknownNameError, match="Did you mean 'he_normal'"):
        initializers.make("he_norml")
