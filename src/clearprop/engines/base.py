"""What an engine is: one rung of the ladder, a way to compute the same equations.

All rungs give the same outputs and gradients (float64: 1e-12 relative); the conformance suite
proves it. An engine has few verbs: `supports`, `output`, `trace`, `gradient`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import UnknownNameError, UnsupportedError, did_you_mean, one_of
from clearprop.model import Draws, Gradient, Model, State
from clearprop.trace import Trace

__all__ = ["Engine", "Pass", "TrainingOptions", "choose_engine", "engines", "register_engine", "weighted"]


class Pass(NamedTuple):
    """What the training loop needs of one forward and backward pass."""

    output: Any
    """The last layer's forward record (`z`, `a`)."""
    gradient: Array
    """∂C/∂theta, flat, in the order of theta; the caller may overwrite it."""
    buffers: Array
    """The buffers after this pass, flat; the state's own array where nothing changed."""


@dataclass(frozen=True)
class TrainingOptions:
    """What an engine is asked to support besides the network itself; None means only a gradient is wanted."""

    optimizer: str
    dtype: str


class Engine(ABC):
    """One rung of the ladder.

    `draws` is None in inference mode; a training pass (dropout, batch statistics) gets the
    position that its random numbers are a function of.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    """What it is for, in one line."""

    @abstractmethod
    def supports(self, model: Model, options: TrainingOptions | None = None) -> str | None:
        """Return None if this engine can run the network, else one sentence saying what it cannot do."""

    @abstractmethod
    def output(self, model: Model, state: State, X: Array) -> Any:
        """Return the last layer's forward record in inference mode (`a`; `z` if it has an activation).

        X: (n, n_in). A cost needs z to be stable: `Model.costs(record, y)`.
        """

    def outputs(self, model: Model, state: State, X: Array) -> Array:
        """Return the network's outputs a^L in inference mode. X: (n, n_in); result: (n, n_out)."""
        return self.output(model, state, X).a  # type: ignore[no-any-return]

    @abstractmethod
    def trace(
        self,
        model: Model,
        state: State,
        X: Array,
        y: Array,
        weights: Array | None = None,
        draws: Draws | None = None,
    ) -> Trace:
        """Return the open record of one pass. X: (n, n_in); y: (n, n_out), encoded; weights: (n,), mean 1."""

    def gradient(
        self,
        model: Model,
        state: State,
        X: Array,
        y: Array,
        weights: Array | None = None,
        draws: Draws | None = None,
        out: Gradient | None = None,
    ) -> Pass:
        """Return the outputs and ∂C/∂theta of one batch: the trace's, without keeping the records.

        out: memory in which the gradient may be put, to spare a copy; an engine is free to ignore it.
        """
        trace = self.trace(model, state, X, y, weights, draws)
        forward = [trace[i].forward for i in range(1, len(trace))]
        return Pass(forward[-1], trace.gradient, new_buffers(model, state, forward, draws))


def new_buffers(model: Model, state: State, forward: Any, draws: Draws | None) -> Array:
    """Return the flat buffers after a training pass; the state's own array where nothing changed."""
    if draws is None or not state.buffers.size:
        return state.buffers
    trees = [
        layer.new_buffers(record, buffers)
        for layer, record, buffers in zip(model.layers, forward, state.buffer_tree, strict=True)
    ]
    return np.asarray(model.buffer_layout.flatten(trees))


def weighted(rows: Array, weights: Array | None) -> Array:
    """Return the rows, each times the weight of its example. rows: (n, …); weights: (n,) or None."""
    return rows if weights is None else rows * weights[:, None]


_engines: dict[str, Engine] = {}


def register_engine(cls: type[Engine]) -> type[Engine]:
    """Register an engine under its name (class decorator)."""
    _engines[cls.name] = cls()
    return cls


def engines() -> dict[str, Engine]:
    """Return every engine by name, slowest and most readable first."""
    return dict(_engines)


# From the fastest to the reference: the order in which engine="auto" tries.
_PREFERENCE = ("native", "batch")


def choose_engine(name: str, model: Model, options: TrainingOptions | None = None) -> tuple[Engine, str]:
    """Return the engine of that name and one sentence on the choice; "auto" takes the fastest that can.

    Errors: `UnknownNameError`; `UnsupportedError` with the engine's own sentence if it declines.
    """
    if name == "auto":
        declined: list[str] = []
        for candidate in (c for c in _PREFERENCE if c in _engines):
            reason = _engines[candidate].supports(model, options)
            if reason is None:
                why = f"engine: {candidate}, the fastest rung that supports this network."
                return _engines[candidate], " ".join([why, *declined])
            declined.append(f"{candidate} declined: {reason}")
        raise UnsupportedError(f"no engine can run this network. {' '.join(declined)}")
    if name not in _engines:
        hint = did_you_mean(name, _engines)
        raise UnknownNameError(f"unknown engine {name!r}.{hint} Known: 'auto', {one_of(_engines)}.")
    reason = _engines[name].supports(model, options)
    if reason is not None:
        raise UnsupportedError(f"engine {name!r} cannot run this network: {reason}")
    return _engines[name], f"engine: {name}, as asked."
