"""The claims of source 002, notes on chapter 2 of Nielsen's book: BP1 to BP4 and what follows from them."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.backprop_against_differences import measure
from tests.claims.helpers import complex_delta, complex_gradients

import clearprop as cp
from clearprop.costs import costs


def problem(layers: list, cost: str = "quadratic", n: int = 6, seed: int = 0, n_in: int = 3) -> tuple:
    rng = np.random.default_rng(seed)
    net = cp.Network(layers, cost, n_in=n_in, initializer="normal", seed=seed)
    net.theta = rng.normal(size=net.n_parameters)  # biases too
    return net, rng.normal(size=(n, n_in)), rng.random((n, net.model.n_out))


def sigmoids(*sizes: int) -> list:
    return [cp.Dense(size, "sigmoid") for size in sizes]


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)


# --- 002.1: the four equations, each on its own


def test_002_1_BP1_output_error() -> None:
    """002.1, BP1: delta^L = ∇_a C ⊙ σ'(z^L), and it is the derivative of C_x by z^L (complex steps)."""
    net, X, y = problem(sigmoids(4, 3, 2))
    trace = net.trace(X, y)
    a = trace[3].a
    close(trace[3].dC_da, a - y)
    close(trace[3].delta, (a - y) * a * (1 - a))
    close(trace[3].delta, complex_delta(net, 3, trace[3].z, y))


@pytest.mark.parametrize("layer", [1, 2])
def test_002_1_BP2_error_of_a_hidden_layer(layer: int) -> None:
    """002.1, BP2: delta^l = (W^{l+1})ᵀ delta^{l+1} ⊙ σ'(z^l), and it is the derivative of C_x by z^l."""
    net, X, y = problem(sigmoids(4, 3, 2))
    trace = net.trace(X, y)
    a = trace[layer].a
    for x in range(len(X)):  # as the book has it, with column vectors
        passed_back = net.W[layer + 1].T @ trace[layer + 1].delta[x]
        close(trace[layer].dC_da[x], passed_back)
        close(trace[layer].delta[x], passed_back * a[x] * (1 - a[x]))
    close(trace[layer].delta, complex_delta(net, layer, trace[layer].z, y))


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_002_1_BP3_biases_and_BP4_weights(layer: int) -> None:
    """002.1, BP3: ∂C_x/∂b = delta. BP4: ∂C_x/∂W = delta a_prevᵀ. For a batch, their means over the examples.

    The derivatives by complex steps of theta know nothing of delta.
    """
    net, X, y = problem(sigmoids(4, 3, 2))
    trace = net.trace(X, y)
    here, numeric = trace[layer], complex_gradients(net, X, y)
    b, W = net.model.layout.find(f"{layer}.b"), net.model.layout.find(f"{layer}.W")
    for x in range(len(X)):
        close(here.delta[x], numeric[x, b.block])
        close(np.outer(here.delta[x], here.a_prev[x]), numeric[x, W.block].reshape(W.shape))
    close(here.dC_db, numeric[:, b.block].mean(axis=0))
    close(here.dC_dW, numeric[:, W.block].mean(axis=0).reshape(W.shape))


def test_002_1_a_wrong_equation_would_show() -> None:
    """002.1: the numerical derivatives tell a delta that is off by one part in a thousand."""
    net, X, y = problem(sigmoids(4, 3, 2))
    trace = net.trace(X, y)
    with pytest.raises(AssertionError):
        close(1.001 * trace[1].delta, complex_delta(net, 1, trace[1].z, y))


