"""The inference program as an ONNX model, checked by the package onnx."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop._version import __version__
from clearprop.errors import MissingDependencyError
from clearprop.export.onnx_formulas import ONNX_FORMULAS, Graph, Tensor
from clearprop.export.program_text import options_of
from clearprop.export.steps import (
    Add,
    Elementwise,
    Increasing,
    Join,
    Normalise,
    Ordinal,
    Product,
    Program,
    Rectify,
    Scale,
    Softmax,
    Take,
)
from clearprop.export.writing import require_formulas

__all__ = ["OPSET", "onnx_model"]

OPSET = 17
"""The operator set: what runtimes since 2022 know. Later ones have gelu and mish, but not in double."""
_IR_VERSION = 8
_Output = tuple[str, Tensor, np.dtype[Any], list[Any]]  # name, what, dtype, shape


def onnx_model(program: Program) -> Any:
    """Return a program as an `onnx.ModelProto`, checked.

    Errors: `MissingDependencyError` without the package onnx; `UnsupportedError` for an activation without a
    formula.

    >>> from clearprop import Dense, Network
    >>> from clearprop.export import inference_program
    >>> net = Network([Dense(3, "relu"), Dense(2, "softmax")], n_in=4, seed=0)
    >>> [node.op_type for node in onnx_model(inference_program(net)).graph.node]
    ['Gemm', 'Relu', 'Gemm', 'Softmax', 'Identity']
    """
    onnx = _onnx()
    require_formulas(program, ONNX_FORMULAS, "ONNX")
    graph = Graph(program.dtype)
    values = {program.inputs.name: Tensor(graph, "x")}
    for step in program.steps:
        tensor = _STEPS[type(step)](graph, step, *(values[v.name] for v in step.sources))
        values[step.target.name] = graph.named(tensor, step.target.name)
    a = values[program.outputs.name]
    outputs: list[_Output] = [("outputs", a, program.dtype, ["n", program.outputs.size])]
    if program.labels:
        outputs.append(("class", _class(graph, program, a), np.dtype(np.int64), ["n"]))
    return _model(onnx, graph, program, outputs)


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.numpy_helper
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "to_onnx needs the package onnx. Install it: pip install 'clearprop[onnx]'"
        ) from None
    return onnx


def _model(onnx: Any, graph: Graph, program: Program, outputs: list[_Output]) -> Any:
    helper = onnx.helper

    def typed(name: str, dtype: Any, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)

    for name, tensor, _, _ in outputs:
        graph.named(graph.op("Identity", tensor), name)
    made = helper.make_graph(
        [helper.make_node(op, inputs, [to], name=to, **options) for op, inputs, to, options in graph.nodes],
        "clearprop",
        [typed("x", program.dtype, ["n", program.inputs.size])],
        [typed(name, dtype, shape) for name, _, dtype, shape in outputs],
        [onnx.numpy_helper.from_array(values, name) for name, values in graph.constants.items()],
    )
    model = helper.make_model(
        made,
        producer_name="clearprop",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        doc_string=program.summary,
    )
    labels = {"labels": json.dumps(program.labels)} if program.labels else {}
    helper.set_model_props(model, {"clearprop_version": __version__, **labels})
    onnx.checker.check_model(model, full_check=True)
    return model


def _class(graph: Graph, program: Program, a: Tensor) -> Tensor:
    """Return the index of each example's class, (n,)."""
    if program.threshold is None:
        return graph.op("ArgMax", a, axis=1, keepdims=0)
    yes = graph.op("Cast", graph.op("Greater", a, program.threshold), to=_INT64)
    return graph.op("Squeeze", yes, graph.constant([1], "second axis", np.int64))


_INT64 = 7  # TensorProto.INT64


def _scale(graph: Graph, step: Scale, source: Tensor) -> Tensor:
    name, value = step.target.name, source
    if step.shift is not None:
        value = value - graph.constant(step.shift, f"{name} shift")
    value = value * graph.constant(step.factor, f"{name} factor")
    return value if step.offset is None else value + graph.constant(step.offset, f"{name} offset")


def _product(graph: Graph, step: Product, source: Tensor) -> Tensor:
    address = step.target.name.removesuffix(".z")
    W = graph.constant(step.W, f"{address}.W")
    b = [] if step.b is None else [graph.constant(step.b, f"{address}.b")]
    return graph.op("Gemm", source, W, *b, transB=1)


