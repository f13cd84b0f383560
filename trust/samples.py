"""The files that the tests write and break: small networks and recordings, drawn from a seed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import clearprop as cp

__all__ = [
    "Sample",
    "checkpoint",
    "content",
    "large",
    "network",
    "recording",
    "samples",
    "saved_network",
    "scratch",
]

_IN_MEMORY = "/dev/shm"


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for one test; in memory where there is such a place, as thousands of saves sync it."""
    return tempfile.TemporaryDirectory(dir=_IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None)


class Sample(NamedTuple):
    """A thing that can be saved: its kind, how it is written to a path, and how it is read back."""

    kind: str
    save: Callable[[Path, bool], Any]
    """`save(path, overwrite)`."""
    load: Callable[[Path], Any]


def network(seed: int) -> cp.Network:
    """Return a small network whose kind depends on the seed: normalised, residual, of many activations."""
    rng = np.random.default_rng(seed)
    hidden = [str(rng.choice(["tanh", "relu", "prelu", "sigmoid"])) for _ in range(2)]
    between: list[list[Any]] = [
        [],
        [cp.BatchNorm()],
        [cp.Dropout(0.2), cp.Dense(2, hidden[1])],
        [cp.Residual([cp.Dense(3, "tanh"), cp.Dense()])],
    ]
    layers = [cp.Dense(3, hidden[0]), *between[int(rng.integers(len(between)))], cp.Dense(2, "softmax")]
    net = cp.Network(layers, n_in=2, seed=seed, dtype=str(rng.choice(["float32", "float64"])))
    return _trained(net, seed) if seed % 2 else net


def _trained(net: cp.Network, seed: int) -> cp.Network:
    """Return a network that has been trained a little, so that its file also says on what and how."""
    X, y = cp.datasets.moons(12, noise=0.1, seed=seed)
    net.classes, net.preprocessing = ("left", "right"), "standardize"
    net.freeze("1.b").fit(X, np.array(["left", "right"])[y], epochs=1, l2=1e-3)
    return net


def saved_network(net: cp.Network) -> Sample:
    """Return how this network is saved and loaded."""
    return Sample("network", lambda path, overwrite: net.save(path, overwrite=overwrite), cp.load)


def recording(seed: int) -> Sample:
    """Return the recording of a short training, which is loaded with the data it was trained on."""
    X, y = cp.datasets.moons(20, noise=0.1, seed=seed)
    recorder = cp.FlightRecorder(every=2)
    net = cp.Network([cp.Dense(2, "tanh"), cp.Dense(2, "softmax")], n_in=2, seed=seed)
    net.fit(X, y, epochs=2, batch_size=5, callbacks=[recorder])
    run = recorder.run
    return Sample(
        "recording",
        lambda path, overwrite: run.save(path, overwrite=overwrite),
        lambda path: cp.load_recording(path, X, y),
    )


def checkpoint(seed: int) -> Sample:
    """Return the last checkpoint of a short training, which is read by going on from it, to no step more."""
    X, y = cp.datasets.moons(24, noise=0.1, seed=seed)
    optimizer = ("adam", "rmsprop", "nesterov", "sgd")[seed % 4]

    def train(**options: Any) -> None:
        layers = [cp.Dense(2, "tanh"), *([cp.BatchNorm()] if seed % 2 else []), cp.Dense(2, "softmax")]
        net = cp.Network(layers, n_in=2, seed=seed)
        net.fit(
            *(X, y),
            epochs=2,
            batch_size=6,
            optimizer=optimizer,
            schedule="cosine",
            validation_fraction=0.25,
            early_stopping=True,
            callbacks=[cp.NormHistory()],
            **options,
        )

    def save(path: Path, overwrite: bool) -> None:
        with scratch() as folder:
            train(checkpoint=cp.Checkpoint(Path(folder, "run"), every_steps=4))
            newest = max(Path(folder, "run").iterdir())
            path.write_bytes(newest.read_bytes())

    return Sample("checkpoint", save, lambda path: train(resume=path))


def large(seed: int) -> Sample:
    """Return a network whose file takes several writes."""
    return saved_network(cp.Network([40, 60, 2], seed=seed))._replace(kind="large network")


def samples(seed: int) -> list[Sample]:
    """Return a small sample of every kind of file that clearprop writes and loads."""
    return [saved_network(network(seed)), recording(seed)]


def content(sample: Sample, folder: Path) -> bytes:
    """Return the bytes of the file that a sample writes, leaving none."""
    path = folder / "content"
    sample.save(path, True)
    data = path.read_bytes()
    path.unlink()
    return data
