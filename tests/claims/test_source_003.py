"""The claims of source 003, a notebook from one neuron to tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.claims import independent
from tests.claims.helpers import (
    CirclesTraining,
    circles,
    circles_network,
    circles_training,
    train_circles,
    weights_and_biases,
)

import clearprop as cp
from clearprop.errors import ShapeError, UnsupportedError

RUNGS = ["graph", "neuron", "example", "batch"]


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)


# --- 003.1 to 003.5: forward


def test_003_1_toy_step() -> None:
    """003.1: 1000 evenly spaced points in [-5, 5], -1 for x <= 0 and +1 above; the first ones as printed."""
    X, y = cp.datasets.toy_step()
    assert X.shape == y.shape == (1000, 1)
    printed = [[-5.0], [-4.98998999], [-4.97997998], [-4.96996997], [-4.95995996]]
    np.testing.assert_allclose(X[:5], printed, rtol=0, atol=5e-9)
    assert X[-1, 0] == 5.0
    np.testing.assert_allclose(np.diff(X[:, 0]), 10 / 999, rtol=1e-12)
    np.testing.assert_array_equal(y, 2 * (X > 0) - 1)


@pytest.mark.parametrize("engine", RUNGS)
def test_003_2_chain_of_single_neurons(engine: str) -> None:
    """003.2: [1, 1, 1, 1] is sigma(w3 sigma(w2 sigma(w1 x + b1) + b2) + b3), by pocket calculator."""
    (w1, b1, w2, b2, w3, b3), x, y = (0.3, 0.8, 0.6, 0.2, 0.9, 0.4), -5.0, -1.0
    net = cp.Network([1, 1, 1, 1])
    net.theta = [w1, b1, w2, b2, w3, b3]

    def node(w: float, b: float, a: float) -> float:
        return 1 / (1 + math.exp(-(w * a + b)))

    a = node(w3, b3, node(w2, b2, node(w1, b1, x)))
    trace = net.trace([[x]], [[y]], engine=engine)
    assert trace.a[0, 0] == pytest.approx(a, rel=1e-14)
    assert trace.cost == pytest.approx(0.5 * (a - y) ** 2, rel=1e-14)


def test_003_2_both_costs_and_the_printed_figure() -> None:
    """003.2: output 0.76936505 for the label -1 costs 3.1306526667222374 by the mean squared error; half of
    it by the quadratic cost. (The output is printed with 8 digits, so its cost is known to 2e-8.)
    """
    y, printed = np.array([[-1.0]]), 3.1306526667222374
    mse, quadratic = cp.costs.MeanSquaredError(), cp.costs.Quadratic()
    assert mse.value(np.array([[0.76936505]]), y)[0] == pytest.approx(printed, abs=2e-8)
    a = math.sqrt(printed) - 1
    assert round(a, 8) == 0.76936505
    for cost, value in ((mse, printed), (quadratic, printed / 2)):
        net = cp.Network([cp.Dense(1, "sigmoid")] * 3, cost, n_in=1)
        net.W[3], net.b[3] = [[0.0]], [math.log(a / (1 - a))]
        assert net.evaluate([[-5.0]], y)["cost"] == pytest.approx(value, rel=1e-14)


def test_003_2_what_the_two_costs_sum_and_average() -> None:
    """003.2: over k outputs the mean squared error averages, the quadratic cost sums and halves."""
    rng = np.random.default_rng(0)
    a, y = rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    close(cp.costs.MeanSquaredError().value(a, y), np.mean((a - y) ** 2, axis=1))
    close(cp.costs.Quadratic().value(a, y), 0.5 * np.linalg.norm(y - a, axis=1) ** 2)


def test_003_3_matrices_are_current_by_incoming() -> None:
    """003.3: [1, 3, 2, 1] has W of (3, 1), (2, 3), (1, 2); W[j, k] leads from neuron k to neuron j."""
    net = cp.Network([1, 3, 2, 1], initializer="normal", seed=1)
    assert [W.shape for W in net.W.values()] == [(3, 1), (2, 3), (1, 2)]
    assert [b.shape for b in net.b.values()] == [(3,), (2,), (1,)]
    before = net.trace([[0.5]], [[1.0]])
    net.W[2][1, 2] += 0.25
    after = net.trace([[0.5]], [[1.0]])
    moved = after[2].z[0] - before[2].z[0]
    assert moved[0] == 0.0
    assert moved[1] == pytest.approx(0.25 * before[1].a[0, 2], rel=1e-12)


def test_003_3_shape_errors_name_both_sizes_and_the_layer() -> None:
    """003.3: what does not fit is refused in one sentence with the layer and both sizes."""
    layers = [cp.Dense(3, "sigmoid"), cp.Dense(2, "sigmoid", n_in=4), cp.Dense(1, "sigmoid")]
    with pytest.raises(
        ShapeError, match=r"layers\[2\] Dense expects 4 inputs; what comes before it gives 3\."
    ):
        cp.Network(layers, "quadratic", n_in=1)
    net = cp.Network([1, 3, 2, 1])
    with pytest.raises(ShapeError, match=r"features=2\); layers\[1\] expects \(examples, features=1\)"):
        net.outputs(np.zeros((5, 2)))
    with pytest.raises(ShapeError, match=r"outputs=2\); the last layer has 1 outputs"):
        net.trace(np.zeros((5, 1)), np.zeros((5, 2)))
    with pytest.raises(ShapeError, match=r"\(16,\); this network has 17 parameters"):
        net.theta = np.zeros(16)
    with pytest.raises(ValueError, match="shape"):
        net.W[2] = np.zeros((3, 2))


def test_003_4_the_whole_data_set_at_once() -> None:
    """003.4: A = sigma(W A_prev + b) with one column per example gives what the examples give one by one."""
    X, y = cp.datasets.toy_step()
    net = cp.Network([1, 3, 2, 1], initializer="normal", seed=2)
    Ws, bs = weights_and_biases(net)
    A = X.T
    for W, b in zip(Ws, bs, strict=True):
        A = sigmoid(W @ A + b[:, None])
    one_by_one = np.array([independent.feedforward(Ws, bs, x)[1][-1] for x in X])
    for outputs in (A.T, one_by_one, net.outputs(X, engine="example")):
        close(net.outputs(X, engine="batch"), outputs)
    assert net.evaluate(X, y)["cost"] == pytest.approx((0.5 * (A.T - y) ** 2).mean(), rel=1e-12)


def test_003_5_bias_trick_with_layers() -> None:
    """003.5: layers without biases and a constant 1 as an input of each: same outputs and gradients."""
    X, y = cp.datasets.toy_step(50)
    net = cp.Network([1, 3, 2, 1], initializer="normal", seed=3)
    bare = [cp.Dense(size, "sigmoid", bias=False) for size in (3, 2, 1)]
    one = cp.Dense(1, "identity", bias=False)  # passes the constant on
    layers = [cp.Concatenate([bare[0], one]), cp.Concatenate([bare[1], one]), bare[2]]
    augmented = cp.Network(layers, "quadratic", n_in=2)
    addresses = {1: "1.branch1.1", 2: "2.branch1.1", 3: "3"}
    assert set(addresses.values()) < {str(address) for address in augmented.W}
    for layer, address in addresses.items():
        augmented.W[address] = np.column_stack([net.W[layer], net.b[layer]])
    for layer, n_in in ((1, 2), (2, 4)):
        augmented.W[f"{layer}.branch2.1"] = np.eye(n_in)[-1:]
    X1 = np.column_stack([X, np.ones(len(X))])
    close(augmented.outputs(X1), net.outputs(X))
    trace, wanted = augmented.trace(X1, y), net.trace(X, y)
    for layer, address in addresses.items():
        separate = np.column_stack([wanted[layer].dC_dW, wanted[layer].dC_db])
        close(trace[address].dC_dW, separate)


# --- 003.6: linear networks


def linear(output: str, cost: str, depth: int = 4) -> cp.Network:
    layers = [cp.Dense(6, "identity") for _ in range(depth)] + [
        cp.Dense(2 if output == "identity" else 1, output)
    ]
    net = cp.Network(layers, cost, n_in=3, initializer="lecun_normal", seed=4)
    net.theta += np.random.default_rng(0).normal(size=net.n_parameters) / 10  # biases too
    return net


def test_003_6_linear_layers_collapse_to_one_affine_map() -> None:
    """003.6: W* = W5 W4 W3 W2 W1, b* = W5 (… (W2 b1 + b2) …) + b5, and x W*ᵀ + b* is the network (1e-12)."""
    net = linear("identity", "quadratic")
    X = np.random.default_rng(1).normal(size=(200, 3))
    W, b = net.collapse()
    assert W.shape == (2, 3)
    assert b.shape == (2,)
    np.testing.assert_allclose(
        W, np.linalg.multi_dot([net.W[i] for i in (5, 4, 3, 2, 1)]), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(X @ W.T + b, net.outputs(X), rtol=0, atol=1e-12)


def test_003_6_with_a_final_sigmoid_it_is_logistic_regression() -> None:
    """003.6: the same with a sigmoid at the end is logistic regression, outputs and decision line."""
    net = linear("sigmoid", "binary_cross_entropy")
    X = np.random.default_rng(1).normal(size=(200, 3))
    W, b = net.collapse()
    np.testing.assert_allclose(sigmoid(X @ W.T + b), net.outputs(X), rtol=0, atol=1e-12)
    logistic = cp.Network([cp.Dense(1, "sigmoid")], "binary_cross_entropy", n_in=3)
    logistic.W[1], logistic.b[1] = W, b
    y = (X[:, :1] > 0).astype(float)
    assert logistic.evaluate(X, y)["cost"] == pytest.approx(net.evaluate(X, y)["cost"], rel=1e-12)


def test_003_6_a_curved_layer_does_not_collapse() -> None:
    """003.6: with an activation that is not linear in between there is no such map, and that is said."""
    net = cp.Network([cp.Dense(4), cp.Dense(3, "tanh"), cp.Dense(1)], "quadratic", n_in=2)
    with pytest.raises(UnsupportedError, match="layer 2 has the activation 'tanh'"):
        net.collapse()


# --- 003.8 to 003.10: backward


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_003_8_the_product_of_three_factors(layer: int) -> None:
    """003.8: ∂C/∂w = ∂z/∂w · ∂a/∂z · ∂C/∂a for every weight; each factor is what a nudge measures."""
    net = cp.Network([2, 3, 3, 1], initializer="normal", seed=5)
    x, y = [[0.4, -0.9]], [[1.0]]
    trace = net.trace(x, y)
    here, epsilon = trace[layer], 1e-6
    for j, k in np.ndindex(net.W[layer].shape):
        dz_dw = here.a_prev[0, k]
        da_dz = here.a[0, j] * (1 - here.a[0, j])
        assert here.dC_dW[j, k] == pytest.approx(dz_dw * da_dz * here.dC_da[0, j], rel=1e-14)
        nudged = net.copy()
        nudged.W[layer][j, k] += epsilon
        moved = nudged.trace(x, y)
        dz, da = moved[layer].z[0, j] - here.z[0, j], moved[layer].a[0, j] - here.a[0, j]
        assert dz / epsilon == pytest.approx(dz_dw, rel=1e-6)
        assert da / dz == pytest.approx(da_dz, rel=1e-5)
        assert (moved.cost - trace.cost) / da == pytest.approx(here.dC_da[0, j], rel=1e-4)


@pytest.mark.parametrize("engine", RUNGS)
def test_003_9_and_003_10_the_rungs(engine: str) -> None:
    """003.9, 003.10: neuron by neuron, example by example, all at once: the textbook's gradients on each."""
    X, y = circles()
    net = circles_network(0)
    X, y = X[480:520], y[480:520]
    Ws, bs = weights_and_biases(net)
    sums_W, sums_b = independent.gradient_sums(Ws, bs, X, y)
    trace = net.trace(X, y, engine=engine)
    for layer in (1, 2, 3):
        close(trace[layer].dC_dW, sums_W[layer - 1] / 40)
        close(trace[layer].dC_db, sums_b[layer - 1] / 40)


