"""Schedules: against their formulas worked by hand, PyTorch and scikit-learn."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.names import name_of

from clearprop.errors import DTypeError, OptionError, UnknownNameError
from clearprop.schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    InverseScaling,
    OneCycle,
    OnPlateau,
    Schedule,
    StepDecay,
    Warmup,
    schedules,
)

ETA = 0.4
TOTAL = 60
PER_EPOCH = 6

VARIANTS: list[Schedule] = [
    Constant(),
    StepDecay(3, 0.5),
    ExponentialDecay(0.9),
    ExponentialDecay(0.99, unit="step"),
    InverseScaling(),
    InverseScaling(1.0, unit="epoch"),
    InverseScaling(0.5, unit="example", examples_per_epoch=100),
    Cosine(final=0.1),
    Cosine(period=2),
    Cosine(0.05, period=2, growth=2),
    OneCycle(),
    OneCycle(0.2, shape="linear"),
    Warmup(7, then=Cosine()),
    Warmup(7, then=OnPlateau(patience=0)),
    OnPlateau(0.5, patience=2, cooldown=1, greater_is_better=True),
]


def curve(
    schedule: Schedule, total: int = TOTAL, per_epoch: int = PER_EPOCH, eta: float = ETA
) -> list[float]:
    return [
        schedule.rate(
            eta, step=step, epoch=1 + (step - 1) // per_epoch, total_steps=total, steps_per_epoch=per_epoch
        )
        for step in range(1, total + 1)
    ]


def torch_curve(make: Callable[[Any, Any], Any], steps: int, eta: float = ETA) -> list[float]:
    """The rates of a PyTorch scheduler that is stepped after each step of the optimiser."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=eta)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's own deprecations
            scheduler.step()
    return rates


# PyTorch's own floating-point recursion (StepLR, Cosine) is what the tolerance allows for.
@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (Cosine(), lambda s, o: s.CosineAnnealingLR(o, T_max=TOTAL)),
        (Cosine(final=0.1), lambda s, o: s.CosineAnnealingLR(o, T_max=TOTAL, eta_min=0.1 * ETA)),
        (Cosine(period=2), lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=2 * PER_EPOCH)),
        (
            Cosine(0.05, period=1, growth=2),
            lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=PER_EPOCH, T_mult=2, eta_min=0.05 * ETA),
        ),
        (OneCycle(), lambda s, o: s.OneCycleLR(o, ETA, total_steps=TOTAL + 1)),
        (
            OneCycle(0.37, initial=0.1, final=0.001, shape="linear"),
            lambda s, o: s.OneCycleLR(
                o,
                ETA,
                total_steps=TOTAL + 1,
                pct_start=0.37,
                div_factor=10,
                final_div_factor=100,
                anneal_strategy="linear",
            ),
        ),
        (ExponentialDecay(0.97, unit="step"), lambda s, o: s.ExponentialLR(o, 0.97)),
        (InverseScaling(0.5), lambda s, o: s.LambdaLR(o, lambda t: 1 / math.sqrt(t + 1))),
        (
            Warmup(5),
            lambda s, o: s.LinearLR(o, start_factor=1 / 5, end_factor=1.0, total_iters=4),
        ),
    ],
    ids=name_of,
)
def test_equals_torch_step_by_step(schedule: Schedule, make: Callable[[Any, Any], Any]) -> None:
    # OneCycleLR counts one step more, because it is stepped once more than it is asked.
    total = TOTAL + 1 if isinstance(schedule, OneCycle) else TOTAL
    np.testing.assert_allclose(
        curve(schedule, total)[:TOTAL], torch_curve(make, TOTAL), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (StepDecay(3, 0.5), lambda s, o: s.StepLR(o, step_size=3, gamma=0.5)),
        (ExponentialDecay(0.9), lambda s, o: s.ExponentialLR(o, 0.9)),
    ],
    ids=name_of,
)
def test_equals_torch_epoch_by_epoch(schedule: Schedule, make: Callable[[Any, Any], Any]) -> None:
    rates = curve(schedule, 20 * PER_EPOCH)
    np.testing.assert_allclose(rates[::PER_EPOCH], torch_curve(make, 20), rtol=1e-12)
    assert rates[::PER_EPOCH] == rates[PER_EPOCH - 1 :: PER_EPOCH]  # constant within an epoch


