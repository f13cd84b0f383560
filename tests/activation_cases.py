"""The activations that the tests iterate over, and the points they are tried at."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clearprop.activations import ELU, ActivationFunction, LeakyReLU, PReLU, activations, per_neuron

VARIANTS = {
    "leaky_relu 0.2": LeakyReLU(0.2),
    "leaky_relu 1": LeakyReLU(1.0),
    "leaky_relu 1.5": LeakyReLU(1.5),
    "elu 0.5": ELU(0.5),
    "prelu shared": PReLU(0.1, shared=True),
    "prelu negative": PReLU(-0.5),
    "prelu zero": PReLU(0.0),
    "per_neuron all": per_neuron(
        [
            name
            for name in activations
            if name not in ("prelu", "per_neuron") and activations[name].elementwise
        ],
        repeat=True,
    ),
    "per_neuron counts": per_neuron(["relu", "gelu", "relu"], counts=[2, 1, 3], repeat=True),
}
ALL = {name: activations.make(name) for name in activations} | VARIANTS
ELEMENTWISE = {name: activation for name, activation in ALL.items() if activation.elementwise}

each = pytest.mark.parametrize("activation", ALL.values(), ids=ALL.keys())
each_elementwise = pytest.mark.parametrize("activation", ELEMENTWISE.values(), ids=ELEMENTWISE.keys())
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])

POINTS = np.concatenate(
    [
        [-700.0, -80.0, -40.0, -20.0, -12.0, -8.0],
        np.linspace(-6.0, 6.0, 97) + 0.01,
        [1e-12, -1e-12, 8.0, 12.0, 20.0, 40.0, 80.0, 700.0],
    ]
)
STEP = 1e-30


def away_from_kinks(activation: ActivationFunction, z: np.ndarray, distance: float) -> np.ndarray:
    for kink in activation.kinks:
        z = z[np.abs(z - kink) > distance]
    return z


def columns(activation: ActivationFunction, z: np.ndarray) -> np.ndarray:
    """Return z as a column repeated over 20 neurons, so that each z meets each choice of a per-neuron one."""
    return np.repeat(z[:, None], 20, axis=1)


def parameters(activation: ActivationFunction, n: int, dtype=np.float64) -> dict[str, np.ndarray]:
    """Return parameters that differ from neuron to neuron."""
    return {
        name: (initial + 0.1 * np.cos(np.arange(math.prod(shape)))).reshape(shape).astype(dtype)
        for name, (shape, initial) in activation.parameters(n).items()
    }
