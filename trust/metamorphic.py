"""Changes that must not matter, or only in a known way: no oracle is needed to see that a gradient is wrong.

Each case is a random network and one change: hidden units permuted, the batch permuted, doubled or split,
examples of weight zero added, the cost scaled, class labels renamed. On the rungs `batch` and `native`, which
are compared with each other, too.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from tests.networks import Problem

import clearprop as cp
from clearprop.activations import activations
from clearprop.compiled import native
from clearprop.costs import Cost
from clearprop.engines import Engine, engines
from clearprop.layers import Activation, BatchNorm, Dense, Layer, LayerNorm
from clearprop.model import Model, State
from trust.frame import Figure, Result, Test, command
from trust.random_gradients import relative_error, what_cancels
from trust.random_networks import Drawn, Wanted, is_tame, networks, numbers
from trust.running import Failure, judge_all

__all__ = ["RELATIONS", "TEST", "run"]

SAME = 1e-12
"""The largest difference allowed, relative to the largest entry: sums are taken in another order."""
RUNGS = ("batch", "native")
WANTED = Wanted(float32=False)
HOW_MANY_UNITS = (2, 5)
ORDERED = ("per_neuron", "increasing", "ordinal")
"""Activations for which it matters which unit stands where."""


@dataclass(frozen=True)
class Case:
    """A relation, a network that it is tried on, and the seed of the change."""

    relation: str
    drawn: Drawn
    seed: int


Change = tuple[Problem, Callable[[Any], Any], float]
"""The changed problem; what takes its gradient back to that of the original; by what factor it grew."""


def run(count: int, seed: int) -> Result:
    """Try `count` changes of random networks."""
    found: Counter[str] = Counter()
    worst = 0.0

    def judge(case: Case) -> None:
        nonlocal worst
        for rung, error in RELATIONS[case.relation](case):
            worst = float(np.max([worst, error]))
            found[rung] += 1
            if not error <= SAME:
                raise Failure(f"{case.relation}: {rung} is off by {error:.2g}")
        found[case.relation] += 1

    judged, failures = judge_all(judge, cases(), count, seed)
    return Result(
        (
            Figure("changes judged", judged, at_least=count),
            *(Figure(name, found[name], at_least=count // 50) for name in RELATIONS),
            Figure("on native, too", found["native"], at_least=judged // 4 if native else None),
            Figure("largest difference", worst, at_most=SAME),
            Figure("changes that mattered", len(failures), at_most=0),
        ),
        failures,
        done=judged,
    )


@st.composite
def cases(draw: Any) -> Case:
    """Draw a relation and a network on which it holds."""
    relation = draw(st.sampled_from(list(RELATIONS)))
    begin = permutable if relation == "units permuted" else None
    wanted = Wanted(float32=False, own=False) if relation == "labels renamed" else WANTED
    return Case(relation, draw(networks(wanted, begin)), draw(st.integers(0, 2**32 - 1)))


def permutable(draw: Any, wanted: Wanted, n_in: int) -> tuple[list[Layer], int]:
    """Return a hidden layer, what treats its units alike, and the layer that reads them."""
    names = [name for name in activations if name not in ORDERED]
    n, m = draw(st.integers(*HOW_MANY_UNITS)), draw(st.integers(1, 4))
    between = {
        "activation": Activation(draw(st.sampled_from(names))),
        "batch_norm": BatchNorm(epsilon=0.1),
        "layer_norm": LayerNorm(epsilon=0.1),
    }
    chosen = [between[name] for name in draw(st.lists(st.sampled_from(list(between)), max_size=2))]
    first = Dense(n, draw(st.sampled_from(names)))
    return [first, *chosen, Dense(m, draw(st.sampled_from(names)))], m


# -- what a rung gives ---------------------------------------------------------------------------------


def _rungs(model: Model) -> Iterator[tuple[str, Engine]]:
    for name in RUNGS:
        rung = engines()[name]
        if rung.supports(model) is None:
            yield name, rung


def _compare(p: Problem, change: Change) -> Iterator[tuple[str, float]]:
    """Yield, for each rung, how far the changed problem's gradient is from what it must be."""
    changed, back, factor = change
    trace = engines()["batch"].trace(*p)
    cancelled = what_cancels(trace)
    for name, rung in _rungs(changed.model):
        if rung.supports(p.model) is not None:
            continue
        before, after = rung.gradient(*p).gradient.copy(), rung.gradient(*changed).gradient
        yield name, relative_error(back(after) / factor - before, before, cancelled, 1e-2)
        yield name, relative_error(before - trace.gradient, trace.gradient, cancelled, 1e-2)


