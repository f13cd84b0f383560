"""Every registered layer: gradients, purity, per-example gradients, sizes, errors and plain data."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from tests.networks import (
    LAYERS,
    N_OUT,
    Case,
    Problem,
    complex_safe,
    gradient_error,
    gradients_are_right,
    numeric_gradient,
    problem,
    relative,
    smooth_problem,
    zoo,
)

from clearprop.activations import activations, per_neuron
from clearprop.costs import costs
from clearprop.engines import engines
from clearprop.errors import DTypeError, OptionError, ShapeError, UnknownNameError, UnsupportedError
from clearprop.initializers import initializers
from clearprop.layers import (
    Activation,
    BatchNorm,
    Concatenate,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    Parameter,
    Residual,
    chain_forward,
    layers,
    size_chain,
)
from clearprop.layers.base import square_sums
from clearprop.model import Model, State
from clearprop.random import Purpose, stream

ZOO = zoo()
BATCH = engines()["batch"]
each_case = pytest.mark.parametrize("case", ZOO, ids=lambda case: case.name)
each_layer = pytest.mark.parametrize("name", list(layers))
each_mode = pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])

# More of what a constructor can say, for the round trip through plain data.
DESCRIBED: list[Any] = [
    *LAYERS.values(),
    Dense(),
    Dense(4, per_neuron(["relu", "tanh"], counts=(2, 2)), bias=False, initializer="orthogonal"),
    Dense(4, activations.make({"name": "elu", "alpha": 0.5}), n_in=3, bias_initializer="uniform"),
    Concatenate([Dense(2), [Dense(3), Dropout(0.1)], []], inputs=[1, 2, 3]),
    Residual(
        [Concatenate([[], Residual([Dense(3, "prelu"), LayerNorm()])])], shortcut=[Dense(6), BatchNorm()]
    ),
]


def network_of(name: str) -> Case:
    """Return a network with a layer in front and one after, of different kinds."""
    return Case(name, [Dense(4, "tanh"), LAYERS[name], Dense(N_OUT, "sigmoid")])


def of_layer(name: str, n: int = 5, training: bool = False) -> tuple[Layer, dict[str, Any], Any]:
    """Return the sized layer, the arguments of its forward pass and an upstream gradient, all non-uniform."""
    p = problem(Case(name, [LAYERS[name]]), n, training=training)
    noise = p.model.draw(p.draws)
    arguments = {"a_prev": p.X, "params": p.state.params[0], "buffers": p.state.buffer_tree[0]}
    arguments |= {"noise": noise[0] if noise is not None else None, "training": training}
    layer = p.model.layers[0]
    return layer, arguments, np.random.default_rng(9).normal(size=(n, layer.n_out))


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, tuple):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value] if isinstance(value, np.ndarray) else []


# --- Gradients


@each_case
def test_gradients_of_every_network_of_the_zoo(case: Case) -> None:
    assert gradients_are_right(smooth_problem(case, weighted=True))


@each_mode
@each_layer
def test_gradients_with_layers_in_front_and_after(name: str, training: bool) -> None:
    p = smooth_problem(network_of(name), 6, training=training, weighted=True)
    assert complex_safe(p.model)
    assert gradient_error(p, complex_step=True) < 1e-12
    assert gradient_error(p, complex_step=False) < 1e-7


@pytest.mark.parametrize("case", [c for c in ZOO if c.model().is_random or c.model().couples_examples])
def test_gradients_in_training(case: Case) -> None:
    """The noise is fixed; statistics of the batch move with the parameters."""
    assert gradients_are_right(smooth_problem(case, 6, training=True))


@each_mode
@each_layer
def test_a_layer_alone_with_a_non_uniform_upstream_gradient(name: str, training: bool) -> None:
    layer, arguments, dC_da = of_layer(name, training=training)
    record = layer.forward(**arguments)
    back = layer.backward(record, dC_da, arguments["params"], n=1)

    def function(X: Any) -> Any:
        return np.sum(dC_da * layer.forward(**{**arguments, "a_prev": X}).a)

    measured = numeric_gradient(function, arguments["a_prev"], complex_step=True)
    assert relative(back.dC_da_prev, measured) < 1e-12


@each_mode
@each_layer
def test_zero_in_zero_out(name: str, training: bool) -> None:
    layer, arguments, dC_da = of_layer(name, training=training)
    back = layer.backward(layer.forward(**arguments), np.zeros_like(dC_da), arguments["params"], n=5)
    assert not np.any(back.dC_da_prev)
    assert not any(np.any(leaf) for leaf in leaves(layer.gradients(back)))


# --- Purity


@each_mode
@each_layer
def test_twice_gives_the_same_and_nothing_is_written_to(name: str, training: bool) -> None:
    layer, arguments, dC_da = of_layer(name, training=training)
    for array in [*leaves(tuple(arguments.values())), dC_da]:
        array.flags.writeable = False
    first, second = layer.forward(**arguments), layer.forward(**arguments)
    back = [layer.backward(record, dC_da, arguments["params"], n=5) for record in (first, second)]
    new = [layer.new_buffers(record, arguments["buffers"]) for record in (first, second)]
    for one, two in ((first, second), (back[0], back[1]), (new[0], new[1])):
        assert all(np.array_equal(a, b) for a, b in zip(leaves(one), leaves(two), strict=True))


@pytest.mark.parametrize(
    "name", ["dense", "activation", "batch_norm", "layer_norm", "residual", "concatenate"]
)
def test_outputs_are_not_the_inputs_memory(name: str) -> None:
    layer, arguments, dC_da = of_layer(name)
    record = layer.forward(**arguments)
    assert not np.shares_memory(record.a, arguments["a_prev"])
    back = layer.backward(record, dC_da, arguments["params"], n=5)
    assert not np.shares_memory(back.dC_da_prev, dC_da)


def test_gradient_of_a_pass_is_memory_of_its_own() -> None:
    for case in ZOO:
        p = problem(case, 3)
        gradient = BATCH.gradient(*p).gradient
        assert not np.shares_memory(gradient, p.state.theta)


# --- Gradients per example


@each_case
def test_per_example_gradients(case: Case) -> None:
    p = problem(case, 4, weighted=True)
    trace = BATCH.trace(*p)
    stack = trace.per_example_gradient
    assert stack.shape == (4, p.state.theta.size)
    assert relative(stack.mean(axis=0), trace.gradient) < 1e-12
    for x in range(4):
        one = p._replace(X=p.X[x : x + 1], y=p.y[x : x + 1], weights=p.weights[x : x + 1])
        assert relative(stack[x], BATCH.gradient(*one).gradient) < 1e-12


def test_per_example_gradients_are_refused_where_the_batch_is_coupled() -> None:
    p = problem(Case("norm", [Dense(4, "tanh"), BatchNorm(), Dense(2)]), 5, training=True)
    trace = BATCH.trace(*p)
    message = (
        "layers[2] BatchNorm couples the examples of a batch in training, so the gradient of one example "
        "does not exist on its own in layers[1]. Ask in inference mode (training=False)."
    )
    with pytest.raises(UnsupportedError) as caught:
        _ = trace[1].per_example
    assert str(caught.value) == message
    with pytest.raises(UnsupportedError) as caught:
        _ = trace.per_example_gradient
    assert str(caught.value) == message
    with pytest.raises(UnsupportedError, match=r"layers\[2\] BatchNorm couples the examples"):
        _ = trace[2].per_example
    with pytest.raises(UnsupportedError, match="BatchNorm in training mode couples the examples"):
        trace[2].layer.per_example(trace[2].forward, trace[2].backward)


NORM = BatchNorm(epsilon=0.1)
# A network, and the layers that have a gradient of every example in a training pass.
COUPLED: dict[str, tuple[list[Layer], set[str]]] = {
    "chain": ([Dense(4, "tanh"), NORM, Dense(3, "tanh"), Dense(2)], {"3", "4"}),
    "two": ([NORM, Dense(3, "tanh"), NORM, Dropout(0.3), Dense(2)], {"4", "5"}),
    "residual": (
        [Dense(4), Residual([Dense(3, "tanh"), NORM, Dense()], shortcut=Dense(4)), Dense(2)],
        {"2.body.3", "2.shortcut.1", "3"},
    ),
    "residual before": ([Residual([Dense(3, "tanh"), Dense(4)]), NORM, Dense(2)], {"3"}),
    "branches": (
        [Dense(4, "tanh"), Concatenate([[Dense(3), NORM, Dense(2)], Dense(2, "tanh"), []])],
        {"2.branch1.3", "2.branch2.1"},
    ),
    "nested": (
        [Concatenate([[Dense(2), Residual([NORM, Dense(2)]), Dense(2)], Dense(3)]), Dense(2, "tanh")],
        {"1.branch1.2.body.2", "1.branch1.3", "1.branch2.1", "2"},
    ),
    "coupled behind": ([Concatenate([[NORM, Dense(2)], Dense(2)]), NORM, Dense(2)], {"3"}),
}


@pytest.mark.parametrize("name", COUPLED)
def test_per_example_gradients_around_a_layer_that_couples_the_batch(name: str) -> None:
    chain, allowed = COUPLED[name]
    p = problem(Case(name, chain), 5, training=True)
    trace = BATCH.trace(*p)
    for entry in p.model.layout.entries:
        layer = trace[entry.layer]
        true = np.empty((5, entry.size))
        for i in range(entry.size):
            C = []
            for h in (1e-5, -1e-5):
                theta = p.state.theta.copy()
                theta[entry.offset + i] += h
                state = State(p.model, theta, p.state.buffers)
                C.append(BATCH.trace(*p._replace(state=state)).costs)
            true[:, i] = (C[0] - C[1]) / 2e-5
        if entry.layer in allowed:
            stack = getattr(layer.per_example, f"dC_d{entry.name}").reshape(5, -1)
            np.testing.assert_allclose(stack, true, rtol=1e-6, atol=1e-8)
            continue
        with pytest.raises(UnsupportedError, match="couples the examples of a batch in training"):
            _ = layer.per_example
    refused = {address for address, layer in trace.layers.items() if layer.coupled is not None}
    assert refused.isdisjoint(allowed)
    assert refused | allowed >= {entry.layer for entry in p.model.layout.entries}
    with pytest.raises(UnsupportedError, match="couples the examples"):
        _ = trace.per_example_gradient
    assert all(layer.coupled is None for layer in BATCH.trace(*p._replace(draws=None)).layers.values())


def test_what_a_combinator_of_ones_own_holds_is_refused_with_it() -> None:
    @dataclasses.dataclass(frozen=True)
    class OneAfterAnother(Residual):
        parts_side_by_side = False

    p = problem(Case("own", [OneAfterAnother([NORM, Dense(4)], Dense(4)), Dense(2)]), 5, training=True)
    trace = BATCH.trace(*p)
    refused = [address for address, layer in trace.layers.items() if layer.coupled is not None]
    assert refused == ["1", "1.body.1", "1.body.2", "1.shortcut.1"]


def test_the_gradients_in_front_of_a_coupling_layer_are_not_of_one_example() -> None:
    p = problem(Case("norm", [Dense(4, "tanh"), NORM, Dense(2)]), 5, training=True)
    trace = BATCH.trace(*p)
    rows = trace[1].layer.per_example(trace[1].forward, trace[1].backward)["b"]
    theta = p.state.theta.copy()
    theta[p.model.layout.find("1.b").offset] += 1e-5
    after = BATCH.trace(*p._replace(state=State(p.model, theta, p.state.buffers))).costs
    true = (after - trace.costs) / 1e-5
    assert relative(rows[:, 0], true) > 0.1
    assert math.isclose(rows[:, 0].mean(), true.mean(), rel_tol=1e-3)


# --- Statistics and noise


def test_batch_norm_normalises_and_keeps_running_statistics() -> None:
    p = problem(Case("norm", [BatchNorm(momentum=0.8)]), 6, training=True)
    trace, new = BATCH.trace(*p), BATCH.gradient(*p).buffers
    assert np.allclose(trace[1].x_hat.mean(axis=0), 0.0, atol=1e-15)
    expected = np.concatenate([p.X.mean(axis=0), p.X.var(axis=0)])
    assert relative(new, 0.8 * p.state.buffers + 0.2 * expected) < 1e-14
    assert BATCH.gradient(*p._replace(draws=None)).buffers is p.state.buffers


def test_batch_norm_needs_two_examples_in_training() -> None:
    for n in (1, 2):
        p = problem(Case("norm", [BatchNorm()]), n, training=True)
        if n == 2:
            BATCH.trace(*p)
            continue
        with pytest.raises(ShapeError, match="batch of 1 example, whose variance is 0"):
            BATCH.trace(*p)


@pytest.mark.parametrize("name", ["dropout", "alpha_dropout"])
def test_dropout_keeps_mean_and_alpha_dropout_the_variance_too(name: str) -> None:
    layer = layers.make({"name": name, "rate": 0.3}).sized(1, "1")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 1))
    a = layer.forward(X, {}, {}, {"u": rng.random(X.shape)}, training=True).a
    assert abs(a.mean()) < 0.01
    assert abs(a.std() - (1.0 if name == "alpha_dropout" else np.sqrt(1 / 0.7))) < 0.01
    assert layer.forward(X, {}, {}).a is X


@pytest.mark.parametrize("name", ["dropout", "alpha_dropout"])
def test_a_draw_equal_to_the_rate_keeps_the_unit(name: str) -> None:
    layer = layers.make({"name": name, "rate": 0.5}).sized(3, "1")
    below = np.nextafter(0.5, 0.0)
    forward = layer.forward(np.ones((1, 3)), {}, {}, {"u": np.array([[0.5, below, 0.75]])}, training=True)
    kept, dropped, sure = forward.a[0]
    assert kept == sure
    assert dropped != sure


def test_alpha_dropout_sets_what_is_dropped_to_where_selu_ends() -> None:
    q, lowest = 0.6, float(activations.make("selu").f(np.array([-1e3]))[0])
    layer = layers.make({"name": "alpha_dropout", "rate": 1 - q}).sized(2, "1")
    a = layer.forward(np.ones((1, 2)), {}, {}, {"u": np.array([[0.0, 1.0]])}, training=True).a[0]
    A = 1 / np.sqrt(q + lowest**2 * q * (1 - q))
    np.testing.assert_allclose(a, A * (np.array([lowest, 1.0]) - (1 - q) * lowest), rtol=1e-14)


def test_layer_norm_normalises_every_row() -> None:
    layer, arguments, _ = of_layer("layer_norm")
    x_hat = layer.forward(**arguments).x_hat
    assert np.allclose(x_hat.mean(axis=1), 0.0, atol=1e-15)
    assert np.all(np.abs(x_hat.std(axis=1) - 1) < 0.05)


# --- Sizes


def test_sizes_are_inferred() -> None:
    body = [
        Residual([Dense(7, "relu"), Dense()]),
        BatchNorm(),
        Concatenate([[], Dense(2)]),
        Dropout(),
        Dense(),
    ]
    sized = size_chain(body, 5, n_out=3)
    assert [(layer.n_in, layer.n_out) for layer in sized] == [(5, 5), (5, 5), (5, 7), (7, 7), (7, 3)]
    model = Model(sized, Case("any", [Dense(1)]).model().cost)
    assert [e.address for e in model.layout.entries][:4] == [
        "1.body.1.W",
        "1.body.1.b",
        "1.body.2.W",
        "1.body.2.b",
    ]
    assert [e.shape for e in model.layout.entries][-2:] == [(3, 7), (3,)]


def test_a_size_left_out_at_the_end_may_be_followed_by_layers_without_one() -> None:
    sized = size_chain([Dense(4), Dense(), Activation("softmax")], 5, n_out=3)
    assert [layer.n_out for layer in sized] == [4, 3, 3]
    projected = size_chain([Residual([Dense(6, "relu"), Dense(4)], shortcut=Dense())], 5)
    assert projected[0].parts()["shortcut"][0].n_out == 4
    widened = size_chain([Residual([Dense(6), Dense()], shortcut=Dense(4))], 5)
    assert widened[0].n_out == 4
    doubled = size_chain([Residual([Dense(5), Dense()], shortcut=[Concatenate([[], []])])], 3)
    assert doubled[0].n_out == 6
    block = size_chain([Dense(), Residual([Dense(5), Dense(), Dropout()])], 4, n_out=3)
    assert [layer.n_out for layer in block] == [3, 3]


@pytest.mark.parametrize(
    "chain", [[Dense(), Dense(2)], [Dense(), Concatenate([[], []])]], ids=["dense", "other"]
)
def test_the_targets_never_fill_a_hidden_size(chain: list[Layer]) -> None:
    with pytest.raises(ShapeError, match=r"layers\[1\] Dense has no n_out, and only the last layer's"):
        size_chain(chain, 5, n_out=2)


SHAPE_ERRORS = [
    ([Dense(4), Dense(2, n_in=30)], "layers[2] Dense expects 30 inputs; what comes before it gives 4."),
    (
        [Dense(), Dense(2)],
        "layers[1] Dense has no n_out, and only the last layer's can be taken from the targets.",
    ),
    (
        [Dense(4), Residual([Dense(3)])],
        "layers[2] Residual adds its body (3 outputs) to its identity shortcut (4 out",
    ),
    ([Residual(Dense(3), shortcut=Dense(4))], "adds its body (3 outputs) to its shortcut (4 outputs)."),
    (
        [Concatenate([[], []], inputs=[2, 2])],
        "layers[1] Concatenate splits its inputs into 2 + 2 = 4 columns; what",
    ),
    ([Residual([Dense(5), Dense(5, n_in=6)])], "layers[1.body.2] Dense expects 6 inputs"),
    ([Dense(3, per_neuron(["relu", "tanh"]))], "per_neuron describes 2 neurons; the layer has 3."),
    ([Dense(4), LayerNorm(size=3)], "layers[2] LayerNorm expects 3 inputs; what comes before it gives 4."),
]


@pytest.mark.parametrize(("chain", "message"), SHAPE_ERRORS, ids=lambda value: value[:40] if value else "")
def test_shape_errors_name_both_sizes_and_the_layer(chain: list[Layer], message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        size_chain(chain, 5)
    assert message in str(caught.value)


OPTION_ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: Dense(0), OptionError, "n_out of Dense must be a whole number >= 1. Got 0."),
    (lambda: Dense(2.5), DTypeError, "n_out of Dense must be a whole number >= 1. Got 2.5."),
    (lambda: Dense(3.0), DTypeError, "n_out of Dense must be a whole number >= 1. Got 3.0."),
    (lambda: Dense(True), DTypeError, "n_out of Dense must be a whole number >= 1. Got True."),
    (lambda: Dense("4"), DTypeError, "n_out of Dense must be a whole number >= 1. Got '4'."),
    (lambda: Dense(3, bias="no"), DTypeError, "bias of Dense must be True or False. Got 'no'."),  # type: ignore[arg-type]
    (lambda: Activation(size=0), OptionError, "size of Activation must be a whole number >= 1. Got 0."),
    (lambda: Dense(2, n_in=0), OptionError, "n_in of Dense must be a whole number"),
    (lambda: Dense(2, "sigmiod"), UnknownNameError, "Did you mean 'sigmoid'?"),
    (lambda: Dropout(1.0), OptionError, "rate of Dropout must be a finite number >= 0 and < 1. Got 1.0."),
    (lambda: Dropout(float("nan")), OptionError, "rate of Dropout must be a finite number >= 0 and < 1."),
    (lambda: Dropout(True), DTypeError, "rate of Dropout must be a finite number >= 0 and < 1. Got True."),
    (lambda: LayerNorm(0.0), OptionError, "epsilon of LayerNorm must be a finite number > 0."),
    (lambda: BatchNorm(momentum=1.5), OptionError, "momentum of BatchNorm must be a finite number >= 0 and"),
    (lambda: BatchNorm(momentum=True), DTypeError, "momentum of BatchNorm must be a finite number >= 0 and"),
    (
        lambda: BatchNorm(epsilon=True),
        DTypeError,
        "epsilon of BatchNorm must be a finite number > 0. Got True.",
    ),
    (lambda: LayerNorm(10**400), OptionError, "epsilon of LayerNorm must be a finite number > 0. Got 1000"),
    (lambda: Residual([]), OptionError, "body of Residual must hold at least one layer."),
    (lambda: Dense(2, n_in=np.ones(3)), DTypeError, "n_in of Dense must be a whole number"),
    (lambda: Residual(3), DTypeError, "layers must be a list. Got 3."),
    (lambda: Concatenate([]), OptionError, "branches of Concatenate must hold at least one branch."),
    (
        lambda: Concatenate([[], []], inputs=[1]),
        OptionError,
        "one whole number >= 1 for each of its 2 branches. Got [1].",
    ),
    *[
        (lambda sizes=sizes: Concatenate([[], []], inputs=sizes), OptionError, f"branches. Got {sizes!r}.")
        for sizes in ([0, 1], ["a", 2], [1.7, 2], [True, 2], 3)
    ],
    (lambda: Concatenate(5), OptionError, "branches of Concatenate must be a list of branches"),
    (lambda: Concatenate("dense"), OptionError, "branches of Concatenate must be a list of branches"),
    (lambda: Concatenate(Dense(2)), OptionError, "branches of Concatenate must be a list of branches"),
    (lambda: layers.make("dence"), UnknownNameError, "Did you mean 'dense'?"),
    (lambda: layers.make({"name": "dense", "size": 3}), OptionError, "Its options: 'n_out', 'activation'"),
    (lambda: layers.make(3), DTypeError, "expected a layer (a name or an object), got 3"),
]


@pytest.mark.parametrize(
    ("make", "error", "message"), OPTION_ERRORS, ids=[row[2][:40] for row in OPTION_ERRORS]
)
def test_wrong_options(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


def test_options_are_stored_as_plain_data() -> None:
    norm, dense = (
        BatchNorm(epsilon=np.float32(1e-5), momentum=np.float64(1)),
        Dense(np.int64(3), n_in=np.int8(2)),
    )
    joined = Concatenate([[], []], inputs=np.array([1, 2]))
    stored = (norm.epsilon, norm.momentum, Dropout(np.float32(0.5)).rate, LayerNorm(1).epsilon)
    assert stored == (float(np.float32(1e-5)), 1.0, 0.5, 1.0)
    assert {type(value) for value in stored} == {float}
    assert {type(value) for value in (dense.n_out, dense.n_in, *joined.inputs)} == {int}


# --- Plain data


@pytest.mark.parametrize("layer", DESCRIBED, ids=repr)
def test_plain_data_round_trip(layer: Layer) -> None:
    config = layer.config()
    again = layers.make(json.loads(json.dumps(config)))
    assert again == layer
    assert again.config() == config


@each_case
def test_plain_data_of_a_sized_network(case: Case) -> None:
    model = case.model()
    plain = json.loads(json.dumps([layer.config() for layer in model.layers]))
    assert tuple(layers.make(config) for config in plain) == model.layers


@each_layer
def test_made_by_name_and_from_an_instance(name: str) -> None:
    assert layers.make(LAYERS[name]) is LAYERS[name]
    assert LAYERS[name].name == name
    assert LAYERS[name].kind == "layer"


# --- Where the parameters lie


@each_case
def test_theta_and_trees_are_one_memory(case: Case) -> None:
    p: Problem = problem(case)
    flat = np.asarray(p.model.layout.flatten(p.state.params))
    assert np.array_equal(flat, p.state.theta)
    for entry in p.model.layout.entries:
        p.state.theta[entry.block] = 7.0
    assert all(np.all(leaf == 7.0) for leaf in leaves(p.state.params))
    assert sum(leaf.size for leaf in leaves(p.state.params)) == p.state.theta.size


def test_initial_values_are_a_function_of_the_seed() -> None:
    model = Case("any", [Dense(4, "relu"), BatchNorm(), Dense(3, "prelu")]).model()
    one, two, other = (State.initial(model, seed, np.float64) for seed in (0, 0, 1))
    assert np.array_equal(one.theta, two.theta)
    assert not np.array_equal(one.theta, other.theta)
    assert np.array_equal(one.params[1]["gamma"], np.ones(4))
    assert np.array_equal(one.params[1]["beta"], np.zeros(4))
    assert np.array_equal(one.params[2]["alpha"], np.full(3, 0.25))
    assert np.array_equal(one.buffer_tree[1]["running_mean"], np.zeros(4))
    assert np.array_equal(one.buffer_tree[1]["running_variance"], np.ones(4))
    assert State.initial(model, 0, np.float32).theta.dtype == np.float32


@pytest.mark.parametrize("name", list(initializers))
def test_every_initialiser_can_be_a_layers(name: str) -> None:
    if name == "constant":
        spec: Any = {"name": "constant", "value": 0.5}
    else:
        spec = name
    model = Case("any", [Dense(4, initializer=spec)]).model()
    assert np.all(np.isfinite(State.initial(model, 0, np.float64).theta))
    model = Case("any", [Dense(4, bias_initializer=spec)]).model()
    if name in ("normal", "uniform", "constant", "zeros"):
        assert np.all(np.isfinite(State.initial(model, 0, np.float64).theta))
        return
    with pytest.raises(ShapeError, match=r"takes its scale from a weight matrix .* for biases use 'zeros'"):
        State.initial(model, 0, np.float64)


def initial(chain: list[Layer]) -> State:
    return State.initial(Case("any", chain).model(), 3, np.float64)


def test_initial_numbers_of_dense_chains_have_the_streams_0_1_2() -> None:
    draw = {"initializer": "normal", "bias_initializer": "normal"}
    params = initial([Dense(5, **draw), Dense(3, **draw), Dense(2, **draw)]).params
    for i, array in enumerate(array for tree in params for array in (tree["W"], tree["b"])):
        assert np.array_equal(array, stream(3, Purpose.INITIAL_WEIGHTS, i).normal(array.shape))


def test_initial_weights_stay_whatever_the_other_layers_options() -> None:
    usual = initial([Dense(5, "tanh"), LayerNorm(), Residual([Dense(4), Dense()]), Dense(2)])
    other = initial(
        [Dense(5, "prelu", bias=False), LayerNorm(), Residual([Dense(4, bias=False), Dense()]), Dense(2)]
    )
    assert np.array_equal(usual.params[2]["body"][0]["W"], other.params[2]["body"][0]["W"])
    assert np.array_equal(usual.params[2]["body"][1]["W"], other.params[2]["body"][1]["W"])
    assert np.array_equal(usual.params[3]["W"], other.params[3]["W"])


def test_every_initial_array_has_a_stream_of_its_own() -> None:
    @dataclasses.dataclass(frozen=True)
    class Five(Activation):
        def parameters(self) -> dict[str, Parameter]:
            return {name: Parameter((2, 2), initializers.make("normal")) for name in "abcde"}

    layout = Model(
        size_chain([Five(), Dense(2), Residual(Five()), Five()], 2), costs.make("quadratic")
    ).layout
    flat = layout.initial(0, np.float64)
    drawn = [entry for entry, parameter in layout.declared if not isinstance(parameter.initial, float)]
    assert len({flat[entry.block][:2].tobytes() for entry in drawn}) == len(drawn) == 16


def test_masks_select_entries() -> None:
    model = Case("any", [Dense(4, "prelu"), LayerNorm(), Dense(2)]).model()
    decays = model.layout.mask(lambda entry: entry.decays)
    assert decays.sum() == 4 * 4 + 4 * 2
    assert model.layout.find("3.W").shape == (2, 4)
    with pytest.raises(UnknownNameError, match=r"there is no parameter '4\.W'"):
        model.layout.find("4.W")


def test_theta_of_the_wrong_length_and_inputs_of_the_wrong_width() -> None:
    model = Case("any", [Dense(2)]).model()
    with pytest.raises(ShapeError, match="this network has 10 parameters"):
        State(model, np.zeros(9), np.zeros(0))
    with pytest.raises(ShapeError) as caught:
        model.check_input(np.zeros((7, 5)))
    assert (
        str(caught.value) == "X has shape (examples=7, features=5); layers[1] expects (examples, features=4)."
    )


def test_no_network_is_recomputed_differently_in_inference() -> None:
    for case in ZOO:
        p = problem(case, 3)
        last = chain_forward(p.model.layers, p.X, p.state.params, p.state.buffer_tree)[-1].a
        assert np.array_equal(last, BATCH.outputs(*p[:3]))


def test_sums_of_squares_are_of_each_row() -> None:
    values = np.array([[[1.0, 2.0], [3.0, 0.0]], [[0.0, -2.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert square_sums(values).tolist() == [14.0, 6.0, 0.0]
    assert square_sums(values[:, 0]).tolist() == [5.0, 4.0, 0.0]