def noisy_costs(n: int) -> list[float]:
    rng = np.random.default_rng(3)
    return (1 / np.arange(1, n + 1) + 0.03 * rng.normal(size=n)).round(3).tolist()


@pytest.mark.parametrize("better", [False, True], ids=["min", "max"])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(("patience", "cooldown", "minimum"), [(0, 0, 0.0), (2, 0, 0.2), (3, 2, 0.0)])
def test_on_plateau_equals_torch(
    better: bool, relative: bool, patience: int, cooldown: int, minimum: float
) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=ETA)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        "max" if better else "min",
        factor=0.5,
        patience=patience,
        threshold=0.02,
        threshold_mode="rel" if relative else "abs",
        cooldown=cooldown,
        min_lr=minimum * ETA,
        eps=0,
    )
    schedule = OnPlateau(
        0.5,
        patience=patience,
        min_delta=0.02,
        relative=relative,
        greater_is_better=better,
        cooldown=cooldown,
        minimum=minimum,
    )
    state, ours, theirs = schedule.start(), [], []
    for value in noisy_costs(60):
        value = 1.5 - value if better else value
        state = schedule.observe(state, value)
        peer.step(value)
        ours.append(schedule.rate(ETA, step=1, epoch=1, state=state))
        theirs.append(optimizer.param_groups[0]["lr"])
    assert len(set(theirs)) > 2
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def sklearn_adaptive(costs: list[float], eta: float, patience: int, tol: float) -> tuple[list[float], bool]:
    """scikit-learn's rule, from its documentation and the bookkeeping of its fit, with its optimiser."""
    module = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    optimizer = module.SGDOptimizer([np.zeros(1)], eta, lr_schedule="adaptive")
    best, count, rates = math.inf, 0, []
    for cost in costs:
        count = count + 1 if cost > best - tol else 0
        best = min(best, cost)
        if count > patience:
            if optimizer.trigger_stopping("", False):
                return rates, True
            count = 0
        rates.append(optimizer.learning_rate)
    return rates, False


@pytest.mark.parametrize("tol", [1e-4, 0.02])
def test_on_plateau_equals_sklearns_adaptive(tol: float) -> None:
    costs = noisy_costs(80)
    eta, patience = 1e-3, 2
    expected, stopped = sklearn_adaptive(costs, eta, patience, tol)
    schedule = OnPlateau(0.2, patience=patience, min_delta=tol, convention="sklearn", minimum=1e-6 / eta)
    state, rates = schedule.start(), []
    for cost in costs:
        state = schedule.observe(state, cost)
        if state["exhausted"]:
            break
        rates.append(schedule.rate(eta, step=1, epoch=1, state=state))
    assert stopped
    assert len(set(expected)) == 6  # 1e-3 / 5^0 … 1e-3 / 5^5 = 3.2e-7
    assert len(rates) == len(expected)
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_the_conventions_of_on_plateau_differ_on_creeping_costs() -> None:
    # Better by 0.6 min_delta an epoch: PyTorch sees an improvement every other epoch, scikit-learn none.
    def final(convention: str) -> float:
        schedule = OnPlateau(0.5, patience=1, min_delta=0.1, convention=convention)
        state = schedule.start()
        for epoch in range(10):
            state = schedule.observe(state, 1 - 0.06 * epoch)
        return schedule.rate(1.0, step=1, epoch=1, state=state)

    assert final("torch") == 1.0
    assert final("sklearn") == 0.5**4  # after epochs 3, 5, 7 and 9


