"""The files that the tests write and break: small networks and recordings, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import clearprop as cp

__all__ = ["Sample", "load_network", "network", "recording", "samples"]


class Sample(NamedTuple):
    """A thing that can be saved: its kind, how it is written to a path, and how it is read back."""

    kind: str
    save: Callable[[Path], Any]
    load: Callable[[Path], Any]


def network(seed: int) -> cp.Network:
    """Return a small network whose kind depends on the seed: normalised, residual, of many activations."""
    rng = np.random.default_rng(seed)
    hidden = [str(rng.choice(["tanh", "relu", "prelu", "sigmoid"])) for _ in range(2)]
    middle: list[Any] = [
        [cp.BatchNorm()],
        [cp.Dropout(0.2)],
        [cp.Residual([cp.Dense(3, "tanh"), cp.Dense()])],
        [],
    ]
    layers = [cp.Dense(3, hidden[0]), *middle[int(rng.integers(len(middle)))], cp.Dense(2, "softmax")]
    return cp.Network(layers, n_in=2, seed=seed, dtype=str(rng.choice(["float32", "float64"])))


def load_network(path: Path) -> Any:
    """Load the network in a file."""
    return cp.load(path)


def recording(seed: int) -> Sample:
    """Return the recording of a short training, which is loaded with the data it was trained on."""
    X, y = cp.datasets.moons(20, noise=0.1, seed=seed)
    recorder = cp.FlightRecorder(every=2)
    net = cp.Network([cp.Dense(2, "tanh"), cp.Dense(2, "softmax")], n_in=2, seed=seed)
    net.fit(X, y, epochs=2, batch_size=5, callbacks=[recorder])
    run = recorder.run
    return Sample(
        "recording",
        lambda path: run.save(path, overwrite=True),
        lambda path: cp.load_recording(path, X, y),
    )


def samples(seed: int) -> list[Sample]:
    """Return a sample of every kind of file that clearprop writes."""
    net = network(seed)
    return [
        Sample("network", lambda path: net.save(path, overwrite=True), load_network),
        recording(seed),
    ]