def _whole(case: Case) -> tuple[Problem, Any]:
    p = numbers(case.drawn)
    assume(is_tame(p))
    return p, np.random.default_rng(case.seed)


def _independent(case: Case) -> tuple[Problem, Any]:
    """Return a problem in which no layer couples the examples of the batch."""
    p, rng = _whole(case)
    assume(p.draws is None or not p.model.couples_examples)
    return p, rng


def _rows(p: Problem, rows: Any) -> Problem:
    """Return the problem with these rows of its batch, in this order."""
    draws = None if p.draws is None else p.draws._replace(examples=p.draws.examples[rows])
    return p._replace(
        X=p.X[rows], y=p.y[rows], weights=None if p.weights is None else p.weights[rows], draws=draws
    )


# -- the relations -------------------------------------------------------------------------------------


def units_permuted(case: Case) -> Iterator[tuple[str, float]]:
    """Permute the units of the first layer, and what reads them: the gradient is permuted alike."""
    p, rng = _whole(case)
    units = rng.permutation(p.model.layers[0].n_out)
    reader = next(i for i, layer in enumerate(p.model.layers[1:], 2) if isinstance(layer, Dense))

    def moved(layout: Any) -> Any:
        order = np.arange(layout.size)
        for entry in layout.entries:
            place = order[entry.block].reshape(entry.shape)
            top = int(entry.layer.split(".")[0])
            if top < reader and len(place) > 1:
                order[entry.block] = place[units].reshape(-1)
            elif top == reader and entry.name == "W":
                order[entry.block] = place[:, units].reshape(-1)
        return order

    order, buffers = moved(p.model.layout), moved(p.model.buffer_layout)
    state = State(p.model, p.state.theta[order], p.state.buffers[buffers])
    return _compare(p, (p._replace(state=state), lambda g: g[np.argsort(order)], 1.0))


def batch_permuted(case: Case) -> Iterator[tuple[str, float]]:
    """Permute the examples: the gradient stays."""
    p, rng = _whole(case)
    return _compare(p, (_rows(p, rng.permutation(len(p.X))), lambda g: g, 1.0))


def batch_doubled(case: Case) -> Iterator[tuple[str, float]]:
    """Give every example twice or three times: the mean stays."""
    p, rng = _whole(case)
    rows = rng.permutation(np.tile(np.arange(len(p.X)), rng.integers(2, 4)))
    return _compare(p, (_rows(p, rows), lambda g: g, 1.0))


def batch_split(case: Case) -> Iterator[tuple[str, float]]:
    """Cut the batch in two: the gradient is the mean of theirs, weighted by their sizes."""
    p, rng = _independent(case)
    assume(len(p.X) > 1)
    n, k = len(p.X), int(rng.integers(1, len(p.X)))
    trace = engines()["batch"].trace(*p)
    for name, rung in _rungs(p.model):
        parts = [rung.gradient(*_rows(p, rows)).gradient.copy() for rows in (slice(0, k), slice(k, n))]
        joined = (k * parts[0] + (n - k) * parts[1]) / n
        yield name, relative_error(joined - trace.gradient, trace.gradient, what_cancels(trace), 1e-2)


