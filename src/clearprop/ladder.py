"""Measuring the rungs of the ladder on one network and its data: speed, and agreement with the reference."""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.engines import Engine, Rows, StepOptions, TrainingOptions, engines
from clearprop.errors import OptionError, UnknownNameError, did_you_mean, one_of
from clearprop.fitting.environment import THREAD_VARIABLES, blas_threads
from clearprop.model import Draws
from clearprop.optimizers import SGD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clearprop.arrays import Array
    from clearprop.network import Network

__all__ = ["REFERENCE", "Ladder", "Machine", "Rung", "ladder", "machine"]

REFERENCE = "batch"
"""The rung that the others are compared with."""

_FEWEST = 2  # one example alone has no batch statistics
_STEPS_OF_A_RUN = 32


@dataclass(frozen=True)
class Rung:
    """What was measured of one engine. Where it declined the network, there is its sentence and no figure."""

    engine: str
    summary: str
    declined: str | None
    examples_per_second: float | None
    """Of training passes, forward and backward, in batches of `batch`; the median pass.

    An engine that trains in runs of steps is timed in such runs, plain SGD and figures of cost included.
    """
    ratio: float | None
    """Its speed over that of the rung above, the one before it in the ladder that ran; None for the first."""
    gradient_difference: float | None
    """max |g - g_ref| / max |g_ref| against the reference, on the same `batch` examples."""
    batch: int
    """Examples per pass: the batch that was asked for, or as many as fit into the time."""
    passes: int
    """How many passes were timed."""


@dataclass(frozen=True)
class Machine:
    """What speed depends on besides the code."""

    processor: str
    cpus: int
    """How many this process may use."""
    blas: str
    blas_threads: int | None
    """How many threads the BLAS takes; None where that cannot be asked (threadpoolctl is not installed)."""
    variables: dict[str, str]
    """The variables of the environment that set a number of threads."""
    python: str
    numpy: str


@dataclass(frozen=True)
class Ladder:
    """The rungs that were measured, in the order of the ladder, and what was measured."""

    rungs: tuple[Rung, ...]
    reference: str
    n_parameters: int
    dtype: str
    machine: Machine

    def __getitem__(self, engine: str) -> Rung:
        """Return the rung of this engine; raise `UnknownNameError` if it was not measured."""
        for rung in self.rungs:
            if rung.engine == engine:
                return rung
        names = [rung.engine for rung in self.rungs]
        raise UnknownNameError(
            f"{engine!r} was not measured.{did_you_mean(engine, names)} Measured: {one_of(names)}."
        )


def ladder(
    network: Network,
    X: Any,
    y: Any,
    *,
    batch_size: int = 32,
    seconds: float = 1.0,
    rungs: Sequence[str] | None = None,
    on_rung: Callable[[str], None] | None = None,
) -> Ladder:
    """Measure the speed of every rung on this network and data, and its gradient against the reference.

    A pass is forward and backward of one batch in training mode (dropout drawn, the same on each rung), as
    training does it but for the update. A rung that would need longer than `seconds` for one batch gets fewer
    examples, at least two, and is compared on those.

    Parameters:
        X (n, d), y: as for `Network.fit`; only the first batch_size examples are read.
        seconds: time for each rung, about.
        rungs: names of engines; left out, all.
        on_rung: called with the name of a rung before it is measured.

    Errors: `OptionError`, `UnknownNameError`, and those of `Network.trace`.

    >>> import clearprop as cp
    >>> net = cp.Network([2, 3, 1], seed=0)
    >>> found = ladder(net, np.eye(2), np.array([[0.0], [1.0]]), seconds=0.01)
    >>> found["batch"].gradient_difference, found["neuron"].gradient_difference < 1e-12
    (0.0, True)
    """
    names = _names(rungs)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise OptionError(f"batch_size must be a whole number >= 1. Got {batch_size!r}.")
    if not (isinstance(seconds, int | float) and 0 < seconds < math.inf):
        raise OptionError(f"seconds must be a finite number > 0. Got {seconds!r}.")
    trace = network.trace(X[:batch_size], y[:batch_size], engine=REFERENCE)
    rows, targets = trace[0].a, trace.y
    found: list[Rung] = []
    above: float | None = None
    for name in names:
        if on_rung is not None:
            on_rung(name)
        rung = _measure(engines()[name], network, rows, targets, float(seconds), above)
        above = rung.examples_per_second if rung.examples_per_second is not None else above
        found.append(rung)
    return Ladder(tuple(found), REFERENCE, network.n_parameters, network.dtype.name, machine())


