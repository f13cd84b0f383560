"""Runs that are stopped at a step, as a killed process is, and resumed by another network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import clearprop as cp

N = 83
X = np.random.default_rng(0).standard_normal((N, 4))
LABELS = np.arange(N) % 3
NUMBERS = np.sin(X @ np.array([1.0, -2.0, 0.5, 0.0]))
WEIGHTS = 0.5 + np.arange(N) % 5
SHORT = {"epochs": 4, "batch_size": 16}  # 24 steps, the last of each epoch with fewer examples


class Killed(Exception):
    """Ends a run where it stands, as a signal that nobody can hear does: nothing is written any more."""


class Kill(cp.Callback):
    """Kills a run after a step, or at the end of an epoch."""

    def __init__(self, step: int = 0, epoch: int = 0) -> None:
        self.every, self.epoch = step, epoch

    def on_step_end(self, run):
        raise Killed

    def on_epoch_end(self, run, row):
        if run.epoch == self.epoch:
            raise Killed


def deep(**options: Any) -> cp.Network:
    """Return a network in which everything is drawn, kept or counted that can be."""
    layers = [
        cp.Dense(7, "relu"),
        cp.BatchNorm(),
        cp.Dropout(0.3),
        cp.Dense(5, "tanh"),
        cp.Dense(3, "softmax"),
    ]
    return cp.Network(layers, **{"n_in": 4, "seed": 5} | options)


def plain(**options: Any) -> cp.Network:
    """Return a network without anything random."""
    return cp.Network([cp.Dense(6, "tanh"), cp.Dense(3, "softmax")], **{"n_in": 4, "seed": 5} | options)


def wide(**options: Any) -> cp.Network:
    """Return a network with dropout that every rung can train."""
    layers = [cp.Dense(4, "tanh"), cp.Dropout(0.2), cp.Dense(3, "softmax")]
    return cp.Network(layers, **{"n_in": 4, "seed": 5} | options)


def stopped_and_resumed(
    folder: Path,
    make: Callable[[], cp.Network],
    kill: Kill,
    *,
    every: dict[str, Any] | None = None,
    data: tuple[Any, ...] = (X, LABELS),
    **options: Any,
) -> cp.Network:
    """Train with checkpoints, be killed, and return another network that went on from the newest."""
    given = lambda: {k: v() if callable(v) and k in _MADE else v for k, v in options.items()}  # noqa: E731
    asked = cp.Checkpoint(folder, **{"every_steps": 1} if every is None else every)
    try:
        make().fit(*_made(data), **given() | {"checkpoint": asked, "callbacks": _with(given(), kill)})
    except Killed:
        pass
    else:
        raise AssertionError("the run was not killed")
    net = make()
    net.fit(*_made(data), **given() | {"checkpoint": asked, "resume": True})
    assert net.history.resumed
    return net


_MADE = ("early_stopping", "order", "callbacks")


def _made(data: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(item() if isinstance(item, type) or callable(item) else item for item in data)


def _with(given: dict[str, Any], kill: Kill) -> list[cp.Callback]:
    return [*given.get("callbacks", []), kill]


def uninterrupted(
    make: Callable[[], cp.Network], *, data: tuple[Any, ...] = (X, LABELS), **options: Any
) -> cp.Network:
    """Train at once, without any checkpoint, and return the network."""
    net = make()
    net.fit(*_made(data), **{k: v() if callable(v) and k in _MADE else v for k, v in options.items()})
    return net


def assert_same(resumed: cp.Network, whole: cp.Network) -> None:
    """Assert that two networks and their histories are the same, but for the time they took."""
    assert resumed.theta.tobytes() == whole.theta.tobytes()
    assert resumed.buffers.tobytes() == whole.buffers.tobytes()
    assert resumed.history.stopped == whole.history.stopped
    assert (resumed.epochs_trained, resumed.steps_trained) == (whole.epochs_trained, whole.steps_trained)
    for name in whole.history.columns:
        if name != "seconds":
            np.testing.assert_array_equal(resumed.history[name], whole.history[name], err_msg=name)
    assert resumed.history.columns == whole.history.columns
    assert [type(v) for v in resumed.history[0].values()] == [type(v) for v in whole.history[0].values()]
