"""Networks as graphs: the bias as an input that is always 1, likelihood ascent, a published example."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from clearprop.engines import graph

ROOT = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(7)
SIZES = [(4, 3), (3, 4), (2, 3)]  # (out, in): two hidden layers and the output layer
WEIGHTS = [RNG.standard_normal(size) for size in SIZES]
BIASES = [RNG.standard_normal(size[0]) for size in SIZES]
X = RNG.standard_normal((6, 3))
Y = RNG.uniform(size=(6, 2))


def with_biases():
    """Return (cost, output, values): every layer is a @ W.T + b."""
    a, values = graph.input("X"), {"X": X}
    for layer, (W, b) in enumerate(zip(WEIGHTS, BIASES, strict=True), start=1):
        a = graph.activate(a @ graph.parameter(f"W{layer}").T + graph.parameter(f"b{layer}"), "sigmoid")
        values |= {f"W{layer}": W, f"b{layer}": b}
    return graph.mean(graph.per_example_cost(a, Y, "quadratic")), a.named("out"), values


def with_ones():
    """Return the same with the bias as the last column of W and a last input that is always 1."""
    a, values = graph.input("X"), {"X": X}
    for layer, (W, b) in enumerate(zip(WEIGHTS, BIASES, strict=True), start=1):
        extended = graph.concatenate([a, np.ones((len(X), 1))])
        a = graph.activate(extended @ graph.parameter(f"W{layer}").T, "sigmoid")
        values[f"W{layer}"] = np.column_stack([W, b])
    return graph.mean(graph.per_example_cost(a, Y, "quadratic")), a.named("out"), values


def test_bias_as_an_input_that_is_always_1():
    traces = []
    for cost, out, values in (with_biases(), with_ones()):
        traces.append(graph.evaluate(cost, values, also=[out]))
    separate, augmented = traces
    np.testing.assert_allclose(augmented.value["out"], separate.value["out"], rtol=1e-13)
    np.testing.assert_allclose(augmented.gradient["X"], separate.gradient["X"], rtol=1e-12, atol=1e-15)
    for layer in (1, 2, 3):
        both = augmented.gradient[f"W{layer}"]
        np.testing.assert_allclose(both[:, :-1], separate.gradient[f"W{layer}"], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(both[:, -1], separate.gradient[f"b{layer}"], rtol=1e-12, atol=1e-15)
        assert np.abs(both).min() > 0


def bernoulli(z, y):
    """Return the log-likelihood of each example: sum over the outputs of y ln p + (1 - y) ln(1 - p)."""
    p = 1 / (1 + graph.exp(-z))
    return graph.sum(y * graph.log(p) + (1 - y) * graph.log(1 - p), axis=-1)


def categorical(z, y):
    """Return the log-likelihood of each example: sum over the classes of y ln p, p the softmax of z."""
    e = graph.exp(z)
    return graph.sum(y * graph.log(e / graph.sum(e, axis=-1, keepdims=True)), axis=-1)


LIKELIHOODS = {
    "bernoulli": (
        bernoulli,
        (RNG.uniform(size=(6, 2)) > 0.5).astype(float),
        "sigmoid",
        "binary_cross_entropy",
    ),
    "categorical": (categorical, np.eye(2)[[0, 1, 1, 0, 1, 0]], "softmax", "cross_entropy"),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_ascending_the_likelihood_is_descending_its_negative(name):
    likelihood, y, activation, cost = LIKELIHOODS[name]
    W1, W2 = graph.parameter("W1"), graph.parameter("W2")
    z = graph.tanh(X @ W1.T) @ W2.T
    L = graph.mean(likelihood(z, y))
    # (what to follow, which way): up the likelihood; down its negative; down the library's costs.
    routes = [
        (L, +1),
        (-L, -1),
        (graph.mean(graph.per_example_cost(graph.activate(z, activation), y, cost)), -1),
        (graph.mean(graph.fused_per_example_cost(z, y, activation, cost)), -1),
    ]
    start = {W1: WEIGHTS[0], W2: WEIGHTS[0].T[:2]}
    ends = []
    for objective, sign in routes:
        net, theta = graph.Graph(objective), dict(start)
        for _ in range(20):
            trace = net.evaluate(theta)
            theta = {W: trace.value[W] + sign * 0.5 * trace.gradient[W] for W in theta}
        ends.append(theta)
    before, after = (graph.evaluate(L, theta, gradient=False).value[L] for theta in (start, ends[0]))
    assert after > before
    for W in (W1, W2):
        np.testing.assert_array_equal(ends[1][W], ends[0][W])  # the same numbers, bit for bit
        np.testing.assert_allclose(ends[2][W], ends[0][W], rtol=1e-11)
        np.testing.assert_allclose(ends[3][W], ends[0][W], rtol=1e-11)


def test_published_example_worked_by_hand(tmp_path, monkeypatch, capsys):
    picture = tmp_path / "graph.svg"
    monkeypatch.setattr("sys.argv", ["graph_by_hand.py", str(picture)])
    found = runpy.run_path(str(ROOT / "examples" / "graph_by_hand.py"))
    assert "dE/dw1 = 0.000438568" in capsys.readouterr().out
    assert ">0.298371<" in picture.read_text("utf-8").replace("value ", "")
    # The output error, by hand: (a - y) a (1 - a); the second hidden bias is shared, so it sums.
    trace = found["trace"]
    a, y = trace.value["a2"], trace.value["y"]
    np.testing.assert_allclose(trace.gradient["z2"], (a - y) * a * (1 - a), rtol=1e-13)
    np.testing.assert_allclose(trace.gradient["b2"], trace.gradient["z2"].sum(), rtol=1e-15)


def test_own_node_example_checks_itself(capsys):
    runpy.run_path(str(ROOT / "examples" / "own_node.py"))
    assert "largest difference from finite differences" in capsys.readouterr().out
