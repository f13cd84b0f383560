"""All rungs give the same: outputs, costs, gradients and every quantity of a trace, over the registries."""

from __future__ import annotations

import numpy as np
import pytest
from tests.networks import (
    LAYERS,
    OPTIONS,
    TABLE,
    Case,
    covering,
    declines_table,
    largest_difference,
    problem,
    relative,
    zoo,
)

from clearprop.activations import activations
from clearprop.costs import costs, fused_pairs
from clearprop.engines import GraphEngine, choose_engine, engines, graph
from clearprop.errors import UnknownNameError, UnsupportedError
from clearprop.layers import BatchNorm, Dense, Dropout, layers
from clearprop.model import Model, State

ZOO = zoo()
RUNGS = [name for name in engines() if name != "batch"]

each_case = pytest.mark.parametrize("case", ZOO, ids=lambda case: case.name)
each_rung = pytest.mark.parametrize("engine", RUNGS)


def couples(case: Case) -> bool:
    return case.model().couples_examples


@pytest.mark.parametrize("cases", [ZOO, covering()], ids=["zoo", "covering"])
def test_the_zoo_covers_every_registry_and_pair(cases: list[Case]) -> None:
    assert set(LAYERS) == set(layers)
    models = [case.model() for case in cases]
    assert {model.cost.name for model in models} == set(costs)
    walked = [layer for model in models for _, layer in model.walk()]
    assert {layer.name for layer in walked} == set(layers)
    assert {layer.activation.name for layer in walked if hasattr(layer, "activation")} == set(activations)
    pairs = {(m.pair.activation, m.pair.cost) for m in models if m.pair is not None}
    assert pairs == set(fused_pairs())


@each_rung
@each_case
def test_inference(case: Case, engine: str) -> None:
    assert largest_difference(problem(case, 7), engine) < 1e-12


@each_rung
@each_case
def test_with_sample_weights(case: Case, engine: str) -> None:
    assert largest_difference(problem(case, 2, weighted=True, seed=1), engine) < 1e-12


@each_rung
@each_case
def test_one_example(case: Case, engine: str) -> None:
    assert largest_difference(problem(case, 1, seed=2), engine) < 1e-12


@each_rung
@pytest.mark.parametrize("n", [2, 7])
@pytest.mark.parametrize("case", [c for c in ZOO if c.model().is_random or couples(c)], ids=lambda c: c.name)
def test_training(case: Case, engine: str, n: int) -> None:
    p = problem(case, n, training=True, weighted=n == 7)
    reason = engines()[engine].supports(p.model, OPTIONS)
    if reason is None:
        assert largest_difference(p, engine) < 1e-12
        return
    assert couples(case)
    for run in (engines()[engine].trace, engines()[engine].gradient):
        with pytest.raises(UnsupportedError) as caught:
            run(*p)
        assert str(caught.value) == reason


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@each_case
def test_float32_stays_float32(case: Case, engine: str, training: bool) -> None:
    p = problem(case, 3, training=training, weighted=True, dtype=np.float32)
    rung = engines()[engine]
    if training and rung.supports(p.model, OPTIONS) is not None:
        return
    once, trace = rung.gradient(*p), rung.trace(*p)
    arrays = {"outputs": rung.outputs(*p[:3]), "costs": trace.costs, "gradient": once.gradient}
    arrays |= {"buffers": once.buffers, "output": once.output.a, "trace.gradient": trace.gradient}
    for address, layer in trace.layers.items():
        arrays |= {f"{address}.{name}": getattr(layer, name) for name in layer.fields}
    found = {name: a.dtype for name, a in arrays.items() if hasattr(a, "dtype")}
    assert {name: dtype for name, dtype in found.items() if dtype != np.float32} == {}
    exact = rung.gradient(*problem(case, 3, training=training, weighted=True)).gradient
    assert relative(once.gradient, exact) < 1e-3