def machine() -> Machine:
    """Return what the speed of a rung depends on besides the code: processor, BLAS, threads, versions."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return Machine(
        processor=platform.machine(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        blas=f"{blas.get('name', '?')} {blas.get('version', '?')}",
        blas_threads=blas_threads(),
        variables={name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        python=platform.python_version(),
        numpy=np.__version__,
    )


def _names(rungs: Sequence[str] | None) -> tuple[str, ...]:
    known = tuple(engines())
    for name in rungs or ():
        if name not in known:
            raise UnknownNameError(
                f"unknown engine {name!r}.{did_you_mean(name, known)} Known: {one_of(known)}."
            )
    return known if rungs is None else tuple(name for name in known if name in rungs)


def _measure(
    engine: Engine, network: Network, X: Array, y: Array, seconds: float, above: float | None
) -> Rung:
    declined = engine.supports(network.model, TrainingOptions("sgd", network.dtype.name))
    if declined is not None:
        return Rung(engine.name, engine.summary, declined, None, None, None, 0, 0)

    def one_pass(rung: Engine, n: int) -> tuple[Array, float]:
        draws = Draws(network.seed, 0, np.arange(n))
        begun = time.perf_counter()
        gradient = rung.gradient(network.model, network.state, X[:n], y[:n], None, draws).gradient
        return gradient, time.perf_counter() - begun

    few = min(_FEWEST, len(X))
    spent = min(one_pass(engine, few)[1] for _ in range(2))  # the first pass also warms up
    if len(X) / few * spent > seconds / 4:
        n = max(few, min(len(X), int(few * seconds / 4 / spent)))
    else:
        n = len(X)
    gradient, spent = one_pass(engine, n)
    difference = _difference(gradient, one_pass(engines()[REFERENCE], n)[0])
    times = [spent]
    while sum(times) < seconds:
        times.append(one_pass(engine, n)[1])
    times = _runs(engine, network, X[:n], y[:n], seconds) or times
    speed = n / statistics.median(times)
    ratio = None if above is None else speed / above
    return Rung(engine.name, engine.summary, None, speed, ratio, difference, n, len(times))


def _runs(engine: Engine, network: Network, X: Array, y: Array, seconds: float) -> list[float]:
    """Return the seconds of a step, several times, of an engine that trains in runs of steps; [] of others.

    Plain SGD at a rate of zero: parameters stay what they are, and every step does all its work.
    """
    dtype = network.state.theta.dtype
    n = len(X)
    trainer = engine.trainer(network.model, dtype, StepOptions(SGD(), n, n))
    if trainer is None:
        return []
    trainer.read(network.state)
    rows = Rows(np.ascontiguousarray(X, dtype), np.ascontiguousarray(y, dtype), None)
    order = np.tile(np.arange(n), _STEPS_OF_A_RUN)
    times: list[float] = []
    while sum(times) < seconds / _STEPS_OF_A_RUN:
        begun = time.perf_counter()
        done = trainer.steps(rows, order, None, n, np.zeros(1), network.seed, 0, 0, seconds, "none", 0.5).done
        times.append((time.perf_counter() - begun) / max(done, 1))
    return times


def _difference(gradient: Array, reference: Array) -> float:
    """Return max |g - g_ref| / max |g_ref|, 0 where both are 0."""
    largest = float(np.max(np.abs(reference)))
    difference = float(np.max(np.abs(gradient.astype(np.float64) - reference)))
    return difference / largest if largest > 0 else difference