def test_on_plateau_state_is_plain_data_and_is_not_written() -> None:
    schedule = OnPlateau(patience=0, factor=0.5)
    first = schedule.observe(schedule.start(), 1.0)
    kept = dict(first)
    second = schedule.observe(first, 1.0)
    assert first == kept
    assert json.loads(json.dumps(second)) == second
    assert schedule.rate(1.0, step=9, epoch=9, state=json.loads(json.dumps(second))) == 0.5


def test_on_plateau_counts_nan_as_no_improvement() -> None:
    for convention in ("torch", "sklearn"):
        schedule = OnPlateau(0.5, patience=1, convention=convention)
        state = schedule.start()
        for value in (math.nan, math.nan):
            state = schedule.observe(state, value)
        assert state["factor"] == 0.5
        assert state["best"] is None
        assert schedule.observe(state, 3.0)["best"] == 3.0


@pytest.mark.parametrize(("convention", "reduced"), [("torch", True), ("sklearn", False)])
def test_a_value_at_the_bar_itself_improves_by_sklearns_convention_alone(
    convention: str, reduced: bool
) -> None:
    schedule = OnPlateau(0.5, patience=0, min_delta=0.25, convention=convention)
    state = schedule.observe(schedule.observe(schedule.start(), 1.0), 0.75)
    assert (schedule.rate(ETA, step=1, epoch=1, state=state) < ETA) is reduced


def test_a_schedule_that_does_not_monitor_keeps_its_state() -> None:
    state = {"seen": 3}
    kept = Constant().observe(state, 0.5)
    assert kept == state
    assert kept is not state


def test_inverse_scaling_equals_sklearns() -> None:
    module = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    optimizer = module.SGDOptimizer([np.zeros(1)], ETA, lr_schedule="invscaling", power_t=0.7)
    schedule = InverseScaling(0.7, unit="example", examples_per_epoch=130)
    for epoch in range(1, 12):
        ours = schedule.rate(ETA, step=(epoch - 1) * 13 + 5, epoch=epoch)
        assert ours == pytest.approx(optimizer.learning_rate, rel=1e-14)
        optimizer.iteration_ends(epoch * 130)


def test_warmup_then_cosine_by_hand() -> None:
    rates = curve(Warmup(4, then=Cosine()), total=8)
    expected = [0.1, 0.2, 0.3, 0.4, 0.4, 0.4 * (2 + math.sqrt(2)) / 4, 0.2, 0.4 * (2 - math.sqrt(2)) / 4]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_warmup_keeps_the_epochs_of_the_training() -> None:
    rates = curve(Warmup(8, then=StepDecay(2, 0.5)), total=30, per_epoch=5)
    by_hand = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.4, 0.4] + [0.2] * 10 + [0.1] * 10
    np.testing.assert_allclose(rates, by_hand, rtol=1e-12)


def test_warmup_passes_on_what_is_monitored() -> None:
    schedule = Warmup(2, then=OnPlateau(0.5, patience=0))
    assert schedule.monitors
    assert not Warmup(2).monitors
    state = schedule.observe(schedule.observe(schedule.start(), 1.0), 1.0)
    assert schedule.rate(1.0, step=1, epoch=3, state=state) == 0.25
    assert schedule.rate(1.0, step=5, epoch=3, state=state) == 0.5


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("rise", [0.0, 0.3, 1.0])
def test_one_cycle_of_very_short_trainings(total: int, rise: float) -> None:
    rates = curve(OneCycle(rise), total=total)
    assert all(0 < rate <= ETA for rate in rates)
    assert max(rates) == pytest.approx(ETA) or rise == 0.3
    if rise < 1 and total > 2:
        assert rates[-1] == pytest.approx(4e-6 * ETA)


@pytest.mark.parametrize("schedule", [OneCycle(), Cosine(0.1)], ids=name_of)
def test_a_training_that_is_continued_stays_at_the_last_rate(schedule: Schedule) -> None:
    beyond = [schedule.rate(ETA, step=s, epoch=1, total_steps=10) for s in (11, 12, 100)]
    assert beyond[0] == pytest.approx(schedule.rate(ETA, step=11, epoch=1, total_steps=10))
    assert beyond[0] == beyond[1] == beyond[2] == pytest.approx(ETA * schedule.config()["final"])


