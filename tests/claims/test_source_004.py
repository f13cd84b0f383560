"""The claims of source 004, backpropagation from scratch: sigmoid hidden layers, a softmax output, MNIST."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.claims.helpers import complex_delta, complex_gradients
from tests.realdata import needs, path

import clearprop as cp


def problem(*hidden: str, n: int = 8, seed: int = 0) -> tuple[cp.Network, Any, Any]:
    rng = np.random.default_rng(seed)
    layers = [*(cp.Dense(5, name) for name in hidden), cp.Dense(3, "softmax")]
    net = cp.Network(layers, "cross_entropy", n_in=4, initializer="normal", seed=seed)
    return net, rng.normal(size=(n, 4)), np.eye(3)[rng.integers(0, 3, n)]


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)


# --- 004.1: a different activation in each layer


@pytest.mark.parametrize(
    "hidden",
    [
        ("sigmoid", "sigmoid"),
        ("tanh", "sigmoid"),
        ("softplus", "sigmoid", "identity"),
        ("silu", "gelu", "softsign"),
        ("softmax", "tanh"),
    ],
    ids="-".join,
)
def test_004_1_any_mix_of_activations(hidden: tuple[str, ...]) -> None:
    """004.1: sigmoid hidden layers and a softmax output with cross-entropy, and any other mix, learn.

    The gradient of each mix is that of complex steps.
    """
    net, X, y = problem(*hidden)
    trace = net.trace(X, y)
    numeric = complex_gradients(net, X, y)
    np.testing.assert_allclose(trace.per_example_gradient, numeric, rtol=1e-10, atol=1e-13)
    before = net.evaluate(X, y)["cost"]
    net.fit(X, y, optimizer=cp.SGD(0.01), batch_size=8, epochs=5)
    assert net.evaluate(X, y)["cost"] < before


# --- 004.2: the error of softmax with cross-entropy


def test_004_2_delta_is_a_minus_y() -> None:
    """004.2, equation (7): delta^L = a - y; so it is from the two unfused factors, and by complex steps."""
    net, X, y = problem("sigmoid")
    trace = net.trace(X, y)
    z, a = trace[2].z, trace[2].a
    close(trace[2].delta, a - y)
    close(a, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))
    dC_da = net.cost.dC_da(a, y)
    close(dC_da, -y / a)
    product, _ = net.layers[1].activation.backward(z, a, dC_da)
    close(trace[2].delta, product)
    for x in range(len(X)):  # with the Jacobian written out: ∂a_i/∂z_j = a_i (1[i=j] - a_j)
        jacobian = np.diag(a[x]) - np.outer(a[x], a[x])
        close(trace[2].delta[x], jacobian.T @ dC_da[x])
    close(trace[2].delta, complex_delta(net, 2, z, y))
    close(trace.costs, np.log(1 / a[y == 1]))


def test_004_2_stays_finite_where_the_product_does_not() -> None:
    """004.2: where a is 0 to the last bit the unfused product is inf · 0; the fused error is still a - y."""
    net, X, y = problem("sigmoid", n=1)
    net.b[2] = [0.0, 1000.0, 0.0]
    y = np.array([[1.0, 0.0, 0.0]])
    trace = net.trace(X, y)
    np.testing.assert_array_equal(trace[2].delta, [[-1.0, 1.0, 0.0]])
    assert 900 < trace.cost < 1100


def test_004_2_equations_8_to_13() -> None:
    """004.2: with column vectors: (8), (9) the last layer; (13), (10), (11) the one before; (12) further."""
    net, X, y = problem("sigmoid", "sigmoid", n=1)
    trace = net.trace(X, y)
    a0, a1, a2, a3 = (layer.a[0][:, None] for layer in trace)
    y = y[0][:, None]
    close(trace[3].dC_dW, (a3 - y) @ a2.T)  # (8)
    close(trace[3].dC_db, (a3 - y)[:, 0])  # (9)
    dC_da2 = net.W[3].T @ (a3 - y)  # (13)
    close(trace[2].dC_da, dC_da2.T)
    slope2, slope1 = a2 * (1 - a2), a1 * (1 - a1)
    close(trace[2].dC_dW, (slope2 * dC_da2) @ a1.T)  # (10)
    close(trace[2].dC_db, (slope2 * dC_da2)[:, 0])  # (11)
    dC_da1 = net.W[2].T @ (slope2 * dC_da2)  # (12)
    close(trace[1].dC_da, dC_da1.T)
    close(trace[1].dC_dW, (slope1 * dC_da1) @ a0.T)
    close(trace[1].dC_db, (slope1 * dC_da1)[:, 0])


# --- 004.3: accuracy while training


class Watch(cp.Callback):
    """Keeps what a progress display is given."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_progress(self, run: Any, rolling: dict[str, float]) -> None:
        self.rows.append(dict(rolling))


