"""The activations of a layer: on every rung, by number and by address, and what cannot be cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

import clearprop as cp
from clearprop.engines import engines
from clearprop.errors import DTypeError, OptionError, ShapeError, UnknownNameError, UnsupportedError

X = np.random.default_rng(0).normal(size=(7, 5))
Y = np.eye(3)[[0, 1, 2, 0, 1, 2, 0]]


def network() -> cp.Network:
    layers = [
        cp.Dense(6, "tanh"),
        cp.BatchNorm(),
        cp.Residual([cp.Dense(4, "gelu"), cp.Concatenate([[cp.Dense(2, "tanh")], []]), cp.Dense()]),
        cp.Dropout(0.5),
        cp.Dense(3, "softmax"),
    ]
    net = cp.Network(layers, n_in=5, seed=3)
    net.buffers[:] = np.random.default_rng(1).uniform(0.5, 1.5, len(net.buffers))
    return net


ADDRESSES = [address for address, _ in network().model.walk()]


@pytest.mark.parametrize("address", ADDRESSES)
def test_it_is_the_activation_that_a_trace_shows(address: str) -> None:
    net = network()
    assert np.array_equal(net.embed(X, address, engine="batch"), net.trace(X, Y)[address].a)


@pytest.mark.parametrize("engine", list(engines()))
def test_every_rung_gives_the_same(engine: str) -> None:
    net = network()
    if reason := engines()[engine].supports(net.model):
        pytest.skip(reason)
    for address in ADDRESSES:
        expected = net.embed(X, address, engine="batch")
        np.testing.assert_allclose(net.embed(X, address, engine=engine), expected, rtol=1e-12, atol=1e-15)


def test_the_default_is_the_layer_that_the_last_weights_read() -> None:
    net = network()
    assert np.array_equal(net.embed(X), net.embed(X, 4))
    assert np.array_equal(net.embed(X, 1), net.embed(X, "1"))
    assert np.array_equal(net.embed(X, np.int64(1)), net.embed(X, 1))
    split = cp.Network([cp.Dense(4, "relu"), cp.Dense(3), cp.Activation("softmax")], n_in=5)
    assert np.array_equal(split.embed(X), split.embed(X, 1))


def test_the_last_layer_gives_the_outputs() -> None:
    net = network()
    assert np.array_equal(net.embed(X, 5, engine="batch"), net.outputs(X, engine="batch"))


def test_preprocessing_and_every_kind_of_data_are_as_in_predict() -> None:
    net = cp.Network([cp.Dense(4, "relu"), cp.Dense(3, "softmax")], preprocessing="standardize", seed=0)
    net.fit(100 * X, Y, epochs=1)
    hidden = net.embed(100 * X)
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(hidden, np.maximum(scaled @ net.W[1].T + net.b[1], 0), atol=1e-12)
    plain = cp.Network([cp.Dense(4, "relu"), cp.Dense(3, "softmax")], n_in=5, dtype="float32", seed=0)
    assert plain.embed(X).dtype == np.float32
    np.testing.assert_allclose(plain.embed(sparse.csr_matrix(X)), plain.embed(X), rtol=1e-6)


@pytest.mark.parametrize("engine", [None, *engines()])
def test_the_cost_does_not_matter(engine: str | None) -> None:
    cost = cp.costs.Pinball((0.1, 0.5, 0.9))
    net = cp.Network([cp.Dense(4, "tanh"), cp.Dense(3, "increasing")], cost=cost, n_in=5, seed=0)
    if engine is not None and (reason := engines()[engine].supports(net.model)):
        pytest.skip(reason)
    np.testing.assert_allclose(net.embed(X, engine=engine), np.tanh(X @ net.W[1].T), rtol=1e-12)


def test_the_network_stays_as_it_is() -> None:
    net = network()
    before = net.theta.copy(), net.model, net.outputs(X)
    net.embed(X)[:] = 0.0
    net.embed(X, "3.body.2")[:] = 0.0
    assert np.array_equal(net.theta, before[0])
    assert net.model is before[1]
    assert np.array_equal(net.outputs(X), before[2])


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        ("3.bdy.1", UnknownNameError, r"no layer '3.bdy.1' in this network. Did you mean '3.body.1'"),
        (0, UnknownNameError, "Known: 1, 2, 3, 3.body.1"),
        (9, UnknownNameError, "no layer '9'"),
        (1.0, DTypeError, r'a number or an address such as "3.body.1". Got 1.0.'),
        (True, DTypeError, "Got True"),
    ],
)
def test_layers_that_are_not_there(layer: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        network().embed(X, layer)


def test_what_has_no_hidden_layer_or_other_inputs() -> None:
    with pytest.raises(OptionError, match="no hidden layer: its only layer with weights reads the inputs"):
        cp.Network([cp.Dense(2), cp.Activation("softmax")], n_in=5).embed(X)
    with pytest.raises(ShapeError, match="features=5"):
        network().embed(X[:, :3])
    two = cp.Concatenate([[cp.Dense(3, "tanh")], [cp.Dense(2)]], inputs=[2, 3])
    net = cp.Network([two, cp.Dense(3, "softmax")], n_in=5)
    assert net.embed(X).shape == (7, 5)
    with pytest.raises(UnsupportedError, match=r"reads only some columns .* Give layer 1"):
        net.embed(X, "1.branch1.1")