@pytest.mark.parametrize("schedule", VARIANTS, ids=name_of)
def test_rates_are_floats_between_nothing_and_eta_and_scale_with_it(schedule: Schedule) -> None:
    rates = curve(schedule)
    assert all(type(rate) is float and 0 < rate <= ETA for rate in rates)
    np.testing.assert_allclose(curve(schedule, eta=2 * ETA), 2 * np.array(rates), rtol=1e-14)
    assert curve(schedule) == rates  # pure


def test_the_variants_differ_from_each_other() -> None:
    monitoring = [schedule for schedule in VARIANTS if schedule.monitors]
    pure = [schedule for schedule in VARIANTS if not schedule.monitors]
    assert len({tuple(curve(schedule)) for schedule in pure}) == len(pure) == len(VARIANTS) - len(monitoring)


@pytest.mark.parametrize("schedule", VARIANTS, ids=name_of)
def test_config_round_trip_through_json(schedule: Schedule) -> None:
    assert schedules.make(json.loads(json.dumps(schedule.config()))) == schedule


@pytest.mark.parametrize("name", list(schedules))
def test_every_schedule_has_good_defaults_and_a_formula(name: str) -> None:
    schedule = schedules.make(name)
    assert schedule.formula
    rate = schedule.rate(ETA, step=1, epoch=1, total_steps=1000, steps_per_epoch=100, state=schedule.start())
    assert 0 < rate <= ETA


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: StepDecay(0), OptionError, "every of StepDecay must be a whole number >= 1. Got 0."),
        (lambda: StepDecay(2.5), DTypeError, "every of StepDecay must be a whole number >= 1. Got 2.5."),
        (
            lambda: ExponentialDecay(0),
            OptionError,
            "factor of ExponentialDecay must be a finite number > 0. Got 0.",
        ),
        (lambda: ExponentialDecay(unit="steps"), OptionError, "Got 'steps'. Did you mean 'step'?"),
        (lambda: InverseScaling(-1), OptionError, "power_t of InverseScaling must be a finite number >= 0."),
        (lambda: InverseScaling(unit="example"), OptionError, "give both or neither"),
        (lambda: InverseScaling(examples_per_epoch=3), OptionError, "give both or neither"),
        (
            lambda: InverseScaling(unit="example", examples_per_epoch=0),
            OptionError,
            "examples_per_epoch of InverseScaling must be a whole number >= 1. Got 0.",
        ),
        (lambda: Cosine(growth=2), OptionError, "growth=2 of Cosine lengthens the period of restarts"),
        (lambda: OneCycle(1.5), OptionError, "rise of OneCycle must be a finite number >= 0 and <= 1."),
        (lambda: Warmup(then="cosin"), UnknownNameError, "unknown schedule 'cosin'. Did you mean 'cosine'?"),
        (lambda: OnPlateau(1.0), OptionError, "factor of OnPlateau must be a finite number > 0 and < 1."),
        (lambda: OnPlateau(relative=True, convention="sklearn"), OptionError, "needs convention='torch'"),
        (
            lambda: Cosine().rate(1.0, step=1, epoch=1),
            OptionError,
            "'cosine' needs to know the number of steps",
        ),
        (lambda: Cosine(period=3).rate(1.0, step=1, epoch=1), OptionError, "the number of steps per epoch"),
        (lambda: OneCycle().rate(1.0, step=1, epoch=1), OptionError, "these data have no known length"),
    ],
)
def test_errors_are_one_clear_sentence(make: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"period": 0}, OptionError),
        ({"period": 1.5}, DTypeError),
        ({"growth": 0}, OptionError),
        ({"growth": 2}, OptionError),
        ({"final": -0.1}, OptionError),
    ],
)
def test_options_of_cosine_that_do_not_fit(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"period|growth|final"):
        Cosine(**options)
