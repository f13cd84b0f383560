"""The graph engine: every operation's derivative, the chain rule over any graph, traces, random graphs.

Errors, networks as graphs and drawings: test_graph_errors.py, test_graph_networks.py, test_graph_draw.py.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from clearprop import errors
from clearprop.engines import graph


def leaves(*names):
    return [graph.input(name) for name in names]


def complex_step(output, values, seed, at, h=1e-30):
    """Return ∂(sum of seed * output)/∂at entry by entry; no subtraction, so no cancellation."""
    base = graph.evaluate(output, values, also=[at], gradient=False).value[at]
    slopes = np.zeros(base.shape)
    for index in np.ndindex(base.shape):
        nudged = base.astype(complex)
        nudged[index] += 1j * h
        up = graph.evaluate(output, {**values, at: nudged}, gradient=False).value[output]
        slopes[index] = np.sum(seed * up).imag / h
    return slopes


def largest_error(output, values, seed):
    """Return the largest relative error of the gradients of all varying nodes."""
    trace = graph.evaluate(output, values, seed=seed)
    worst = 0.0
    for node in trace.topology.order:
        gradient = trace.gradient[node]
        if gradient is not None:
            exact = complex_step(output, values, seed, node)
            worst = max(worst, np.abs(gradient - exact).max() / max(1.0, np.abs(exact).max()))
    return worst


# name -> (build, shapes of its inputs): every built-in operation, with broadcasting and reuse.
ONE_HOT = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
MASK = np.array([[True, False, True], [False, False, True]])
BUILDS = {
    "add": (lambda x, y: x + y, [(2, 3), (3,)]),
    "add number": (lambda x: 2.0 + x, [(2, 3)]),
    "subtract": (lambda x, y: x - y, [(2, 1), (4, 1, 3)]),
    "subtract from number": (lambda x: 1 - x, [(3,)]),
    "multiply": (lambda x, y: x * y, [(2, 3), (2, 1)]),
    "multiply itself": (lambda x: x * x, [(2, 3)]),
    "multiply scalar": (lambda x, y: x * y, [(), (2, 3)]),
    "divide": (lambda x, y: x / y, [(3,), (2, 3)]),
    "divide number": (lambda x: 2.0 / x, [(2, 3)]),
    "negative": (lambda x: -x, [(2, 3)]),
    "power": (lambda x: x**3, [(2, 3)]),
    "power half": (lambda x: x**0.5, [(2, 3)]),
    "power negative": (lambda x: x**-2, [(2, 3)]),
    "power zero": (lambda x: x**0, [(2, 3)]),
    "matmul": (lambda x, y: x @ y, [(2, 3), (3, 4)]),
    "matmul itself": (lambda x: x @ x, [(3, 3)]),
    "matmul stacks": (lambda x, y: x @ y, [(5, 2, 3), (5, 3, 4)]),
    "matmul stack and matrix": (lambda x, y: x @ y, [(5, 2, 3), (3, 4)]),
    "matmul broadcast stacks": (lambda x, y: x @ y, [(4, 1, 2, 3), (5, 3, 2)]),
    "matmul vectors": (lambda x, y: x @ y, [(3,), (3,)]),
    "matmul matrix and vector": (lambda x, y: x @ y, [(2, 3), (3,)]),
    "matmul vector and matrix": (lambda x, y: x @ y, [(3,), (3, 2)]),
    "matmul stack and vector": (lambda x, y: x @ y, [(5, 2, 3), (3,)]),
    "matmul vector and stack": (lambda x, y: x @ y, [(3,), (5, 3, 2)]),
    "transpose": (lambda x: x.T, [(4, 2, 3)]),
    "transpose axes": (lambda x: graph.transpose(x, (2, 0, -2)), [(4, 2, 3)]),
    "exp": (graph.exp, [(2, 3)]),
    "log": (graph.log, [(2, 3)]),
    "sqrt": (graph.sqrt, [(2, 3)]),
    "tanh": (graph.tanh, [(2, 3)]),
    "maximum": (graph.maximum, [(2, 3), (3,)]),
    "where": (lambda x, y: graph.where(MASK, x, y), [(2, 3), (3,)]),
    "sum": (graph.sum, [(2, 3)]),
    "sum axis": (lambda x: graph.sum(x, axis=-1), [(2, 3)]),
    "sum axes": (lambda x: graph.sum(x, axis=(0, -1), keepdims=True), [(2, 3, 4)]),
    "mean": (graph.mean, [(2, 3)]),
    "mean axis": (lambda x: graph.mean(x, axis=1), [(2, 3, 4)]),
    "mean keepdims": (lambda x: graph.mean(x, axis=(0, 2), keepdims=True), [(2, 3, 4)]),
    "concatenate": (lambda x, y: graph.concatenate([x, y, x]), [(2, 3), (2, 1)]),
    "concatenate rows": (lambda x, y: graph.concatenate([x, y], axis=0), [(2, 3), (1, 3)]),
    "columns slice": (lambda x: graph.columns(x, slice(1, 3)), [(2, 4)]),
    "columns repeated": (lambda x: graph.columns(x, [0, 2, 0]), [(2, 4)]),
    "column": (lambda x: x[:, 1], [(2, 4)]),
    "index rows": (lambda x: x[[1, 1, 0]], [(2, 4)]),
    "reshape": (lambda x: graph.reshape(x, (3, -1)), [(2, 3)]),
    "softmax": (lambda z: graph.activate(z, "softmax"), [(2, 3)]),
    "sigmoid": (lambda z: graph.activate(z, "sigmoid"), [(2, 3)]),
    "prelu": (lambda z, s: graph.activate(z - 1, "prelu", {"alpha": s}), [(2, 4, 3), (3,)]),
    "quadratic": (lambda a: graph.per_example_cost(a, ONE_HOT, "quadratic"), [(2, 3)]),
    "cross entropy": (lambda a: graph.per_example_cost(a, ONE_HOT, "cross_entropy"), [(2, 3)]),
    "fused": (
        lambda z: graph.fused_per_example_cost(z, ONE_HOT, "softmax", "cross_entropy"),
        [(2, 3)],
    ),
}


def built(name, dtype=float):
    """Return (output, values, seed) of one build: positive values, and an upstream gradient that varies."""
    build, shapes = BUILDS[name]
    nodes = leaves(*(f"x{i}" for i in range(len(shapes))))
    rng = np.random.default_rng(list(name.encode()))
    values = {
        node: rng.uniform(0.2, 2.0, shape).astype(dtype) for node, shape in zip(nodes, shapes, strict=True)
    }
    output = build(*nodes)
    shape = graph.evaluate(output, values, gradient=False).value[output].shape
    return output, values, rng.uniform(-1, 1, shape).astype(dtype)


@pytest.mark.parametrize("name", BUILDS)
def test_gradients_of_every_operation(name):
    assert largest_error(*built(name)) < 1e-13


class OffByATenthOfAPercent(graph.Operation):
    def __init__(self, operation):
        self.operation = operation
        self.forward = operation.forward

    def backward(self, inputs, output, dC_doutput):
        return tuple(
            None if part is None else 1.001 * part
            for part in self.operation.backward(inputs, output, dC_doutput)
        )


@pytest.mark.parametrize("name", sorted(set(BUILDS) - {"power zero"}))  # whose gradient is zero
def test_the_check_catches_a_backward_off_by_a_tenth_of_a_percent(name):
    output, values, seed = built(name)
    mutant = graph.Node(OffByATenthOfAPercent(output.operation), output.parents)
    assert largest_error(mutant, values, seed) > 1e-5


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("name", BUILDS)
def test_dtype_is_kept(name, dtype):
    output, values, seed = built(name, dtype)
    trace = graph.evaluate(output, values, seed=seed)
    for node in trace.topology.varying:
        assert trace.value[node].dtype == dtype, node
        assert trace.gradient[node].dtype == dtype, node


def test_numbers_lists_and_integers_take_the_dtype_of_the_arrays():
    x, y, z = leaves("x", "y", "z")
    given = {x: np.float32([1, 2]), y: 3, z: np.array([1, 2])}
    trace = graph.evaluate(graph.sum(2.0 * x * y + z + [0.5, 0.5]), given)
    assert {array.dtype for array in [*trace.value.values(), *map(trace.gradient.get, (x, y, z))]} == {
        np.dtype(np.float32)
    }
    assert graph.evaluate(y * 2, {y: 3}).gradient[y].dtype == np.float64
    assert graph.evaluate(y * 2j, {y: np.float32(3)}).value["multiply_1"].dtype == np.complex64


def test_equal_arguments_of_maximum_share_the_gradient():
    x, y = leaves("x", "y")
    trace = graph.evaluate(graph.sum(graph.maximum(x, y)), {x: [1.0, 2, 3], y: [2.0, 2, 2]})
    np.testing.assert_array_equal(trace.gradient[x], [0, 0.5, 1])
    np.testing.assert_array_equal(trace.gradient[y], [1, 0.5, 0])


def test_a_sum_of_products_worked_by_hand():
    # f = x y + x with x = 2, y = 3 is 8; x is used twice: df/dx = y + 1 = 4, df/dy = x = 2.
    x, y = leaves("x", "y")
    trace = graph.evaluate(x * y + x, {x: 2.0, "y": 3.0})
    assert [float(v) for v in (trace.value["add_1"], trace.gradient[x], trace.gradient["y"])] == [8, 4, 2]
    assert trace["y"] == ("y", y, 3.0, 2.0)
    assert trace.contributions(trace.topology.find("multiply_1")) == (3.0, 2.0)


def test_diamonds_take_one_visit_per_node():
    # Sixty diamonds on top of each other: 2^60 paths, 61 nodes.
    x = graph.input("x")
    y = x
    for _ in range(60):
        y = y + y
    trace = graph.evaluate(y, {x: 1.0})
    assert trace.gradient[x] == 2.0**60
    assert len(trace.topology.order) == 61


def test_a_chain_of_100_000_nodes():
    x = graph.input("x")
    y = x
    for _ in range(100_000):
        y = -y
    trace = graph.evaluate(y, {x: 2.0})
    assert trace.value[y] == 2.0
    assert trace.gradient[x] == 1.0
    assert "100001 nodes" in repr(trace)
    assert trace._repr_svg_() is None
    with pytest.raises(errors.UnsupportedError, match="100001 nodes can't be drawn"):
        graph.draw.svg(y)


def test_order_is_topological_and_the_same_each_time():
    x, y = leaves("x", "y")
    output = (x + y) * graph.exp(y) - x
    order = graph.topological_order([output])
    assert all(order.index(parent) < order.index(node) for node in order for parent in node.parents)
    assert order == graph.topological_order([output])
    assert len(set(order)) == len(order) == 6
    assert list(graph.Topology((output,)).names.values()) == [
        "x",
        "y",
        "add_1",
        "exp_1",
        "multiply_1",
        "subtract_1",
    ]


def test_what_has_no_gradient_and_what_has_zero():
    x, unused, y = leaves("x", "unused", "y")
    fixed = graph.constant(2.0, "fixed")
    twice = (fixed * 2).named("twice")
    beside = (graph.exp(x) * unused).named("beside")
    stopped = graph.stop_gradient(x * x)
    output = graph.mean(graph.per_example_cost(x * twice, y * 1.0, "quadratic")) + graph.sum(stopped)
    values = {x: np.ones((3, 2)), y: np.zeros((3, 2)), unused: 5.0}
    trace = graph.evaluate(output, values, also=[beside])
    np.testing.assert_allclose(trace.gradient[x], np.full((3, 2), 16 / 3), rtol=1e-15)
    np.testing.assert_array_equal(trace.gradient[stopped], np.ones((3, 2)))  # reaches it, goes no further
    assert trace.gradient[unused] == 0.0
    np.testing.assert_array_equal(trace.gradient["beside"], np.zeros((3, 2)))
    assert trace.gradient["fixed"] is None  # constants need none
    assert trace.gradient[twice] is None
    assert trace.gradient[y] is None  # a cost has no derivative with respect to its target
    assert graph.evaluate(x, {x: 1.0, unused: [1.0, 2.0]}).gradient[unused].tolist() == [0.0, 0.0]


def test_a_gradient_is_not_known_rather_than_wrong_when_the_target_depends_on_it_too():
    x, W = leaves("x", "W")
    a = x * W
    trace = graph.evaluate(
        graph.sum(graph.per_example_cost(a, x * 1.0, "quadratic")), {x: np.ones((2, 2)), W: 2.0}
    )
    assert trace.gradient[x] is None
    assert trace.gradient[W] == 4.0
    assert trace.contributions(x) == ()


def test_a_value_given_for_an_intermediate_replaces_it():
    x, W = leaves("x", "W")
    z = (x * W).named("z")
    output = z * z
    trace = graph.evaluate(output, {"z": 3.0})
    assert (trace.value[output], trace.gradient[z]) == (9.0, 6.0)
    trace = graph.evaluate(output + x, {x: 1.0, z: 3.0})
    assert trace.gradient[x] == 1.0


def test_a_graph_is_evaluated_many_times_and_a_trace_stays_what_it_was():
    x, W = leaves("x", "W")
    net = graph.Graph(graph.sum(x @ W), also=(graph.exp(W),))
    theta = np.ones((2, 1))
    data = np.array([[1.0, 2.0]])
    first = net.evaluate({x: data, W: theta})
    theta *= 5  # as an optimiser would
    second = net.evaluate({x: data, W: theta})
    assert (first.value["sum_1"], second.value["sum_1"]) == (3.0, 15.0)
    np.testing.assert_array_equal(first.value[W], np.ones((2, 1)))
    np.testing.assert_array_equal(data, [[1.0, 2.0]])
    again = net.evaluate({x: data, W: theta})
    assert all(np.array_equal(again.gradient[n], second.gradient[n]) for n in (x, W))
    for arrays in (first.value, first.gradient):
        assert not any(array.flags.writeable for array in arrays.values() if array is not None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        x.name = "y"
    forward = net.evaluate({x: data, W: theta}, gradient=False)
    assert forward[W].gradient is None
    with pytest.raises(errors.UnknownNameError, match="gradient=False"):
        forward.gradient[W]


def test_an_array_on_the_left_makes_one_node_and_a_node_is_no_sequence():
    x = graph.input("x")
    node = np.ones(3) * x
    assert isinstance(node, graph.Node)
    assert isinstance(np.ones((2, 3)) @ x - np.float64(1), graph.Node)
    assert repr(node) == "<Node: multiply>"
    with pytest.raises(TypeError, match="not iterable"):
        list(node)


def random_expression(seed, leaf, exp, tanh, total, cat):
    """Return a random expression over `leaf` arrays (all (3, 3)), the same for any array library."""
    rng = np.random.default_rng(seed)
    pool = list(leaf)
    for _ in range(15):
        p, q = (pool[i] for i in rng.integers(len(pool), size=2))
        row = tanh(p[1])
        pool.append(
            [
                lambda p=p, q=q: p + 0.5 * q,
                lambda p=p, q=q: tanh(p) * q,
                lambda p=p, q=q: tanh(p @ q.T),
                lambda p=p, q=q: p / (1.0 + tanh(q) ** 2),
                lambda p=p, q=q: exp(-(tanh(p) ** 2)) - q,
                lambda p=p, q=q: cat([p[:, 1:], q[:, :1]]),
                lambda q=q, row=row: q * row,
            ][rng.integers(7)]()
        )
    return total(pool[-1] * pool[-2] + pool[-3])


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs_agree_with_torch(seed):
    torch = pytest.importorskip("torch", reason="an extra oracle; the complex step is the proof")
    arrays = np.random.default_rng(seed).standard_normal((3, 3, 3))
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = random_expression(seed, tensors, torch.exp, torch.tanh, torch.sum, lambda p: torch.cat(p, -1))
    expected.backward()
    nodes = leaves("p", "q", "r")
    output = random_expression(seed, nodes, graph.exp, graph.tanh, graph.sum, graph.concatenate)
    trace = graph.evaluate(output, dict(zip(nodes, arrays, strict=True)))
    np.testing.assert_allclose(trace.value[output], expected.item(), rtol=1e-12)
    for node, tensor in zip(nodes, tensors, strict=True):
        exact = np.zeros((3, 3)) if tensor.grad is None else tensor.grad.numpy()
        np.testing.assert_allclose(trace.gradient.get(node, np.zeros((3, 3))), exact, rtol=1e-10, atol=1e-13)
