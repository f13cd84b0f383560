"""An activation of one's own, checked and trained with: f(z) = sin(z).

Ten lines describe it. Nothing has to be registered; the network takes the object.

    python examples/own_activation.py
"""

from dataclasses import dataclass

import numpy as np

import clearprop as cp
from clearprop.activations import ActivationFunction
from clearprop.model import State


@dataclass(frozen=True)
class Sine(ActivationFunction):
    """f(z) = sin(z)."""

    name = "sine"
    formula = "sin(z)"
    derivative = "cos(z)"
    limits = (float("nan"), float("nan"))

    def f(self, z):
        """Return sin(z)."""
        return np.sin(z)

    def df(self, z, a):
        """Return cos(z)."""
        return np.cos(z)


X = np.linspace(-3, 3, 200)[:, None]
y = np.cos(2 * X[:, 0])

net = cp.Network([cp.Dense(16, Sine(), initializer=cp.initializers.Normal()), cp.Dense(1)], n_in=1, seed=0)

# Is the derivative right? The complex step gives it to the last digit:
# ∂C/∂theta_i = Im C(theta + ih e_i) / h.
gradient = net.gradient(X, y)
step, rung = 1e-30, cp.engines.engines()["batch"]
numerical = np.empty_like(gradient)
for i in range(net.n_parameters):
    theta = net.theta.astype(complex)
    theta[i] += 1j * step
    output = rung.output(net.model, State(net.model, theta, net.buffers), X)
    numerical[i] = net.model.costs(output, y[:, None]).mean().imag / step
error = np.abs(gradient - numerical).max() / np.abs(gradient).max()
print(f"largest error of the gradient, relative: {error:.0e}")
assert error < 1e-12

history = net.fit(X, y, optimizer=cp.Adam(0.01), epochs=200, batch_size=20)
print(f"cost {history['cost'][0]:.2f} after the first epoch, {history['cost'][-1]:.4f} after the last")
assert history["cost"][-1] < 0.01
