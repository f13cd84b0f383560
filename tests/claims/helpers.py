"""What the tests of the sources' claims share: numerical derivatives, and the sources' data and trainings."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

import clearprop as cp
from clearprop.layers import chain_forward
from clearprop.model import State

TINY = 1e-30  # a complex step has no cancellation, so it may be as small as one likes


class KeepTheta(cp.Callback):
    """Keeps theta as it was before every step."""

    every = 1

    def __init__(self) -> None:
        self.thetas: list[np.ndarray] = []

    def on_gradient(self, run: Any, gradient: Any) -> None:
        self.thetas.append(run.state.theta.copy())


def weights_and_biases(net: cp.Network) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return copies of all W and all b, first layer first."""
    return [W.copy() for W in net.W.values()], [b.copy() for b in net.b.values()]


def costs_at(net: cp.Network, theta: Any, X: Any, y: Any) -> Any:
    """Return C_x of every example at another theta, which may be complex."""
    state = State(net.model, theta, net.buffers)
    return net.model.costs(chain_forward(net.model.layers, X, state.params, state.buffer_tree)[-1], y)


def complex_gradients(net: cp.Network, X: Any, y: Any) -> np.ndarray:
    """Return ∂C_x/∂theta of every example by complex steps, (n, size of theta)."""
    columns = []
    for i in range(net.n_parameters):
        theta = net.theta.astype(complex)
        theta[i] += 1j * TINY
        columns.append(costs_at(net, theta, X, y).imag / TINY)
    return np.stack(columns, axis=1)


def costs_from_z(net: cp.Network, layer: int, z: Any, y: Any) -> Any:
    """Return C_x of every example when layer `layer` has the weighted inputs z, which may be complex."""
    state, index = net.state, layer - 1
    a = net.model.layers[index].activation.forward(z, state.params[index])
    if layer == len(net.model.layers):
        return net.model.cost.value(a, y)
    rest = slice(layer, None)
    records = chain_forward(net.model.layers[rest], a, state.params[rest], state.buffer_tree[rest])
    return net.model.cost.value(records[-1].a, y)


def complex_delta(net: cp.Network, layer: int, z: Any, y: Any) -> np.ndarray:
    """Return ∂C_x/∂z of a layer by complex steps of its z alone, (n, n_out)."""
    columns = []
    for j in range(z.shape[1]):
        moved = z.astype(complex)
        moved[:, j] += 1j * TINY
        columns.append(costs_from_z(net, layer, moved, y).imag / TINY)
    return np.stack(columns, axis=1)


# --- The circles of source 003


class CirclesTraining(NamedTuple):
    """The training of claim 003.11: the data, the network before and after, and what was recorded."""

    X: np.ndarray
    y: np.ndarray
    start: cp.Network
    net: cp.Network
    history: cp.History
    norms: cp.NormHistory
    thetas: list[np.ndarray]


def circles_network(seed: int) -> cp.Network:
    """Return [2, 3, 3, 1] with the source's start: all U(0, 1) but the weights of the output, N(0, 1)."""
    hidden = cp.Dense(3, "sigmoid", initializer="uniform", bias_initializer="uniform")
    output = cp.Dense(1, "sigmoid", initializer="normal", bias_initializer="uniform")
    return cp.Network([hidden, hidden, output], cost="quadratic", n_in=2, seed=seed)


def circles(n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Return the circles: the outer one first, the inner one after it, as in the source; y (n, 1)."""
    X, y = cp.datasets.circles(n, factor=0.3, noise=0.1, shuffle=False)
    return X, y[:, None].astype(np.float64)


def train_circles(net: cp.Network, X: Any, y: Any, **options: Any) -> cp.History:
    """Train as source 003 does: batches of 50 in the given order, eta 1e-2, 10 epochs; options overrule."""
    options = {"batch_size": 50, "epochs": 10, "shuffle": False, "engine": "batch"} | options
    return net.fit(X, y, optimizer=cp.SGD(1e-2), **options)


@functools.cache
def circles_training(seed: int = 0) -> CirclesTraining:
    """Run the training of claim 003.11 once."""
    X, y = circles()
    start = circles_network(seed)
    net, norms, keep = start.copy(), cp.NormHistory(), KeepTheta()
    history = train_circles(net, X, y, callbacks=[norms, keep])
    return CirclesTraining(X, y, start, net, history, norms, keep.thetas)


# --- The moons of source 001


@functools.cache
def moons() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return X_train, y_train, X_test, y_test: the very points of source 001, made by scikit-learn."""
    from sklearn.datasets import make_moons
    from sklearn.model_selection import train_test_split

    X, y = make_moons(n_samples=5000, noise=0.1, random_state=42)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=42)
    return X_train, y_train, X_test, y_test


def moons_network(seed: int) -> cp.Network:
    """Return the network of source 001: 2 inputs, 100 relu, 2 softmax, all weights and biases N(0, 1)."""
    normal = {"initializer": "normal", "bias_initializer": "normal"}
    layers = [cp.Dense(100, "relu", **normal), cp.Dense(2, "softmax", **normal)]
    return cp.Network(layers, cost="cross_entropy", n_in=2, seed=seed)


def moons_accuracy(seed: int, steps: int) -> float:
    """Return the test accuracy after some steps of full-batch gradient descent with rate 0.1."""
    X_train, y_train, X_test, y_test = moons()
    net = moons_network(seed)
    net.fit(X_train, y_train, optimizer=cp.SGD(0.1), batch_size=len(X_train), epochs=steps, shuffle=False)
    return net.evaluate(X_test, y_test)["accuracy"]