# --- 003.11 and 003.12: the circles


def test_003_11_circles() -> None:
    """003.11: 500 points around a circle of radius 1, then 500 around one of radius 0.3, noise 0.1."""
    X, y = circles()
    assert X.shape == (1000, 2)
    np.testing.assert_array_equal(y[:, 0], np.repeat([0.0, 1.0], 500))
    clean, _ = cp.datasets.circles(1000, factor=0.3, noise=0.0, shuffle=False)
    np.testing.assert_allclose(np.linalg.norm(clean, axis=1), np.repeat([1.0, 0.3], 500), rtol=1e-12)
    assert abs((X - clean).std() - 0.1) < 4 * 0.1 / np.sqrt(2 * 2000)


def test_003_11_norms_of_gradients_and_weights_are_recorded() -> None:
    """003.11: [2, 3, 3, 1], batches of 50, eta 1e-2, 10 epochs: 200 steps, both norms per layer at each."""
    run: CirclesTraining = circles_training()
    assert len(run.history) == 10
    assert len(run.norms.rows) == len(run.thetas) == 200
    assert run.norms.addresses == ("1.W", "2.W", "3.W")
    assert run.history["cost"][-1] < run.history["cost"][0]
    assert run.history["step"] == [20 * epoch for epoch in range(1, 11)]
    net = run.start.copy()
    for step in (0, 1, 77, 199):
        net.theta = run.thetas[step]
        batch = slice(step % 20 * 50, step % 20 * 50 + 50)
        trace = net.trace(run.X[batch], run.y[batch])
        row = run.norms.rows[step]
        assert row.step == step + 1
        for layer in (1, 2, 3):
            assert row.gradient[f"{layer}.W"] == pytest.approx(np.linalg.norm(trace[layer].dC_dW), rel=1e-12)
            assert row.parameter[f"{layer}.W"] == pytest.approx(np.linalg.norm(net.W[layer]), rel=1e-12)
    for what in ("gradient", "parameter"):
        column = run.norms.column("2.W", what)
        assert len(column) == 200
        assert min(column) > 0


