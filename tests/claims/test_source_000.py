"""The claims of source 000, a derivation of backpropagation with a network in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from tests.claims import independent
from tests.claims.helpers import weights_and_biases

import clearprop as cp

RUNGS = ["graph", "neuron", "example", "batch"]


def problem(sizes: list[int], n: int, seed: int = 0) -> tuple[cp.Network, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    net = cp.Network(sizes, initializer="normal", seed=seed)
    return net, rng.normal(size=(n, sizes[0])), rng.random((n, sizes[-1]))


def test_000_1_sizes_give_shapes() -> None:
    """000.1: a list of sizes makes the network; W is (out, in), b (out,), and the input layer has no bias."""
    net = cp.Network([2, 3, 1], initializer="normal")
    assert {layer: W.shape for layer, W in net.W.items()} == {1: (3, 2), 2: (1, 3)}
    assert {layer: b.shape for layer, b in net.b.items()} == {1: (3,), 2: (1,)}
    assert net.n_parameters == 3 * 2 + 3 + 1 * 3 + 1
    assert [layer.activation.name for layer in net.layers] == ["sigmoid", "sigmoid"]
    assert net.cost.name == "quadratic"


def test_000_1_normal_weights_and_biases() -> None:
    """000.1: the initial weights and the biases are drawn from N(0, 1); bounds are four standard errors."""
    net = cp.Network([300, 400, 100], initializer="normal", seed=5)
    for values in (net.W[1], net.W[2], np.concatenate([net.b[1], net.b[2]])):
        n = values.size
        assert abs(values.mean()) < 4 / np.sqrt(n)
        assert abs((values**2).mean() - 1) < 4 * np.sqrt(2 / n)
        assert abs((np.abs(values) < 1).mean() - 0.682689) < 4 * np.sqrt(0.682689 * 0.317311 / n)


def test_000_2_gradient_of_one_example() -> None:
    """000.2: backprop(x, y) gives the gradient of C_x layer by layer: the textbook's to the last bit."""
    net, X, y = problem([2, 3, 3, 1], 1)
    trace = net.trace(X, y, engine="example")
    dW, db = independent.backprop(*weights_and_biases(net), X[0], y[0])
    for layer in (1, 2, 3):
        np.testing.assert_array_equal(trace[layer].dC_dW, dW[layer - 1])
        np.testing.assert_array_equal(trace[layer].dC_db, db[layer - 1])


def test_000_2_each_example_of_a_batch() -> None:
    """000.2: the per-example gradients of a whole batch are those that backprop gives one by one."""
    net, X, y = problem([2, 3, 3, 1], 7)
    trace = net.trace(X, y, engine="example")
    for i in range(len(X)):
        dW, db = independent.backprop(*weights_and_biases(net), X[i], y[i])
        for layer in (1, 2, 3):
            np.testing.assert_array_equal(trace[layer].per_example.dC_dW[i], dW[layer - 1])
            np.testing.assert_array_equal(trace[layer].per_example.dC_db[i], db[layer - 1])


@pytest.mark.parametrize("engine", RUNGS)
def test_000_3_one_step_with_eta_over_n(engine: str) -> None:
    """000.3: a mini-batch moves every parameter by -(eta / n) times the sum of the examples' gradients."""
    net, X, y = problem([2, 3, 1], 7)
    Ws, bs = weights_and_biases(net)
    options = {"batch_size": 7, "epochs": 1, "eta": 0.7}
    want_W, want_b = independent.train(Ws, bs, X, y, rule=independent.eta_over_n, **options)
    net.fit(X, y, optimizer=cp.SGD(0.7), batch_size=7, epochs=1, shuffle=False, engine=engine)
    for layer in (1, 2):
        np.testing.assert_allclose(net.W[layer], want_W[layer - 1], rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(net.b[layer], want_b[layer - 1], rtol=1e-14, atol=1e-15)
        assert np.abs(net.W[layer] - Ws[layer - 1]).max() > 1e-4


@pytest.mark.parametrize("engine", RUNGS)
def test_000_4_nothing_is_hidden(engine: str) -> None:
    """000.4: on every rung each intermediate of the forward and backward pass can be read by name."""
    net, X, y = problem([2, 3, 3, 1], 4)
    Ws, bs = weights_and_biases(net)
    trace = net.trace(X, y, engine=engine)
    assert trace.engine == engine
    passes = [independent.feedforward(Ws, bs, x) for x in X]
    gradients = [independent.backprop(Ws, bs, *example) for example in zip(X, y, strict=True)]
    np.testing.assert_array_equal(trace[0].a, X)
    for layer in (1, 2, 3):
        here = trace[layer]
        names = {"a_prev", "z", "a", "dC_da", "delta", "dC_dW", "dC_db", "dC_da_prev"}
        assert names <= set(here.fields)
        delta = np.array([db[layer - 1] for _, db in gradients])
        want = {
            "a_prev": np.array([activations[layer - 1] for _, activations in passes]),
            "z": np.array([zs[layer - 1] for zs, _ in passes]),
            "a": np.array([activations[layer] for _, activations in passes]),
            "delta": delta,
            "dC_dW": np.mean([dW[layer - 1] for dW, _ in gradients], axis=0),
            "dC_db": delta.mean(axis=0),
            "dC_da_prev": delta @ Ws[layer - 1],
        }
        for name, value in want.items():
            np.testing.assert_allclose(getattr(here, name), value, rtol=1e-12, atol=1e-15, err_msg=name)
        np.testing.assert_array_equal(trace[layer - 1].dC_da, here.dC_da_prev)
    np.testing.assert_allclose(trace[3].dC_da, trace.a - y, rtol=1e-12)
    np.testing.assert_allclose(trace.costs, 0.5 * ((trace.a - y) ** 2).sum(axis=1), rtol=1e-12)
    assert trace.cost == pytest.approx(trace.costs.mean(), rel=1e-14)


def test_000_4_unknown_names_list_what_there_is() -> None:
    """000.4: asking for something that is not there says what is."""
    net, X, y = problem([2, 3, 1], 2)
    with pytest.raises(AttributeError, match=r"layer 1 has no 'delt'\. Did you mean 'delta'"):
        _ = net.trace(X, y)[1].delt
