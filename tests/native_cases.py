"""What the tests of the native rung share: data, networks, and the same training on two rungs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from tests.networks import relative

import clearprop as cp
from clearprop.compiled import native

needs_native = pytest.mark.skipif(
    native is None, reason="clearprop._native is not part of this installation: no compiler when it was built"
)

N = 45  # with batches of 10 the last one is short
RNG = np.random.default_rng(11)
X = RNG.normal(size=(N, 5))
LABELS = np.array(["a", "b", "c"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.3)]
WEIGHTS = RNG.uniform(0.1, 2.0, size=N)

# One step agrees to 1e-12 (errors of 2**-53 in sums of some hundred terms), and each step passes on what the
# steps before it were off, times a factor near 1 at these rates: fifteen steps stay well within this.
SEVERAL_STEPS = 1e-10


def classifier(**options: Any) -> cp.Network:
    """Return a small network that holds much of what a layer can be."""
    layers = [
        cp.Dense(7, "tanh"),
        cp.Residual([cp.Dense(9, "gelu"), cp.Dense()]),
        cp.LayerNorm(),
        cp.Dense(6, cp.activations.PReLU()),
        cp.Dense(3, "softmax"),
    ]
    return cp.Network(layers, n_in=5, **{"seed": 2, **options})


def noisy(**options: Any) -> cp.Network:
    """Return a network with random parts and batch norm.

    No biases before batch norm: their gradient is zero but for rounding, which Adam would make a step of.
    """
    layers = [
        cp.Dense(8, bias=False),
        cp.BatchNorm(),
        cp.Activation("relu"),
        cp.Dropout(0.3),
        cp.Dense(3, "softmax"),
    ]
    return cp.Network(layers, n_in=5, **{"seed": 2, **options})


@contextmanager
def whole_runs_counted() -> Iterator[Callable[[], int]]:
    """Count the runs of steps that the native rung does by itself."""
    from clearprop.engines.native import NativeTrainer

    steps, calls = NativeTrainer.steps, []

    def counted(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(1)
        return steps(self, *args, **options)

    with mock.patch.object(NativeTrainer, "steps", counted):
        yield lambda: len(calls)


def fitted(
    net: cp.Network,
    x: Any = X,
    y: Any = LABELS,
    engine: str = "native",
    step_by_step: bool = False,
    **options: Any,
) -> cp.Network:
    """Train on a rung and return the network; on `native`, by runs of steps unless said otherwise."""
    with whole_runs_counted() as runs:
        net.fit(x, y, engine=engine, **{"epochs": 3, "batch_size": 10, **options})
        assert (runs() > 0) == (engine == "native" and not step_by_step)
    return net


def difference(make: Callable[..., cp.Network], *data: Any, **options: Any) -> float:
    """Return how far apart `native` and `batch` come in theta, buffers and history, relative."""
    found = fitted(make(), *data, **options)
    expected = fitted(make(), *data, **{**options, "engine": "batch"})
    assert not np.array_equal(expected.theta, make().theta)
    return max(
        relative(found.theta, expected.theta),
        relative(found.buffers, expected.buffers) if expected.buffers.size else 0.0,
        history_difference(found.history, expected.history),
    )


def history_difference(found: Any, expected: Any) -> float:
    """Return the largest relative difference of any column but the seconds, and of the rolling figures."""
    assert found.columns == expected.columns
    errors = [0.0]
    for column in set(expected.columns) - {"seconds"}:
        errors.append(_apart(found[column], expected[column]))
    mine = {row["step"]: row for row in found.rolling}
    shared = [row for row in expected.rolling if row["step"] in mine]  # both have one after every epoch
    assert {row["step"] for row in shared} >= set(expected["step"])
    for row in shared:
        assert mine[row["step"]].keys() == row.keys()
        errors.append(_apart(list(mine[row["step"]].values()), list(row.values())))
    return max(errors)


def _apart(found: Any, expected: Any) -> float:
    found, expected = np.array(found, float), np.array(expected, float)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    return float(np.nanmax(np.abs(found - expected) / np.maximum(np.abs(expected), 1e-3), initial=0.0))


def run_alone(program: str, **environment: str) -> str:
    """Run a program in a process of its own, so that a crash fails one test only; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        cwd=Path(__file__).resolve().parents[1],
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stdout[-500:]}{done.stderr[-2000:]}"
    return done.stdout
