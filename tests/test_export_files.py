"""Exported files as their users meet them: real trained networks, compiled and run, and every refusal."""

from __future__ import annotations

import builtins
import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.export_cases import (
    compile_c,
    needs_compiler,
    needs_node,
    run_c,
    run_javascript,
    run_node,
    run_onnx,
    session_of,
    tolerance,
)
from tests.networks import relative

import clearprop as cp
from clearprop.activations import ActivationFunction, activations
from clearprop.errors import (
    DataError,
    DTypeError,
    NotInitializedError,
    OptionError,
    UnsupportedError,
    WouldOverwriteError,
)
from clearprop.export import c_program, inference_program, javascript_source, onnx_model
from clearprop.export import files as export_files

ODD = ('quote " \\ slash', "Zürich @BIG@ @NAME@", "*/ // ??/ </script>", "two\nlines\u2028")


def digits(dtype: str = "float32") -> tuple[cp.Network, Any]:
    data = cp.datasets.load_dataset("digits", test_fraction=0.2, seed=0)
    layers = [cp.Dense(32, "relu"), cp.Dropout(0.2), cp.Dense(10, "softmax")]
    net = cp.Network(layers, seed=0, dtype=dtype, preprocessing=cp.Affine(factor=1 / 16))
    net.fit(data.X_train, data.y_train, optimizer=cp.Adam(0.003), epochs=15)
    assert net.evaluate(data.X_test, data.y_test)["accuracy"] > 0.93
    return net, data.X_test.astype(dtype)


def moons(dtype: str = "float32") -> tuple[cp.Network, Any]:
    X, y = cp.datasets.moons(400, noise=0.1, seed=0)
    y = np.array(["lower", "upper"])[y]
    layers = [cp.Dense(16, "tanh"), cp.BatchNorm(), cp.Dense(8, "prelu"), cp.Dense(1, "sigmoid")]
    net = cp.Network(layers, seed=0, dtype=dtype, preprocessing="standardize")
    net.fit(100 + 5 * X, y, optimizer=cp.Adam(0.01), epochs=30)
    assert net.evaluate(100 + 5 * X, y)["accuracy"] > 0.95
    return net, (100 + 5 * X).astype(dtype)


