"""Every registered cost and fused pair: gradients, reductions, limits, dtypes, and tests of the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clearprop.activations import activations
from clearprop.costs import (
    BinaryCrossEntropy,
    BinaryFocal,
    Cost,
    CrossEntropy,
    ElementwiseCost,
    Focal,
    FusedPair,
    Hinge,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
    Pinball,
    Poisson,
    Quadratic,
    costs,
    fused_pair,
    fused_pairs,
)
from clearprop.costs.base import xlogy
from clearprop.errors import DataError, DTypeError, OptionError, ShapeError, UnknownNameError

K = 3
REGISTERED = [costs.make(name) for name in costs]
WITH_OPTIONS = [
    Huber(0.3),
    Pinball(0.9),
    Pinball((0.1, 0.5, 0.8)),
    BinaryCrossEntropy(0.2),
    CrossEntropy(0.1),
    Focal(0.0),
    Focal(0.5),
    Focal(3.0),
    BinaryFocal(0.0),
    BinaryFocal(0.5),
]
ALL = [*REGISTERED, *WITH_OPTIONS]
PAIRS = [(pair, costs.make(pair.cost)) for pair in fused_pairs().values()]
PAIRS += [
    (fused_pairs()[pair], cost)
    for pair, cost in [
        (("softmax", "cross_entropy"), CrossEntropy(0.1)),
        (("sigmoid", "binary_cross_entropy"), BinaryCrossEntropy(0.2)),
        (("ordinal", "cross_entropy"), CrossEntropy(0.1)),
        (("softmax", "focal"), Focal(0.0)),
        (("softmax", "focal"), Focal(0.5)),
        (("sigmoid", "binary_focal"), BinaryFocal(0.0)),
        (("sigmoid", "binary_focal"), BinaryFocal(3.0)),
    ]
]

each_cost = pytest.mark.parametrize("cost", ALL, ids=repr)
each_pair = pytest.mark.parametrize(
    ("pair", "cost"), PAIRS, ids=lambda x: repr(x) if isinstance(x, Cost) else x.activation
)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def outputs(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    if kind == "real":
        return rng.normal(size=shape) * 2.0
    a = rng.uniform(0.05, 0.95, size=shape)
    return {"probability": a, "positive": 3.0 * a, "distribution": a / a.sum(axis=-1, keepdims=True)}[kind]


def targets(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    if kind == "count":
        return rng.poisson(2.0, size=shape).astype(float)
    if kind == "sign":
        return rng.choice([-1.0, 1.0], size=shape)
    return outputs(kind, shape, rng)


def examples(cost: Cost, shape: tuple[int, ...] = (6, K), seed: int = 0) -> tuple[Any, Any]:
    """Return valid a and y, every example at least 0.01 away from a kink."""
    rng = np.random.default_rng(seed)
    while True:
        a, y = outputs(cost.outputs, shape, rng), targets(cost.targets, shape, rng)
        if np.all(cost.kinks(a, y) > 0.01):
            return a, y


def relative(measured: Any, expected: Any) -> float:
    return float(np.max(np.abs(measured - expected)) / np.max(np.abs(expected)))


def complex_step(value: Any, x: Any) -> Any:
    """Return d value / dx entry by entry: Im value(x + ih) / h, free of cancellation."""
    h, result = 1e-30, np.empty_like(x)
    for j in range(x.shape[-1]):
        step = np.zeros(x.shape[-1], complex)
        step[j] = h * 1j
        result[..., j] = value(x + step).imag / h
    return result


def central_difference(value: Any, x: Any) -> Any:
    h, result = 1e-6, np.empty_like(x)
    for j in range(x.shape[-1]):
        step = np.zeros(x.shape[-1])
        step[j] = h
        result[..., j] = (value(x + step) - value(x - step)) / (2.0 * h)
    return result


def gradient_is_right(cost: Cost, shape: tuple[int, ...] = (6, K), seed: int = 0) -> bool:
    """Return whether dC_da is the derivative of value, by central differences and by complex step."""
    a, y = examples(cost, shape, seed)
    exact = cost.dC_da(a, y)
    right = relative(central_difference(lambda x: cost.value(x, y), a), exact) < 1e-7
    if cost.complex_safe:
        right = right and relative(complex_step(lambda x: cost.value(x, y), a), exact) < 1e-13
    return right


def delta_is_right(pair: FusedPair, cost: Cost) -> bool:
    """Return whether delta is the derivative of the fused value with respect to z."""
    z, y = fused_examples(cost)
    a = activations.make(pair.activation).forward(z)
    return relative(complex_step(lambda x: pair.value(cost, x, y), z), pair.delta(cost, z, a, y)) < 1e-13


def fused_examples(cost: Cost, n: int = 8) -> tuple[Any, Any]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(n, K)) * 2.0, targets(cost.targets, (n, K), rng)


# --- The gradient is the derivative of the reported value, and the checker would notice if not.


@each_cost
@pytest.mark.parametrize("shape", [(K,), (1, K), (6, K), (2, 4, K)], ids=str)
def test_gradient_is_the_derivative_of_the_value(cost: Cost, shape: tuple[int, ...]) -> None:
    a, y = examples(cost, shape)
    assert cost.value(a, y).shape == shape[:-1]
    assert cost.dC_da(a, y).shape == shape
    for seed in range(3):
        assert gradient_is_right(cost, shape, seed)


@dataclass(frozen=True)
class Mutant(Cost):
    """A cost whose gradient is off by a factor."""

    inner: Cost
    factor: float
    name: ClassVar[str] = "mutant"

    def __post_init__(self) -> None:
        for option in ("targets", "outputs", "complex_safe"):
            object.__setattr__(self, option, getattr(self.inner, option))

    def value(self, a: Any, y: Any) -> Any:
        return self.inner.value(a, y)

    def dC_da(self, a: Any, y: Any) -> Any:
        return self.factor * self.inner.dC_da(a, y)

    def kinks(self, a: Any, y: Any) -> Any:
        return self.inner.kinks(a, y)


@each_cost
def test_a_wrong_gradient_is_caught(cost: Cost) -> None:
    assert gradient_is_right(Mutant(cost, 1.0))
    for factor in (K, 1.0 / K, 1.001, 0.999, -1.0):
        assert not gradient_is_right(Mutant(cost, factor))


@pytest.mark.parametrize("cost", [c for c in ALL if not c.smooth], ids=repr)
def test_kinks_are_where_the_gradient_jumps(cost: Cost) -> None:
    a, y = examples(cost, (40, K))
    distance = cost.kinks(a, y)
    assert distance.shape == (40,)
    # Moving every output by a little less than the distance crosses no kink; by a little more, one.
    for direction in (-1.0, 1.0):
        near = cost.dC_da(a + direction * 0.99 * distance[:, None], y)
        assert np.array_equal(near, cost.dC_da(a, y))
    down, up = (cost.dC_da(a + s * 1.01 * distance[:, None], y) for s in (-1.0, 1.0))
    jumps = (down != cost.dC_da(a, y)) | (up != cost.dC_da(a, y))
    assert np.all(jumps.any(axis=-1))


@pytest.mark.parametrize("cost", [c for c in ALL if c.smooth], ids=repr)
def test_a_smooth_cost_has_no_kinks(cost: Cost) -> None:
    a, y = examples(cost)
    assert np.all(cost.kinks(a, y) == np.inf)


@pytest.mark.parametrize("cost", [MeanAbsoluteError(), Pinball(0.9)], ids=repr)
def test_at_the_kink_the_gradient_is_zero(cost: Cost) -> None:
    y = np.array([[1.0, 2.0]])
    assert np.array_equal(cost.dC_da(y, y), np.zeros((1, 2)))


# --- Reductions: a name means what the field means by it.


@pytest.mark.parametrize("cost", REGISTERED, ids=repr)
def test_the_reduction_is_as_declared(cost: Cost) -> None:
    a, y = examples(cost)
    twice = cost.value(np.concatenate([a, a], -1), np.concatenate([y, y], -1))
    factor = {"sum": 2.0, "mean": 1.0}[cost.reduction]
    np.testing.assert_allclose(twice, factor * cost.value(a, y), rtol=1e-14)
    assert ("mean" in cost.name) <= (cost.reduction == "mean")


@each_cost
def test_examples_do_not_mix(cost: Cost) -> None:
    a, y = examples(cost, (5, K))
    np.testing.assert_array_equal(cost.value(a, y), [cost.value(a[i], y[i]) for i in range(5)])
    np.testing.assert_array_equal(cost.dC_da(a, y), [cost.dC_da(a[i], y[i]) for i in range(5)])


@pytest.mark.parametrize("cost", [c for c in REGISTERED if c.least_at_target], ids=repr)
def test_the_best_answer_costs_least(cost: Cost) -> None:
    a, y = examples(cost)
    best = cost.value(y if cost.targets != "count" else y + 1e-300, y)
    assert np.all(best <= cost.value(a, y))


@pytest.mark.parametrize("cost", [c for c in REGISTERED if not c.least_at_target], ids=repr)
def test_the_focal_costs_are_least_at_a_class_but_not_at_a_distribution(cost: Cost) -> None:
    sure, soft = np.array([[1.0, 0.0, 0.0]]), np.array([[0.7, 0.2, 0.1]])
    a, _ = examples(cost)
    assert np.all(cost.value(sure, sure) <= cost.value(a, sure))
    modest = np.array([[0.6, 0.25, 0.15]])
    assert np.all(cost.value(modest, soft) < cost.value(soft, soft))


@pytest.mark.parametrize("cost", [Focal(2.0), BinaryFocal(2.0)], ids=repr)
def test_the_focal_costs_stay_finite_where_the_output_is_sure(cost: Cost) -> None:
    right, wrong = np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    assert np.array_equal(cost.value(right, right), [0.0])
    assert np.array_equal(cost.dC_da(right, right) + 0.0, np.zeros((1, 3)))
    assert np.array_equal(cost.value(right, wrong), [np.inf])


# --- dtypes, purity, and the same source under jax.jit.


@each_cost
@each_dtype
def test_dtype_is_kept_and_inputs_are_unchanged(cost: Cost, dtype: type) -> None:
    a, y = (x.astype(dtype) for x in examples(cost))
    before = a.copy(), y.copy()
    a.flags.writeable = y.flags.writeable = False
    value, gradient = cost.value(a, y), cost.dC_da(a, y)
    assert value.dtype == gradient.dtype == cost.kinks(a, y).dtype == dtype
    assert np.array_equal(a, before[0])
    assert np.array_equal(y, before[1])
    assert not np.shares_memory(gradient, a)
    assert not np.shares_memory(gradient, y)
    assert np.array_equal(gradient, cost.dC_da(a, y))


@each_pair
@each_dtype
def test_pairs_keep_the_dtype(pair: FusedPair, cost: Cost, dtype: type) -> None:
    z, y = (x.astype(dtype) for x in fused_examples(cost))
    a = activations.make(pair.activation).forward(z)
    for x in (z, a, y):
        x.flags.writeable = False
    delta = pair.delta(cost, z, a, y)
    assert pair.value(cost, z, y).dtype == delta.dtype == dtype
    assert not any(np.shares_memory(delta, x) for x in (z, a, y))


@each_cost
@each_dtype
def test_the_same_source_runs_under_jit(cost: Cost, dtype: type) -> None:
    a, y = (x.astype(dtype) for x in examples(cost))
    with jax.enable_x64(dtype is np.float64):
        value = jax.jit(cost.value)(jnp.asarray(a), jnp.asarray(y))
        gradient = jax.jit(cost.dC_da)(jnp.asarray(a), jnp.asarray(y))
        assert value.dtype == gradient.dtype == dtype
    rtol = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(np.asarray(value), cost.value(a, y), rtol=rtol)
    np.testing.assert_allclose(np.asarray(gradient), cost.dC_da(a, y), rtol=rtol)


@each_pair
@each_dtype
def test_pairs_run_under_jit(pair: FusedPair, cost: Cost, dtype: type) -> None:
    z, y = (x.astype(dtype) for x in fused_examples(cost))
    a = activations.make(pair.activation).forward(z)
    with jax.enable_x64(dtype is np.float64):
        value = jax.jit(lambda z, y: pair.value(cost, z, y))(jnp.asarray(z), jnp.asarray(y))
        delta = jax.jit(lambda z, a, y: pair.delta(cost, z, a, y))(*map(jnp.asarray, (z, a, y)))
        assert value.dtype == delta.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(np.asarray(value), pair.value(cost, z, y), rtol=20 * eps)
    np.testing.assert_allclose(np.asarray(delta), pair.delta(cost, z, a, y), rtol=20 * eps, atol=4 * eps)


# --- Fused pairs.


@each_pair
def test_pairs_do_not_mix_examples(pair: FusedPair, cost: Cost) -> None:
    z, y = fused_examples(cost)
    a = activations.make(pair.activation).forward(z)
    np.testing.assert_array_equal(
        pair.value(cost, z, y), [pair.value(cost, *one) for one in zip(z, y, strict=True)]
    )
    np.testing.assert_array_equal(
        pair.delta(cost, z, a, y), [pair.delta(cost, *one) for one in zip(z, a, y, strict=True)]
    )


@each_pair
def test_fused_equals_unfused(pair: FusedPair, cost: Cost) -> None:
    activation = activations.make(pair.activation)
    z, y = fused_examples(cost, 50)
    a = activation.forward(z)
    unfused, _ = activation.backward(z, a, cost.dC_da(a, y))
    assert relative(pair.delta(cost, z, a, y), unfused) < 1e-12
    np.testing.assert_allclose(pair.value(cost, z, y), cost.value(a, y), rtol=1e-12)


@each_pair
def test_fused_delta_is_the_derivative_of_the_fused_value(pair: FusedPair, cost: Cost) -> None:
    assert delta_is_right(pair, cost)

    class Wrong(FusedPair):
        activation = pair.activation
        value = staticmethod(pair.value)

        def delta(self, cost: Cost, z: Any, a: Any, y: Any) -> Any:
            return 1.001 * pair.delta(cost, z, a, y)

    assert not delta_is_right(Wrong(), cost)


def test_softmax_with_cross_entropy_holds_for_targets_that_do_not_sum_to_one() -> None:
    pair, cost = fused_pairs()["softmax", "cross_entropy"], CrossEntropy(0.1)
    softmax, z = activations.make("softmax"), np.array([[0.3, -1.0, 2.0]])
    for y in (np.array([[0.2, 0.3, 0.1]]), np.array([[0.0, 0.0, 0.0]]), np.array([[1.0, 0.0, 1.0]])):
        a = softmax.forward(z)
        unfused, _ = softmax.backward(z, a, cost.dC_da(a, y))
        np.testing.assert_allclose(pair.delta(cost, z, a, y), unfused, rtol=1e-12, atol=1e-15)


def test_softmax_with_cross_entropy_is_a_minus_y_to_the_bit_for_one_hot_targets() -> None:
    z, y = np.random.default_rng(0).normal(size=(20, 4)), np.eye(4)[np.arange(20) % 4]
    a = activations.make("softmax").forward(z)
    assert np.array_equal(fused_pairs()["softmax", "cross_entropy"].delta(CrossEntropy(), z, a, y), a - y)


@each_dtype
@pytest.mark.parametrize(
    ("activation", "cost", "z", "y", "value", "delta"),
    [
        ("softmax", CrossEntropy(), [1000, -1000, 0], [1, 0, 0], 0, [0, 0, 0]),
        ("softmax", CrossEntropy(), [1000, -1000, 0], [0, 1, 0], 2000, [1, -1, 0]),
        ("softmax", CrossEntropy(), [1000, -1000, 0], [0, 0.5, 0.5], 1500, [1, -0.5, -0.5]),
        ("softmax", CrossEntropy(), [1000, 1000, -np.inf], [0.5, 0.5, 0], np.log(2), [0, 0, 0]),
        ("softmax", CrossEntropy(), [0, 1000, -np.inf], [0, 0, 1], np.inf, [0, 1, -1]),
        ("softmax", CrossEntropy(0.5), [1000, 0], [1, 0], 250, [0.25, -0.25]),
        ("sigmoid", BinaryCrossEntropy(), [1000, -1000], [1, 0], 0, [0, 0]),
        ("sigmoid", BinaryCrossEntropy(), [1000, -1000], [0, 1], 2000, [1, -1]),
        ("sigmoid", BinaryCrossEntropy(), [np.inf, -np.inf], [1, 0], 0, [0, 0]),
        ("sigmoid", BinaryCrossEntropy(), [np.inf, 0], [0, 1], np.inf, [1, -0.5]),
        ("sigmoid", BinaryCrossEntropy(0.5), [1000, 0], [1, 0.5], 250 + np.log(2), [0.25, 0]),
        ("exponential", Poisson(), [-1000, 0], [3, 1], 3001, [-3, 0]),
        ("exponential", Poisson(), [1000, 0], [3, 1], np.inf, [np.inf, 0]),
        ("exponential", Poisson(), [-np.inf, 0], [0, 1], 1, [0, 0]),
        ("exponential", Poisson(), [np.inf, 0], [2, 1], np.inf, [np.inf, 0]),
        ("identity", Quadratic(), [1000, -1000], [0, 0], 1e6, [1000, -1000]),
        ("identity", MeanSquaredError(), [1000, -1000], [0, 0], 1e6, [1000, -1000]),
    ],
)
def test_pairs_are_exact_far_out(
    activation: str, cost: Cost, z: Any, y: Any, value: float, delta: Any, dtype: type
) -> None:
    pair = fused_pair(activation, cost.name)
    assert pair is not None
    z, y = np.array([z], dtype), np.array([y], dtype)
    a = activations.make(activation).forward(z)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(pair.value(cost, z, y), np.array([value], dtype), rtol=2 * eps)
    # The sigmoid of -infinity is a number below the smallest normal one.
    atol = np.finfo(dtype).smallest_normal
    np.testing.assert_allclose(pair.delta(cost, z, a, y), np.array([delta], dtype), rtol=2 * eps, atol=atol)


def test_binary_cross_entropy_of_a_confident_right_answer_keeps_its_digits() -> None:
    # ln(1 + exp(-40)) = 4.248354255291589e-18 (mpmath); from a = 1 - 4e-18 = 1.0 it would be 0.
    value = fused_pairs()["sigmoid", "binary_cross_entropy"].value(
        BinaryCrossEntropy(), np.array([[40.0]]), np.array([[1.0]])
    )
    np.testing.assert_allclose(value, [4.248354255291589e-18], rtol=1e-14)


def test_pairs_are_found_by_name_and_object() -> None:
    softmax = activations.make("softmax")
    pair = fused_pair("softmax", "cross_entropy")
    assert pair is fused_pair(softmax, CrossEntropy(0.1)) is fused_pair("softmax", CrossEntropy())
    assert fused_pair("tanh", "cross_entropy") is None
    for (activation, cost), each in fused_pairs().items():
        assert activation in activations
        assert costs[cost].name == each.cost == cost
        assert each.formula.startswith("delta = ")

    class Weighted(CrossEntropy):
        def value(self, a: Any, y: Any) -> Any:
            return 2.0 * super().value(a, y)

    assert fused_pair(softmax, Weighted()) is None


# --- Infinite where the mathematics is infinite, without warnings; NaN stays NaN.


@each_dtype
@pytest.mark.parametrize(
    ("cost", "a", "y", "value", "gradient"),
    [
        (CrossEntropy(), [0, 1], [1, 0], np.inf, [-np.inf, 0]),
        (CrossEntropy(), [1, 0], [1, 0], 0, [-1, 0]),
        (CrossEntropy(0.1), [0, 1], [0, 1], np.inf, [-np.inf, -0.95]),
        (BinaryCrossEntropy(), [0, 1], [1, 0], np.inf, [-np.inf, np.inf]),
        (BinaryCrossEntropy(), [0, 1], [0, 1], 0, [1, -1]),
        (BinaryCrossEntropy(), [0, 1], [0.5, 0.5], np.inf, [-np.inf, np.inf]),
        (Poisson(), [0, 1], [0, 1], 1, [1, 0]),
        (Poisson(), [0, 1], [2, 1], np.inf, [-np.inf, 0]),
        (Poisson(), [np.inf, 1], [2, 1], np.inf, [1, 0]),
        (Poisson(), [np.inf, 1], [0, 1], np.inf, [1, 0]),
        (LogCosh(), [1000, -1000], [0, 0], 1000 - np.log(2), [0.5, -0.5]),
        (LogCosh(), [np.inf, 0], [0, 0], np.inf, [0.5, 0]),
        (Huber(2.0), [1000, np.inf], [0, 0], np.inf, [1, 1]),
        (Huber(2.0), [1000, 0], [0, 0], 999, [1, 0]),
        (MeanAbsoluteError(), [np.inf, 0], [0, 0], np.inf, [0.5, 0]),
        (Pinball(0.25), [np.inf, -1000], [0, 0], np.inf, [0.375, -0.125]),
        (Hinge(), [-np.inf, np.inf], [1, 1], np.inf, [-1, 0]),
        (costs.make("squared_hinge"), [-1000, 1000], [1, 1], 1002001, [-2002, 0]),
    ],
    ids=repr,
)
def test_limits(cost: Cost, a: Any, y: Any, value: float, gradient: Any, dtype: type) -> None:
    a, y = np.array([a], dtype), np.array([y], dtype)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(cost.value(a, y), np.array([value], dtype), rtol=2 * eps)
    np.testing.assert_allclose(cost.dC_da(a, y), np.array([gradient], dtype), rtol=2 * eps)


@each_dtype
def test_a_quotient_that_overflows_is_infinite_without_a_warning(dtype: type) -> None:
    a = np.array([[np.finfo(dtype).smallest_subnormal]], dtype)
    one = np.ones((1, 1), dtype)
    assert CrossEntropy().dC_da(a, one)[0, 0] == -np.inf
    assert Poisson().dC_da(a, one)[0, 0] == -np.inf
    assert BinaryCrossEntropy().dC_da(a, one)[0, 0] == -np.inf
    limit = np.array([[4 / np.finfo(dtype).max]], dtype)
    assert np.isfinite(CrossEntropy().dC_da(limit, one)[0, 0])


@each_cost
def test_nan_is_never_hidden(cost: Cost) -> None:
    a, y = examples(cost)
    a[2, 1] = np.nan
    assert np.array_equal(np.isnan(cost.value(a, y)), np.arange(6) == 2)
    assert np.isnan(cost.dC_da(a, y)[2, 1])


@each_pair
def test_nan_is_never_hidden_by_a_pair(pair: FusedPair, cost: Cost) -> None:
    z, y = fused_examples(cost)
    z[2, 1] = np.nan
    assert np.array_equal(np.isnan(pair.value(cost, z, y)), np.arange(8) == 2)


def test_a_class_of_no_weight_costs_nothing_whatever_its_output_but_nan() -> None:
    a = np.array([0.0, 1e-300, 0.5, np.inf, -1e-9])
    assert np.array_equal(xlogy(np.zeros(5), a), np.zeros(5))
    assert np.isnan(xlogy(np.zeros(1), np.array([np.nan]))[0])


def test_a_perfect_answer_costs_zero_not_minus_zero() -> None:
    y = np.array([[1.0, 0.0]])
    for cost in (CrossEntropy(), BinaryCrossEntropy()):
        assert not np.signbit(cost.value(y, y)[0])


def test_log_cosh_is_accurate_near_zero() -> None:
    # ln cosh d = d^2/2 - d^4/12 + ...: at d = 1e-6 the naive form has lost four digits.
    d = np.array([[1e-6]])
    np.testing.assert_allclose(LogCosh().value(d, np.zeros_like(d)), [0.5e-12 - 1e-24 / 12], rtol=1e-14)
    at = np.array([[np.nextafter(1.0, 0.0)], [1.0]])
    np.testing.assert_allclose(LogCosh().value(at, 0.0 * at), np.log(np.cosh(1.0)), rtol=1e-15)


# --- Torch as an extra oracle.


def _t(x: Any) -> Any:
    torch = pytest.importorskip("torch")
    return torch.tensor(x, dtype=torch.float64)


def _torch_value(cost: Cost, a: Any, y: Any) -> Any:
    F = pytest.importorskip("torch").nn.functional
    k = a.shape[-1]
    match cost:
        case Quadratic():
            each = 0.5 * F.mse_loss(a, y, reduction="none")
        case MeanSquaredError():
            each = F.mse_loss(a, y, reduction="none") / k
        case MeanAbsoluteError():
            each = F.l1_loss(a, y, reduction="none") / k
        case Huber():
            each = F.huber_loss(a, y, reduction="none", delta=cost.threshold) / k
        case Poisson():
            each = F.poisson_nll_loss(a, y, log_input=False, full=False, eps=0.0, reduction="none")
        case BinaryCrossEntropy():
            each = F.binary_cross_entropy(a, cost.smoothed(y), reduction="none")
        case CrossEntropy():
            # log_softmax of ln a is ln a for a distribution a.
            return F.cross_entropy(a.log(), y, reduction="none", label_smoothing=cost.label_smoothing)
        case _:
            raise NotImplementedError
    return each.sum(dim=-1)


@pytest.mark.parametrize(
    "cost",
    [
        Quadratic(),
        MeanSquaredError(),
        MeanAbsoluteError(),
        Huber(),
        Huber(0.3),
        Poisson(),
        BinaryCrossEntropy(),
        BinaryCrossEntropy(0.2),
        CrossEntropy(),
        CrossEntropy(0.1),
    ],
    ids=repr,
)
def test_torch_agrees(cost: Cost) -> None:
    a, y = examples(cost, (10, K))
    ours, theirs = cost.value(a, y), _torch_value(cost, _t(a), _t(y))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-13)
    if isinstance(cost, CrossEntropy):
        return  # torch's log_softmax is part of its gradient; the fused delta is compared below
    leaf = _t(a).requires_grad_()
    _torch_value(cost, leaf, _t(y)).sum().backward()
    assert leaf.grad is not None
    np.testing.assert_allclose(cost.dC_da(a, y), leaf.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "cost",
    [CrossEntropy(), CrossEntropy(0.1), BinaryCrossEntropy(), BinaryCrossEntropy(0.2), Poisson()],
    ids=repr,
)
def test_torch_agrees_with_the_fused_pairs(cost: Cost) -> None:
    pair = next(pair for (_, name), pair in fused_pairs().items() if name == cost.name)
    z, y = fused_examples(cost)
    F = pytest.importorskip("torch").nn.functional
    leaf, t = _t(z).requires_grad_(), _t(y)
    if isinstance(cost, CrossEntropy):
        theirs = F.cross_entropy(leaf, t, reduction="none", label_smoothing=cost.label_smoothing)
    elif isinstance(cost, BinaryCrossEntropy):
        theirs = F.binary_cross_entropy_with_logits(leaf, cost.smoothed(t), reduction="none").sum(dim=-1)
    else:
        theirs = F.poisson_nll_loss(leaf, t, log_input=True, full=False, reduction="none").sum(dim=-1)
    theirs.sum().backward()
    assert leaf.grad is not None
    a = activations.make(pair.activation).forward(z)
    np.testing.assert_allclose(pair.value(cost, z, y), theirs.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(pair.delta(cost, z, a, y), leaf.grad.numpy(), rtol=1e-12, atol=1e-14)


# --- Options, descriptions, and the user's own.


def test_label_smoothing_moves_the_target() -> None:
    y = np.array([[0.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(CrossEntropy(0.2).smoothed(y), [[0.05, 0.85, 0.05, 0.05]], rtol=1e-15)
    np.testing.assert_allclose(BinaryCrossEntropy(0.2).smoothed(y), [[0.1, 0.9, 0.1, 0.1]], rtol=1e-15)
    a = np.array([[0.1, 0.7, 0.1, 0.1]])
    for kind in (CrossEntropy, BinaryCrossEntropy):
        smooth, plain = kind(0.2), kind()
        assert np.array_equal(smooth.value(a, y), plain.value(a, smooth.smoothed(y)))
        assert np.array_equal(smooth.dC_da(a, y), plain.dC_da(a, smooth.smoothed(y)))


def test_pinball_is_minimal_at_the_quantile() -> None:
    y = np.arange(101.0)[:, None]
    for q in (0.1, 0.5, 0.9):
        mean = [Pinball(q).value(np.full_like(y, a), y).mean() for a in range(101)]
        assert int(np.argmin(mean)) == round(100 * q)
    several, y = Pinball((0.1, 0.9)), np.array([[2.0, 2.0]])
    a = np.array([[1.0, 1.0]])
    np.testing.assert_allclose(several.value(a, y), [(0.1 + 0.9) / 2], rtol=1e-15)


@each_cost
def test_configuration_survives_json(cost: Cost) -> None:
    again = costs.make(json.loads(json.dumps(cost.config())))
    assert again == cost
    assert hash(again) == hash(cost)


@pytest.mark.parametrize("cost", REGISTERED, ids=repr)
def test_every_registered_cost_is_described(cost: Cost) -> None:
    assert cost.formula
    assert cost.reduction in {"sum", "mean"}
    assert cost.outputs in {"real", "probability", "distribution", "positive"}
    assert cost.default_output_activation in activations
    assert cost.reduction in (type(cost).__doc__ or "")
    limits = activations.make(cost.default_output_activation).limits
    if cost.outputs != "real":
        assert limits[0] >= 0.0
    y = examples(cost)[1]
    cost.check_targets(y)
    cost.check_targets(y[0])


def test_the_names_of_the_field_are_known() -> None:
    assert {costs[alias].name for alias in ("mse", "mae", "bce", "categorical_cross_entropy")} == {
        "mean_squared_error",
        "mean_absolute_error",
        "binary_cross_entropy",
        "cross_entropy",
    }
    assert {"quadratic", "poisson", "huber", "log_cosh", "pinball", "hinge", "squared_hinge"} <= set(costs)
    with pytest.raises(UnknownNameError, match="Did you mean 'cross_entropy'"):
        costs.make("cross_entrpy")


@dataclass(frozen=True)
class Cauchy(Cost):
    scale: float = 1.0
    name: ClassVar[str] = "cauchy"
    formula: ClassVar[str] = "sum_j ln(1 + (d_j / s)^2)"

    def value(self, a: Any, y: Any) -> Any:
        return np.log1p(((a - y) / self.scale) ** 2).sum(axis=-1)

    def dC_da(self, a: Any, y: Any) -> Any:
        return 2.0 * (a - y) / (self.scale**2 + (a - y) ** 2)


@dataclass(frozen=True)
class MeanQuartic(ElementwiseCost):
    name: ClassVar[str] = "mean_quartic"
    reduction: ClassVar[str] = "mean"

    def c(self, a: Any, y: Any) -> Any:
        return (a - y) ** 4

    def dc(self, a: Any, y: Any) -> Any:
        return 4.0 * (a - y) ** 3


@pytest.mark.parametrize("cost", [Cauchy(0.5), MeanQuartic()], ids=repr)
def test_your_own_cost(cost: Cost) -> None:
    assert costs.make(cost) is cost
    assert cost.name not in costs
    assert fused_pair("identity", cost) is None
    assert gradient_is_right(cost)
    assert not gradient_is_right(Mutant(cost, 1.001))
    with pytest.raises(DataError, match="needs targets that are finite"):
        cost.check_targets(np.array([[np.nan]]))


def test_a_cost_without_mathematics_says_so() -> None:
    for method in (Cost().value, Cost().dC_da, ElementwiseCost().c, ElementwiseCost().dc):
        with pytest.raises(NotImplementedError):
            method(np.ones(1), np.ones(1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Huber(0.0), "threshold of Huber must be a finite number > 0. Got 0.0."),
        (lambda: Huber(float("nan")), "threshold of Huber must be a finite number > 0. Got nan."),
        (lambda: Huber("1"), "threshold of Huber must be a finite number > 0. Got '1'."),
        (lambda: Huber(True), "threshold of Huber must be a finite number > 0. Got True."),
        (lambda: Pinball(1.0), "quantile of Pinball must be a finite number > 0 and < 1. Got 1.0."),
        (lambda: Pinball((0.5, 2)), "quantile[1] of Pinball must be a finite number > 0 and < 1. Got 2."),
        (lambda: Pinball(()), "quantile of Pinball is empty. Give one number, or one per output."),
        (
            lambda: CrossEntropy(1.0),
            "label_smoothing of CrossEntropy must be a finite number >= 0 and < 1. Got 1.0.",
        ),
        (
            lambda: BinaryCrossEntropy(-0.1),
            "label_smoothing of BinaryCrossEntropy must be a finite number >= 0 and < 1. Got -0.1.",
        ),
    ],
)
def test_bad_options(make: Any, message: str) -> None:
    wrong_type = message.endswith(("Got '1'.", "Got True."))
    with pytest.raises(DTypeError if wrong_type else OptionError) as caught:
        make()
    assert str(caught.value) == message


def test_options_become_plain_numbers() -> None:
    assert repr(Huber(np.float32(2))) == "Huber(threshold=2.0)"
    assert repr(Pinball(np.array([0.25, 0.5]))) == "Pinball(quantile=(0.25, 0.5))"
    assert Pinball([0.25, 0.5]) == Pinball((0.25, 0.5))


@pytest.mark.parametrize(
    ("cost", "y", "rule", "found", "advice"),
    [
        (Quadratic(), [[0.0], [np.nan]], "that are finite", "row 1, column 0 is nan", "Drop"),
        (CrossEntropy(), [[3.0, -2.0]], "that are in [0, 1]", "row 0, column 0 is 3", "Give class labels"),
        (CrossEntropy(), [[1.0, 0.0], [1.0, 1.0]], "whose rows sum to 1", "row 1 of y sums to 2", "Divide"),
        (BinaryCrossEntropy(), [[0.5], [-1.0]], "that are in [0, 1]", "row 1, column 0 is -1", "Give 0/1"),
        (
            Poisson(),
            [[0.0, 3.0], [2.0, -1.5]],
            "that are not negative",
            "row 1, column 1 is -1.5",
            "Give counts",
        ),
        (Hinge(), [1.0, 0.0], "that are -1 or +1", "entry 1 is 0", "For 0/1 targets use 2 * y - 1."),
    ],
    ids=repr,
)
def test_bad_targets(cost: Cost, y: Any, rule: str, found: str, advice: str) -> None:
    with pytest.raises(DataError) as caught:
        cost.check_targets(np.array(y))
    at = found if "sums" in found else f"y at {found}"
    assert str(caught.value).startswith(f"{cost.name} needs targets {rule}, but {at}. {advice}")
    with pytest.raises(DataError) as named:
        cost.check_targets(np.array(y), name="y_val")
    called = str(caught.value).replace(" y at ", " y_val at ").replace(" of y ", " of y_val ")
    assert str(named.value) == called != str(caught.value)


def test_targets_that_are_no_numbers() -> None:
    with pytest.raises(DTypeError, match="hinge needs numbers as targets; y has dtype <U2"):
        Hinge().check_targets(np.array([["no"]]))
    with pytest.raises(DTypeError, match="numbers as targets; y_val has dtype"):
        Hinge().check_targets(np.array([["no"]]), name="y_val")


def test_integer_and_rounded_targets_pass() -> None:
    CrossEntropy().check_targets(np.eye(3, dtype=int))
    CrossEntropy().check_targets(np.array([[0.333, 0.333, 0.333]], np.float32))
    BinaryCrossEntropy().check_targets(np.array([[True, False]]))
    Hinge().check_targets(np.array([[1, -1]]))


def test_pinball_needs_as_many_quantiles_as_outputs() -> None:
    message = "pinball has 2 quantiles, one per output, but "
    with pytest.raises(ShapeError, match=message + r"y has shape \(4, 3\)"):
        Pinball((0.1, 0.9)).check_targets(np.ones((4, 3)))
    with pytest.raises(ShapeError, match=message + r"y_val has shape \(4, 3\)"):
        Pinball((0.1, 0.9)).check_targets(np.ones((4, 3)), name="y_val")
    with pytest.raises(ShapeError, match=message + "the outputs or targets have shape"):
        Pinball((0.1, 0.9)).value(np.ones((4, 1)), np.ones((4, 1)))


def test_a_wrong_declaration_of_targets_is_named() -> None:
    @dataclass(frozen=True)
    class Odd(Cauchy):
        name: ClassVar[str] = "odd"
        targets: ClassVar[str] = "odd numbers"

    with pytest.raises(OptionError, match="declares targets = 'odd numbers'; use one of 'real'"):
        Odd().check_targets(np.ones((1, 1)))
