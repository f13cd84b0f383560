"""Penalties, clipping and max-norm: by complex step, by central differences, by hand, against peers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clearprop.errors import OptionError
from clearprop.training.penalties import (
    Penalty,
    clip_by_norm,
    clip_by_value,
    limit_row_norms,
    norm,
    penalties,
)

PENALTIES = [Penalty(l1=0.3), Penalty(l2=0.7), Penalty(l1=0.3, l2=0.7), Penalty()]
THETA = np.array([0.5, -1.5, 2.0, -0.01, 3.0])
MASK = np.array([1.0, 0.0, 0.5, 1.0, 2.0])


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "mask"])
@pytest.mark.parametrize("divisor", [1.0, 50.0])
@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_gradient_by_complex_step(penalty: Penalty, divisor: float, mask: Any) -> None:
    h = 1e-30
    steps = THETA + 1j * h * np.eye(len(THETA))
    numeric = [penalty.value(theta, mask, divisor=divisor).imag / h for theta in steps]
    np.testing.assert_allclose(penalty.gradient(THETA, mask, divisor=divisor), numeric, rtol=1e-14)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "mask"])
@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_gradient_by_central_differences(penalty: Penalty, mask: Any) -> None:
    h = 1e-3  # no truncation error: P is quadratic on either side of 0, and |w| > h everywhere
    numeric = [
        (penalty.value(THETA + h * e, mask) - penalty.value(THETA - h * e, mask)) / (2 * h) for e in np.eye(5)
    ]
    np.testing.assert_allclose(penalty.gradient(THETA, mask), numeric, rtol=1e-10, atol=1e-12)


def test_by_hand() -> None:
    # 0.1 (1 + 2 + 3) + 0.4/2 (1 + 4 + 9) = 0.6 + 2.8; sign(w) 0.1 + 0.4 w
    w = np.array([1.0, -2.0, 3.0, 0.0])
    penalty = Penalty(l1=0.1, l2=0.4)
    assert penalty.value(w) == pytest.approx(3.4, rel=1e-15)
    np.testing.assert_allclose(penalty.gradient(w), [0.5, -0.9, 1.3, 0.0], rtol=1e-15)
    mask = np.array([0.0, 1.0, 1.0, 1.0])
    assert penalty.value(w, mask) == pytest.approx(0.5 + 2.6, rel=1e-15)
    assert penalty.gradient(w, mask)[0] == 0


def test_subgradient_of_the_absolute_value_at_zero_is_zero() -> None:
    assert Penalty(l1=3.0).gradient(np.array([0.0, -0.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("divide_by", "divisor"), [("none", 1.0), ("examples", 50_000.0), ("batch", 10.0)])
def test_the_convention_says_what_it_is_divided_by(divide_by: str, divisor: float) -> None:
    penalty = Penalty(l2=5.0, divide_by=divide_by)
    n = penalty.divisor(examples=50_000, batch=10)
    assert n == divisor
    # Nielsen, chapter 3: lambda / (2 n) Σ w², with lambda = 5.
    assert penalty.value(np.array([2.0, 1.0]), divisor=n) == pytest.approx(5 / (2 * divisor) * 5, rel=1e-15)


def test_l2_equals_the_weight_decay_of_torch() -> None:
    torch = pytest.importorskip("torch")
    w = torch.from_numpy(THETA.copy()).requires_grad_()
    peer = torch.optim.SGD([w], lr=0.1, weight_decay=0.7)
    g = np.array([0.1, 0.2, -0.3, 0.0, 1.0])
    w.grad = torch.from_numpy(g.copy())
    peer.step()
    ours = THETA - 0.1 * (g + Penalty(l2=0.7).gradient(THETA))
    np.testing.assert_allclose(ours, w.detach().numpy(), rtol=1e-14)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_l2_equals_the_alpha_of_sklearn() -> None:
    neural_network = pytest.importorskip("sklearn.neural_network")
    X, y = np.array([[0.0], [1.0], [2.0], [4.0]]), np.array([0.0, 1.0, 3.0, 2.0])

    def step(alpha: float, eta: float) -> tuple[float, np.ndarray]:
        """One full-batch step of plain SGD: the loss before it and the weights after it."""
        net = neural_network.MLPRegressor(
            hidden_layer_sizes=(3,),
            alpha=alpha,
            solver="sgd",
            momentum=0,
            batch_size=4,
            max_iter=1,
            learning_rate_init=eta,
            random_state=0,
        ).fit(X, y)
        return net.loss_curve_[0], np.concatenate([W.ravel() for W in net.coefs_])

    penalty = Penalty(l2=1.7, divide_by="batch")
    n = penalty.divisor(examples=1000, batch=4)
    w = step(0.0, 1e-300)[1]
    (with_value, with_step), (value, without) = step(1.7, 0.1), step(0.0, 0.1)
    assert with_value - value == pytest.approx(float(penalty.value(w, divisor=n)), rel=1e-12)
    np.testing.assert_allclose(without - with_step, 0.1 * penalty.gradient(w, divisor=n), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scratch", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "mask"])
@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_add_gradient_adds_in_place(penalty: Penalty, mask: Any, scratch: bool, dtype: Any) -> None:
    theta, g = THETA.astype(dtype), np.arange(5, dtype=dtype)
    mask = None if mask is None else mask.astype(dtype)
    expected = g + penalty.gradient(theta, mask, divisor=4)
    assert expected.dtype == dtype
    assert penalty.value(theta, mask, divisor=np.float64(4)).dtype == dtype
    penalty.add_gradient(g, theta, mask, divisor=4, scratch=np.empty(5, dtype) if scratch else None)
    np.testing.assert_allclose(g, expected, rtol=10 * np.finfo(dtype).eps)
    assert theta.tobytes() == THETA.astype(dtype).tobytes()


def test_a_mask_of_booleans() -> None:
    penalty, flags, g = Penalty(l1=0.3, l2=0.7), MASK > 0, np.zeros(5)
    assert penalty.value(THETA, flags) == penalty.value(THETA, flags.astype(float))
    penalty.add_gradient(g, THETA, flags)
    np.testing.assert_allclose(g, penalty.gradient(THETA, flags.astype(float)), rtol=1e-15)


def test_a_penalty_runs_on_jax() -> None:
    jax = pytest.importorskip("jax")
    penalty, theta = Penalty(l1=0.3, l2=0.7), jax.numpy.asarray(THETA, dtype=np.float32)
    automatic = jax.jit(jax.grad(penalty.value))(theta)
    np.testing.assert_allclose(jax.jit(penalty.gradient)(theta), automatic, rtol=1e-6)
    np.testing.assert_allclose(automatic, penalty.gradient(THETA), rtol=1e-6)


def test_config_round_trip_and_activity() -> None:
    penalty = Penalty(l1=0.1, l2=2, scope="all", divide_by="examples")
    assert penalties.make(json.loads(json.dumps(penalty.config()))) == penalty
    assert penalty.active
    assert not Penalty().active


def test_norm_where_squares_overflow_or_underflow() -> None:
    for size in (1e-30, 1e-13, 1.0, 1e18, 1e25, 1e37):
        g = np.array([3, -4, 12], np.float32) * np.float32(size)
        assert norm(g) == pytest.approx(13 * size, rel=1e-6)
    assert norm(np.array([3e200, 4e200])) == pytest.approx(5e200, rel=1e-14)
    assert norm(np.zeros(3)) == norm(np.empty(0)) == 0
    assert norm(np.array([1.0, np.inf])) == math.inf
    assert math.isnan(norm(np.array([1.0, np.nan])))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_by_norm(dtype: Any) -> None:
    g = np.array([3, -4], dtype)
    assert clip_by_norm(g, 0.5) == 5
    np.testing.assert_allclose(g, [0.3, -0.4], rtol=1e-6)
    assert g.dtype == dtype
    small = np.array([0.3, -0.4], dtype)
    kept = small.tobytes()
    assert clip_by_norm(small, 0.6) == pytest.approx(0.5)
    assert small.tobytes() == kept


def test_clip_by_norm_brings_an_exploded_float32_gradient_back() -> None:
    g = np.array([3e25, 4e25], np.float32)  # its squares are infinite in float32
    assert clip_by_norm(g, 1.0) == pytest.approx(5e25, rel=1e-6)
    np.testing.assert_allclose(g, [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_clip_by_norm_reports_but_does_not_touch_what_is_not_finite(bad: float) -> None:
    g = np.array([1.0, bad, 2.0])
    kept = g.tobytes()
    assert not math.isfinite(clip_by_norm(g, 0.1))
    assert g.tobytes() == kept


def test_clip_by_norm_equals_torch() -> None:
    torch = pytest.importorskip("torch")
    g = np.random.default_rng(0).normal(size=50)
    w = torch.zeros(50, dtype=torch.float64, requires_grad=True)
    w.grad = torch.from_numpy(g.copy())
    before = float(torch.nn.utils.clip_grad_norm_([w], 2.0))
    assert clip_by_norm(g, 2.0) == pytest.approx(before, rel=1e-14)
    np.testing.assert_allclose(g, w.grad.numpy(), rtol=1e-6)  # PyTorch adds 1e-6 to the norm


def test_clip_by_value() -> None:
    g = np.array([3.0, -4.0, 0.5, -0.25, np.nan])
    assert math.isnan(clip_by_value(g, 1.0))
    np.testing.assert_array_equal(g, [1.0, -1.0, 0.5, -0.25, np.nan])
    g = np.array([3, -4], np.float32)
    assert clip_by_value(g, np.float64(0.5)) == 5
    assert g.tolist() == [0.5, -0.5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limit_row_norms_projects_rows_of_a_view_in_place(dtype: Any) -> None:
    theta = np.array([9, 3, 4, 0.3, 0.4, -8, 6, 9], dtype)
    W = theta[1:7].reshape(3, 2)
    before = limit_row_norms(W, 2.0)
    np.testing.assert_allclose(before, [5, 0.5, 10], rtol=1e-6)
    np.testing.assert_allclose(W, [[1.2, 1.6], [0.3, 0.4], [-1.6, 1.2]], rtol=1e-6)
    assert theta[[0, 7]].tolist() == [9, 9]
    assert W[1].tobytes() == np.array([0.3, 0.4], dtype).tobytes()
    again = W.copy()
    limit_row_norms(W, 2.1)
    assert W.tobytes() == again.tobytes()


def test_limit_row_norms_of_rows_that_are_huge_or_not_finite() -> None:
    W = np.array([[3e30, 4e30], [np.inf, 1], [np.nan, 1]], np.float32)
    limit_row_norms(W, 1.0)
    np.testing.assert_allclose(W, [[0.6, 0.8], [np.inf, 1], [np.nan, 1]], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Penalty(l1=-1), "l1 of Penalty must be a finite number >= 0. Got -1."),
        (lambda: Penalty(l2=float("nan")), "l2 of Penalty must be a finite number >= 0. Got nan."),
        (lambda: Penalty(scope="weight"), "one of 'weights', 'all'. Got 'weight'. Did you mean 'weights'?"),
        (lambda: Penalty(divide_by="n"), "divide_by of Penalty must be one of 'none', 'examples', 'batch'."),
        (lambda: clip_by_norm(np.ones(2), 0), "max_norm must be a finite number > 0. Got 0."),
        (lambda: clip_by_value(np.ones(2), -1.0), "limit must be a finite number > 0. Got -1.0."),
        (lambda: limit_row_norms(np.ones((2, 2)), float("inf")), "max_norm must be a finite number > 0."),
    ],
)
def test_errors_are_one_clear_sentence(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        make()
    assert message in str(caught.value)