def costs_of_many(thetas: np.ndarray, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return ½‖a - y‖² of every example at every theta, by hand: thetas (k, 25), result (k, n)."""
    a, start = np.broadcast_to(X, (len(thetas), *X.shape)), 0
    for n_in, n_out in ((2, 3), (3, 3), (3, 1)):
        W = thetas[:, start : start + n_in * n_out].reshape(-1, n_out, n_in)
        b = thetas[:, start + n_in * n_out : start + (n_in + 1) * n_out]
        a, start = sigmoid(a @ W.transpose(0, 2, 1) + b[:, None, :]), start + (n_in + 1) * n_out
    return 0.5 * ((a - y) ** 2).sum(axis=2)


def gradient_errors(run: CirclesTraining, epsilon: float, fault: float = 1.0) -> np.ndarray:
    """Return ‖Δ - g‖ / (‖Δ‖ + ‖g‖) of every example at the step that saw it, (steps, examples per step)."""
    net, errors = run.start.copy(), []
    nudges = epsilon * np.eye(net.n_parameters)
    for step, theta in enumerate(run.thetas):
        batch = slice(step % 20 * 50, step % 20 * 50 + 50)
        X, y = run.X[batch], run.y[batch]
        differences = costs_of_many(theta + nudges, X, y) - costs_of_many(theta - nudges, X, y)
        numeric = differences.T / (2 * epsilon)
        net.theta = theta
        g = fault * net.trace(X, y).per_example_gradient
        size = np.linalg.norm(numeric, axis=1) + np.linalg.norm(g, axis=1)
        errors.append(np.linalg.norm(numeric - g, axis=1) / size)
    return np.array(errors)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_003_12_gradient_check_of_every_example_of_the_training(seed: int) -> None:
    """003.12: two-sided differences, ε = 1e-7: below 1e-7 for each of the 10 000 examples of that training.

    What is left, at most 1e-8, is the rounding of the cost over 2ε; ε² is out of sight.
    """
    errors = gradient_errors(circles_training(seed), 1e-7)
    assert errors.size == 10_000
    assert errors.max() < 1e-7


def test_003_12_the_check_finds_an_error_of_one_in_a_million() -> None:
    """003.12: with gradients too large by 1e-6 every single example fails."""
    assert gradient_errors(circles_training(), 1e-7, fault=1 + 1e-6).min() > 1e-7


# --- 003.13 to 003.15


def test_003_13_one_flat_vector_and_back() -> None:
    """003.13: all parameters as one vector, and back, to the last bit; the views share its memory."""
    net = circles_network(0)
    assert net.theta.shape == (25,)
    Ws, bs = weights_and_biases(net)
    joined = np.concatenate([part for W, b in zip(Ws, bs, strict=True) for part in (W.ravel(), b)])
    np.testing.assert_array_equal(net.theta, joined)
    other = circles_network(1)
    assert not np.array_equal(other.theta, net.theta)
    other.theta = net.theta.copy()
    for layer in (1, 2, 3):
        np.testing.assert_array_equal(other.W[layer], Ws[layer - 1])
        np.testing.assert_array_equal(other.b[layer], bs[layer - 1])
        assert np.shares_memory(other.W[layer], other.theta)
    other.theta[24] = 7.0
    assert other.b[3][0] == 7.0
    assert net.gradient([[0.1, 0.2]], [[1.0]]).shape == (25,)


def textbook(net: cp.Network, X: Any, y: Any, rule: Any, batch_size: int = 50) -> tuple[Any, Any]:
    options = {"batch_size": batch_size, "epochs": 10, "eta": 1e-2, "rule": rule}
    return independent.train(*weights_and_biases(net), X, y, **options)


def trained(net: cp.Network, X: Any, y: Any, engine: str, batch_size: int = 50) -> cp.Network:
    net = net.copy()
    train_circles(net, X, y, engine=engine, batch_size=batch_size)
    return net


def test_003_14_bit_for_bit_on_the_example_rung() -> None:
    """003.14: after 10 epochs (200 steps) weights and biases are those of the textbook's program, all bits.

    Rounding order of both: gradients added up in the order of the batch, divided by n, times eta, subtracted.
    """
    X, y = circles()
    start = circles_network(0)
    Ws, bs = textbook(start, X, y, independent.mean_then_eta)
    net = trained(start, X, y, "example")
    for layer in (1, 2, 3):
        assert np.array_equal(net.W[layer], Ws[layer - 1])
        assert np.array_equal(net.b[layer], bs[layer - 1])
        assert not np.array_equal(net.W[layer], start.W[layer])


def test_003_14_nielsens_order_in_batches_of_a_power_of_two() -> None:
    """003.14: Nielsen multiplies the sum by eta / n instead. With n = 64 both round alike: all bits again."""
    X, y = circles(1024)
    start = circles_network(0)
    Ws, bs = textbook(start, X, y, independent.eta_over_n, batch_size=64)
    net = trained(start, X, y, "example", batch_size=64)
    for layer in (1, 2, 3):
        assert np.array_equal(net.W[layer], Ws[layer - 1])
        assert np.array_equal(net.b[layer], bs[layer - 1])


@pytest.mark.parametrize("engine", RUNGS)
@pytest.mark.parametrize(
    "rule", [independent.mean_then_eta, independent.eta_over_n], ids=lambda r: r.__name__
)
def test_003_14_all_rungs_to_1e_12(engine: str, rule: Any) -> None:
    """003.14: on every rung, and in either order, the weights after 10 epochs agree to 1e-12."""
    X, y = circles()
    start = circles_network(0)
    Ws, bs = textbook(start, X, y, rule)
    net = trained(start, X, y, engine)
    for layer in (1, 2, 3):
        np.testing.assert_allclose(net.W[layer], Ws[layer - 1], rtol=1e-12)
        np.testing.assert_allclose(net.b[layer], bs[layer - 1], rtol=1e-12)


def test_003_15_the_batch_as_a_stack_of_matrices() -> None:
    """003.15: matmul and einsum over 3-D arrays give a stack of gradients, one per example; its mean over the
    batch axis is the gradient of the batch.
    """
    X, y = circles()
    net = circles_network(0)
    trace = net.trace(X, y)
    stacks = [layer.a[:, :, None] for layer in trace]  # column vectors, (n, size, 1)
    delta = (stacks[3] - y[:, :, None]) * stacks[3] * (1 - stacks[3])
    for layer in (3, 2, 1):
        by_matmul = delta @ stacks[layer - 1].transpose(0, 2, 1)
        by_einsum = np.einsum("nio,njo->nij", delta, stacks[layer - 1])
        found = trace[layer].per_example
        assert found.dC_dW.shape == (1000, *net.W[layer].shape)
        close(found.dC_dW, by_matmul)
        close(found.dC_dW, by_einsum)
        close(found.dC_db, delta[:, :, 0])
        close(trace[layer].dC_dW, by_matmul.mean(axis=0))
        close(trace[layer].dC_db, delta[:, :, 0].mean(axis=0))
        if layer > 1:
            slope = stacks[layer - 1] * (1 - stacks[layer - 1])
            delta = np.einsum("ji,njo->nio", net.W[layer], delta) * slope
    assert trace.per_example_gradient.shape == (1000, 25)
    close(trace.per_example_gradient.mean(axis=0), trace.gradient)