def regression(dtype: str = "float32") -> tuple[cp.Network, Any]:
    """Every activation side by side in one trained network of two outputs."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = np.stack([np.sin(X[:, 0]) + X[:, 1], X[:, 1] * X[:, 2]], axis=1)
    each = [cp.Dense(3, name) for name in activations]
    layers = [
        cp.Concatenate(each),
        cp.LayerNorm(),
        cp.Residual([cp.Dense(8, "gelu"), cp.Dense()]),
        cp.Dense(2),
    ]
    net = cp.Network(layers, seed=0, dtype=dtype, preprocessing="standardize")
    history = net.fit(X, y, optimizer=cp.Adam(0.003), epochs=20)
    assert history["cost"][-1] < history["cost"][0] / 2
    return net, X.astype(dtype)


TRAINED = {"digits": digits, "moons": moons, "regression": regression}


@pytest.fixture(
    scope="module",
    params=[(name, dtype) for name in TRAINED for dtype in ("float32", "float64")],
    ids="-".join,
)
def trained(request) -> tuple[cp.Network, Any]:
    name, dtype = request.param
    return TRAINED[name](dtype)


def classifier(labels: tuple[str, ...] = ODD) -> tuple[cp.Network, Any]:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 3)), np.arange(80) % len(labels)
    net = cp.Network([cp.Dense(5, "tanh"), cp.Dense(len(labels), "softmax")], seed=0)
    net.fit(X, np.array(labels)[y], epochs=2)
    return net, X


# -- trained networks --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(run_c, marks=needs_compiler, id="c"),
        pytest.param(run_javascript, marks=needs_node, id="javascript"),
        pytest.param(run_onnx, id="onnx"),
    ],
)
def test_trained_networks_predict_the_same(run, trained, tmp_path):
    net, X = trained
    program = inference_program(net)
    found = run({"net": program}, {"net": X}, tmp_path)["net"]
    assert relative(found, net.outputs(X)) < tolerance(program)


@needs_compiler
def test_a_compiled_program_reads_examples_and_prints_outputs_and_labels(trained, tmp_path):
    net, X = trained
    program = inference_program(net)
    made = compile_c(c_program(program, "net").source, tmp_path, "-O2", "-DNET_MAIN")
    done = run_program(made, "\n".join(" ".join(map(repr, x)) for x in X.astype(float).tolist()))
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    outputs = np.array([row[0].split() for row in rows], float)
    assert relative(outputs, net.outputs(X)) < tolerance(program)
    if program.labels:
        certain = np.abs(outputs - 0.5).min(axis=1) > 1e-4
        predicted = net.predict(X).astype(str)
        assert np.array([row[1] for row in rows])[certain].tolist() == predicted[certain].tolist()
        assert certain.mean() > 0.9


@needs_node
def test_a_module_gives_outputs_class_and_label(trained, tmp_path):
    net, X = trained
    program = inference_program(net)
    (tmp_path / "net.mjs").write_text(javascript_source(program), "ascii")
    script = """
        import * as net from "./net.mjs";
        import { readFileSync } from "node:fs";
        const rows = JSON.parse(readFileSync(0, "utf-8"));
        const found = { names: Object.keys(net), sizes: [net.nIn, net.nOut] };
        if (net.labels) {
            found.labels = rows.map((x) => net.predictLabel(x));
            found.classes = rows.map((x) => net.predictClass(Float64Array.from(x)));
        }
        console.log(JSON.stringify(found));
    """
    found = json.loads(run_node(script, tmp_path, X.astype(float).tolist()))
    assert found["sizes"] == [program.inputs.size, program.outputs.size]
    classifies = ["labels", "nIn", "nOut", "predict", "predictClass", "predictLabel"]
    assert found["names"] == (classifies if program.labels else ["nIn", "nOut", "predict"])
    if program.labels:
        assert found["labels"] == net.predict(X).astype(str).tolist()
        assert [program.labels[k] for k in found["classes"]] == found["labels"]


def test_onnx_names_the_class_of_one_output(tmp_path):
    net, X = moons()
    session = session_of(inference_program(net))
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    (chosen,) = session.run(["class"], {"x": X})
    assert [labels[k] for k in chosen] == net.predict(X).tolist()


def run_program(path: Any, given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(path)], input=given, capture_output=True, text=True, check=False)


# -- the C file --------------------------------------------------------------------------------


@needs_compiler
def test_a_compiled_program_refuses_half_an_example(tmp_path):
    net, _ = classifier()
    made = compile_c(c_program(inference_program(net), "net").source, tmp_path, "-DNET_MAIN")
    for given, rows in (("1 2 3 4", 1), ("1 2 x", 0)):
        done = run_program(made, given)
        assert done.returncode == 1
        assert "expected 3 numbers for each example" in done.stderr
        assert len(done.stdout.splitlines()) == rows
    assert run_program(made, "").returncode == 0


@needs_compiler
def test_labels_of_any_kind_come_through_c(tmp_path):
    net, _ = classifier()
    source = c_program(inference_program(net), "net").source
    caller = (
        "#include <stdio.h>\nextern const char *const net_labels[4];\nint main(void)\n{\n"
        '    for (int k = 0; k < 4; ++k) { puts(net_labels[k]); puts("--"); }\n    return 0;\n}\n'
    )
    done = run_program(compile_c(source + caller, tmp_path, "-trigraphs"), "")
    assert done.stdout.split("\n--\n")[:-1] == sorted(ODD)


@needs_node
def test_labels_of_any_kind_come_through_javascript_and_metadata(tmp_path):
    net, _ = classifier()
    program = inference_program(net)
    (tmp_path / "net.mjs").write_text(javascript_source(program), "ascii")
    found = run_node('import * as net from "./net.mjs"; console.log(JSON.stringify(net.labels));', tmp_path)
    assert json.loads(found) == sorted(ODD)
    assert json.loads(session_of(program).get_modelmeta().custom_metadata_map["labels"]) == sorted(ODD)


def test_the_numbers_in_c_are_the_parameters_bit_for_bit():
    for dtype in ("float32", "float64"):
        net, _ = regression(dtype)
        found = c_program(inference_program(net), "net")
        total = 0
        for kind, name, body in re.findall(
            r"static const (\S+) (\w+)\[\d+\] = \{(.*?)\};", found.source, re.S
        ):
            if kind != {"float32": "float", "float64": "double"}[dtype]:
                continue
            numbers = np.array([text.rstrip("F") for text in body.replace("\n", "").split(",")[:-1]], dtype)
            total += numbers.size
            address = name.removeprefix("net_").replace("_", ".")
            if address in net.parameters and address.endswith((".W", ".b")):
                np.testing.assert_array_equal(numbers, net.parameters[address].ravel())
        assert total == found.constants


def test_the_account_of_memory_is_that_of_the_file():
    net, _ = digits()
    found = c_program(inference_program(net), "net")
    work = sum(map(int, re.findall(r"^static float net_w\d+\[(\d+)\];", found.source, re.M)))
    assert (found.constants, found.work) == (64 * 32 + 32 + 320 + 10, 32) == (2410, work)
    assert "2,410 constants, 9,640 bytes" in found.source
    assert "32 numbers, 128 bytes" in found.source
    code = found.source.split("*/", 1)[1].split("#ifdef")[0]
    assert not re.search(r"\b(malloc|double)\b", code)
    assert re.findall("#include.*", code) == ["#include <math.h>"]


@needs_compiler
def test_float_and_double_each_keep_to_themselves(tmp_path):
    """-Wdouble-promotion and -Wconversion see to the functions; here to a network in the other precision."""
    net, X = regression("float64")
    for dtype in ("float32", "float64"):
        program = inference_program(net, dtype)
        found = run_c({"net": program}, {"net": X}, tmp_path)["net"]
        assert found.dtype == dtype
        assert relative(found, net.outputs(X)) < tolerance(program)
        assert (relative(found, net.outputs(X)) < 1e-12) == (dtype == "float64")


@pytest.mark.parametrize("name", ["9a", "a-b", "", "a b", "ünit", "_a", 7, "x" * 24, "a;"])
def test_a_name_that_c_does_not_take_is_refused(name):
    with pytest.raises(OptionError, match="name must "):
        c_program(inference_program(cp.Network([1, 1])), name)


# -- JavaScript --------------------------------------------------------------------------------


@needs_node
def test_a_module_refuses_inputs_of_another_length(tmp_path):
    net, _ = classifier()
    (tmp_path / "net.mjs").write_text(javascript_source(inference_program(net)), "ascii")
    script = """
        import { predict } from "./net.mjs";
        for (const x of [[1, 2], undefined, null, [1, 2, 3, 4]]) {
            try { predict(x); console.log("accepted"); } catch (error) { console.log(`${error}`); }
        }
    """
    said = "RangeError: predict takes an array of 3 numbers. Got"
    lines = run_node(script, tmp_path).splitlines()
    assert lines == [f"{said} 2 of them.", f"{said} undefined.", f"{said} null.", f"{said} 4 of them."]


# -- refusals ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Square(ActivationFunction):
    name = "square"

    def f(self, z):
        return z * z

    def df(self, z, a):
        return 2 * z


class OwnDense(cp.Dense):
    pass


REFUSED = {
    "layer": (
        lambda: cp.Network([OwnDense(2), cp.Dense(1)], n_in=1),
        "layer 1 is OwnDense, a layer of your own",
    ),
    "activation": (
        lambda: cp.Network([cp.Dense(1, Square())], n_in=1),
        "layer 1 has the activation 'square'",
    ),
    "one neuron's": (
        lambda: cp.Network([cp.Dense(2, cp.per_neuron(["tanh", Square()]))], n_in=1),
        "layer 1 has the activation 'square'",
    ),
    "part": (
        lambda: cp.Network([cp.Residual([cp.Dense(2), OwnDense(1)])], n_in=1),
        r"layer 1\.body\.2 is OwnDense",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_known_is_refused_in_one_sentence(case):
    make, sentence = REFUSED[case]
    with pytest.raises(UnsupportedError, match=sentence):
        inference_program(make())


def test_an_activation_without_a_formula_is_refused_by_each_language(monkeypatch):
    program = inference_program(cp.Network([cp.Dense(1, "mish")], n_in=1))
    for module, table, write in (
        ("c_text", "C_FORMULAS", c_program),
        ("javascript_text", "JAVASCRIPT_FORMULAS", javascript_source),
        ("onnx_graph", "ONNX_FORMULAS", onnx_model),
    ):
        monkeypatch.setattr(f"clearprop.export.{module}.{table}", {"relu": ()})
        with pytest.raises(UnsupportedError, match="the activation 'mish' has no formula in"):
            write(program)


def test_numbers_that_cannot_be_written_are_refused():
    net = cp.Network([1, 2, 1])
    net.b[2] = [np.nan]
    with pytest.raises(DataError, match=r"2\.b holds nan, which is not finite"):
        inference_program(net)
    net.b[2] = [1e300]
    with pytest.raises(DataError, match=r"2\.b holds 1e\+300, which is too large for float32"):
        inference_program(net, "float32")
    inference_program(net)


def test_networks_that_are_not_ready_are_refused():
    with pytest.raises(NotInitializedError, match="does not know all its sizes yet"):
        inference_program(cp.Network([cp.Dense(2)]))
    with pytest.raises(NotInitializedError, match="takes its numbers from the data of fit"):
        inference_program(cp.Network([cp.Dense(2)], n_in=2, preprocessing="standardize"))
    with pytest.raises(DTypeError, match=r"a Network is exported\. Got str\."):
        inference_program("digits.safetensors")


def test_options_that_do_not_fit_are_refused():
    net, _ = classifier()
    with pytest.raises(DataError, match="labels must name each of the 4 classes"):
        inference_program(net, labels=["a"])
    for labels in (False, 3, "abcd"):
        with pytest.raises(DTypeError, match="labels must be a list"):
            inference_program(net, labels=labels)
    with pytest.raises(DataError, match="this network was never fitted"):
        inference_program(cp.Network([1, 1]), labels=["a", "b"])
    with pytest.raises(DataError, match="this network was trained on regression"):
        inference_program(regression()[0], labels=["a", "b"])
    for dtype in ("float16", "int8", "nonsense", 3):
        with pytest.raises(OptionError, match="dtype must be one of 'float32', 'float64'"):
            inference_program(net, dtype)


@pytest.mark.parametrize("write", [cp.to_c, cp.to_javascript, cp.to_onnx])
def test_a_file_is_replaced_only_when_asked(write, tmp_path):
    net, _ = classifier()
    path = tmp_path / "net"
    done = write(net, path)
    first = path.read_bytes()
    assert (done.path, done.bytes, done.labels) == (path, len(first), tuple(sorted(ODD)))
    net.theta[:] = 0
    with pytest.raises(WouldOverwriteError, match="exists"):
        write(net, path)
    assert path.read_bytes() == first
    write(net, str(path), overwrite=True)
    assert path.read_bytes() != first
    assert list(tmp_path.iterdir()) == [path]


def test_without_the_package_onnx_the_error_says_what_to_install(monkeypatch, tmp_path):
    original = builtins.__import__

    def missing(name, *rest):
        if name.partition(".")[0] == "onnx":
            raise ModuleNotFoundError(f"No module named {name!r}", name="onnx")
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(cp.errors.MissingDependencyError, match=r"pip install 'clearprop\[onnx\]'"):
        export_files.to_onnx(cp.Network([1, 1]), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
