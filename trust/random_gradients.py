"""Random networks against the complex step: the gradient of every one of them is that of its cost.

One random direction in parameters and inputs each, and of every tenth network each entry by itself. Where an
activation is not safe for complex numbers, central differences away from its kinks. A network drawn in
float32 is compared with the same numbers in float64, and must stay in float32 throughout.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import assume
from tests.networks import Problem, complex_safe, cost_of, kink_distance, numeric_gradient

from clearprop.engines import engines
from clearprop.model import State
from trust.frame import Figure, Result, Test, command
from trust.random_networks import Drawn, is_tame, networks, numbers
from trust.running import Failure, judge_all

__all__ = ["TEST", "relative_error", "run", "what_cancels"]

STEP = 1e-30
DIFFERENCE = 1e-5
EXACT, BY_DIFFERENCES, IN_FLOAT32 = 1e-10, 1e-6, 1e-4
"""The largest error allowed, relative to the largest term: by complex step, by differences, of float32."""
ALL_ENTRIES_OF = 10
"""Of one network in so many, every entry is checked by itself."""


def run(count: int, seed: int) -> Result:
    """Check `count` random networks."""
    found: Counter[str] = Counter()
    worst = dict.fromkeys(("complex step", "differences", "float32"), 0.0)

    def judge(drawn: Drawn) -> None:
        p = numbers(drawn.in_float64())
        assume(is_tame(p))
        if complex_safe(p.model):
            how, error = "complex step", directional_error(p, drawn.seed)
        else:
            assume(kink_distance(p) > 1e-3)
            how, error = "differences", error_by_differences(p, drawn.seed)
        _note(worst, how, error, EXACT if how == "complex step" else BY_DIFFERENCES)
        found[how] += 1
        if how == "complex step" and drawn.seed % ALL_ENTRIES_OF == 0:
            _note(worst, how, entry_error(p), EXACT)
            found["entry by entry"] += 1
        if drawn.dtype == "float32":
            _note(worst, "float32", float32_error(numbers(drawn, p.model)), IN_FLOAT32)
            found["float32"] += 1

    judged, failures = judge_all(judge, networks(), count, seed)
    return Result(
        (
            Figure("networks judged", judged, at_least=count),
            Figure("by complex step", found["complex step"], at_least=count // 2),
            Figure("entry by entry, too", found["entry by entry"]),
            Figure("by central differences", found["differences"]),
            Figure("also in float32", found["float32"]),
            Figure("largest error by complex step", worst["complex step"], at_most=EXACT),
            Figure("largest error by differences", worst["differences"], at_most=BY_DIFFERENCES),
            Figure("largest error of float32", worst["float32"], at_most=IN_FLOAT32),
            Figure("networks with a wrong gradient", len(failures), at_most=0),
        ),
        failures,
        done=judged,
    )


def _note(worst: dict[str, float], how: str, error: float, most: float) -> None:
    worst[how] = float(np.max([worst[how], error]))  # NaN stays
    if not error <= most:
        raise Failure(f"the gradient is off by {error:.2g} by {how}")


def _terms(trace: Any, p: Problem, seed: int) -> tuple[Any, Any, Any, float]:
    """Return a direction (in theta and X), gradient times direction, and what is too small to tell."""
    rng = np.random.default_rng([seed, 7])
    v, u = rng.normal(size=p.state.theta.shape), rng.normal(size=p.X.shape)
    terms = np.concatenate([trace.gradient * v, (trace[0].dC_da * u / len(p.X)).reshape(-1)])
    return v, u, terms, what_cancels(trace)


def what_cancels(trace: Any) -> float:
    """Return the largest error that is passed back, times the largest activation.

    Where equal terms of that size cancel (a softmax that gets the same error at each output), what is left is
    rounding, and no share of it is right.
    """
    passed = [
        getattr(x, name) for x in trace.layers.values() for name in ("dC_da", "delta") if hasattr(x, name)
    ]
    errors = [float(np.max(np.abs(error), initial=0.0)) for error in passed if error is not None]
    activations = [float(np.max(np.abs(x.a), initial=0.0)) for x in trace.layers.values()]
    return max(errors) * max(1.0, *activations)


def relative_error(difference: Any, terms: Any, cancelled: float, share: float) -> float:
    """Return the difference in units of the largest term, or of a share of what cancelled if that is more."""
    size = max(float(np.max(np.abs(terms), initial=0.0)), share * cancelled)
    difference = float(np.max(np.abs(difference), initial=0.0))
    return difference / size if size else (np.inf if difference else 0.0)


def directional_error(p: Problem, seed: int) -> float:
    """Return how far the gradient along one random direction is from the complex step's."""
    trace = engines()["batch"].trace(*p)
    v, u, terms, cancelled = _terms(trace, p, seed)
    with np.errstate(all="ignore"):  # the steps are 1e-30
        slope = cost_of(p, p.state.theta + 1j * STEP * v, p.X + 1j * STEP * u).imag / STEP
    flat = engines()["batch"].gradient(*p).gradient
    error = relative_error(flat - trace.gradient, trace.gradient, cancelled, 1e-3)
    return max(error, relative_error(slope - terms.sum(), terms, cancelled, 1e-3))


def entry_error(p: Problem) -> float:
    """Return how far the worst entry of the gradient is from its own complex step."""
    if not p.state.theta.size:
        return 0.0
    trace = engines()["batch"].trace(*p)
    with np.errstate(all="ignore"):
        by_theta = numeric_gradient(lambda theta: cost_of(p, theta, p.X), p.state.theta, complex_step=True)
    return relative_error(trace.gradient - by_theta, by_theta, what_cancels(trace), 1e-3)


def error_by_differences(p: Problem, seed: int) -> float:
    """Return how far the gradient along one random direction is from a central difference's."""
    trace = engines()["batch"].trace(*p)
    v, u, terms, cancelled = _terms(trace, p, seed)
    length = float(np.sqrt(np.sum(v**2) + np.sum(u**2)))
    h = DIFFERENCE / length
    up = cost_of(p, p.state.theta + h * v, p.X + h * u)
    down = cost_of(p, p.state.theta - h * v, p.X - h * u)
    # A difference of two costs is known to 2^-52 of them, whatever the gradient.
    rounding = 16 * 2.0**-52 * abs(up) / (2 * h) / BY_DIFFERENCES
    return relative_error((up - down) / (2 * h) - terms.sum(), [*terms, rounding], cancelled, 1e-3)


def float32_error(p: Problem) -> float:
    """Return how far the gradient is from that of the same numbers in float64; infinite if widened."""
    wide = Problem(
        p.model,
        State(p.model, p.state.theta.astype(float), p.state.buffers.astype(float)),
        p.X.astype(float),
        p.y.astype(float),
        None if p.weights is None else p.weights.astype(float),
        p.draws,
    )
    with np.errstate(all="ignore"):
        trace, expected = engines()["batch"].trace(*p), engines()["batch"].trace(*wide)
    if not all(_is_float32(trace, address) for address in trace.layers) or trace.gradient.dtype != np.float32:
        return np.inf
    return relative_error(trace.gradient - expected.gradient, expected.gradient, what_cancels(expected), 1e-2)


def _is_float32(trace: Any, address: str) -> bool:
    fields = [getattr(trace[address], name) for name in trace[address].fields]
    return all(x.dtype == np.float32 for x in fields if isinstance(x, np.ndarray))


TEST = Test(
    "random_gradients",
    "the gradient of a random network is that of its cost",
    run,
    short=3000,
    long=100_000,
    unit="networks",
    minutes=1.3,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