# --- 002.2 and 002.3: the exercises


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_002_2_one_neuron_with_another_activation(layer: int) -> None:
    """002.2: with f in place of σ in one neuron, only its entry of σ'(z) changes, to f'(z)."""
    rest = ["sigmoid"] * 4
    changed = cp.per_neuron(["sigmoid", "tanh", *rest[2:]])
    layers = [cp.Dense(4, changed if i == layer else "sigmoid") for i in (1, 2, 3)]
    net, X, y = problem(layers)
    trace = net.trace(X, y)
    a = trace[layer].a
    close(a[:, 1], np.tanh(trace[layer].z[:, 1]))
    slope = a * (1 - a)
    slope[:, 1] = 1 - a[:, 1] ** 2
    close(trace[layer].delta, trace[layer].dC_da * slope)
    close(trace.per_example_gradient, complex_gradients(net, X, y))


def test_002_3_linear_neurons() -> None:
    """002.3: with σ(z) = z the factor σ' is 1: delta^L = a - y and delta^l = (W^{l+1})ᵀ delta^{l+1}."""
    net, X, y = problem([cp.Dense(4, "identity"), cp.Dense(3, "identity"), cp.Dense(2, "identity")])
    trace = net.trace(X, y)
    close(trace[3].delta, trace.a - y)
    for layer in (2, 1):
        close(trace[layer].delta, trace[layer + 1].delta @ net.W[layer + 1])
    close(trace.per_example_gradient, complex_gradients(net, X, y))


# --- 002.4: why backpropagation is fast


def test_002_4_two_passes_against_two_per_parameter() -> None:
    """002.4: backpropagation takes one forward and one backward pass; differences two forward per parameter.

    Counted by layers that count as they compute, for four sizes. So the multiplications of one grow like the
    number of parameters, those of the other like its square. Both give the same gradient.
    """
    rows = [measure(hidden, examples=4) for hidden in (2, 4, 8, 16)]
    for row in rows:
        fast, slow, n = row["backpropagation"], row["differences"], row["parameters"]
        assert not row["estimated"]
        assert (fast["forward"], fast["backward"]) == (1, 1)
        assert (slow["forward"], slow["backward"]) == (2 * n, 0)
        assert row["relative_difference_of_gradients"] < 1e-7
        assert fast["multiplications"] < 3 * slow["multiplications"] / (2 * n)
    n = np.array([row["parameters"] for row in rows], dtype=float)
    for method, power in (("backpropagation", 1), ("differences", 2)):
        work = np.array([row[method]["multiplications"] for row in rows], dtype=float)
        growth = np.log(work[1:] / work[:-1]) / np.log(n[1:] / n[:-1])
        np.testing.assert_allclose(growth, power, atol=0.15)


# --- 002.5: the factors of a small gradient


@pytest.mark.parametrize(
    ("small", "x", "b1", "W2"),
    [
        ("none", 0.8, 0.1, 1.5),
        ("a_in", 1e-6, 0.1, 1.5),
        ("slope", 0.8, 16.0, 1.5),
        ("upstream", 0.8, 0.1, 1e-6),
    ],
)
def test_002_5_three_factors_of_a_gradient(small: str, x: float, b1: float, W2: float) -> None:
    """002.5: ∂C/∂w = a_in · σ'(z) · ∂C/∂a. Each alone can make it small; the trace shows which one does."""
    net = cp.Network([1, 1, 1])
    net.W[1], net.b[1], net.W[2], net.b[2] = [[0.7]], [b1], [[W2]], [-0.3]
    trace = net.trace([[x]], [[0.0]])
    z, a = trace[1].z[0, 0], trace[1].a[0, 0]
    factors = {
        "a_in": trace[1].a_prev[0, 0],
        "slope": net.layers[0].activation.df(z, a),
        "upstream": trace[1].dC_da[0, 0],
    }
    gradient = trace[1].dC_dW[0, 0]
    assert gradient == pytest.approx(np.prod(list(factors.values())), rel=1e-14)
    for name, factor in factors.items():
        assert abs(factor) < 1e-5 if name == small else abs(factor) > 0.02
    assert abs(gradient) > 1e-3 if small == "none" else 0 < abs(gradient) < 1e-5