def _elementwise(graph: Graph, step: Elementwise, source: Tensor) -> Tensor:
    formulas = [(ONNX_FORMULAS[f.name], options_of(f)) for f in step.functions]
    if step.choice is None:
        formula, options = formulas[0]
        return formula(source, **options)
    groups = [np.flatnonzero(np.equal(step.choice, k)) for k in range(len(formulas))]
    parts = []
    for k, (formula, options) in enumerate(formulas):
        neurons = graph.constant(groups[k], f"{step.target.name} neurons {k}", np.int64)
        parts.append(formula(graph.op("Gather", source, neurons, axis=1), **options))
    order = graph.constant(np.argsort(np.concatenate(groups)), f"{step.target.name} order", np.int64)
    return graph.op("Gather", graph.op("Concat", *parts, axis=1), order, axis=1)


def _rectify(graph: Graph, step: Rectify, source: Tensor) -> Tensor:
    alpha = graph.constant(step.alpha, f"{step.target.name.removesuffix('.a')}.alpha")
    return source.do("Relu") + alpha * source.at_most(0.0)


def _softmax(graph: Graph, step: Softmax, source: Tensor) -> Tensor:
    return source.do("Softmax", axis=-1)


def _increasing(graph: Graph, step: Increasing, source: Tensor) -> Tensor:
    z, n = _held(source, step.source.size), step.source.size
    first = _columns(graph, z, 0, 1)
    return first if n == 1 else graph.op("Concat", first, first + _sums(graph, z, 1, n), axis=1)


def _ordinal(graph: Graph, step: Ordinal, source: Tensor) -> Tensor:
    z, n = _held(source, step.source.size), step.source.size
    u = _columns(graph, z, 1, 2) - _columns(graph, z, 0, 1)
    if n == 2:
        return graph.op("Concat", _chance(u), _chance(-u), axis=1)
    u = graph.op("Concat", u, u + _sums(graph, z, 2, n), axis=1)
    below, above = _chance(u), _chance(-u)
    gaps = _chance(_columns(graph, source, 2, n))
    between = _columns(graph, below, 1, n - 1) * _columns(graph, above, 0, n - 2) * gaps
    ends = _columns(graph, below, 0, 1), _columns(graph, above, n - 2, n - 1)
    return graph.op("Concat", ends[0], between, ends[1], axis=1)


def _chance(u: Tensor) -> Tensor:
    """Return sigmoid(u) with its digits also where it is small, which onnxruntime's Sigmoid loses."""
    return u.graph.op("Div", 1.0, 1.0 + (-u).do("Exp"))


def _held(z: Tensor, n: int) -> Tensor:
    """Return z with infinities as numbers so large that no sum of a row overflows."""
    big = float(np.finfo(z.graph.dtype).max) / (4.0 * n)
    return z.at_least(-big).at_most(big)


def _sums(graph: Graph, z: Tensor, begin: int, end: int) -> Tensor:
    """Return the running sums of ln(1 + exp(z)) over some columns."""
    increments = ONNX_FORMULAS["softplus"](_columns(graph, z, begin, end))
    return graph.op("CumSum", increments, _whole(graph, 1))


def _columns(graph: Graph, source: Tensor, begin: int, end: int) -> Tensor:
    return graph.op("Slice", source, _whole(graph, begin), _whole(graph, end), _whole(graph, 1))


def _whole(graph: Graph, value: int) -> Tensor:
    return graph.constant([value], f"index {value}", np.int64)


def _normalise(graph: Graph, step: Normalise, source: Tensor) -> Tensor:
    name = step.target.name.removesuffix(".a")
    centred = source - source.do("ReduceMean", axes=[1], keepdims=1)
    variance = (centred * centred).do("ReduceMean", axes=[1], keepdims=1)
    x_hat = centred / (variance + step.epsilon).do("Sqrt")
    return x_hat * graph.constant(step.gamma, f"{name}.gamma") + graph.constant(step.beta, f"{name}.beta")


def _add(graph: Graph, step: Add, left: Tensor, right: Tensor) -> Tensor:
    return left + right


def _take(graph: Graph, step: Take, source: Tensor) -> Tensor:
    return _columns(graph, source, step.begin, step.begin + step.target.size)


def _join(graph: Graph, step: Join, *parts: Tensor) -> Tensor:
    return graph.op("Concat", *parts, axis=1)


_STEPS: dict[type, Callable[..., Tensor]] = {
    Scale: _scale,
    Product: _product,
    Elementwise: _elementwise,
    Rectify: _rectify,
    Softmax: _softmax,
    Increasing: _increasing,
    Ordinal: _ordinal,
    Normalise: _normalise,
    Add: _add,
    Take: _take,
    Join: _join,
}