def test_004_3_rolling_and_global_accuracy() -> None:
    """004.3: one example at a time; accuracy over the last examples while training, the global each epoch.

    The rolling figures are recomputed here from a training of our own, example by example.
    """
    data = cp.datasets.digits()
    X, y = data.X_train[:1500] * data.scale, data.y_train[:1500]
    net = cp.Network(
        [cp.Dense(16, "sigmoid"), cp.Dense(10, "softmax")], cost="cross_entropy", n_in=64, seed=0
    )
    start, watch = net.copy(), Watch()
    history = net.fit(
        X, y, optimizer=cp.SGD(0.1), batch_size=1, epochs=2, shuffle=False, callbacks=watch, X_val=X, y_val=y
    )
    assert history.rolling == watch.rows
    assert {"epoch", "step", "examples", "cost", "accuracy"} <= set(watch.rows[0])

    W1, b1, W2, b2 = start.W[1].copy(), start.b[1].copy(), start.W[2].copy(), start.b[2].copy()
    right, costs = [], []
    for x, label in [*zip(X, y, strict=True)] * 2:
        a1 = 1 / (1 + np.exp(-(W1 @ x + b1)))
        e = np.exp(W2 @ a1 + b2)
        a2 = e / e.sum()
        right.append(a2.argmax() == label)
        costs.append(-np.log(a2[label]))
        delta2 = a2 - np.eye(10)[label]
        delta1 = (W2.T @ delta2) * a1 * (1 - a1)
        W2, b2 = W2 - 0.1 * np.outer(delta2, a1), b2 - 0.1 * delta2
        W1, b1 = W1 - 0.1 * np.outer(delta1, x), b1 - 0.1 * delta1
    for row in history.rolling:
        last = slice(row["step"] - row["examples"], row["step"])
        assert row["accuracy"] == pytest.approx(np.mean(right[last]), abs=1e-12)
        assert row["cost"] == pytest.approx(np.mean(costs[last]), rel=1e-9)
        assert 0 < row["examples"] <= 1100
    assert history.rolling[-1]["step"] == 3000
    assert history["accuracy"] == pytest.approx([np.mean(right[:1500]), np.mean(right[1500:])])
    assert history["val_accuracy"][-1] == net.evaluate(X, y)["accuracy"]
    assert history["accuracy"][1] > history["accuracy"][0]


# --- 004.4: MNIST


@pytest.mark.slow
@needs("mnist.npz")
def test_004_4_mnist_online() -> None:
    """004.4: one epoch the source's way, one example at a time, sigmoid hidden layers: at least 85 %."""
    data = cp.datasets.mnist(path("mnist.npz")).scaled(np.float32)
    layers = [cp.Dense(30, "sigmoid"), cp.Dense(30, "sigmoid"), cp.Dense(10, "softmax")]
    net = cp.Network(layers, cost="cross_entropy", n_in=784, seed=0, dtype="float32")
    history = net.fit(data.X_train, data.y_train, optimizer=cp.SGD(0.1), batch_size=1, epochs=1)
    assert history["step"] == [60_000]
    assert history.rolling[-1]["accuracy"] > 0.85
    assert net.evaluate(data.X_test, data.y_test)["accuracy"] >= 0.85


@pytest.mark.slow
@needs("mnist.npz")
def test_004_4_mnist_with_a_sensible_setting() -> None:
    """004.4: 128 relu, Adam with a falling rate, batches of 64, 10 epochs: at least 97.5 %."""
    data = cp.datasets.mnist(path("mnist.npz")).scaled(np.float32)
    layers = [cp.Dense(128, "relu"), cp.Dense(10, "softmax")]
    net = cp.Network(layers, cost="cross_entropy", n_in=784, seed=0, dtype="float32")
    options = {"optimizer": cp.Adam(1e-3), "schedule": cp.Cosine(), "batch_size": 64, "epochs": 10}
    net.fit(data.X_train, data.y_train, **options)
    assert net.evaluate(data.X_test, data.y_test)["accuracy"] >= 0.975
