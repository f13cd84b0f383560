"""A network of two inputs, two hidden and two output neurons as a computational graph, by hand.

The numbers are those of a well-known worked example (Matt Mazur, "A Step by Step Backpropagation
Example", 2015), so every figure can be followed with a pocket calculator.

Run it: python examples/graph_by_hand.py
With a file name, it also draws the graph: python examples/graph_by_hand.py graph.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

from clearprop.engines import graph


def sigmoid(z: graph.Node) -> graph.Node:
    """Build 1 / (1 + exp(-z)) out of four steps, each with its own derivative."""
    return 1.0 / (1.0 + graph.exp(-z))


# The graph: what feeds what. No numbers yet. Row j of W holds the weights into neuron j.
x, y = graph.input("x"), graph.input("y")
W1, b1 = graph.parameter("W1"), graph.parameter("b1")
W2, b2 = graph.parameter("W2"), graph.parameter("b2")

z1 = (W1 @ x + b1).named("z1")
a1 = sigmoid(z1).named("a1")
z2 = (W2 @ a1 + b2).named("z2")
a2 = sigmoid(z2).named("a2")
E = graph.sum(0.5 * (y - a2) ** 2).named("E")

# The numbers: one evaluation computes every value, then every gradient. Each layer has one bias
# that both of its neurons share, so b1 and b2 are single numbers and their gradients are sums.
values = {
    x: [0.05, 0.10],
    y: [0.01, 0.99],
    W1: [[0.15, 0.20], [0.25, 0.30]],  # w1 w2 / w3 w4
    W2: [[0.40, 0.45], [0.50, 0.55]],  # w5 w6 / w7 w8
    b1: 0.35,
    b2: 0.60,
}
trace = graph.evaluate(E, values)

total = trace.value[E]
dE_dw5 = trace.gradient["W2"][0, 0]
dE_dw1 = trace.gradient["W1"][0, 0]
print(f"E      = {total:.9f}")
print(f"dE/dw5 = {dE_dw5:.9f}")
print(f"dE/dw1 = {dE_dw1:.9f}")
assert f"{total:.9f}" == "0.298371109"
assert f"{dE_dw5:.9f}" == "0.082167041"
assert f"{dE_dw1:.9f}" == "0.000438568"

# The intermediates have gradients too: at the weighted inputs they are the errors delta of BP1
# and BP2, with which dE/dW2 = delta2 a1^T (BP4).
delta2 = trace.gradient["z2"]
print("delta of the output layer:", delta2)
print("delta of the hidden layer:", trace.gradient["z1"])
assert dE_dw5 == delta2[0] * trace.value["a1"][0]

# One step of gradient descent on the weights (eta = 0.5, biases held fixed) lowers the error.
eta = 0.5
for W in (W1, W2):
    values[W] = trace.value[W] - eta * trace.gradient[W]
after = graph.evaluate(E, values, gradient=False).value[E]
print(f"E after one step = {after:.9f}")
assert f"{after:.9f}" == "0.291027774"

if len(sys.argv) > 1:
    Path(sys.argv[1]).write_text(graph.draw.svg(trace), "utf-8")
    print("drawn to", sys.argv[1])
