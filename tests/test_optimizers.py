"""Optimisers: against the equations written out, PyTorch, scikit-learn, and steps worked by hand."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.names import name_of

from clearprop.errors import (
    DTypeError,
    MissingDependencyError,
    OptionError,
    ShapeError,
    UnknownNameError,
    UnsupportedError,
)
from clearprop.optimizers import (
    LBFGS,
    SCRATCH,
    SGD,
    SGDW,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    Optimizer,
    RMSprop,
    optimizers,
    saved_slots,
)

N, STEPS = 7, 50

VARIANTS: list[Optimizer] = [
    SGD(0.1),
    Momentum(0.1),
    Momentum(0.1, momentum=0.5, convention="torch"),
    Momentum(0.1, convention="torch", dampening=0.3),
    Nesterov(0.05),
    Nesterov(0.05, convention="torch"),
    SGDW(0.1, weight_decay=0.1),
    RMSprop(0.01),
    RMSprop(0.01, centered=True),
    RMSprop(0.01, momentum=0.8),
    RMSprop(0.01, centered=True, momentum=0.8, epsilon=1e-4),
    RMSprop(0.01, epsilon=1e-3, epsilon_placement="inside"),
    Adam(0.01),
    Adam(0.01, epsilon=1e-2),
    Adam(0.01, epsilon=1e-2, epsilon_placement="before_correction"),
    Adam(0.01, amsgrad=True),
    AdamW(0.01, weight_decay=0.3),
    AdamW(0.01, amsgrad=True, epsilon_placement="before_correction"),
]


def gradients(n: int = N, steps: int = STEPS) -> np.ndarray:
    """Gradients that shrink, so that the largest v lies in the past and amsgrad differs from Adam."""
    decay = np.linspace(1.0, 0.05, steps)[:, np.newaxis]
    return np.random.default_rng(0).normal(size=(steps, n)) * decay


def rates(eta: float, changing: bool) -> list[float]:
    return [eta * (0.97**t if changing else 1.0) for t in range(STEPS)]


def run(opt: Optimizer, changing: bool = False, dtype: Any = np.float64, **options: Any) -> np.ndarray:
    theta = np.linspace(-1, 1, N).astype(dtype)
    state = opt.init(N, dtype)
    for step, (g, eta) in enumerate(zip(gradients(), rates(opt.eta, changing), strict=True), start=1):
        opt.update(theta, g.astype(dtype), state, step=step, eta=eta, **options)
    return theta


def written_out(opt: Any, etas: list[float]) -> np.ndarray:
    """The equations of each class, one parameter at a time, in plain Python."""
    result = []
    for i, start in enumerate(np.linspace(-1, 1, N)):
        w, v, m, u, top = float(start), 0.0, 0.0, 0.0, 0.0
        for t, (row, eta) in enumerate(zip(gradients(), etas, strict=True), start=1):
            g = float(row[i])
            match opt:
                case SGD():
                    w = w - eta * g
                case SGDW():
                    w = w * (1 - eta * opt.weight_decay)
                    v = opt.momentum * v - eta * g
                    w = w + v
                case Momentum(convention="nielsen"):
                    v = opt.momentum * v - eta * g
                    w = w + v
                case Momentum():
                    v = g if t == 1 else opt.momentum * v + (1 - opt.dampening) * g
                    w = w - eta * v
                case Nesterov(convention="nielsen"):
                    v = opt.momentum * v - eta * g
                    w = w + opt.momentum * v - eta * g
                case Nesterov():
                    v = opt.momentum * v + g
                    w = w - eta * (g + opt.momentum * v)
                case RMSprop():
                    v = opt.rho * v + (1 - opt.rho) * g * g
                    m = opt.rho * m + (1 - opt.rho) * g
                    spread = v - m * m if opt.centered else v
                    if opt.epsilon_placement == "inside":
                        d = (spread + opt.epsilon) ** 0.5
                    else:
                        d = spread**0.5 + opt.epsilon
                    u = opt.momentum * u + g / d
                    w = w - eta * u
                case Adam():
                    w = w * (1 - eta * getattr(opt, "weight_decay", 0.0))
                    m = opt.beta1 * m + (1 - opt.beta1) * g
                    v = opt.beta2 * v + (1 - opt.beta2) * g * g
                    top = max(top, v)
                    second = top if opt.amsgrad else v
                    if opt.epsilon_placement == "after_correction":
                        m_hat, v_hat = m / (1 - opt.beta1**t), second / (1 - opt.beta2**t)
                        w = w - eta * m_hat / (v_hat**0.5 + opt.epsilon)
                    else:
                        eta_t = eta * (1 - opt.beta2**t) ** 0.5 / (1 - opt.beta1**t)
                        w = w - eta_t * m / (second**0.5 + opt.epsilon)
        result.append(w)
    return np.array(result)


@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
@pytest.mark.parametrize("opt", VARIANTS, ids=name_of)
def test_equals_its_equations_written_out(opt: Optimizer, changing: bool) -> None:
    expected = written_out(opt, rates(opt.eta, changing))
    np.testing.assert_allclose(run(opt, changing), expected, rtol=0, atol=1e-12)


def test_the_variants_differ_from_each_other() -> None:
    # Otherwise an option that is ignored would go unnoticed above.
    results = [tuple(run(opt, changing=True).round(9)) for opt in VARIANTS]
    assert len(set(results)) == len(results)


@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
@pytest.mark.parametrize(
    ("opt", "name", "options"),
    [
        (SGD(0.1), "SGD", {}),
        (Momentum(0.1, convention="torch"), "SGD", {"momentum": 0.9}),
        (Momentum(0.1, convention="torch", dampening=0.3), "SGD", {"momentum": 0.9, "dampening": 0.3}),
        (Nesterov(0.05, convention="torch"), "SGD", {"momentum": 0.9, "nesterov": True}),
        (RMSprop(0.01, rho=0.99), "RMSprop", {}),
        (RMSprop(0.01, rho=0.99, centered=True), "RMSprop", {"centered": True}),
        (
            RMSprop(0.01, rho=0.99, centered=True, momentum=0.8),
            "RMSprop",
            {"centered": True, "momentum": 0.8},
        ),
        (Adam(0.01), "Adam", {}),
        (Adam(0.01, beta1=0.8, beta2=0.9, epsilon=1e-2), "Adam", {"betas": (0.8, 0.9), "eps": 1e-2}),
        (Adam(0.01, amsgrad=True), "Adam", {"amsgrad": True}),
        (AdamW(0.01, weight_decay=0.3), "AdamW", {"weight_decay": 0.3}),
        (AdamW(0.01, weight_decay=0.3, amsgrad=True), "AdamW", {"weight_decay": 0.3, "amsgrad": True}),
    ],
    ids=name_of,
)
def test_equals_torch(opt: Optimizer, name: str, options: dict[str, Any], changing: bool) -> None:
    torch = pytest.importorskip("torch")
    w = torch.linspace(-1, 1, N, dtype=torch.float64, requires_grad=True)
    peer = getattr(torch.optim, name)([w], lr=opt.eta, **options)
    for g, eta in zip(gradients(), rates(opt.eta, changing), strict=True):
        peer.param_groups[0]["lr"] = eta
        w.grad = torch.from_numpy(g.copy())
        peer.step()
    np.testing.assert_allclose(run(opt, changing), w.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("opt", "make"),
    [
        (Momentum(0.1), lambda s, p: s.SGDOptimizer(p, 0.1, momentum=0.9, nesterov=False)),
        (Nesterov(0.1, momentum=0.7), lambda s, p: s.SGDOptimizer(p, 0.1, momentum=0.7)),
        (
            Adam(0.01, epsilon=1e-3, epsilon_placement="before_correction"),
            lambda s, p: s.AdamOptimizer(p, 0.01, epsilon=1e-3),
        ),
    ],
    ids=name_of,
)
def test_equals_sklearn(opt: Optimizer, make: Callable[[Any, Any], Any]) -> None:
    sklearn = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    params = [np.linspace(-1, 1, N)]
    peer = make(sklearn, params)
    for g in gradients():
        peer.update_params(params, [g])
    np.testing.assert_allclose(run(opt), params[0], rtol=0, atol=1e-12)


def test_equals_sklearn_sgd_while_the_rate_changes() -> None:
    sklearn = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    params = [np.linspace(-1, 1, N)]
    peer = sklearn.SGDOptimizer(params, 0.1, momentum=0.9, nesterov=True)
    for g, eta in zip(gradients(), rates(0.1, True), strict=True):
        peer.learning_rate = eta
        peer.update_params(params, [g])
    np.testing.assert_allclose(run(Nesterov(0.1), changing=True), params[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("opt", VARIANTS, ids=name_of)
def test_updates_in_place_without_widening_or_allocating(opt: Optimizer, dtype: Any) -> None:
    n = 100_000
    theta, g = np.ones(n, dtype), np.full(n, 0.5, dtype)
    state = opt.init(n, dtype)
    before = dict(state)
    opt.update(theta, g, state, step=1, eta=opt.eta)  # what NumPy allocates once
    tracemalloc.start()
    opt.update(theta, g, state, step=2, eta=opt.eta)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n, f"a step allocated {peak} bytes for {n} parameters"
    assert theta.dtype == dtype
    assert np.all(theta != 1)
    assert state.keys() == before.keys()
    assert all(state[k] is before[k] and state[k].dtype == dtype for k in state)


@pytest.mark.parametrize("opt", VARIANTS, ids=name_of)
def test_a_numpy_rate_does_not_widen_float32(opt: Optimizer) -> None:
    def after(kind: Callable[[float], float]) -> bytes:
        theta, state = np.linspace(-1, 1, N, dtype=np.float32), opt.init(N, np.float32)
        for step, g in enumerate(gradients().astype(np.float32), start=1):
            opt.update(theta, g, state, step=step, eta=kind(opt.eta))
        return theta.tobytes()

    assert after(float) == after(np.float64)


@pytest.mark.parametrize("opt", VARIANTS, ids=name_of)
def test_float32_stays_close_to_float64(opt: Optimizer) -> None:
    np.testing.assert_allclose(run(opt, dtype=np.float32), run(opt), rtol=0, atol=2e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("opt", VARIANTS, ids=name_of)
def test_frozen_parameters_keep_their_bits(opt: Optimizer, dtype: Any) -> None:
    theta = np.array([1.5, -0.0, 0.0, 0.1, -3.0], dtype)
    frozen = np.array([1, 1, 1, 0, 1], bool)
    start, state = theta.copy(), opt.init(5, dtype)
    scale = np.where(frozen, 0, 1).astype(dtype)
    for step in range(1, 4):
        opt.update(theta, np.array([2, -1, 3, 4, -5], dtype), state, step=step, eta=0.1, scale=scale)
    assert theta[frozen].tobytes() == start[frozen].tobytes()
    assert theta[3] != start[3]


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("opt", VARIANTS, ids=name_of)
def test_frozen_parameters_ignore_infinite_and_nan_gradients(opt: Optimizer) -> None:
    theta, state = np.array([1.0, 2.0, 3.0]), opt.init(3, np.float64)
    g = np.array([np.inf, np.nan, 1.0])
    opt.update(theta, g, state, step=1, eta=0.1, scale=np.array([0.0, 0.0, 1.0]))
    assert theta[:2].tolist() == [1.0, 2.0]
    assert np.isfinite(theta[2])
    assert theta[2] != 3.0


@pytest.mark.parametrize("opt", VARIANTS, ids=name_of)
def test_scale_multiplies_the_rate(opt: Optimizer) -> None:
    factor = 0.25
    scaled = run(opt, scale=np.full(N, factor))
    slow = np.linspace(-1, 1, N)
    state = opt.init(N, np.float64)
    for step, g in enumerate(gradients(), start=1):
        opt.update(slow, g, state, step=step, eta=opt.eta * factor)
    np.testing.assert_allclose(scaled, slow, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(run(opt, scale=np.ones(N)), run(opt))


@pytest.mark.parametrize("opt", [o for o in VARIANTS if o.decoupled_decay], ids=name_of)
def test_decay_mask_spares_biases(opt: Any) -> None:
    plain_class = Adam if isinstance(opt, Adam) else Momentum
    options = {k: v for k, v in opt.config().items() if k not in ("name", "weight_decay")}
    plain = run(plain_class(**options))
    mask = np.array([0, 1, 0, 1, 0, 1, 0], float)
    decayed, masked = run(opt), run(opt, decay_mask=mask)
    np.testing.assert_array_equal(masked[mask == 0], plain[mask == 0])
    np.testing.assert_allclose(masked[mask == 1], decayed[mask == 1], rtol=0, atol=1e-14)
    assert np.all(decayed[[0, 2, 4, 6]] != plain[[0, 2, 4, 6]])
    half = run(opt, decay_mask=np.full(N, 0.5))
    weaker = type(opt)(**{**options, "weight_decay": opt.weight_decay / 2})
    np.testing.assert_allclose(half, run(weaker), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("opt", VARIANTS, ids=name_of)
def test_masks_may_be_booleans(opt: Optimizer, dtype: Any) -> None:
    scale, mask = np.array([1, 0, 1, 1, 0, 1, 1]), np.array([0, 1, 1, 0, 1, 1, 0])
    flags = run(opt, dtype=dtype, scale=scale.astype(bool), decay_mask=mask.astype(bool))
    numbers = run(opt, dtype=dtype, scale=scale.astype(dtype), decay_mask=mask.astype(dtype))
    assert flags.dtype == dtype
    assert flags.tobytes() == numbers.tobytes()


def test_decay_moves_theta_even_without_a_gradient() -> None:
    # theta (1 - eta lambda), by hand: 2 * (1 - 0.1 * 0.5) = 1.9.
    for opt in (AdamW(0.1, weight_decay=0.5), SGDW(0.1, weight_decay=0.5)):
        theta = np.array([2.0])
        opt.update(theta, np.zeros(1), opt.init(1, np.float64), step=1, eta=0.1)
        assert theta[0] == pytest.approx(1.9, abs=1e-15)


@pytest.mark.parametrize(
    ("opt", "after_one", "after_two"),
    [
        # g = 1, then g = 3, from theta = 1, at eta = 0.1; every number by hand, without epsilon.
        (SGD(0.1), 0.9, 0.6),
        (Momentum(0.1), 0.9, 0.51),  # v = -0.1, then -0.09 - 0.3 = -0.39
        (Momentum(0.1, convention="torch"), 0.9, 0.51),  # v = 1, then 3.9
        (Momentum(0.1, convention="torch", dampening=0.5), 0.9, 0.66),  # v = 1, then 0.9 + 1.5 = 2.4
        (Nesterov(0.1), 0.81, 0.159),  # v = -0.1: -0.09 - 0.1; v = -0.39: -0.351 - 0.3
        (SGDW(0.1, weight_decay=1.0), 0.8, 0.33),  # 0.9 - 0.1; 0.72 - 0.39
        # v = 0.5, d = 0.70710678; then v = 0.25 + 4.5 = 4.75, d = 2.17944947
        (RMSprop(0.1, rho=0.5), 0.858578644, 0.720929204),
        # m = v = 0.5, 0.5 - 0.25 = 0.25, d = 0.5; m = 1.75, 4.75 - 3.0625 = 1.6875, d = 1.29903811
        (RMSprop(0.1, rho=0.5, centered=True), 0.8, 0.569059892),
        # m_hat = v_hat = 1; m = 0.25 + 1.5 = 1.75 / 0.75, v = 4.75 / 0.75: 2.3333333 / 2.51661148
        (Adam(0.1, beta1=0.5, beta2=0.5), 0.9, 0.807282735),
    ],
    ids=name_of,
)
def test_two_steps_by_hand(opt: Optimizer, after_one: float, after_two: float) -> None:
    theta, state = np.array([1.0]), opt.init(1, np.float64)
    opt.update(theta, np.array([1.0]), state, step=1, eta=0.1)
    assert theta[0] == pytest.approx(after_one, abs=1e-8)
    opt.update(theta, np.array([3.0]), state, step=2, eta=0.1)
    assert theta[0] == pytest.approx(after_two, abs=1e-8)


def test_centered_rmsprop_survives_a_constant_gradient() -> None:
    # v - m² tends to 0 and rounding makes it negative: sqrt would give NaN.
    opt, theta = RMSprop(0.01, rho=0.5, centered=True), np.ones(1000, np.float32)
    state = opt.init(1000, np.float32)
    g = np.linspace(0.1, 3, 1000, dtype=np.float32)
    for step in range(1, 60):
        opt.update(theta, g.copy(), state, step=step, eta=1e-12)
    assert np.any(state["v"] - state["m"] ** 2 < 0)
    assert np.isfinite(theta).all()


@pytest.mark.parametrize("name", list(optimizers))
def test_converges_on_a_bowl(name: str) -> None:
    curvature, lowest = np.array([1.0, 4.0, 0.5]), np.array([0.3, -0.2, 0.7])

    def bowl(theta: np.ndarray) -> tuple[float, np.ndarray]:
        return float(curvature @ (theta - lowest) ** 2) / 2, curvature * (theta - lowest)

    opt, theta = optimizers.make(name), np.zeros(3)
    if isinstance(opt, LBFGS):
        opt.minimize(bowl, theta)
    else:
        state = opt.init(3, np.float64)
        for step in range(1, 3001):
            eta = 0.05 * 0.998**step
            opt.update(theta, bowl(theta)[1], state, step=step, eta=eta, decay_mask=np.zeros(3))
    np.testing.assert_allclose(theta, lowest, atol=1e-3)


@pytest.mark.parametrize("opt", VARIANTS, ids=name_of)
def test_restored_state_gives_the_same_bits(opt: Optimizer) -> None:
    def steps(theta: np.ndarray, state: Any, span: range) -> None:
        for step in span:
            opt.update(theta, gradients()[step - 1], state, step=step, eta=opt.eta)

    through, state = np.linspace(-1, 1, N), opt.init(N, np.float64)
    steps(through, state, range(1, 21))
    saved = {name: slot.copy() for name, slot in saved_slots(state).items()}
    resumed = through.copy()
    assert SCRATCH not in saved
    assert tuple(saved) == opt.slots
    again = opt.restore(saved, N, np.float64)
    steps(through, state, range(21, 41))
    steps(resumed, again, range(21, 41))
    assert through.tobytes() == resumed.tobytes()


def test_restore_refuses_what_does_not_fit() -> None:
    good = {"m": np.zeros(3), "v": np.zeros(3)}
    with pytest.raises(OptionError, match=r"Adam has the slots \['m', 'v'\]; the saved .* \['velocity'\]"):
        Adam().restore({"velocity": np.zeros(3)}, 3, np.float64)
    with pytest.raises(ShapeError, match=r"slot 'v' has shape \(2,\); theta has shape \(3,\)"):
        Adam().restore({**good, "v": np.zeros(2)}, 3, np.float64)
    with pytest.raises(DTypeError, match="slot 'm' is float64; theta is float32"):
        Adam().restore(good, 3, np.float32)


@pytest.mark.parametrize("opt", [*VARIANTS, LBFGS(5, memory=3)], ids=name_of)
def test_config_round_trip_through_json(opt: Optimizer) -> None:
    assert optimizers.make(json.loads(json.dumps(opt.config()))) == opt


@pytest.mark.parametrize("name", list(optimizers))
def test_every_optimizer_is_documented_and_hashable(name: str) -> None:
    opt = optimizers.make(name)
    assert opt.equations
    assert "Source:" in (type(opt).__doc__ or "")
    assert opt.eta > 0
    assert hash(opt) == hash(optimizers.make(name))


def test_options_become_plain_data() -> None:
    config = Adam(np.float32(0.5), beta1=np.float64(0.5)).config()
    assert type(config["eta"]) is float
    assert type(config["beta1"]) is float
    assert type(SGD(1).config()["eta"]) is float


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Adam(-1), OptionError, "eta of Adam must be a finite number > 0. Got -1."),
        (lambda: SGD(0), OptionError, "eta of SGD must be a finite number > 0. Got 0."),
        (lambda: SGD(float("nan")), OptionError, "eta of SGD must be a finite number > 0. Got nan."),
        (lambda: SGD(float("inf")), OptionError, "eta of SGD must be a finite number > 0. Got inf."),
        (lambda: SGD("fast"), DTypeError, "eta of SGD must be a finite number > 0. Got 'fast'."),
        (lambda: SGD(True), DTypeError, "eta of SGD must be a finite number > 0. Got True."),
        (
            lambda: Momentum(momentum=1.01),
            OptionError,
            "momentum of Momentum must be a finite number >= 0 and",
        ),
        (
            lambda: Momentum(convention="torhc"),
            OptionError,
            "convention of Momentum must be one of 'nielsen', 'torch'. Got 'torhc'. Did you mean 'torch'?",
        ),
        (
            lambda: Momentum(dampening=0.1),
            OptionError,
            "dampening of Momentum is PyTorch's; it needs",
        ),
        (lambda: Nesterov(convention=None), OptionError, "convention of Nesterov must be one of"),
        (
            lambda: RMSprop(rho=1.5),
            OptionError,
            "rho of RMSprop must be a finite number >= 0 and < 1.",
        ),
        (lambda: RMSprop(centered=1), DTypeError, "centered of RMSprop must be True or False. Got 1."),
        (lambda: Adam(epsilon=0), OptionError, "epsilon of Adam must be a finite number > 0. Got 0."),
        (lambda: AdamW(weight_decay=-1), OptionError, "weight_decay of AdamW must be a finite number >= 0."),
        (lambda: LBFGS(0), OptionError, "max_iterations of LBFGS must be a whole number >= 1. Got 0."),
        (lambda: LBFGS(2.5), DTypeError, "max_iterations of LBFGS must be a whole number >= 1. Got 2.5."),
        (lambda: optimizers.make("adma"), UnknownNameError, "unknown optimizer 'adma'. Did you mean 'adam'?"),
        (lambda: SGD().init(3, np.int64), DTypeError, "theta must be float32 or float64"),
    ],
)
def test_errors_are_one_clear_sentence(make: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


def rosenbrock(theta: np.ndarray) -> tuple[float, np.ndarray]:
    x, y = (float(t) for t in theta)
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2, np.array(
        [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)]
    )


def test_lbfgs_finds_rosenbrocks_minimum_in_place() -> None:
    theta = np.array([-1.2, 1.0])
    seen: list[tuple[int, float, list[float]]] = []

    def watch(iteration: int, cost: float, current: np.ndarray) -> None:
        assert current is theta
        seen.append((iteration, cost, current.tolist()))

    end = LBFGS(gradient_tolerance=1e-8, cost_tolerance=0).minimize(rosenbrock, theta, watch)
    np.testing.assert_allclose(theta, [1, 1], atol=1e-7)
    assert end.converged
    assert end.iterations == len(seen) == seen[-1][0]
    assert end.evaluations >= end.iterations
    assert end.cost == seen[-1][1] == rosenbrock(theta)[0]
    # In every callback theta is the point whose cost is given, not the last trial of the line search.
    assert all(cost == rosenbrock(np.array(point))[0] for _, cost, point in seen)


def test_lbfgs_options_reach_scipy() -> None:
    assert LBFGS(3).minimize(rosenbrock, np.array([-1.2, 1.0])).iterations == 3
    few = LBFGS(max_evaluations=4).minimize(rosenbrock, np.array([-1.2, 1.0]))
    assert not few.converged
    assert few.evaluations < 10
    assert LBFGS(gradient_tolerance=1e9).minimize(rosenbrock, np.array([-1.2, 1.0])).iterations == 0
    assert LBFGS(cost_tolerance=1.0).minimize(rosenbrock, np.array([-1.2, 1.0])).iterations == 1
    ends = [LBFGS(12, memory=m).minimize(rosenbrock, np.array([-1.2, 1.0])).cost for m in (1, 10)]
    assert ends[0] != ends[1]


def test_lbfgs_callback_stops_it() -> None:
    theta = np.array([-1.2, 1.0])
    end = LBFGS().minimize(rosenbrock, theta, lambda iteration, cost, current: iteration == 4)
    assert end.iterations == 4
    assert not end.converged
    assert rosenbrock(theta)[0] == end.cost


def test_lbfgs_leaves_theta_of_the_last_iteration_when_interrupted() -> None:
    theta, points, calls = np.array([-1.2, 1.0]), [], 0

    def interrupted(current: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal calls
        calls += 1
        if calls == 15:
            raise KeyboardInterrupt
        return rosenbrock(current)

    with pytest.raises(KeyboardInterrupt):
        LBFGS().minimize(interrupted, theta, lambda i, c, current: points.append(current.copy()))
    assert theta.tolist() == points[-1].tolist()


def test_lbfgs_copies_a_gradient_that_is_written_again() -> None:
    buffer, theta = np.empty(2), np.array([-1.2, 1.0])

    def reusing(current: np.ndarray) -> tuple[float, np.ndarray]:
        cost, buffer[:] = rosenbrock(current)
        return cost, buffer

    LBFGS(gradient_tolerance=1e-8, cost_tolerance=0).minimize(reusing, theta)
    np.testing.assert_allclose(theta, [1, 1], atol=1e-7)


def test_lbfgs_freezes_and_keeps_float32() -> None:
    theta = np.array([-1.2, 0.25], np.float32)
    LBFGS(gradient_tolerance=1e-6).minimize(rosenbrock, theta, scale=np.array([1, 0], np.float32))
    assert theta.dtype == np.float32
    assert theta[1] == np.float32(0.25)
    # With y = 1/4 fixed, (1 - x)² + 100 (1/4 - x²)² is least where its derivative is 0.
    assert abs(rosenbrock(theta.astype(float))[1][0]) < 1e-3
    with pytest.raises(UnsupportedError, match="LBFGS has no rate to scale"):
        LBFGS().minimize(rosenbrock, theta, scale=np.array([1, 0.5]))


def test_lbfgs_has_no_single_steps() -> None:
    assert LBFGS.full_batch
    assert LBFGS().init(3, np.float64) == {}
    with pytest.raises(UnsupportedError, match=r"Adam has no minimize.* takes single steps"):
        Adam().minimize(rosenbrock, np.zeros(2))
    with pytest.raises(UnsupportedError, match="LBFGS has no update"):
        LBFGS().update(np.zeros(1), np.zeros(1), {}, step=1, eta=1.0)


def test_lbfgs_without_scipy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingDependencyError, match=r"'lbfgs' needs SciPy\. Run: pip install scipy"):
        LBFGS().minimize(rosenbrock, np.zeros(2))


def test_a_users_own_optimizer_needs_no_registration() -> None:
    @dataclass(frozen=True)
    class SignDescent(Optimizer):
        name = "sign"
        eta: float = 0.1

        def update(self, theta: Any, gradient: Any, state: Any, **where: Any) -> None:
            theta -= where["eta"] * np.sign(gradient)

    opt = optimizers.make(SignDescent(0.5))
    theta = np.zeros(2)
    opt.update(theta, np.array([3.0, -2.0]), opt.init(2, np.float64), step=1, eta=0.5)
    assert theta.tolist() == [-0.5, 0.5]
