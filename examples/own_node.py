"""A node of your own: write forward and backward, use it, check it by finite differences.

Run it: python examples/own_node.py
"""

from __future__ import annotations

import numpy as np

from clearprop.engines import graph


# Ten lines: softplus, log(1 + exp(x)), a smooth relaxation of max(x, 0). Both functions are pure:
# they write to none of their arguments and keep nothing. backward gets the forward pass's inputs
# and output, and ∂C/∂output from the nodes above; it returns one gradient per input, in a tuple.
class Softplus(graph.Operation):
    """log(1 + exp(x)), elementwise."""

    def forward(self, x):
        return np.logaddexp(0, x)

    def backward(self, inputs, output, dC_doutput):
        (x,) = inputs
        return (dC_doutput / (1 + np.exp(-x)),)


# Use it like any other node.
x, W = graph.input("x"), graph.parameter("W")
h = graph.apply(Softplus(), x @ W, name="h")
C = graph.mean(h**2)

rng = np.random.default_rng(0)
values = {x: rng.standard_normal((5, 3)), W: rng.standard_normal((3, 2))}
trace = graph.evaluate(C, values)
print("C =", trace.value[C])
print("dC/dW =", trace.gradient[W], sep="\n")


# Check it: nudge each weight up and down by h and look at what C does. Two-sided differences are
# wrong by about h^2, and lose about 1e-16 / h to rounding, so h = 1e-5 leaves ten good digits.
def numerical_gradient(at: np.ndarray, h: float = 1e-5) -> np.ndarray:
    slopes = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        nudge = np.zeros_like(at)
        nudge[index] = h
        up, down = (graph.evaluate(C, {**values, W: at + step}, gradient=False) for step in (nudge, -nudge))
        slopes[index] = (up.value[C] - down.value[C]) / (2 * h)
    return slopes


difference = np.abs(numerical_gradient(values[W]) - trace.gradient[W]).max()
print(f"largest difference from finite differences: {difference:.1e}")
assert difference < 1e-9
