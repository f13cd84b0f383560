"""Errors of the graph engine say what, where, got, do, with the names of nodes."""

from __future__ import annotations

import numpy as np
import pytest

from clearprop import errors
from clearprop.engines import graph


class Careless(graph.Operation):
    """Does what `how` says, wrongly."""

    def __init__(self, how):
        self.how = how

    def forward(self, x):
        if self.how == "write":
            x += 1
        if self.how == "raise":
            raise RuntimeError("no luck")
        return x * 1.0

    def backward(self, inputs, output, dC_doutput):
        return {
            "array": lambda: dC_doutput,
            "two": lambda: (dC_doutput, dC_doutput),
            "shape": lambda: (dC_doutput[0],),
            "bug": lambda: (dC_doutput @ np.ones((99, 1)),),
        }[self.how]()


x, W = graph.input("x"), graph.parameter("W")
A, B = np.ones((7, 5)), np.ones((3, 4))


def careless(how):
    return graph.evaluate(graph.sum(graph.apply(Careless(how), x)), {x: A})


WRONG = {
    "matmul": (
        lambda: graph.evaluate((x @ W).named("z"), {x: A, W: B}),
        "node 'z' (matmul) got 'x' of shape (7, 5) and 'W' of shape (3, 4); it needs (..., m, k) and (..., k",
    ),
    "broadcast": (
        lambda: graph.evaluate(x + W, {x: A, W: B}),
        "node 'add_1' (add) got 'x' of shape (7, 5) and 'W' of shape (3, 4); it needs shapes that broadcast",
    ),
    "index": (
        lambda: graph.evaluate(x[:, 9], {x: A}),
        "node 'index_1' ([:, 9]) got 'x' of shape (7, 5); index 9 is out of bounds",
    ),
    "missing": (lambda: graph.evaluate(x @ W + x, {}), "needs a value for 'x', 'W'"),
    "text": (lambda: graph.evaluate(x, {x: "one"}), "node 'x' needs an array of numbers, got 'one'"),
    "seed": (lambda: graph.evaluate(x, {x: A}), "'x' has shape (7, 5), not one number"),
    "seed shape": (lambda: graph.evaluate(x, {x: A}, seed=B), "seed has shape (3, 4); the output 'x' has"),
    "name": (lambda: graph.evaluate(x, {"X1": A}), "no node 'X1'. Did you mean 'x'? It has 'x'."),
    "two names": (
        lambda: graph.evaluate(x + graph.input("x"), {"x": A}),
        "2 nodes of the graph are called 'x'",
    ),
    "key": (lambda: graph.evaluate(x, {3: A}), "got the key 3"),
    "not evaluated": (lambda: graph.evaluate(x, {x: 1}).value[W], "<Node 'W': parameter> is not in what"),
    "exponent": (lambda: x**W, "Write exp(y * log(x))"),
    "operation": (lambda: graph.apply(Careless, x), "a node needs an Operation"),
    "parent": (lambda: graph.Node(Careless("two"), (1.0,)), "the parents of a node are nodes, got 1.0"),
    "pair": (lambda: graph.fused_per_example_cost(x, 0, "tanh", "quadratic"), "no fused pair"),
    "not a tuple": (
        lambda: careless("array"),
        "must return a tuple of 1 gradients, one per input; got a ndarray.",
    ),
    "too many": (lambda: careless("two"), "one per input; got 2."),
    "shape": (
        lambda: careless("shape"),
        "backward of node 'careless_1' (careless) returned a gradient of shape (5,) for 'x' of shape (7, 5)",
    ),
    "bug": (
        lambda: careless("bug"),
        "backward of node 'careless_1' (careless) got 'x' of shape (7, 5); matmul",
    ),
    "impure": (
        lambda: careless("write"),
        "node 'careless_1' (careless) got 'x' of shape (7, 5); output array is r",
    ),
    "activation": (lambda: graph.activate(x, "sigmiod"), "Did you mean 'sigmoid'?"),
    "labels": (lambda: graph.draw.svg(x, gradient_labels=True), "gradient_labels needs a trace"),
    "direction": (lambda: graph.draw.svg(x, direction="up"), "'down' or 'right', got 'up'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_say_what_and_where(name):
    use, message = WRONG[name]
    with pytest.raises(errors.ClearpropError) as caught:
        use()
    assert message in str(caught.value)


def test_an_error_of_the_users_own_keeps_its_type_and_names_the_node():
    with pytest.raises(RuntimeError, match="no luck") as caught:
        graph.evaluate(graph.apply(Careless("raise"), x, name="mine"), {x: 1.0})
    assert caught.value.__notes__ == ["in node 'mine' (careless)"]