def weight_zero_added(case: Case) -> Iterator[tuple[str, float]]:
    """Add examples of weight zero, of a finite cost (0 times infinity is NaN): the sum stays, over more."""
    p, rng = _independent(case)
    n, more = len(p.X), int(rng.integers(1, 4))
    weights = np.ones(n) if p.weights is None else p.weights
    rows = rng.permutation(np.concatenate([np.arange(n), rng.integers(0, n, size=more)]))
    added = _rows(p._replace(weights=weights), rows)
    first = np.array([row not in rows[:i] for i, row in enumerate(rows)])
    X = np.where(first[:, None], added.X, 3.0 * added.X + 1.0)
    changed = added._replace(X=X, weights=np.where(first, added.weights, 0.0))
    assume(np.all(np.isfinite(engines()["batch"].trace(*changed).costs)))
    return _compare(p, (changed, lambda g: g, n / (n + more)))


def cost_scaled(case: Case) -> Iterator[tuple[str, float]]:
    """Multiply the cost, through the weights or the cost itself: the gradient is multiplied."""
    p, rng = _whole(case)
    factor = float(rng.choice([2.0**-40, 0.1, 3.0, 2.0**40]))
    weights = np.ones(len(p.X)) if p.weights is None else p.weights
    yield from _compare(p, (p._replace(weights=factor * weights), lambda g: g, factor))
    model = Model(p.model.layers, Scaled(p.model.cost, factor))
    state = State(model, p.state.theta, p.state.buffers)
    yield from _compare(p, (p._replace(model=model, state=state), lambda g: g, factor))


@dataclass(frozen=True)
class Scaled(Cost):
    """A cost times a factor; it has no fused pair, so BP1 is the plain product."""

    cost: Any = None
    factor: float = 1.0

    def value(self, a: Any, y: Any) -> Any:
        """Return the factor times the value."""
        return self.factor * self.cost.value(a, y)

    def dC_da(self, a: Any, y: Any) -> Any:
        """Return the factor times the gradient."""
        return self.factor * self.cost.dC_da(a, y)


NAMES = (("a", "b", "c"), (-3, 7, 100), ("", "é\u0301", "日本"), (0.5, 1.5, 2.5), (0, 1, 2))


def labels_renamed(case: Case) -> Iterator[tuple[str, float]]:
    """Rename the classes, keeping their order: training gives the same bits, predictions the new names."""
    drawn, rng = case.drawn, np.random.default_rng(case.seed)
    chain = [*drawn.layers, Dense(3, "softmax")]
    first, second = (np.array(NAMES[i]) for i in rng.choice(len(NAMES), size=2, replace=False))
    X = rng.normal(size=(12, drawn.n_in))
    y = rng.permutation(np.arange(12) % 3)
    for name, rung in _rungs(cp.Network(chain, n_in=drawn.n_in).model):
        trained = []
        for names in (first, second):
            net = cp.Network(
                chain, n_in=drawn.n_in, seed=drawn.seed % 1000, engine=rung.name, task="classification"
            )
            try:
                net.fit(X, names[y], epochs=2, batch_size=6, eta=0.01)
            except cp.DivergenceError:
                assume(False)
            trained.append((net.theta.tobytes(), list(np.searchsorted(names, net.predict(X)))))
        yield name, 0.0 if trained[0] == trained[1] else np.inf


RELATIONS: dict[str, Callable[[Case], Iterator[tuple[str, float]]]] = {
    "units permuted": units_permuted,
    "batch permuted": batch_permuted,
    "batch doubled": batch_doubled,
    "batch split": batch_split,
    "examples of weight zero": weight_zero_added,
    "cost scaled": cost_scaled,
    "labels renamed": labels_renamed,
}

TEST = Test(
    "metamorphic",
    "what must not matter does not: the order of units and examples, shards, labels' names, scales",
    run,
    short=500,
    long=20_000,
    unit="changes",
    minutes=0.3,
)

if __name__ == "__main__":
    sys.exit(command(TEST))
