"""Exported networks compute what the network computes: in ONNX, C99 and JavaScript, over the zoo."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.export_cases import (
    AROUND,
    Outputs,
    names_of,
    needs_compiler,
    needs_node,
    network_of,
    run_c,
    run_javascript,
    run_onnx,
    session_of,
    tolerance,
)
from tests.networks import LAYERS, Case, covering, relative, zoo

import clearprop as cp
from clearprop.activations import activations, per_neuron
from clearprop.export import Program, inference_program
from clearprop.export.formulas import C_FORMULAS, JAVASCRIPT_FORMULAS
from clearprop.export.onnx_formulas import ONNX_FORMULAS
from clearprop.export.steps import fold_factor
from clearprop.export.storage import place
from clearprop.layers import layers

Run = Callable[..., Outputs]
each_language = pytest.mark.parametrize(
    "run",
    [
        pytest.param(run_c, marks=needs_compiler, id="c"),
        pytest.param(run_javascript, marks=needs_node, id="javascript"),
        pytest.param(run_onnx, id="onnx"),
    ],
)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def errors_of(run: Run, networks: dict[str, tuple[cp.Network, Any]], folder: Any) -> dict[str, float]:
    """Return the error of each exported network, relative to its largest output, in tolerances."""
    programs = {name: inference_program(net) for name, (net, _) in networks.items()}
    found = run(programs, {name: X for name, (_, X) in networks.items()}, folder)
    return {
        name: relative(found[name], net.outputs(X)) / tolerance(programs[name])
        for name, (net, X) in networks.items()
    }


# -- parity ------------------------------------------------------------------------------------


@each_dtype
@each_language
def test_every_layer_and_activation_computes_what_the_network_does(run, dtype, tmp_path):
    networks = {name: network_of(case, dtype) for name, case in names_of([*AROUND, *covering()]).items()}
    errors = errors_of(run, networks, tmp_path)
    assert len(errors) > 45
    assert {name: error for name, error in errors.items() if not error < 1} == {}


@pytest.mark.slow
@each_dtype
@each_language
def test_the_whole_zoo_computes_what_the_networks_do(run, dtype, tmp_path):
    networks = {name: network_of(case, dtype, seed=1) for name, case in names_of([*AROUND, *zoo()]).items()}
    assert {name: e for name, e in errors_of(run, networks, tmp_path).items() if not e < 1} == {}


@each_language
def test_the_tolerance_is_narrow(run, tmp_path):
    """One weight that is wrong in its sixth digit, in float64 in its fourteenth, is too much."""
    for dtype, change in (("float32", 1e-5), ("float64", 1e-13)):
        case = Case("one", [cp.Dense(5, "tanh"), cp.Dense(3)])
        net, X = network_of(case, dtype)
        program = inference_program(net)
        expected = net.outputs(X)
        net.W[2][0, :] *= 1 + change
        assert relative(net.outputs(X), expected) > tolerance(program)
        found = run({"one": inference_program(net)}, {"one": X}, tmp_path)["one"]
        assert relative(found, expected) > tolerance(program)


EXTREMES = [
    0.0,
    -0.0,
    1e-30,
    -1e-30,
    3.0,
    -3.0,
    19.0,
    -30.0,
    88.0,
    -104.0,
    1e3,
    -1e3,
    1e30,
    -1e30,
    np.inf,
    -np.inf,
]


@each_dtype
@each_language
def test_activations_are_right_at_extremes_and_infinities(run, dtype, tmp_path):
    plain = [name for name in activations if name not in ("softmax", "per_neuron")]
    networks = {}
    for name in plain:
        net = cp.Network([cp.Activation(name)], n_in=len(EXTREMES), dtype=dtype, engine="batch")
        networks[name] = net, np.array([EXTREMES], dtype)
    programs = {name: inference_program(net) for name, (net, _) in networks.items()}
    found = run(programs, {name: X for name, (_, X) in networks.items()}, tmp_path)
    eps = np.finfo(dtype).eps
    for name, (net, X) in networks.items():
        # Beside 8 units of rounding: what is lost below the value of 1, as in 1 + exp(z), times z.
        expected = net.model.layers[0].forward(X, net.state.params[0], {}).a
        np.testing.assert_allclose(found[name], expected, rtol=8 * eps, atol=40 * eps, err_msg=name)


@pytest.mark.parametrize(
    "run", [pytest.param(run_c, marks=needs_compiler), pytest.param(run_javascript, marks=needs_node)]
)
def test_nan_is_passed_on_and_not_made_a_number(run, tmp_path):
    chosen = [*C_FORMULAS, "leaky_relu"]
    mixing = [cp.Activation(per_neuron(chosen)), cp.LayerNorm(), cp.Dense(4, "prelu"), cp.Dense(2, "softmax")]
    net = cp.Network(mixing, n_in=len(chosen), seed=0)
    X = np.where(np.eye(len(chosen)) == 1, np.nan, 1.0)  # row j asks the activation of neuron j
    found = run({"net": inference_program(net)}, {"net": X}, tmp_path)["net"]
    assert np.isnan(found).all(axis=1).tolist() == [True] * len(chosen)


@pytest.mark.parametrize(
    "run", [pytest.param(run_c, marks=needs_compiler), pytest.param(run_javascript, marks=needs_node)]
)
def test_nan_goes_where_the_library_lets_it_go_among_neurons_in_order(run, tmp_path):
    X = np.where(np.eye(4, dtype=bool), np.nan, 1.0)
    for name in ("increasing", "ordinal"):
        net = cp.Network([cp.Activation(name)], n_in=4, engine="batch")
        found = run({name: inference_program(net)}, {name: X}, tmp_path)[name]
        expected = net.model.layers[0].forward(X, net.state.params[0], {}).a
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        assert np.isnan(found).any(axis=1).all()


@each_language
def test_classes_in_order_keep_their_digits_where_a_difference_would_lose_them(run, tmp_path):
    net = cp.Network([cp.Activation("ordinal")], n_in=4)
    X = np.array([[-30.0, 2.0, -20.0, 1.0], [30.0, -5.0, 2.0, -18.0], [0.5, 0.0, -30.0, -30.0]])
    found = run({"net": inference_program(net)}, {"net": X}, tmp_path)["net"]
    np.testing.assert_allclose(found, net.outputs(X), rtol=1e-14)


@each_language
def test_the_fewest_neurons_in_order(run, tmp_path):
    for n, name in ((1, "increasing"), (2, "increasing"), (2, "ordinal"), (3, "ordinal")):
        net = cp.Network([cp.Dense(n, name)], n_in=2, seed=0)
        found = run({name: inference_program(net)}, {name: np.eye(2)}, tmp_path)[name]
        np.testing.assert_allclose(found, net.outputs(np.eye(2)), rtol=1e-14)


# -- everything is translated --------------------------------------------------------------------


def test_every_registered_activation_has_a_formula_in_every_language():
    # Steps of their own, the last a choice among the others.
    steps = {"softmax", "increasing", "ordinal", "prelu", "per_neuron"}
    for table in (C_FORMULAS, JAVASCRIPT_FORMULAS, ONNX_FORMULAS):
        assert set(table) == set(activations) - steps


@pytest.mark.parametrize("name", list(layers))
def test_every_registered_layer_is_translated(name):
    net = cp.Network([LAYERS[name], cp.Dense(3)], n_in=4)
    program = inference_program(net)
    assert program.steps[-1].target == program.outputs
    trains_only = name in ("dropout", "alpha_dropout")
    assert (len(program.steps) == 1) == trains_only


# -- the program ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [*AROUND, *zoo()], ids=lambda case: case.name)
def test_no_value_is_written_over_while_it_is_still_to_be_read(case):
    program = inference_program(network_of(case)[0])
    storage = place(program)
    holds = {"x": program.inputs}
    sizes = {f"w{k}": size for k, size in enumerate(storage.sizes)}
    sizes |= {"x": program.inputs.size, "out": program.outputs.size}
    for step in program.steps:
        for value in step.sources:
            assert holds[storage.places[value.name]] == value
        to = storage.places[step.target.name]
        assert to != "x"
        if type(step).__name__ in ("Product", "Take", "Join"):  # these write before they have read all
            assert to not in {storage.places[value.name] for value in step.sources}
        assert step.target.size <= sizes[to]
        holds[to] = step.target
    assert holds["out"] == program.outputs


def test_work_arrays_are_as_small_as_the_network_allows():
    sizes = [30, 20, 50, 20, 10]
    net = cp.Network([cp.Dense(n, "tanh") for n in sizes], n_in=64, preprocessing=cp.Affine(factor=0.5))
    assert place(fold_factor(inference_program(net))).sizes == (50, 20)
    assert place(inference_program(net)).sizes == (64, 50)
    alone = cp.Network([cp.Dense(10, "softmax")], n_in=64)
    assert place(inference_program(alone)).sizes == ()


def test_a_factor_is_folded_only_where_products_alone_read_it():
    half = cp.Affine(factor=0.5)
    through = cp.Network([cp.Residual([cp.Dense(4, "tanh")])], n_in=4, preprocessing=half)
    first = inference_program(through).steps[0]
    assert fold_factor(inference_program(through)).steps[0] is not None
    assert type(fold_factor(inference_program(through)).steps[0]) is type(first)
    shifted = cp.Network([cp.Dense(4)], n_in=4, preprocessing=cp.Affine(1.0, 0.5))
    assert len(fold_factor(inference_program(shifted)).steps) == 2
    huge = cp.Network([cp.Dense(1)], n_in=1, preprocessing=cp.Affine(factor=1e300))
    huge.W[1] = [[1e300]]
    assert len(fold_factor(inference_program(huge)).steps) == 2
    branches = cp.Concatenate([cp.Dense(2), cp.Dense(3, "relu")])
    both = fold_factor(inference_program(cp.Network([branches], n_in=2, preprocessing=half)))
    assert [type(step).__name__ for step in both.steps] == ["Product", "Product", "Elementwise", "Join"]


def test_a_network_that_only_trains_something_is_a_copy(tmp_path):
    net = cp.Network([cp.Dropout(0.5)], n_in=3)
    X = np.arange(6.0).reshape(2, 3)
    found = run_onnx({"copy": inference_program(net)}, {"copy": X}, tmp_path)["copy"]
    np.testing.assert_array_equal(found, X)


# -- ONNX as a file ------------------------------------------------------------------------------


def classifier(dtype: str = "float64") -> tuple[cp.Network, Any, Any]:
    X, _ = cp.datasets.moons(90, noise=0.1, seed=0)
    y = np.array(["north", "south", 'Zürich "x" */ ??/'])[np.arange(90) % 3]
    net = cp.Network(
        [cp.Dense(8, "tanh"), cp.Dense(3, "softmax")], seed=0, dtype=dtype, preprocessing="standardize"
    )
    net.fit(X, y, epochs=2)
    return net, X, y


@each_dtype
def test_onnx_has_any_number_of_examples_its_dtype_and_its_labels(dtype):
    net, X, _ = classifier(dtype)
    session = session_of(inference_program(net))
    (x,) = session.get_inputs()
    assert (x.name, x.shape, x.type) == (
        "x",
        ["n", 2],
        {"float32": "tensor(float)", "float64": "tensor(double)"}[dtype],
    )
    assert [(out.name, out.shape) for out in session.get_outputs()] == [
        ("outputs", ["n", 3]),
        ("class", ["n"]),
    ]
    meta = session.get_modelmeta()
    labels = json.loads(meta.custom_metadata_map["labels"])
    assert labels == list(net.targets.classes)
    assert meta.custom_metadata_map["clearprop_version"] == cp.__version__
    for n in (0, 1, 90):
        outputs, chosen = session.run(None, {"x": X[:n].astype(dtype)})
        assert outputs.shape == (n, 3)
        assert outputs.dtype == dtype
        assert [labels[k] for k in chosen] == (net.predict(X[:n]).tolist() if n else [])


def test_onnx_keeps_the_parameters_bit_for_bit_under_their_textbook_names():
    onnx = pytest.importorskip("onnx")
    net, _, _ = classifier()
    from_file = onnx.load_from_string(cp.export.onnx_model(inference_program(net)).SerializeToString())
    found = {t.name: onnx.numpy_helper.to_array(t) for t in from_file.graph.initializer}
    for address, values in net.parameters.items():
        np.testing.assert_array_equal(found[address], values)
    names = [name for node in from_file.graph.node for name in node.output]
    assert names == ["0.a", "1.z", "1.a", "2.z", "2.a", "outputs", "class"] or names[-2:] == [
        "outputs",
        "class",
    ]
    assert {"0.a", "1.z", "1.a", "2.z", "2.a"} <= set(names)


def test_programs_describe_themselves():
    net, _, _ = classifier()
    program = inference_program(net)
    assert isinstance(program, Program)
    assert program.summary == "2 inputs, Dense(8, tanh), Dense(3, softmax)"
    assert program.multiplications == 2 * 8 + 8 * 3
    assert program.labels == net.targets.classes
    assert inference_program(net, labels=["a", "b", "c"]).labels == ("a", "b", "c")
    assert inference_program(net, dtype="float32").dtype == np.float32