@each_rung
def test_a_difference_would_be_seen(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Dense.backward_from_delta
    monkeypatch.setattr(
        Dense, "backward_from_delta", lambda self, r, d, *rest: right(self, r, d * 1.001, *rest)
    )
    assert largest_difference(problem(ZOO[0], 7), engine) > 1e-6


def test_the_example_rung_is_bit_for_bit_nielsens_update() -> None:
    """Sum of the examples' outer products in the order of the batch, then one division by n."""
    p = problem(Case("nielsen", [Dense(6, "sigmoid"), Dense(5, "sigmoid"), Dense(3, "sigmoid")]), 10)
    sums = [(np.zeros_like(tree["W"]), np.zeros_like(tree["b"])) for tree in p.state.params]
    for x, y in zip(p.X, p.y, strict=True):
        a = [x]
        for tree in p.state.params:
            z = np.dot(tree["W"], a[-1]) + tree["b"]
            a.append(activations.make("sigmoid").f(z))
        delta = (a[-1] - y) * (a[-1] * (1.0 - a[-1]))
        for i in reversed(range(3)):
            W_sum, b_sum = sums[i]
            sums[i] = (W_sum + np.outer(delta, a[i]), b_sum + delta)
            delta = np.dot(p.state.params[i]["W"].T, delta) * (a[i] * (1.0 - a[i]))
    expected = np.concatenate([part.reshape(-1) / 10 for pair in sums for part in pair])
    assert np.array_equal(engines()["example"].gradient(*p).gradient, expected)


def test_dropout_draws_the_same_for_an_example_in_any_batch() -> None:
    p = problem(Case("dropout", [Dense(4, "tanh"), Dropout(0.5), Dense(3)]), 6, training=True)
    assert p.draws is not None
    part = p._replace(X=p.X[2:4], y=p.y[2:4], draws=p.draws._replace(examples=p.draws.examples[2:4]))
    whole = engines()["neuron"].trace(*p)[2].mask
    assert np.array_equal(engines()["neuron"].trace(*part)[2].mask, whole[2:4])
    assert np.array_equal(engines()["batch"].trace(*p)[2].mask, whole)


def test_the_table_of_what_each_rung_declines_is_true() -> None:
    """Write it anew with `python -m tests.networks > docs/what-each-rung-declines.md`."""
    assert TABLE.read_text("utf-8") == declines_table()


@pytest.mark.parametrize("engine", ["graph", "neuron", "example", "batch"])
@each_case
def test_only_coupled_examples_are_declined(case: Case, engine: str) -> None:
    model = case.model()
    assert engines()[engine].supports(model) is None
    reason = engines()[engine].supports(model, OPTIONS)
    assert (reason is None) == (engine in ("graph", "batch") or not model.couples_examples)
    if reason is not None:
        assert "couples the examples of a batch in training" in reason


class Twice(Dense):
    """A layer of the user's own, which inherits from one that the rungs know."""

    def forward(self, *args, **options):
        record = super().forward(*args, **options)
        return record._replace(a=2 * record.a)


@pytest.mark.parametrize("engine", RUNGS)
def test_a_layer_of_ones_own_is_declined_not_mistaken_for_its_base(engine: str) -> None:
    model = Case("own", [Twice(3)]).model()
    reason = engines()[engine].supports(model)
    assert reason is not None
    assert reason.startswith("layers[1] Twice has no ")
    with pytest.raises(UnsupportedError, match=f"engine '{engine}' cannot run this network"):
        choose_engine(engine, model)
    assert engines()["batch"].supports(model) is None


def test_choose_engine() -> None:
    model = Case("norm", [Dense(3, "tanh"), BatchNorm()]).model()
    assert choose_engine("neuron", model)[0] is engines()["neuron"]
    with pytest.raises(UnsupportedError, match="couples the examples"):
        choose_engine("neuron", model, OPTIONS)
    with pytest.raises(UnknownNameError, match="Did you mean 'neuron'"):
        choose_engine("neurone", model)
    assert choose_engine("auto", model, OPTIONS)[0].name in ("native", "batch")


def test_the_graph_of_a_network_can_be_asked_by_name_and_drawn() -> None:
    p = problem(Case("drawn", [Dense(2, "tanh"), Dense(3, "softmax")], "cross_entropy"), 4)
    network = GraphEngine().build(p.model, p.state, p.X, p.y)
    found = network.evaluate()
    trace = engines()["batch"].trace(*p)
    assert {"X", "C", "1.W", "1.b", "1.z", "1.a", "2.W", "2.z", "2.a"} <= set(network.nodes)
    assert relative(found.value["2.a"], trace.a) < 1e-12
    assert relative(found.gradient["1.W"], trace[1].dC_dW) < 1e-12
    assert relative(4 * found.gradient[network.nodes["1.z"]], trace[1].delta) < 1e-12
    assert found.output is network.output
    assert "1.W" in graph.draw.svg(found)


def test_a_network_without_parameters_runs_on_every_rung() -> None:
    for engine in RUNGS:
        assert largest_difference(problem(Case("bare", [LAYERS["activation"]]), 3), engine) < 1e-12


def test_gradients_may_be_overwritten_and_states_are_left_alone() -> None:
    p = problem(Case("own", [Dense(3, "tanh")]), 3)
    before = State(Model(p.model.layers, p.model.cost), p.state.theta.copy(), p.state.buffers.copy())
    for engine in engines().values():
        gradient = engine.gradient(*p).gradient
        gradient[:] = 7.0
        assert np.array_equal(p.state.theta, before.theta)
        assert relative(engine.gradient(*p).gradient, engines()["batch"].gradient(*p).gradient) < 1e-12
