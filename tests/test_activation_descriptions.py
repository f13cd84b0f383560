"""What activations say of themselves: plain data, options, errors; PReLU and per-neuron choices."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from tests.activation_cases import each, each_elementwise

from clearprop.activations import (
    ActivationFunction,
    LeakyReLU,
    PerNeuron,
    PReLU,
    Tanh,
    activations,
    per_neuron,
)
from clearprop.errors import DTypeError, OptionError, ShapeError, UnknownNameError, UnsupportedError
from clearprop.initializers import initializers


@each
def test_descriptions_are_complete(activation):
    assert activation.formula
    assert activation.derivative
    assert activation.__doc__
    assert activation.initializer in initializers
    assert activation.smooth == (not activation.kinks)
    assert activation.kinks == tuple(sorted(activation.kinks))
    assert activation.gain > 0


@each_elementwise
def test_gain_restores_the_mean_square_of_a_normal_input(activation):
    z = np.linspace(-14.0, 14.0, 280_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    pattern = activation.pattern if isinstance(activation, PerNeuron) else (0,)
    neurons = [
        activation.neuron(j) if isinstance(activation, PerNeuron) else activation for j in range(len(pattern))
    ]
    mean_square = np.mean([np.sum(density * neuron.f(z) ** 2) for neuron in neurons])
    assert activation.gain == pytest.approx(1 / math.sqrt(mean_square), rel=1e-8)


@each
def test_plain_data_round_trip(activation):
    config = json.loads(json.dumps(activation.config()))
    again = activations.make(config)
    assert again == activation
    assert hash(again) == hash(activation)
    assert type(again) is type(activation)
    assert activations.make(activation) is activation


@each
def test_descriptions_are_frozen(activation):
    for field in dataclasses.fields(activation):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(activation, field.name, 1.0)


@pytest.mark.parametrize(
    ("alias", "name"), [("linear", "identity"), ("logistic", "sigmoid"), ("swish", "silu")]
)
def test_aliases(alias, name):
    assert activations.make(alias) == activations.make(name)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("sigmiod", "sigmoid"),
        ("Relu", "relu"),
        ("leaky", "leaky_relu"),
        ("soft_max", "softmax"),
        ("swich", "swish"),
    ],
)
def test_unknown_names_get_a_suggestion(wrong, right):
    with pytest.raises(UnknownNameError, match=f"Did you mean '{right}'"):
        activations.make(wrong)


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "elu", "alpha": 0.0},
        {"name": "elu", "alpha": math.nan},
        {"name": "elu", "alpha": "1"},
        {"name": "elu", "alpha": None},
        {"name": "leaky_relu", "negative_slope": -0.1},
        {"name": "leaky_relu", "negative_slope": True},
        {"name": "prelu", "initial": math.inf},
        {"name": "prelu", "shared": 1},
        {"name": "relu", "slope": 0.1},
    ],
)
def test_bad_options_are_named(spec):
    option = next(key for key in spec if key != "name")
    wrong_type = isinstance(spec[option], bool | str | None) or option == "shared"
    with pytest.raises(DTypeError if wrong_type else OptionError, match=option):
        activations.make(spec)


def test_options_become_python_floats():
    activation = LeakyReLU(np.float64(0.25))
    assert type(activation.negative_slope) is float
    assert activation.f(np.ones(2, np.float32)).dtype == np.float32
    assert activation == LeakyReLU(0.25)


def test_wrong_objects_are_refused():
    with pytest.raises(DTypeError, match="expected an activation"):
        activations.make(3)  # type: ignore[arg-type]


def test_softmax_has_no_elementwise_derivative():
    softmax = activations.make("softmax")
    with pytest.raises(UnsupportedError, match="Use backward"):
        softmax.df(np.zeros(2), np.full(2, 0.5))


def test_an_activation_without_f_says_so():
    class Nothing(ActivationFunction):
        name = "nothing"

    with pytest.raises(UnsupportedError, match="'nothing' has no f"):
        Nothing().forward(np.zeros(2))


# PReLU and per-neuron choices ------------------------------------------------------------


def test_prelu_declares_one_alpha_per_neuron_or_one_in_all():
    assert PReLU().parameters(5) == {"alpha": ((5,), 0.25)}
    assert PReLU(0.1, shared=True).parameters(5) == {"alpha": ((1,), 0.1)}


def test_prelu_without_its_parameter_says_so():
    with pytest.raises(OptionError, match="needs its parameter 'alpha'"):
        PReLU().forward(np.zeros(3))


def test_prelu_of_alpha_zero_is_relu_at_minus_infinity_too():
    z = np.array([-np.inf, -1.0, np.inf])
    np.testing.assert_array_equal(PReLU().forward(z, {"alpha": np.zeros(3)}), [0.0, 0.0, np.inf])


def test_per_neuron_applies_each_choice_to_its_neuron():
    activation = per_neuron(["relu", "tanh", "relu", "sigmoid"])
    z = np.array([[-1.0, 1.0, 2.0, 0.0], [3.0, -1.0, -2.0, 5.0]])
    expected = [[0.0, math.tanh(1), 2.0, 0.5], [3.0, math.tanh(-1), 0.0, 1 / (1 + math.exp(-5))]]
    np.testing.assert_allclose(activation.f(z), expected, rtol=1e-15)
    assert activation.kinks == (0.0,)
    assert per_neuron(["relu", "hard_tanh"]).kinks == (-1.0, 0.0, 1.0)
    assert per_neuron(["gelu", "tanh"]).smooth


def test_per_neuron_of_one_choice_is_that_choice():
    z = np.random.default_rng(4).normal(size=(3, 6))
    np.testing.assert_array_equal(per_neuron(["gelu"], counts=[6]).f(z), activations.make("gelu").f(z))


def test_per_neuron_properties_follow_from_the_choices():
    activation = per_neuron(["tanh", "hard_tanh", "relu"], counts=[1, 2, 1])
    assert activation.initializer == "glorot_uniform"
    assert math.isnan(activation.limits[0])
    assert per_neuron(["tanh", "softsign"]).limits == (-1.0, 1.0)
    assert activation.neuron(2).name == "hard_tanh"


def test_per_neuron_must_fit_the_layer():
    activation = per_neuron(["relu", "tanh"])
    assert activation.resolved(2) is activation
    for call in (lambda: activation.resolved(3), lambda: activation.f(np.zeros((1, 3)))):
        with pytest.raises(ShapeError, match="describes 2 neurons; the layer has 3"):
            call()
    repeated = per_neuron(["relu", "tanh"], repeat=True)
    assert repeated.resolved(3) is repeated
    np.testing.assert_array_equal(repeated.f(np.full(3, -1.0)), [0.0, math.tanh(-1.0), 0.0])


@pytest.mark.parametrize(
    ("choices", "counts", "message"),
    [
        ([], (), "at least one"),
        (["softmax"], (), "elementwise"),
        (["relu", "prelu"], (), "without learnable parameters"),
        (["relu"], (1, 2), "counts"),
        (["relu", "tanh"], (1, 0), "counts"),
        (["relu", "tanh"], (1, 1.5), "counts"),
        ("relu", (), "takes a list"),
        (Tanh(), (), "takes a list"),
    ],
)
def test_bad_choices_per_neuron(choices, counts, message):
    with pytest.raises(OptionError, match=message):
        per_neuron(choices, counts)


def test_a_misspelt_choice_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="Did you mean 'relu'"):
        per_neuron(["rleu"])
