"""What an engine is: one rung of the ladder, a way to compute the same equations.

All rungs give the same outputs and gradients (float64: 1e-12 relative); the conformance suite
proves it. An engine has few verbs: `supports`, `output`, `trace`, `gradient`.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import UnknownNameError, UnsupportedError, did_you_mean, one_of
from clearprop.model import Draws, Gradient, Model, State
from clearprop.optimizers import Optimizer

if TYPE_CHECKING:
    from clearprop.trace import Trace

__all__ = [
    "Engine",
    "Pass",
    "Rows",
    "StepOptions",
    "Steps",
    "Trainer",
    "TrainingOptions",
    "choose_engine",
    "engine_names",
    "engines",
    "register_engine",
    "register_when_asked",
    "weighted",
]


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


@dataclass(frozen=True)
class StepOptions:
    """What a step does with the gradient, for an engine that does whole steps; the names are those of fit."""

    optimizer: Optimizer
    batch_size: int
    examples: int | None = None
    """Number of training examples, None for a stream."""
    l1: float = 0.0
    l2: float = 0.0
    divide_by: str = "none"
    clip_norm: float | None = None
    clip_value: float | None = None
    max_norm: float | None = None
    scale: Array | None = None
    decay: Array | None = None
    mean_over_weights: bool = False
    penalty_as_seen: bool = False
    predicts: int = 0
    """How many rows are predicted at once between epochs."""


class Rows(NamedTuple):
    """Examples that lie in memory, in the network's dtype."""

    X: Any
    """(n, n_in), an array with contiguous rows, or a SciPy CSR matrix."""
    y: Array
    """(n, n_out), encoded."""
    weights: Array | None
    """(n,), mean 1, or None."""


class Steps(NamedTuple):
    """What a run of steps gave."""

    done: int
    """Steps whose update was made."""
    costs: Array
    """Per step: the (weighted) sum of its examples' costs, float64."""
    correct: Array
    """Per step: how many of its examples were right."""
    finite: bool
    """False if the cost of the step after them was NaN or infinite: that step was not made."""
    penalties: Array | None = None
    """Per step: the penalty before its update, float64; None where `penalty_as_seen` did not ask for it."""


class Trainer(ABC):
    """What an engine gives that does whole runs of steps itself.

    It has parameters, buffers and slots of its own, which `read` and `write` exchange with the network's.
    """

    @abstractmethod
    def read(self, state: State) -> None:
        """Take theta and the buffers as they are now."""

    @abstractmethod
    def write(self, state: State) -> None:
        """Bring theta and the buffers up to date."""

    @abstractmethod
    def is_finite(self) -> bool:
        """Return whether the parameters and buffers it has are all finite."""

    @abstractmethod
    def output(self, X: Array) -> Any:
        """Return the last layer's record in inference mode, by the parameters it has: `Engine.output`."""

    @abstractmethod
    def read_slots(self, slots: dict[str, Array]) -> None:
        """Take the optimiser's slots as they are now."""

    @abstractmethod
    def write_slots(self, slots: dict[str, Array]) -> None:
        """Bring the optimiser's slots up to date."""

    @abstractmethod
    def steps(
        self,
        rows: Rows,
        order: Array,
        examples: Array | None,
        batch_size: int,
        etas: Array,
        seed: int,
        first_step: int,
        optimizer_step: int,
        seconds: float,
        rule: str,
        middle: float,
        outputs: Array | None = None,
        look_at_gradient: Callable[[Array], None] | None = None,
    ) -> Steps:
        """Do steps on the batches of `order` until it or the time is used up.

        order: indices of rows, cut into batches of batch_size, the last of which may be short. examples:
        which examples of the data set those are, for the random numbers; None where rows holds all of it.
        etas: the rate of each step, or one for all. seed, first_step: the position of the random numbers.
        optimizer_step: how many steps the optimiser has done. rule, middle: how an example is right
        ("largest": the largest output is that of the target; "threshold": all outputs are on the target's
        side of `middle`; "none").
        outputs: (len(order), n_out), takes the outputs as each example was seen. look_at_gradient: called in
        every step with the flat gradient, penalty included, before clipping; what it changes there counts.
        """


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

    def trainer(self, model: Model, dtype: Any, options: StepOptions) -> Trainer | None:
        """Return what does whole runs of steps; None where the training loop does each step itself."""
        return None


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
_when_asked: dict[str, str] = {}


def register_engine(cls: type[Engine]) -> type[Engine]:
    """Register an engine under its name (class decorator)."""
    _engines[cls.name] = cls()
    return cls


def register_when_asked(name: str, module: str) -> None:
    """Let the name be known of an engine that registers itself when its module is imported."""
    _when_asked[name] = module


def engines() -> dict[str, Engine]:
    """Return every engine by name, slowest and most readable first."""
    return {name: _engine(name) for name in engine_names()}


def engine_names() -> tuple[str, ...]:
    """Return the name of every engine, slowest and most readable first."""
    return tuple(dict.fromkeys((*_when_asked, *_engines)))


def _engine(name: str) -> Engine:
    if name not in _engines:
        importlib.import_module(_when_asked[name])
    return _engines[name]


# From the fastest to the reference: the order in which engine="auto" tries.
_PREFERENCE = ("native", "batch")


def choose_engine(name: Any, model: Model, options: TrainingOptions | None = None) -> tuple[Engine, str]:
    """Return the engine of that name and one sentence on the choice; "auto" takes the fastest that can.

    Errors: `UnknownNameError`; `UnsupportedError` with the engine's own sentence if it declines.
    """
    known = engine_names()
    if not (isinstance(name, str) and name in ("auto", *known)):
        hint = did_you_mean(str(name), known)
        raise UnknownNameError(f"unknown engine {name!r}.{hint} Known: 'auto', {one_of(known)}.")
    if name == "auto":
        declined: list[str] = []
        for candidate in _PREFERENCE:
            reason = _engine(candidate).supports(model, options)
            if reason is None:
                why = f"engine: {candidate}, the fastest rung that supports this network."
                return _engine(candidate), " ".join([why, *declined])
            declined.append(f"{candidate} declined: {reason}")
        raise UnsupportedError(f"no engine can run this network. {' '.join(declined)}")
    reason = _engine(name).supports(model, options)
    if reason is not None:
        raise UnsupportedError(f"engine {name!r} cannot run this network: {reason}")
    return _engine(name), f"engine: {name}, as asked."