def test_002_5_a_saturated_output_learns_slowly() -> None:
    """002.5: also in the last layer: wrong but saturated, it hardly moves; cross-entropy takes σ' away."""
    for cost, bound in (("quadratic", 1e-4), ("binary_cross_entropy", None)):
        net = cp.Network([cp.Dense(1, "sigmoid")], cost, n_in=1)
        net.W[1], net.b[1] = [[2.0]], [8.0]
        delta = net.trace([[1.0]], [[0.0]])[1].delta[0, 0]
        assert 0 < delta < bound if bound else delta > 0.9999


# --- 002.6: layouts


def test_002_6_denominator_and_numerator_layout() -> None:
    """002.6: W is (out, in). The two layouts of ∂z^{l+1}/∂z^l are transposes and give the same delta.

    Denominator layout (the book's): J[i, j] = ∂z_j^{l+1}/∂z_i^l = Σ'(z^l) Wᵀ, and delta is a column.
    Numerator layout: J[j, i], and delta is a row, multiplied from the other side.
    """
    net, X, y = problem(sigmoids(4, 3), n=1)
    trace = net.trace(X, y)
    assert net.W[2].shape == trace[2].dC_dW.shape == (3, 4)
    a = trace[1].a[0]
    denominator = np.diag(a * (1 - a)) @ net.W[2].T
    numerator = np.empty((3, 4))
    for i in range(4):  # by complex steps of z^1, entry by entry
        z = trace[1].z[0].astype(complex)
        z[i] += 1e-30j
        numerator[:, i] = (net.W[2] @ (1 / (1 + np.exp(-z))) + net.b[2]).imag / 1e-30
    close(numerator, denominator.T)
    column, row = trace[2].delta[0][:, None], trace[2].delta[0][None, :]
    close(denominator @ column, trace[1].delta[0][:, None])
    close(row @ numerator, trace[1].delta[0][None, :])
    close(column @ trace[2].a_prev[0][None, :], trace[2].dC_dW)  # ∂C/∂W laid out like W itself
    close(trace[2].a_prev[0][:, None] @ row, trace[2].dC_dW.T)  # and in numerator layout


# --- 002.7: the two assumptions on a cost


@pytest.mark.parametrize("name", list(costs))
def test_002_7_a_cost_is_a_mean_of_functions_of_the_outputs(name: str) -> None:
    """002.7: C = (1/n) Σ_x C_x, and C_x depends on the outputs and the target of x and on nothing else."""
    cost, rng = costs.make(name), np.random.default_rng(0)
    a = rng.random((5, 2)) * 0.8 + 0.1
    a /= a.sum(axis=1, keepdims=True)
    y = np.eye(2)[[0, 1, 1, 0, 1]]
    if cost.targets == "sign":
        y = 2 * y - 1
    together = cost.value(a, y)
    assert together.shape == (5,)
    for x in range(5):
        close(cost.value(a[x : x + 1], y[x : x + 1])[0], together[x])
        close(cost.dC_da(a[x : x + 1], y[x : x + 1])[0], cost.dC_da(a, y)[x])


def test_002_7_shards_add_up() -> None:
    """002.7: so the gradient of a batch is the mean of its shards', weighted by their sizes."""
    net, X, y = problem([cp.Dense(8, "tanh"), cp.Dense(4, "softmax")], "cross_entropy", n=64)
    y /= y.sum(axis=1, keepdims=True)
    whole, trace = net.gradient(X, y), net.trace(X, y)
    assert trace.cost == pytest.approx(trace.costs.mean(), rel=1e-14)
    for cuts in ([32], [1, 8, 9, 40], [16, 32, 48]):
        shards = zip(np.split(X, cuts), np.split(y, cuts), strict=True)
        total = sum(len(Xs) / 64 * net.gradient(Xs, ys) for Xs, ys in shards)
        assert np.linalg.norm(total - whole) < 1e-12 * np.linalg.norm(whole)
